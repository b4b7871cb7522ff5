/**
 * Readers of the final norm on families with RMS norms: plain, with a gain counted from 1 and capped logits, and with norms behind
 * attention and MLP. What they read is the run's; what they make of it is computed here in float64.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { directLogitAttribution, logitDiff, logitLens } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { familyModel, familyReferences } from '../families.js';
import { allClose } from '../helpers.js';

const tokens = [1, 2, 3, 4, 7, 8];
const [A, B] = [3, 5];

for (const [name, plusOne] of [
  ['llama', 0],
  ['gemma2', 1],
  ['olmo2', 0],
] as const)
  for (const processed of [false, true])
    test(`${name}, ${processed ? 'processed' : 'as it is'}: every reader of the final norm`, async () => {
      using model = await familyModel(name, processed ? {} : noProcessing);
      const { dModel: d, nLayers, eps } = model.config;
      const cap = (familyReferences.find((r) => r.name === name)!.config.final_logit_softcapping ?? null) as
        | number
        | null;
      const { W_U, b_U, lnFinal } = model.weights;
      const gain = (i: number) => (lnFinal ? lnFinal.w.data[i] + plusOne : 1);
      const column = (t: number) =>
        Float64Array.from({ length: d }, (_, i) => W_U.data[i * W_U.shape[1] + t]);
      const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
        Array.from(a).reduce((s, x, i) => s + x * b[i], 0);
      const scale = (x: ArrayLike<number>) => Math.sqrt(dot(x, x) / d + eps);
      const plain = (n: ArrayLike<number>, t: number) => dot(n, column(t)) + b_U.data[t];
      const capped = (y: number) => (cap ? cap * Math.tanh(y / cap) : y);

      const { cache, logits } = await model.runWithCache([tokens], { names: /./ });
      const rows = async (key: string, layer: number) => {
        const data = await cache.get(key, layer).data();
        return tokens.map((_, p) => data.slice(p * d, (p + 1) * d));
      };
      const states: Float32Array[][] = [];
      for (let l = 0; l < nLayers; l++) states.push(await rows('resid_pre', l));
      states.push(await rows('resid_post', nLayers - 1));
      const final = states.at(-1)!;
      const scales = final.map(scale);
      const whole = (x: ArrayLike<number>, s = scale(x)) => Array.from(x, (v, i) => (v / s) * gain(i));

      // The run itself, and the lens at every layer.
      const run = await logits.data();
      const n = W_U.shape[1];
      for (const [p, x] of final.entries())
        allClose([run[p * n + A]], [capped(plain(whole(x), A))], { what: `logit ${p}` });
      for (const layerNorm of ['recomputed', 'frozen'] as const) {
        const lens = await logitLens(model, tokens, { layerNorm, tokens: [A], k: 1 });
        const expected = states.flatMap((state) =>
          state.map((x, p) => capped(plain(whole(x, layerNorm === 'frozen' ? scales[p] : undefined), A))),
        );
        allClose(lens.chosen!.logit.values, expected, { what: `lens, ${layerNorm}` });
      }

      // Stacks.
      const frozen = (x: ArrayLike<number>, p: number) => Array.from(x, (v) => v / scales[p]);
      using recomputed = cache.accumulatedResid(-1, { applyLn: 'recomputed' });
      allClose(
        await recomputed.stack.data(),
        states.flatMap((s) => s.flatMap((x) => whole(x))),
        { what: 'accumulatedResid, recomputed' },
      );
      using kept = cache.accumulatedResid(-1, { applyLn: 'frozen' });
      allClose(
        await kept.stack.data(),
        states.flatMap((s) => s.flatMap(frozen)),
        { what: 'accumulatedResid, frozen' },
      );
      using raw = cache.decomposeResid(-1);
      const parts = await raw.stack.data();
      const part = (c: number, p: number) =>
        parts.subarray((c * tokens.length + p) * d, (c * tokens.length + p + 1) * d);
      const each = raw.labels.flatMap((_, c) => tokens.map((_, p) => [c, p] as const));
      using after = cache.applyLnToStack(raw.stack, -1);
      allClose(
        await after.data(),
        each.flatMap(([c, p]) => frozen(part(c, p), p)),
        { what: 'applyLnToStack' },
      );
      for (const made of [raw, cache.stackHeadResults(-1, { applyLn: 'frozen', inclRemainder: 'each' })])
        assert.ok((await made.sum.check()).ok, 'check');

      // Direct logit attribution: of the logits before the cap.
      const read = column(A).map((v, i) => (v - column(B)[i]) * gain(i));
      using attrs = cache.logitAttrs(raw.stack, { tokens: A, incorrectTokens: B });
      allClose(
        await attrs.data(),
        each.map(([c, p]) => dot(frozen(part(c, p), p), read)),
        { what: 'logitAttrs' },
      );
      const last = tokens.length - 1;
      const logit = plain(whole(final[last]), A) - plain(whole(final[last]), B);
      for (const by of ['layer', 'component', 'head', 'neuron'] as const) {
        const dla = await directLogitAttribution(model, tokens, { tokens: [A, B], by });
        allClose([dla.values.reduce((a, b) => a + b, 0)], [logit], { what: `by ${by}` });
        assert.ok((dla.meta.error as number) < 1e-4, `by ${by}: ${dla.meta.error}`);
      }

      // The gradient at hook_normalized is that before the gain.
      const at = 'ln_final.hook_normalized';
      const { grads } = await model.runWithGrads([tokens], logitDiff(A, B), { names: at });
      const slope = (t: number) => (cap ? 1 - Math.tanh(plain(whole(final[last]), t) / cap) ** 2 : 1);
      const expected = column(A).map((v, i) => gain(i) * (v * slope(A) - column(B)[i] * slope(B)));
      allClose((await grads.get(at).data()).slice(last * d), expected, { what: 'gradient' });
      for (const t of [cache, logits, grads]) t.dispose();
    });

test.run();
