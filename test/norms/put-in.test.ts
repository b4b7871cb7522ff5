/**
 * NaN and infinity that a user puts in: as the value of an intervention they are refused before anything runs; from hooks, weights,
 * caches, gains, noise, metrics and gradients, whoever makes a result says that it is none.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attributionPatch,
  causalTrace,
  counterfactuals,
  custom,
  directLogitAttribution,
  HookedTransformer,
  headScores,
  type Intervention,
  logitDiff,
  logitLens,
  type Model,
  patch,
  runWithInterventions,
  type Tensor,
} from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { twoLayers as config, fail, randomGpt2 } from '../helpers.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 3), noProcessing);
test.after(() => model.dispose());
const clean = [3, 1, 4, 1, 5];
const corrupted = [3, 1, 9, 1, 5];
const metric = logitDiff(3, 7);
const pair = { clean, corrupted, metric };
const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const at = 'blocks.1.hook_resid_pre';

const messageOf = async (call: () => unknown): Promise<string> => {
  try {
    await call();
  } catch (e) {
    return (e as Error).message;
  }
  return fail('a result is given');
};

test('an intervention does not take them, and nothing runs', async () => {
  const { dispatches } = model.gpu.stats;
  const vector = (value: number) => Array.from({ length: config.dModel }, (_, i) => (i === 2 ? value : 0));
  for (const value of bad)
    for (const change of [
      { set: value },
      { add: value },
      { scale: value },
      { add: vector(value) },
      { set: Float32Array.from(vector(value)) },
      { interpolate: { by: value, to: 0 } },
    ]) {
      const intervention = { at, pos: 1, ...change } as unknown as Intervention;
      for (const call of [
        () => runWithInterventions(model, [clean], [intervention]),
        () => counterfactuals(model, [clean], [[intervention]], metric),
        () => model.with({ interventions: [intervention] }).forward([clean]),
      ])
        assert.ok((await messageOf(call)).length < 300, JSON.stringify(change));
    }
  assert.is(model.gpu.stats.dispatches, dispatches);
});

const said = /not a number \(NaN\)|Infinity/;
const methods: Record<string, (m: Model) => unknown> = {
  logitLens: (m) => logitLens(m, clean),
  directLogitAttribution: (m) => directLogitAttribution(m, clean, { tokens: [3, 7] }),
  patch: (m) => patch(m, { ...pair, at: 'resid_pre', by: ['layer'] }),
  attributionPatch: (m) => attributionPatch(m, { ...pair, at: 'z', by: ['layer', 'head'] }),
  causalTrace: (m) => causalTrace(m, { prompt: clean, subject: [1, 3], samples: 1, answer: 3 }),
  headScores: (m) => headScores(m, { on: [[1, 2, 1, 2]] }),
};

const edited: Record<string, () => Promise<Model> | Model> = {
  'a hook': () => model.with({ hooks: [['hook_embed', (x) => x.set({ pos: 1 }, Number.NaN)]] }),
  'a steering hook that overflows': () =>
    model.with({ hooks: [['blocks.0.hook_resid_pre', (x) => x.add(3e38).mul(4)]] }),
  'a gain': () => model.withWeights({ 'blocks.0.ln1.w': (w: Tensor) => w.mul(3e38) }),
  embeddings: () => model.withWeights({ 'embed.W_E': (w: Tensor) => w.mul(0).add(Number.NaN) }),
};

for (const [name, make] of Object.entries(edited))
  test(`${name}: every method says so`, async () => {
    let m: Model;
    try {
      m = await make();
    } catch (e) {
      assert.match((e as Error).message, said); // refused when it is put in
      return;
    }
    for (const [method, call] of Object.entries(methods))
      assert.match(await messageOf(() => call(m)), said, `${method}, ${name}`);
    if (m !== model) (m as Partial<HookedTransformer>).dispose?.();
  });

test('a cache that holds NaN, as the source of values', async () => {
  const { logits, cache } = await model.runWithCache([clean], {
    names: at,
    hooks: [['hook_embed', (x) => x.set({ pos: 1, d_model: 0 }, Number.NaN)]],
  });
  const swap: Intervention[] = [{ at, pos: 1, set: { from: 'broken' } }];
  const base = { input: [clean], sources: { broken: cache } };
  assert.match(await messageOf(() => counterfactuals(model, base, [swap], metric)), said);
  for (const t of [logits, cache]) t.dispose();
});

test('noise that overflows, a metric that is none', async () => {
  const trace = { prompt: clean, subject: [1, 3] as const, samples: 1, answer: 3 };
  assert.match(await messageOf(() => causalTrace(model, { ...trace, noise: 1e38 })), said);
  const none = custom('none', (logits) => logits.slice({ d_vocab: 0 }).mul(0).sub(1).log());
  const message = await messageOf(() => counterfactuals(model, [clean], [[{ at, pos: 1, scale: 2 }]], none));
  assert.match(message, said);
  assert.match(message, /metric|prompt/);
});

test.run();
