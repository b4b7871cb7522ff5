/**
 * Every reader of a norm against float64: models with layer norms, with a final RMS norm, with RMS norms
 * everywhere, as they come and processed.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Config,
  directLogitAttribution,
  HookedTransformer,
  logitDiff,
  logitLens,
  type Stack,
} from '../../index.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, randomGpt2, rng } from '../helpers.js';
import { dot, Reference } from './reference.js';

const shape = {
  nLayers: 2,
  nHeads: 2,
  dModel: 10,
  dHead: 5,
  dMlp: 14,
  nCtx: 8,
  dVocab: 23,
  attnOnly: false,
  actFn: 'relu',
} as const;
const tokens = rng(5).tokens(6, shape.dVocab);
const [A, B] = [3, 11];

const kinds: Record<string, Partial<Config>> = {
  'layer norms': { normalization: 'LN' },
  'a final RMS norm': { normalization: 'LN', finalRms: true },
  'RMS norms': { normalization: 'RMS' },
};

/** Gains between 0.5 and 1.5, biases that matter, and none of these in RMS norms. */
function weightsOf({ normalization, finalRms }: Partial<Config>): Record<string, HostTensor> {
  const all = randomGpt2({ ...shape, normalization: 'LN' }, 7, { untied: true });
  const r = rng(9);
  for (const [name, t] of Object.entries(all)) {
    if (!/ln_/.test(name)) continue;
    const rms = normalization === 'RMS' || (finalRms && name.startsWith('ln_f'));
    if (name.endsWith('bias') && rms) delete all[name];
    else t.data.set(r.array(t.data.length, 0.5).map((x) => (name.endsWith('weight') ? 1 + x : x)));
  }
  return all;
}

const flat = (rows: readonly ArrayLike<number>[]) => rows.flatMap((r) => Array.from(r));
const states = ['blocks.0.hook_resid_pre', 'blocks.1.hook_resid_pre', 'blocks.1.hook_resid_post'];

