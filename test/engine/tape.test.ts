/**
 * Gradients of expressions of tensors agree with autograd in float64: see test/fixtures/gradients/tensors.py.
 */

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../engine/tensor/tape.js';
import { Gpu, Tensor } from '../../index.js';
import { noise } from '../../kernels/core/kernel.js';
import { allClose } from '../helpers.js';
import { givenBack } from '../memory.js';

interface Case {
  readonly name: string;
  readonly inputs: readonly { readonly shape: number[]; readonly seed: number; readonly offset: number }[];
  readonly shape: number[];
  readonly values: number[];
  readonly grads: number[][];
}

const file = new URL('../fixtures/gradients/tensors.json', import.meta.url);
const cases = JSON.parse(readFileSync(file, 'utf8')) as Case[];
const gpu = await Gpu.open();

const square = (x: Tensor) => x.mul(x);
const expressions: Readonly<Record<string, (...inputs: Tensor[]) => Tensor>> = {
  'sum of one tensor and another that repeats along two axes': (a, b) => a.add(b),
  'difference, the smaller one first': (a, b) => a.sub(b),
  'product with repeated axes': (a, b) => a.mul(b),
  'quotient with repeated axes': (a, b) => a.div(b),
  'quotient of a row by a matrix': (a, b) => a.div(b),
  'numbers: (2 x - 1) / 3': (x) => x.mul(2).sub(1).div(3),
  'a tensor times itself': square,
  'a tensor divided by itself, plus itself': (x) => x.div(x).add(x),
  'a value with two readers: exp(x) squared plus exp(x)': (x) => {
    const y = x.map('exp');
    return y.mul(y).add(y);
  },
  exp: (x) => x.map('exp'),
  log: (x) => x.map('log'),
  neg: (x) => x.map('neg'),
  abs: (x) => x.map('abs'),
  sqrt: (x) => x.map('sqrt'),
  square: (x) => x.map('square'),
  'matrix product, one matrix for all': (a, b) => a.matmul(b),
  'matrix product, a matrix each': (a, b) => a.matmul(b),
  'matrix product with a transpose': (a, b) => a.matmul(b.transpose()),
  'product of a matrix with itself transposed': (a) => a.matmul(a.transpose()),
  softmax: (x) => x.softmax(),
  'softmax over the first axis': (x) => x.softmax(0),
  'sum over the middle axis': (x) => x.sum(1),
  'mean over the last axis': (x) => x.mean(2),
  'maximum over the first axis': (x) => x.max(0),
  'sum of all': (x) => x.sum(),
  'mean of all': (x) => x.mean(),
  'maximum of all': (x) => x.max(),
  'sum over an axis that stays': (x) => x.mul(x.sum(1, { keepDims: true })),
  'a part': (x) => x.slice([null, 1, [1, 3]]),
  'the last entries, counted from the end': (x) => x.slice([-1, [2, 4]]),
  'parts that overlap': (x) => x.slice([null, [0, 4]]).mul(x.slice([null, [2, 6]])),
  'a part of a transpose, in another shape': (x) =>
    x
      .transpose([2, 0, 1])
      .slice([null, [1, 3]])
      .reshape([4, 4])
      .mul(2),
  'a part replaced by a number': (x) => square(x).set([null, 1], 7).mul(x),
  'a part replaced by a tensor': (x, y) => square(x).set([null, 1], y).mul(x),
  'a part replaced by a row that repeats': (x, y) => x.set([null, [1, 3]], y).map('exp'),
  'repeated axes': (x) => x.expand([-1, 4, -1]).mul(x),
  'one after another': (a, b, c) => Tensor.concat([a, b, c, a]).map('exp'),
  'picked entries, some twice': (x) => x.gather([4, 0, 0, 2]),
  'the two largest': (x) => x.topk(2).values,
  'cross-entropy, spelled out': (x) => x.softmax().gather([2]).map('log').mean().mul(-1),
  'a layer norm, spelled out': (x) => {
    const c = x.sub(x.mean(-1, { keepDims: true }));
    return c.div(square(c).mean(-1, { keepDims: true }).add(1e-5).map('sqrt'));
  },
  'attention, spelled out': (q, k, v) => q.matmul(k.transpose()).div(Math.sqrt(3)).softmax().matmul(v),
};

test('every expression of the oracle is here', () =>
  assert.equal(
    cases.map(({ name }) => name),
    Object.keys(expressions),
  ));

for (const { name, inputs, shape, values, grads } of cases)
  test(`the gradient of: ${name}`, async () => {
    const { bytes } = gpu.memory();
    const tape = new Tape();
    const uploaded = inputs.map(({ shape, seed, offset }) => {
      const data = noise(
        shape.reduce((a, b) => a * b, 1),
        seed,
        1.5,
      ).map((x) => x + offset);
      return Tensor.from(gpu, data, shape, { scope: tape.scope });
    });
    const watched = uploaded.map((t, i) => tape.watch(t, `${i}`));
    const y = expressions[name](...watched);
    assert.equal(y.shape, shape);
    allClose(await y.data(), values, { atol: 1e-5, rtol: 1e-5 });
    const seed = Tensor.from(gpu, noise(y.size, 99), shape);
    const found = new Map<string, Tensor>();
    const at = (name: string, gradient: Tensor) => {
      found.set(name, gradient.clone());
      return gradient;
    };
    await tape.backward([[y, seed]], { at });
    seed.dispose();
    for (const [i, expected] of grads.entries()) {
      const gradient = found.get(`${i}`);
      assert.ok(gradient, `input ${i} has a gradient`);
      assert.equal(gradient.shape, inputs[i].shape);
      allClose(await gradient.data(), expected, { atol: 1e-5, rtol: 1e-4, what: `input ${i}` });
      gradient.dispose();
    }
    givenBack(gpu, bytes);
  });

test.run();
