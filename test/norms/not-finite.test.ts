/**
 * NaN, infinity and overflow, put in at many places: whoever reads numbers for a user says that they are
 * none, and where; nothing makes a result of them. Tensors and caches show what they hold.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ablate,
  atpStar,
  attentionPatterns,
  attributionPatch,
  causalTrace,
  compareWithPatching,
  counterfactuals,
  detectHeads,
  directLogitAttribution,
  edgeAttribution,
  type HookEntry,
  HookedTransformer,
  headPathAttribution,
  headScores,
  inputAttribution,
  integratedGradients,
  kl,
  logitDiff,
  logitLens,
  logProb,
  loss,
  lossGradients,
  nextTokens,
  patch,
  pathPatch,
  pathPatchDirect,
  prob,
  rank,
  runWithInterventions,
} from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { fail, randomGpt2, rng } from '../helpers.js';

const shape = {
  nLayers: 2,
  nHeads: 2,
  dModel: 8,
  dHead: 4,
  dMlp: 12,
  nCtx: 12,
  dVocab: 19,
  attnOnly: false,
  normalization: 'LN',
  actFn: 'relu',
} as const;
const clean = rng(1).tokens(5, 19);
const corrupted = clean.map((t, p) => (p === 2 ? (t + 5) % 19 : t));
const metric = logitDiff(3, 7);
const pair = { clean, corrupted, metric };

/**
 * Finite weights that overflow: in the norm, the scores, the values, the MLP, the residual stream, the
 * logits.
 */
const places = [
  'wte.weight',
  'wpe.weight',
  'h.0.ln_1.weight',
  'h.0.attn.c_attn.weight',
  'h.1.attn.c_attn.bias',
  'h.0.attn.c_proj.weight',
  'h.1.ln_2.weight',
  'h.1.mlp.c_fc.weight',
  'h.0.mlp.c_proj.bias',
  'ln_f.weight',
] as const;

const overflowing = async (place: string) => {
  const weights = randomGpt2(shape, 3, { untied: true });
  const { data } = weights[place];
  data.set(data.map((x) => (x < 0 ? -3e38 : 3e38)));
  return HookedTransformer.fromWeights(shape, weights, noProcessing);
};

type Call = (model: HookedTransformer) => Promise<unknown>;
const at = 'blocks.0.hook_resid_pre';
const methods: Record<string, Call> = {
  forward: async (m) => (await m.forward([clean])).data(),
  'a part of the logits': async (m) => (await m.forward([clean])).slice([0, -1]).data(),
  runWithCache: async (m) => (await m.runWithCache([clean])).logits.data(),
  runWithInterventions: async (m) =>
    (await runWithInterventions(m, [clean], [{ at, pos: 1, scale: 2 }])).logits.data(),
  runWithGrads: (m) => m.runWithGrads([clean], metric, { names: at }),
  lossGradients: async (m) => (await lossGradients(m, [clean])).loss.data(),
  generate: (m) => m.generate(clean, { maxNewTokens: 2, returnType: 'tokens' }),
  'generate, sampling': (m) =>
    m.generate(clean, { maxNewTokens: 2, temperature: 1, topK: 5, returnType: 'tokens' }),
  logProbs: (m) => m.logProbs([clean]),
  loss: (m) => m.loss([clean]),
  nextTokens: (m) => nextTokens(m, [clean], { k: 3 }),
  ...Object.fromEntries(
    [metric, prob(3), logProb(3), rank(3), kl('base'), loss()].map((metric) => [
      `counterfactuals, ${metric.name}`,
      (m: HookedTransformer) => counterfactuals(m, [clean], [[{ at, pos: 1, scale: 2 }]], metric),
    ]),
  ),
  logitLens: (m) => logitLens(m, clean),
  'logitLens, frozen': (m) => logitLens(m, clean, { layerNorm: 'frozen', tokens: [3] }),
  directLogitAttribution: (m) => directLogitAttribution(m, clean, { tokens: [3, 7] }),
  'directLogitAttribution by head': (m) => directLogitAttribution(m, clean, { token: 3, by: 'head' }),
  patch: (m) => patch(m, { ...pair, at: 'resid_pre', by: ['layer', 'pos'] }),
  ablate: (m) => ablate(m, [clean], { of: 'heads', metric }),
  attributionPatch: (m) => attributionPatch(m, { ...pair, at: 'z', by: ['layer', 'head'] }),
  compareWithPatching: (m) => compareWithPatching(m, { ...pair, at: 'z', by: ['layer', 'head'] }),
  atpStar: (m) => atpStar(m, pair),
  headPathAttribution: (m) => headPathAttribution(m, pair),
  integratedGradients: (m) => integratedGradients(m, { ...pair, steps: 2 }),
  inputAttribution: (m) => inputAttribution(m, clean, { metric }),
  edgeAttribution: (m) => edgeAttribution(m, pair),
  pathPatch: (m) => pathPatch(m, { original: clean, new: corrupted, metric }),
  pathPatchDirect: (m) =>
    pathPatchDirect(m, {
      original: clean,
      new: corrupted,
      metric,
      sender: { layer: 0, head: 1 },
      to: 'q',
    }) as never,
  causalTrace: (m) => causalTrace(m, { prompt: clean, subject: [1, 3], noise: 0.1, samples: 2 }),
};

