/** Edits change the segments they name, and nothing else. */

import '../../index.js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blendInto, projectOutOf } from '../../engine/activations/edit.js';
import { Gpu } from '../../engine/gpu/gpu.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { allClose, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const gpu = await Gpu.open();
const upload = (data: ArrayLike<number>, shape: number[]) => Tensor.from(gpu, Float32Array.from(data), shape);

test('a segment becomes keep · x + add · value, in a view that starts anywhere', async () => {
  const before = gpu.memory().bytes;
  const data = rng(1).array(7 * 5);
  const x = upload(data, [7, 5]);
  const [view, values] = [x.window([[3, 7]]), upload([10, 20, 30, 40, 50, 60], [2, 3])];
  const from = values.window([1]);
  blendInto(view, [{ target: 6, value: 0, keep: 0.5, add: -1 }], from, 3);
  blendInto(view, [{ target: 0, value: 2, keep: 0, add: 2 }], values, 2, true);
  const expected = data.slice();
  [40, 50, 60].forEach((v, j) => {
    expected[21 + j] = 0.5 * data[21 + j] - v;
  });
  expected.fill(60, 15, 17);
  allClose(await x.data(), expected, { atol: 1e-6, rtol: 1e-6 });
  for (const t of [x, view, values, from]) t.dispose();
  givenBack(gpu, before);
});

test('values may lie in the tensor that is changed: they are those from before', async () => {
  const x = upload([1, 2, 3, 4], [4]);
  blendInto(
    x,
    [
      { target: 0, value: 2, keep: 0, add: 1 },
      { target: 2, value: 0, keep: 0, add: 1 },
    ],
    x,
    2,
  );
  assert.equal([...(await x.data())], [3, 4, 1, 2]);
  x.dispose();
});

test('after projecting out a direction nothing points along it', async () => {
  const { array } = rng(2);
  const x = upload(array(4 * 9), [4, 9]);
  const directions = upload(array(9, 5), [9, 1]);
  const segments = [0, 1, 2, 3].map((row) => ({ target: 9 * row, value: 0 }));
  projectOutOf(x, segments, directions, 9);
  const along = x.matmul(directions);
  allClose(await along.data(), [0, 0, 0, 0], { atol: 1e-5 });
  for (const t of [x, directions, along]) t.dispose();
});

test('an edit beyond a tensor, or of one with gaps, is refused', () => {
  const x = upload([1, 2, 3, 4], [2, 2]);
  const column = x.window([null, 0]);
  const segment = { target: 3, value: 0, keep: 0, add: 1 };
  throws(() => blendInto(x, [segment], x, 2), /elements 3 to 5 to tensor \[2, 2\], which has 4/);
  throws(() => blendInto(x, [{ ...segment, target: 0, value: 5 }], x, 1), /elements 5 to 6 from tensor/);
  throws(() => projectOutOf(column, [{ target: 0, value: 0 }], x, 1), /view with gaps/);
  blendInto(x, [], x, 2);
  column.dispose();
  x.dispose();
});

test.run();