for (const [kind, config] of Object.entries(kinds))
  for (const processed of [false, true]) {
    const title = `${kind}, ${processed ? 'processed' : 'as they are'}`;
    const load = () =>
      HookedTransformer.fromWeights(
        { ...shape, ...config },
        weightsOf(config),
        processed ? {} : noProcessing,
      );

    test(`${title}: forward, lens, decompositions, direct logit attribution`, async () => {
      using model = await load();
      const ref = new Reference(model);
      const acts = ref.run(tokens);
      const { logits, cache } = await model.runWithCache([tokens]);
      allClose(await logits.data(), flat(acts.get('logits')!), { what: 'logits' });
      for (const name of [
        ...states,
        'ln_final.hook_scale',
        'ln_final.hook_normalized',
        'blocks.1.ln1.hook_normalized',
      ])
        allClose(await cache.get(name).data(), flat(acts.get(name)!), { what: name });
      const fused = await model.forward([tokens]);
      allClose(await fused.data(), flat(acts.get('logits')!), { what: 'nobody looks' });

      const streams = states.map((name) => acts.get(name)!);
      const scales = acts.get('ln_final.hook_scale')!.map(([s]) => s);
      for (const layerNorm of ['recomputed', 'frozen'] as const) {
        const lens = await logitLens(model, tokens, { layerNorm, tokens: [A], k: 1 });
        const expected = streams.flatMap((rows) =>
          rows.map(
            (x, p) => ref.unembed(ref.finalNorm(x, layerNorm === 'frozen' ? scales[p] : undefined))[A],
          ),
        );
        allClose(lens.chosen!.logit.values, expected, { what: `lens, ${layerNorm}` });
      }
      const again = await model.logitsOfResidual(cache.get('resid_post', -1));
      allClose(await again.data(), flat(acts.get('logits')!), { what: 'unembed of the last state' });

      // Stacks: what the final norm makes of parts, with the scale of the run.
      const frozen = (x: Float64Array<ArrayBuffer>, p: number) =>
        ref.centred(x, 'ln_final').map((v) => v / scales[p]);
      const named = (name: string) => acts.get(name)!;
      const head = (l: number, h: number) =>
        named(`blocks.${l}.attn.hook_result`).slice(h * tokens.length, (h + 1) * tokens.length);
      const parts = ['hook_embed', 'hook_pos_embed'].concat(
        ...[0, 1].map((l) => [`blocks.${l}.hook_attn_out`, `blocks.${l}.hook_mlp_out`]),
      );
      const check = async ({ stack }: Stack, rows: readonly Float64Array<ArrayBuffer>[][], what: string) => {
        const f = (x: Float64Array<ArrayBuffer>, p: number) => frozen(x, p);
        allClose(await stack.data(), flat(rows.map((r) => flat(r.map(f)))), { what });
      };
      const heads = [0, 1].flatMap((l) => [0, 1].map((h) => head(l, h)));
      const layers = cache.decomposeResid(-1, { applyLn: 'frozen' });
      await check(layers, parts.map(named), 'decomposeResid');
      const byHead = cache.stackHeadResults(-1, { applyLn: 'frozen' });
      await check(byHead, heads, 'stackHeadResults');
      const { W_out } = model.weights;
      const neuronRow = (l: number, n: number) =>
        named(`blocks.${l}.mlp.hook_post`).map((post) =>
          Float64Array.from(
            { length: shape.dModel },
            (_, i) => post[n] * W_out[l].data[n * shape.dModel + i],
          ),
        );
      const byNeuron = cache.stackNeuronResults(-1, { applyLn: 'frozen', neurons: 3 });
      await check(byNeuron, [neuronRow(0, 3), neuronRow(1, 3)], 'stackNeuronResults');
      const onto = model.tensor(Float32Array.from(ref.column(A)), [shape.dModel]);
      const projected = cache.decomposeResid(-1, { applyLn: 'frozen', projectOnto: onto });
      allClose(
        await projected.stack.data(),
        parts.flatMap((name) => named(name).map((x, p) => dot(frozen(x, p), ref.column(A)))),
        { what: 'decomposeResid, projected' },
      );
      const full = cache.fullResidDecomposition(-1, { applyLn: 'frozen' });
      for (const made of [layers, byHead, byNeuron, projected, full])
        assert.ok((await made.sum.check()).ok, `${title}: check`);
      const states0 = cache.accumulatedResid(-1, { applyLn: 'frozen' });
      await check(states0, streams, 'accumulatedResid, frozen');
      const own = cache.accumulatedResid(-1, { applyLn: 'recomputed' });
      allClose(await own.stack.data(), flat(streams.flatMap((r) => r.map((x) => ref.finalNorm(x)))), {
        what: 'accumulatedResid, recomputed: the whole norm',
      });
      assert.equal(own.meta, { applyLn: 'recomputed', norm: 'ln_final', gainAndBias: true });
      const inner = cache.accumulatedResid(1, { applyLn: 'recomputed' });
      const plain = streams
        .slice(0, 2)
        .map((r) => r.map((x) => ref.centred(x, 'ln1').map((v) => v / ref.scale(x, 'ln1'))));
      allClose(await inner.stack.data(), flat(plain.map(flat)), { what: 'accumulatedResid(1), recomputed' });
      const raw = cache.decomposeResid(-1);
      const after = cache.applyLnToStack(raw.stack, -1);
      await check({ ...raw, stack: after }, parts.map(named), 'applyLnToStack');

      // Direct logit attribution.
      const gain = (i: number) => ref.lnFinal?.w.data[i] ?? 1;
      const read = ref.column(A).map((v, i) => (v - ref.column(B)[i]) * gain(i));
      const sent = (x: Float64Array<ArrayBuffer>, p: number) => dot(frozen(x, p), read);
      const attrs = cache.logitAttrs(raw.stack, { tokens: A, incorrectTokens: B });
      allClose(
        await attrs.data(),
        parts.flatMap((name) => named(name).map(sent)),
        { what: 'logitAttrs' },
      );
      const last = tokens.length - 1;
      const bias = ref.lnFinal?.b
        ? [
            dot(
              ref.lnFinal.b.data,
              ref.column(A).map((v, i) => v - ref.column(B)[i]),
            ),
          ]
        : [];
      const rest = [...bias, ref.bias(A) - ref.bias(B)];
      const pair = { tokens: [A, B] } as const;
      const dla = await directLogitAttribution(model, tokens, { ...pair, by: 'layer' });
      allClose(dla.values, [...parts.map((name) => sent(named(name)[last], last)), ...rest], {
        what: 'by layer',
      });
      const perHead = await directLogitAttribution(model, tokens, { ...pair, by: 'head' });
      allClose(
        perHead.values.slice(0, 4),
        heads.map((h) => sent(h[last], last)),
        { what: 'by head' },
      );
      const perNeuron = await directLogitAttribution(model, tokens, { ...pair, by: 'neuron' });
      const neurons = [0, 1].flatMap((l) =>
        Array.from({ length: 14 }, (_, n) => sent(neuronRow(l, n)[last], last)),
      );
      allClose(perNeuron.values.slice(0, 28), neurons, { what: 'by neuron' });
      const bySource = await directLogitAttribution(model, tokens, { ...pair, by: 'source' });
      const apart = await directLogitAttribution(model, tokens, { ...pair, layerNorm: 'none' });
      const component = await directLogitAttribution(model, tokens, { ...pair, by: 'component', pos: 'all' });
      const logit = acts.get('logits')![last][A] - acts.get('logits')![last][B];
      for (const made of [dla, perHead, perNeuron, bySource, apart, component])
        assert.ok((made.meta.error as number) < 1e-4, `${title}: ${made.meta.by}: ${made.meta.error}`);
      for (let h = 0; h < 4; h++)
        allClose([bySource.values.slice(h * 7, h * 7 + 6).reduce((a, b) => a + b)], [perHead.values[h]]);
      allClose([dla.meta.logit as number], [logit]);
      for (const made of [layers, byHead, byNeuron, projected, full, states0, own, inner, raw])
        made.dispose();
      for (const t of [logits, fused, again, after, attrs, onto, cache]) t.dispose();
    });

    test(`${title}: gradients at every place of a norm, and check() finds a reader's fault`, async () => {
      using model = await load();
      const ref = new Reference(model);
      const names = [
        'blocks.0.ln1.hook_normalized',
        'blocks.1.ln1.hook_scale',
        'blocks.1.ln2.hook_normalized',
        'blocks.1.ln1.hook_normalized',
        'blocks.0.hook_resid_pre',
        'blocks.1.hook_resid_mid',
        'ln_final.hook_scale',
        'ln_final.hook_normalized',
      ];
      const { grads } = await model.runWithGrads([tokens], logitDiff(A, B), { names });
      const step = 1e-5;
      for (const name of names) {
        const got = await grads.get(name).data();
        const width = got.length / tokens.length;
        for (const [pos, i] of [
          [2, 0],
          [2, width - 1],
          [tokens.length - 1, width >> 1],
        ]) {
          const [up, down] = [step, -step].map((by) => {
            const acts = ref.run(tokens, (at, p, x) => {
              if (at !== name || p !== pos) return undefined;
              const moved = x.slice();
              moved[i] += by;
              return moved;
            });
            const logits = acts.get('logits')!.at(-1)!;
            return logits[A] - logits[B];
          });
          allClose([got[pos * width + i]], [(up - down) / (2 * step)], {
            what: `${title}: ${name} [${pos}, ${i}]`,
          });
        }
      }
      grads.dispose();

      // The run's norm is changed behind the reader's back: parts no longer add up to what it gave.
      const { logits, cache } = await model.runWithCache([tokens], {
        hooks: [['ln_final.hook_normalized', (x) => x.mul(1.1)]],
      });
      const parts = cache.decomposeResid(-1, { applyLn: 'frozen' });
      assert.not.ok((await parts.sum.check()).ok);
      for (const t of [logits, cache, parts]) t.dispose();
    });
  }