/** Its error says that a number is none, and where. @throws when it gives a result */
async function refuses(name: string, place: string, call: () => Promise<unknown>): Promise<void> {
  let result: unknown;
  try {
    result = await call();
  } catch (e) {
    const { message } = e as Error;
    assert.match(message, /not a number \(NaN\)|Infinity/, `${name}, ${place}`);
    assert.match(
      message,
      /prompt|position|row|layer|logits \[|batch|metric|L\d|component/,
      `${name}, ${place}`,
    );
    assert.ok(message.length < 400, message);
    return;
  }
  fail(`${name} gives a result although ${place} overflows: ${String(JSON.stringify(result)).slice(0, 200)}`);
}

for (const [i, place] of places.entries())
  test(`methods refuse what ${place} makes overflow`, async () => {
    using model = await overflowing(place);
    // Each method meets three of the places.
    for (const [j, [name, call]] of Object.entries(methods).entries())
      if ((i + j) % places.length < 3) await refuses(name, place, () => call(model));
  });

const points = [
  'hook_embed',
  'blocks.0.hook_resid_pre',
  'blocks.0.ln1.hook_scale',
  'blocks.1.ln1.hook_normalized',
  'blocks.1.attn.hook_q',
  'blocks.0.attn.hook_v',
  'blocks.1.attn.hook_attn_scores',
  'blocks.0.attn.hook_pattern',
  'blocks.1.attn.hook_z',
  'blocks.0.mlp.hook_pre',
  'blocks.1.mlp.hook_post',
  'ln_final.hook_scale',
  'ln_final.hook_normalized',
] as const;

for (const actFn of ['relu', 'gelu', 'gelu_new'] as const)
  test(`NaN that a hook puts in reaches the logits, which refuse to be read (${actFn})`, async () => {
    const config = { ...shape, actFn };
    using model = await HookedTransformer.fromWeights(config, randomGpt2(config, 3), noProcessing);
    const bad = [Number.NaN, Number.POSITIVE_INFINITY, 3e38];
    for (const [i, point] of points.entries()) {
      if (actFn !== 'relu' && !point.includes('mlp')) continue;
      const value = point.endsWith('hook_scale')
        ? bad[i % 2]
        : point.includes('normalized')
          ? bad[0]
          : bad[i % 2];
      const hooks: HookEntry[] = [[point, (x) => x.mul(0).add(value)]];
      await refuses('forward', point, async () => (await model.forward([clean], { hooks })).data());
      await refuses('generate', point, () =>
        model.generate(clean, { maxNewTokens: 1, hooks, returnType: 'tokens' }),
      );
      await refuses('logProbs', point, () => model.logProbs([clean], { hooks }));
    }
  });

test('a cache shows what it holds, and tensors are IEEE', async () => {
  using model = await HookedTransformer.fromWeights(shape, randomGpt2(shape, 3), noProcessing);
  const { logits, cache } = await model.runWithCache([clean], {
    hooks: [['blocks.1.hook_resid_pre', (x) => x.set([null, 3, 2], Number.NaN)]],
  });
  const seen = await cache.get('blocks.1.hook_resid_post').data();
  assert.is(Number.isNaN(seen[3 * 8]), true);
  await refuses('logits', 'hook', () => logits.data());
  for (const t of [logits, cache]) t.dispose();
});

test('patterns and head scores say which layer', async () => {
  using model = await overflowing('wte.weight');
  await refuses('attentionPatterns', 'wte.weight', () => attentionPatterns(model, clean, { layers: [0] }));
  await refuses('headScores', 'wte.weight', () => headScores(model, { on: [[1, 2, 1, 2]] }));
  await refuses('detectHeads', 'wte.weight', () => detectHeads(model, [[1, 2, 1, 2]], 'previous_token_head'));
});

test.run();
