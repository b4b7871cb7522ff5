/** AtP* and integrated gradients: against autograd in float64, and what must hold whatever the model. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  atpStar,
  attributeHeadsByPos,
  HookedTransformer,
  integratedGradients,
  type Labelled,
  logitDiff,
  patch,
} from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, randomGpt2, throws, twoLayers } from '../helpers.js';
import { agreesWith, gradientsOracle } from '../hooks/gradients-oracle.js';
import { givenBack } from '../memory.js';
import { oracleModel } from './oracle.js';

/** The values of a map in another order of its axes. */
function inOrder({ values, axes, shape }: Labelled, order: readonly string[]): number[] {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const places = order.map((name) => axes.findIndex((a) => a.name === name));
  return places
    .reduce((at, axis) => at.flatMap((a) => axes[axis].labels.map((_, i) => a + i * strides[axis])), [0])
    .map((at) => values[at]);
}

for (const { model: about, arrays, ...oracle } of gradientsOracle('attribution')) {
  const { clean, corrupted, correct, wrong, cleanValue, corruptedValue } = oracle;
  const metric = logitDiff(correct, wrong);
  const pair = { clean, corrupted, metric };
  const expect = (values: readonly number[], name: string) => agreesWith(values, arrays[name].values, name);
  const { nLayers, nHeads } = about.config;
  const size = nLayers * nHeads * clean[0].length;

  test(`${about.config.name}: the QK fix of queries and keys`, async () => {
    const model = await oracleModel(about);
    const { bytes } = model.gpu.memory();
    const { heads, mlps, neurons } = await atpStar(model, { ...pair, gradDrop: false, byPos: true });
    givenBack(model.gpu, bytes);
    assert.equal(heads.axes[0].labels, ['q', 'k', 'v', 'z']);
    assert.equal([mlps === null, neurons], [about.config.attnOnly, null]);
    const found = inOrder(heads, ['vector', 'layer', 'head', 'pos']);
    expect(found.slice(0, 2 * size), 'qkFix');
    // Values and outputs stay what attribution patching says.
    const [, , v, z] = [1, 0, 2, 3].map((i) => arrays.headVectors.values.slice(i * size, (i + 1) * size));
    agreesWith(found.slice(2 * size), [...v, ...z], 'values and outputs');
  });

  test(`${about.config.name}: gradients that drop a layer`, async () => {
    const model = await oracleModel(about);
    const { bytes } = model.gpu.memory();
    const { heads } = await atpStar(model, { ...pair, qkFix: false, gradDrop: 'each', byPos: true });
    givenBack(model.gpu, bytes);
    const qkvz = inOrder(heads, ['dropped', 'vector', 'layer', 'head', 'pos']);
    const vector = (drop: number, x: number) => qkvz.slice((4 * drop + x) * size, (4 * drop + x + 1) * size);
    const kqvz = Array.from({ length: nLayers }, (_, drop) => [1, 0, 2, 3].flatMap((x) => vector(drop, x)));
    expect(kqvz.flat(), 'gradDrop');
    assert.equal(heads.meta.passes, { forward: 2, backward: nLayers });
  });

  test(`${about.config.name}: integrated gradients of the embeddings`, async () => {
    const model = await oracleModel(about);
    const { bytes } = model.gpu.memory();
    const found = await integratedGradients(model, { ...pair, steps: 5 });
    givenBack(model.gpu, bytes);
    expect([...found.values], 'integrated');
    allClose([found.meta.difference as number], [cleanValue - corruptedValue]);
  });
}

const model = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 41), noProcessing);
const clean = [
  [5, 70, 33, 8, 99, 41],
  [6, 7, 33, 20, 64, 41],
];
const corrupted = clean.map((row, b) => row.with(1 + b, 88));
const metric = logitDiff([3, 50], [90, 4]);
const pair = { clean, corrupted, metric };

test('without fix and dropping AtP* is attribution patching', async () => {
  const { heads, mlps, neurons } = await atpStar(model, {
    ...pair,
    ...{ qkFix: false, gradDrop: false, byPos: true, neurons: true },
  });
  const plain = await attributeHeadsByPos(model, pair); // z, q, k, v, pattern
  const part = heads.values.length / 4;
  const of = (values: Float32Array, i: number) => [...values.slice(i * part, (i + 1) * part)];
  [1, 2, 3, 0].forEach((site, i) => {
    allClose(of(heads.values, i), of(plain.values, site), { atol: 1e-5 });
  });
  assert.is(heads.meta.method, 'attribution patching');
  assert.equal(mlps!.shape, [2, 6]);
  assert.equal(neurons!.shape, [2, 6, 48]);
});