test('processing changes no prediction of models with RMS norms', async () => {
  for (const config of Object.values(kinds)) {
    using raw = await HookedTransformer.fromWeights({ ...shape, ...config }, weightsOf(config), noProcessing);
    using model = await HookedTransformer.fromWeights({ ...shape, ...config }, weightsOf(config));
    allClose((await model.logProbs([tokens]))[0], (await raw.logProbs([tokens]))[0], { atol: 1e-5 });
  }
});

test('the worked example: a final RMS norm is read as it is', async () => {
  const A = (shape: number[], data: number[]) => ({ shape, data: Float32Array.from(data) });
  const Z = (...s: number[]) => A(s, Array(s.reduce((a, b) => a * b)).fill(0));
  const config = {
    nLayers: 1,
    nHeads: 1,
    dModel: 2,
    dHead: 2,
    attnOnly: true,
    nCtx: 4,
    dVocab: 2,
    finalRms: true,
  };
  const weights: Record<string, HostTensor> = {
    ...{ 'embed.W_E': A([2, 2], [3, 1, 0, 2]), 'pos_embed.W_pos': Z(4, 2) },
    ...{ 'blocks.0.ln1.w': A([2], [2, 1]), 'blocks.0.ln1.b': A([2], [0.5, 0]) },
    ...{ 'blocks.0.attn.W_Q': Z(1, 2, 2), 'blocks.0.attn.W_K': Z(1, 2, 2), 'blocks.0.attn.W_V': Z(1, 2, 2) },
    ...{ 'blocks.0.attn.W_O': Z(1, 2, 2), 'blocks.0.attn.b_O': Z(2) },
    ...{ 'ln_final.w': A([2], [2, 1]), 'unembed.W_U': A([2, 2], [1, 0, 0, 1]), 'unembed.b_U': Z(2) },
  };
  using model = await HookedTransformer.fromWeights(config, weights, noProcessing);
  const { logits, cache } = await model.runWithCache([[0]]);
  allClose(await logits.data(), [2.68328, 0.44721], { atol: 1e-5 });
  const lens = await logitLens(model, [0], { tokens: [0, 1] });
  allClose(
    lens.chosen!.logit.values.filter((_, i) => i % 2 === 1),
    [2.68328, 0.44721],
    { atol: 1e-5 },
  );
  allClose(await cache.get('blocks.0.ln1.hook_normalized').data(), [0.99999, -0.99999], { atol: 1e-5 });
  const dla = await directLogitAttribution(model, [0], { token: 0 });
  allClose([dla.values[0], dla.meta.error as number], [2.68328, 0], { atol: 1e-5 });
  for (const t of [logits, cache]) t.dispose();
});

test.run();
