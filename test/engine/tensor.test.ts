/**
 * What operations on tensors mean, along every axis and for numbers that are none; what they do not mean is
 * refused.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Gpu, Tensor } from '../../index.js';
import { allClose, rng, throws } from '../helpers.js';

const gpu = await Gpu.open();
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
const f32 = (data: readonly number[], shape: readonly number[] = [data.length]) =>
  Tensor.from(gpu, Float32Array.from(data), shape);
const t = f32([3, 1, 2, 6, 5, 4, 0, 9, 7, 8, 11, 10], [2, 3, 2]);
const array = async (x: Tensor | Tensor<'u32'>) => {
  const out = await x.toArray();
  x.dispose();
  return out;
};

test('the largest along any axis, by number or name', async () => {
  assert.equal(await array(t.argmax()), [
    [0, 1, 0],
    [1, 1, 0],
  ]);
  assert.equal(await array(t.argmax(0)), [
    [0, 1],
    [1, 1],
    [1, 1],
  ]);
  assert.equal(await array(t.argmax(1)), [
    [2, 1],
    [2, 2],
  ]);
  const { values, indices } = t.topk(2, 1);
  assert.equal(await array(values), [
    [
      [5, 6],
      [3, 4],
    ],
    [
      [11, 10],
      [7, 9],
    ],
  ]);
  assert.equal(await array(indices), [
    [
      [2, 1],
      [0, 2],
    ],
    [
      [2, 2],
      [1, 0],
    ],
  ]);
  using named = t.withAxes(['batch', 'pos', 'head']);
  assert.equal(await array(named.argmax('pos')), [
    [2, 1],
    [2, 2],
  ]);
  assert.equal(await array(named.topk(1, { axis: 'batch', largest: false }).indices), [
    [
      [1, 0],
      [0, 0],
      [0, 0],
    ],
  ]);
});

test('the smallest', async () => {
  const { values, indices } = f32([3, nan, -inf, 1, 2]).topk(5, { largest: false });
  assert.equal(await array(values), [-inf, 1, 2, 3, nan]);
  assert.equal(await array(indices), [2, 3, 4, 0, 1]);
});

test('tensors one after another along any axis', async () => {
  const [a, b] = [f32([1, 2, 3, 4], [2, 2]), f32([5, 6], [2, 1])];
  assert.equal(await array(Tensor.concat([a, b], 1)), [
    [1, 2, 5],
    [3, 4, 6],
  ]);
  assert.equal(await array(Tensor.concat([a, b], -1)), [
    [1, 2, 5],
    [3, 4, 6],
  ]);
  assert.equal(await array(Tensor.concat([a, a])), [
    [1, 2],
    [3, 4],
    [1, 2],
    [3, 4],
  ]);
  await throws(() => Tensor.concat([a, b]), /\[2, 2\], \[2, 1\] differ beyond axis 0/);
  await throws(() => Tensor.concat([a, b], 2), /axis 2 of a tensor with 2 axes/);
  await throws(() => Tensor.concat([]), /at least one/);
});

test('lists of indices are taken by name', async () => {
  using named = t.withAxes(['batch', 'pos', 'head']);
  assert.equal(await array(named.take({ pos: [2, 0, 2], head: [-1] })), [
    [[4], [1], [4]],
    [[10], [9], [10]],
  ]);
  await throws(() => named.take({ pos: [3] }), /index 3 on axis pos, which has length 3/);
  await throws(() => named.take({ pos: [] }), /at least one index/);
  await throws(() => t.take({ pos: [0] }), /without names.*withAxes/);
});

test('what is no part of a tensor is refused', async () => {
  await throws(() => t.slice(-1 as never), /slice\(-1\).*\[0, -1\].*\{ pos: -1 \}/);
  await throws(() => t.slice([[0, 2, 1]] as never), /3 numbers on axis 0.*without a step.*take\(/);
  await throws(() => t.slice(['a'] as never), /a string on axis 0/);
  await throws(() => t.slice([1.5]), /index 1.5 on axis 0/);
  await throws(() => t.slice([null, [2, 2]]), /range \[2, 2\)/);
  await throws(() => t.slice({ pos: 1 }), /axis "pos" of a tensor without names/);
  await throws(() => t.set([0], [1, 2] as never), /number or a tensor/);
  await throws(() => t.add([1, 2] as never), /not a list/);
  await throws(() => f32([1, 2, 3, 4, 5]).reshape([-1, 2]), /has 5 elements and cannot become \[-1, 2\]/);
  await throws(() => f32([1, 2, 3, 4]).reshape([-1, 0]), /cannot become/);
});

test('options that there are not are refused, with what was meant', async () => {
  await throws(() => t.sum(0, { keepdim: true } as never), /sum: .*keepdim.*keepDims/);
  await throws(() => t.topk(1, { larges: false } as never), /topk: .*larges.*largest/);
  await throws(() => t.topk(1, { axis: 0.5 }), /topk: .*axis/);
  await throws(() => t.argmax(3), /argmax: axis 3 of a tensor with 3 axes/);
  assert.equal((await array(t.sum(0, { keepDims: true }))) as number[], [
    [
      [3, 10],
      [9, 14],
      [16, 14],
    ],
  ]);
});

test('names go where their axes go, and end where they mean nothing', () => {
  const named = t.withAxes(['batch', 'pos', 'head']);
  const axes = (x: Tensor | Tensor<'u32'>) => {
    const { axes } = x;
    x.dispose();
    return axes;
  };
  assert.equal(axes(named.mul(2).map('exp').softmax()), ['batch', 'pos', 'head']);
  assert.equal(axes(named.sum('pos')), ['batch', 'head']);
  assert.equal(axes(named.mean(0, { keepDims: true })), ['batch', 'pos', 'head']);
  assert.equal(axes(named.slice([null, 0])), ['batch', 'head']);
  assert.equal(axes(named.transpose()), ['batch', 'head', 'pos']);
  assert.equal(axes(named.reshape([2, 6])), ['batch', null]);
  assert.equal(axes(named.reshape([2, 3, 1, 2])), ['batch', 'pos', null, 'head']);
  assert.is(axes(named.reshape([12])), null);
  assert.equal(axes(named.add(f32([1, 2]))), ['batch', 'pos', 'head']);
  assert.equal(axes(f32([1, 2]).sub(named)), ['batch', 'pos', 'head']);
  assert.equal(axes(named.matmul(f32([1, 2, 3, 4, 5, 6], [2, 3]).withAxes(['head', 'd_vocab']))), [
    'batch',
    'pos',
    'd_vocab',
  ]);
  assert.equal(axes(Tensor.concat([named, named], 'pos')), ['batch', 'pos', 'head']);
  assert.equal(axes(named.argmax('batch')), ['pos', 'head']);
  named.dispose();
});

test('zeros, infinities and NaN are what IEEE says', async () => {
  const x = f32([0, -0, 1, -1, inf, -inf, nan]);
  assert.equal(await array(x.map('log')), [-inf, -inf, 0, nan, inf, nan, nan]);
  assert.equal(await array(x.div(0)), [nan, nan, inf, -inf, inf, -inf, nan]);
  assert.equal(await array(x.div(x)), [nan, nan, 1, 1, nan, nan, nan]);
  assert.equal(await array(x.mul(0)), [0, -0, 0, -0, nan, nan, nan]);
  assert.equal(await array(x.slice([[4, 7]]).map('exp')), [inf, 0, nan]);
});

test('a maximum, an argmax and a softmax do not pass over NaN', async () => {
  const x = f32([1, nan, 3, 4, 5, 2], [2, 3]);
  assert.equal(await array(x.max(-1)), [nan, 5]);
  assert.equal(await array(x.max(0)), [4, nan, 3]);
  assert.equal(await array(x.max()), nan);
  assert.equal(await array(x.argmax()), [1, 1]);
  assert.equal(((await array(x.softmax())) as number[][])[0], [nan, nan, nan]);
});

test('picking by a tensor of indices: what lies beyond the axis is NaN, never the next row', async () => {
  const x = f32([1, 2, 3, 4, 5, 6], [2, 3]);
  const indices = Tensor.from<'u32'>(gpu, Uint32Array.of(2, 3, 0, 7), [2, 2]);
  assert.equal(await array(x.gather(indices)), [
    [3, nan],
    [4, nan],
  ]);
  await throws(() => x.gather([3]), /index 3 on an axis of length 3/);
  await throws(() => x.gather(f32([0, 1], [2, 1]) as never), /u32/);
});

test('reductions over rows longer than one binding: sum, mean, maximum along every axis', async () => {
  const { gpuProvider, requestDevice } = await import('../../engine/gpu/adapter.js');
  const device = await requestDevice(await gpuProvider().requestAdapter('auto'));
  const limits = new Proxy(device.limits, {
    get: (own, name) => (name === 'maxStorageBufferBindingSize' ? 96 * 1024 : Reflect.get(own, name, own)),
  });
  Object.defineProperty(device, 'limits', { value: limits });
  const small = await Gpu.open(device);
  const [a, b, c] = [3, 2000, 10];
  const data = rng(3).array(a * b * c);
  const x = Tensor.from(small, data, [a, b, c]);
  for (const shape of [
    [a, b, c],
    [a, b * c],
    [b * c, a],
    [1, a * b * c],
  ]) {
    const y = x.reshape(shape);
    for (let axis = 0; axis < shape.length; axis++)
      for (const op of ['sum', 'mean', 'max'] as const) {
        const n = shape[axis];
        const inner = shape.slice(axis + 1).reduce((p, d) => p * d, 1);
        const expected = Array.from({ length: data.length / n }, (_, o) => {
          const at = Math.floor(o / inner) * n * inner + (o % inner);
          let all = op === 'max' ? -inf : 0;
          for (let i = 0; i < n; i++)
            all = op === 'max' ? Math.max(all, data[at + i * inner]) : all + data[at + i * inner];
          return op === 'mean' ? all / n : all;
        });
        using out = y[op](axis);
        allClose(await out.data(), expected, { what: `${op}(${axis}) of [${shape}]`, atol: 2e-4 });
      }
  }
  using filled = x.set([null, null, [3, 7]], 1);
  using part = filled.slice([-1, -1]);
  const last = data.slice(-c).fill(1, 3, 7);
  assert.equal(await part.data(), last);
  device.destroy();
});

test.run();
