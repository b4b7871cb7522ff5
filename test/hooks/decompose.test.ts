/** The residual stream is a sum, and every way of taking it apart says what it leaves out. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decompositionNames, Gpu, HookedTransformer, type Stack } from '../../index.js';
import { allClose, threeLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const others = (await Gpu.open()).memory().bytes;
const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const { tokens } = rng(3);
const [short, long] = [4, 9].map((n) => tokens(n, config.dVocab));
const { logits, cache } = await model.runWithCache([long]);
logits.dispose();
const tight = { atol: 1e-5, rtol: 0 };

async function take({ stack, dispose }: Stack): Promise<Float32Array> {
  const data = await stack.data();
  dispose();
  return data;
}

test('what a stack lacks is told, and makes the sum when it is included', async () => {
  const heads = cache.stackHeadResults();
  assert.is(heads.sum.of, 'blocks.2.hook_resid_post');
  assert.is(heads.sum.complete, false);
  assert.equal(heads.sum.rest, ['embed', 'pos_embed', '0_mlp_out', '1_mlp_out', '2_mlp_out', 'bias']);
  assert.ok((await heads.sum.check()).ok);
  heads.dispose();
  for (const inclRemainder of [true, 'each'] as const) {
    const whole = cache.stackHeadResults(-1, { inclRemainder });
    assert.ok(whole.sum.complete);
    assert.equal(whole.labels.slice(9), inclRemainder === true ? ['remainder'] : heads.sum.rest);
    const sum = whole.stack.sum(0);
    allClose(await sum.data(), await cache.get('resid_post', -1).data(), tight);
    sum.dispose();
    whole.dispose();
  }
});

test('a component that does not belong to the run is found out by the check', async () => {
  const run = await model.runWithCache([long], { hooks: [['blocks.1.hook_resid_mid', (t) => t.mul(1.5)]] });
  run.logits.dispose();
  const parts = run.cache.decomposeResid();
  const { ok, maxError } = await parts.sum.check();
  assert.not.ok(ok);
  assert.ok(maxError > 0.1);
  parts.dispose();
  run.cache.dispose();
});

test('rows of different length are taken apart as each of them alone', async () => {
  const ragged = await model.runWithCache([short, long]);
  ragged.logits.dispose();
  const one = ragged.cache.row(1);
  for (const method of ['decomposeResid', 'stackHeadResults', 'fullResidDecomposition'] as const) {
    const alone = await take(cache[method](-1, { applyLn: 'frozen' }));
    allClose(await take(one[method](-1, { applyLn: 'frozen' })), alone, { ...tight, what: method });
    const both = ragged.cache[method](-1, { applyLn: 'frozen' });
    assert.equal(both.stack.shape.slice(1), [13, 36]);
    const part = both.stack.slice([null, [4, 13]]);
    allClose(await part.data(), alone, { ...tight, what: `${method}, ragged` });
    part.dispose();
    both.dispose();
  }
  const last = ragged.cache.accumulatedResid(-1, { pos: -1 });
  assert.equal(last.stack.shape, [4, 2, 36]);
  const states = last.stack.slice([null, 1]);
  allClose(await states.data(), await take(cache.accumulatedResid(-1, { pos: -1 })), tight);
  for (const t of [states, last, one, ragged.cache]) t.dispose();
});

test('a position drops its axis, a range keeps it', async () => {
  const all = await take(cache.decomposeResid(1));
  const at = (p: number) => all.filter((_, i) => Math.floor(i / 36) % 9 === p);
  const one = cache.decomposeResid(1, { pos: -2 });
  assert.equal(one.stack.shape, [4, 1, 36]);
  allClose(await take(one), at(7), tight);
  const some = cache.decomposeResid(1, { pos: [7, 8] });
  assert.equal(some.stack.shape, [4, 1, 1, 36]);
  allClose(await take(some), at(7), tight);
  throws(() => cache.decomposeResid(1, { pos: 9 }), /pos of row 0: 9 of 9 positions/);
});

test('products with directions are the same whether d_model was made or not', async () => {
  const D = model.tokensToResidualDirections([5, 77]);
  for (const applyLn of [false, 'frozen'] as const) {
    const whole = cache.fullResidDecomposition(-1, { applyLn });
    const turned = D.transpose();
    const expected = whole.stack.matmul(turned);
    const made = cache.fullResidDecomposition(-1, { applyLn, projectOnto: D });
    assert.equal(made.stack.shape, [300, 1, 9, 2]);
    allClose(await made.stack.data(), await expected.data(), tight);
    assert.ok((await made.sum.check()).ok);
    for (const t of [whole, turned, expected, made]) t.dispose();
  }
  D.dispose();
});

test('heads that were cached are taken as they are, and are what z · W_O gives', async () => {
  const run = await model.runWithCache([long], { names: ['attn.hook_result'] });
  run.logits.dispose();
  allClose(await take(run.cache.stackHeadResults()), await take(cache.stackHeadResults()), tight);
  run.cache.dispose();
});

test('the attributions of the last state are the logits, less b_U', async () => {
  const states = cache.accumulatedResid();
  const attrs = cache.logitAttrs(states.stack, { tokens: 8, incorrectTokens: 9 });
  const out = await model.forward([long]);
  const [all, read] = [out.slice([0]), attrs.slice([-1, 0])];
  const [x, b_U] = [await all.data(), model.weights.b_U.data];
  const expected = Array.from({ length: 9 }, (_, p) => x[101 * p + 8] - x[101 * p + 9] - b_U[8] + b_U[9]);
  allClose(await read.data(), expected, { atol: 1e-4 });
  for (const t of [states, attrs, out, all, read]) t.dispose();
});

test('an activation of every layer in one tensor', async () => {
  const { stack, labels, dispose } = cache.stackActivation('pattern', 2);
  assert.equal(stack.shape, [2, 1, 3, 9, 9]);
  assert.equal(labels, ['L0', 'L1']);
  const second = stack.slice([1]);
  assert.equal(await second.data(), await cache.get('pattern', 1).data());
  second.dispose();
  dispose();
  const scales = cache.stackActivation('scale', -1, 'ln1');
  assert.equal(scales.stack.shape, [3, 1, 9, 1]);
  scales.dispose();
});

test('applyLnToStack does what applyLn does', async () => {
  for (const [mode, pos] of [
    ['frozen', undefined],
    ['recomputed', -1],
  ] as const) {
    const raw = cache.accumulatedResid(-1, { pos });
    const after = cache.applyLnToStack(raw.stack, -1, { pos, mode });
    const expected = await take(cache.accumulatedResid(-1, { pos, applyLn: mode }));
    allClose(await after.data(), expected, { atol: 1e-6 });
    throws(() => cache.applyLnToStack(raw.stack, -1, { pos: [0, 2] }), /give the `pos`/);
    raw.dispose();
    after.dispose();
  }
});

test('decompositionNames names all that an analysis reads', async () => {
  const kinds = [
    'decomposeResid',
    'stackHeadResults',
    'stackNeuronResults',
    'fullResidDecomposition',
  ] as const;
  for (const kind of kinds)
    for (const layer of [-1, 1]) {
      const run = await model.runWithCache([long], { names: decompositionNames(model, kind, layer) });
      run.logits.dispose();
      const made = run.cache[kind](layer, { applyLn: 'frozen', pos: -1 });
      assert.ok((await made.sum.check()).ok);
      made.dispose();
      run.cache.dispose();
    }
});

test('what a cache lacks is named', async () => {
  const run = await model.runWithCache([long], { names: 'hook_z' });
  run.logits.dispose();
  const heads = run.cache.stackHeadResults();
  throws(() => run.cache.decomposeResid(), /needs "hook_embed", .* \(8 in all\).*decompositionNames/);
  await throws(heads.sum.check(), /stackHeadResults's sum needs "hook_embed"/);
  throws(() => run.cache.stackHeadResults(-1, { applyLn: 'frozen' }), /"ln_final.hook_scale"/);
  heads.dispose();
  run.cache.dispose();
});

test('layers, modes and sizes that there are not are errors that say what there is', () => {
  throws(() => cache.decomposeResid(4), /layer 4: 0–2 is the stream before that block, 3 or -1/);
  throws(() => cache.decomposeResid(-2), /layer -2/);
  throws(() => cache.decomposeResid(-1, { mlpInput: true }), /give a layer/);
  throws(() => cache.stackHeadResults(0), /nothing to stack before the first block/);
  throws(() => cache.stackNeuronResults(1, { neurons: [90, 100] }), /neurons \[90, 100\] of 96/);
  const recomputed = { applyLn: 'recomputed' } as unknown as { applyLn: 'frozen' };
  throws(() => cache.decomposeResid(-1, recomputed), /applyLn is "recomputed": false or 'frozen' is needed/);
});

test('after all of this, only what is held is in memory', async () => {
  cache.dispose();
  model.dispose();
  await model.gpu.finish();
  givenBack(model.gpu, others);
});

test.run();