test('the QK fix of a query is exact where nothing but the values of its head follows linearly', async () => {
  // One layer, no layer norm: from the pattern on everything is linear, so a clean query does just what
  // patching says.
  const linear = { ...twoLayers, nLayers: 1, attnOnly: true, normalization: 'none' } as const;
  const model = await HookedTransformer.fromWeights(linear, randomGpt2(linear, 42), noProcessing);
  const { heads } = await atpStar(model, { ...pair, gradDrop: false });
  for (const [i, at] of ['q', 'k', 'v', 'z'].entries()) {
    if (at === 'k') continue; // all its positions at once are no sum of single ones
    const exact = await patch(model, { ...pair, at });
    allClose(heads.values.slice(2 * i, 2 * i + 2), exact.values, { atol: 1e-4, what: at });
  }
  model.dispose();
});

test('GradDrop averages magnitudes, prompt by prompt', async () => {
  const one = { clean: [clean[0]], corrupted: [corrupted[0]], metric: logitDiff([3], [90]) };
  const { heads: each } = await atpStar(model, { ...one, gradDrop: 'each' });
  const { heads } = await atpStar(model, one);
  const n = heads.values.length;
  const expected = Array.from(
    heads.values,
    (_, i) => Math.abs(each.values[i]) + Math.abs(each.values[n + i]),
  );
  allClose(heads.values, expected, { atol: 1e-5 });
  assert.is(heads.meta.method, 'AtP*');
});

test('integrated gradients add up to the difference, the better the more steps', async () => {
  const errors: number[] = [];
  for (const steps of [2, 8, 32]) {
    const { values, meta } = await integratedGradients(model, { ...pair, steps });
    allClose([values.reduce((a, b) => a + b) - 1], [meta.completeness as number], { atol: 1e-5 });
    errors.push(Math.abs(meta.completeness as number));
  }
  assert.ok(errors[2] < errors[0] && errors[2] < 0.01, errors.join(', '));
  for (const at of ['z', 'mlp_out', 'pattern']) {
    const { shape, meta } = await integratedGradients(model, { ...pair, at, layer: -1, steps: 32 });
    assert.is(shape.length, { z: 3, mlp_out: 2, pattern: 4 }[at]);
    assert.ok(Math.abs(meta.completeness as number) < 0.02, `${at}: ${meta.completeness}`);
  }
});

test('integrated gradients from a baseline of numbers', async () => {
  const { bytes } = model.gpu.memory();
  const zero = await integratedGradients(model, { clean, metric, baseline: 'zero', steps: 64 });
  const numbers = await integratedGradients(model, {
    clean,
    metric,
    baseline: new Float32Array(24),
    steps: 64,
  });
  givenBack(model.gpu, bytes);
  allClose(numbers.values, zero.values, { atol: 1e-6 });
  assert.equal(zero.meta.baseline, 'zero');
});

test('each prompt by itself, or all together', async () => {
  const per = logitDiff([3, 50], [90, 4], { per: 'prompt' });
  const { values, shape } = await integratedGradients(model, { ...pair, metric: per, steps: 32 });
  assert.equal(shape, [2, 6]);
  for (const b of [0, 1])
    allClose([values.slice(6 * b, 6 * b + 6).reduce((x, y) => x + y)], [1], { atol: 0.05 });
});

test('what is wrong is said', async () => {
  await throws(integratedGradients(model, { clean, metric }), /exactly one of `corrupted` and `baseline`/);
  await throws(integratedGradients(model, { ...pair, steps: 0 }), /steps is 0/);
  await throws(integratedGradients(model, { clean, metric, baseline: [1, 2] }), /a baseline of 2 numbers/);
  await throws(integratedGradients(model, { ...pair, layer: 7 }), /layer 7/);
  const ragged = {
    clean: [
      [1, 2, 3],
      [4, 5],
    ],
    corrupted: [
      [1, 9, 3],
      [4, 6],
    ],
    metric,
  };
  await throws(atpStar(model, ragged), /different lengths/);
  const signal = AbortSignal.abort(new Error('enough'));
  await throws(atpStar(model, { ...pair, signal }), /enough/);
  await throws(integratedGradients(model, { ...pair, signal }), /enough/);
});

test.after(() => model.dispose());
test.run();
