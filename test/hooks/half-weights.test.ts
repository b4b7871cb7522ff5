/**
 * Weights stored as float16 are weights: everything is what it is with float32 weights of the same values.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  counterfactuals,
  directLogitAttribution,
  HookedTransformer,
  hookNames,
  logitDiff,
  patch,
  pathPatch,
  type Tensor,
} from '../../index.js';
import { f16ToF32, f32ToF16 } from '../../weights/formats/half.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, randomGpt2, rng, twoLayers } from '../helpers.js';
import { givenBack } from '../memory.js';

const config = { ...twoLayers, dVocab: 4100, eps: 1e-5 }; // more than one piece of the vocabulary
const untied = randomGpt2(config, 31, { untied: true });
const isMatrix = (name: string) => /^wte|lm_head|\.c_\w+\.weight$/.test(name);
const rounded = Object.fromEntries(
  Object.entries(untied).map(([name, t]) => [
    name,
    isMatrix(name) ? { ...t, data: f16ToF32(f32ToF16(t.data)) } : t,
  ]),
);
const exact = { atol: 1e-5, rtol: 1e-5 };
const rows = [rng(1).tokens(7, 101), rng(2).tokens(7, 101)];
const metric = logitDiff(5, 4001);

/** The same of both models, which are freed. */
async function both(
  f: (model: HookedTransformer) => Promise<Record<string, ArrayLike<number>>>,
  processing: object = noProcessing,
): Promise<void> {
  using half = await HookedTransformer.fromWeights(config, untied, { ...processing, dtype: 'f16' });
  using full = await HookedTransformer.fromWeights(config, rounded, { ...processing });
  const [a, b] = [await f(half), await f(full)];
  assert.ok(Object.keys(a).length > 0);
  for (const [what, values] of Object.entries(a)) allClose(values, b[what], { ...exact, what });
}

const read = async (t: Tensor): Promise<Float32Array> => {
  const data = await t.data();
  t.dispose();
  return data;
};

test('logits and every activation, those on demand included', () =>
  both(async (model) => {
    const names = hookNames(model.config);
    const { logits, cache } = await model.runWithCache(rows, { names });
    const found: Record<string, Float32Array> = { logits: await read(logits) };
    for (const name of cache.names()) found[name] = await cache.get(name).data();
    cache.dispose();
    return found;
  }));

test('inputs of heads that hooks have changed', () =>
  both(async (model) => {
    const hooks = [[/hook_q_input|hook_attn_out/, (x: Tensor) => x.mul(1.5)]] as const;
    return { logits: await read(await model.runWithHooks(rows, { hooks })) };
  }));

test('log-probabilities, generated tokens, sweeps', () =>
  both(async (model) => {
    const [clean, corrupted] = rows;
    const pair = { clean: [clean], corrupted: [corrupted], metric };
    const options = { original: [clean], new: [corrupted], receivers: 'logits' as const, metric };
    const change = [{ at: 'blocks.1.attn.hook_z', head: 1, zero: true }] as const;
    return {
      logProbs: (await model.logProbs(rows)).flatMap((x) => [...x]),
      generated: await model.generate(clean, { maxNewTokens: 5, temperature: 0, returnType: 'tokens' }),
      patched: (await patch(model, pair)).values,
      paths: (await pathPatch(model, options)).values,
      zeroed: (await counterfactuals(model, { input: rows }, [[...change]], metric)).values,
    };
  }));

test('decompositions', () =>
  both(async (model) => {
    const { cache, logits } = await model.runWithCache(rows);
    logits.dispose();
    const found: Record<string, Float32Array> = {};
    for (const [name, stack] of Object.entries({
      heads: cache.stackHeadResults(-1, { pos: -1 }),
      neurons: cache.stackNeuronResults(-1, { pos: -1, neurons: [3, 9] }),
    })) {
      found[name] = await stack.stack.data();
      stack.dispose();
    }
    cache.dispose();
    const dla = await directLogitAttribution(model, rows[0], { tokens: [5, 4001], by: 'head' });
    return { ...found, dla: dla.values };
  }));

test('gradients at every hook point', () =>
  both(async (model) => {
    const names = hookNames(model.config);
    const { value, cache, grads } = await model.runWithGrads(rows, metric, { names });
    const found: Record<string, ArrayLike<number>> = { value: [value] };
    for (const name of grads.names()) found[name] = await grads.get(name).data();
    cache.dispose();
    grads.dispose();
    return found;
  }));

test('weights are rounded after they were processed, and the host sees the rounded ones', async () => {
  using model = await HookedTransformer.fromWeights(config, untied, { dtype: 'f16' });
  const { W_U, W_Q, W_pos } = model.weights;
  for (const w of [W_U, ...W_Q]) assert.equal(f16ToF32(f32ToF16(w.data)), w.data);
  assert.not.equal(f16ToF32(f32ToF16(W_pos.data)), W_pos.data, 'small ones stay float32');
  await both(async (m) => ({ logits: await read(await m.forward(rows)) }));
});

test('they take half the memory', async () => {
  using full = await HookedTransformer.fromWeights(config, untied, noProcessing);
  const before = full.gpu.memory().bytes;
  const half = await HookedTransformer.fromWeights(config, untied, { ...noProcessing, dtype: 'f16' });
  const taken = half.gpu.memory().bytes - before;
  const matrices = Object.entries(untied).filter(([name]) => isMatrix(name));
  const bytes = 2 * matrices.reduce((sum, [, { data }]) => sum + data.length, 0);
  assert.ok(taken < 1.1 * bytes, `${taken} bytes for matrices of ${bytes}`);
  half.dispose();
  givenBack(full.gpu, before);
});

test('rows that are no multiple of 4 long stay float32', async () => {
  const odd = { ...twoLayers, dModel: 26, dHead: 13 };
  const weights = randomGpt2(odd, 32);
  const options = { ...noProcessing, dtype: 'f16' } as const;
  using model = await HookedTransformer.fromWeights({ ...odd, eps: 1e-5 }, weights, options);
  assert.equal(model.weights.W_E.data, weights['wte.weight'].data);
  using logits = await model.forward(rows);
  assert.ok((await logits.data()).every(Number.isFinite));
});

test.run();
