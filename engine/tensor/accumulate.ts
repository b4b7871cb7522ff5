/** Making gradients, and adding them up in place. */

import type { Launch } from '../../kernels/core/kernel.js';
import { fill } from '../../kernels/memory/copy.js';
import { addStrided } from '../../kernels/pointwise/add-strided.js';
import { columnSumParts, columnSums } from '../../kernels/pointwise/column-sums.js';
import {
  broadcastStrides,
  type Index,
  type Region,
  resolveIndex,
  sameShape,
  sizeOf,
  stridesOf,
} from '../shape/shape.js';
import { ALIGN, launchRows, withDense } from './launches.js';
import type { BackwardContext } from './tape.js';
import type { Tensor } from './tensor.js';

/** Zeros, in the scope of another tensor. */
export function zerosLike(t: Tensor, shape: readonly number[], label = t.label): Tensor {
  const out = t.empty(shape, label);
  const { gpu } = out;
  launchRows(out.size, [out], [1], (n) => fill({ shape: [n], strides: [1], offset: 0, value: 0 }, gpu.caps));
  return out;
}

/**
 * Adds `x` to a part of `sum`, in place.
 * @param sum dense, and nobody else may need what it held
 * @param x of the part's shape, or broadcasting to it
 * @param index the part; all of `sum` where left out
 */
export function addInto(sum: Tensor, x: Tensor, index: Index | null = null, factor = 1): void {
  const { gpu } = sum;
  if (!index && sameShape(sum.shape, x.shape) && x.isDense) {
    const whole = (n: number) => ({ shape: [n], x: flat, y: flat, factor });
    launchRows(sum.size, [x, sum], [1, 1], (n) => addStrided(whole(n), gpu.caps));
    return;
  }
  addRegion(
    sum,
    x,
    resolveIndex(sum.shape, stridesOf(sum.shape), 0, index ?? [], `sum of ${sum.label}`),
    factor,
  );
}

/** The same for any part of dense memory. */
export function addRegion(sum: Tensor, x: Tensor, { shape, strides, offset }: Region, factor = 1): void {
  const xStrides = broadcastStrides(x.shape, x.strides, shape);
  addPart(sum, x, shape, strides, offset, x.offset, xStrides, factor);
}

const flat = { strides: [1], offset: 0 };

/** In halves where either side is too large to bind. */
function addPart(
  sum: Tensor,
  x: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  xOffset: number,
  xStrides: readonly number[],
  factor: number,
): void {
  const { gpu } = sum;
  const reach = (from: number, by: readonly number[]) =>
    shape.reduce((n, d, i) => n + (d - 1) * by[i], from) + 1;
  const [xFirst, first] = [xOffset, offset].map((o) => Math.floor(o / ALIGN) * ALIGN);
  const [xEnd, end] = [reach(xOffset, xStrides), reach(offset, strides)];
  const limit = gpu.adapter.maxBindingBytes / 4;
  const axis = shape.findIndex((d) => d > 1);
  if (axis >= 0 && Math.max(xEnd - xFirst, end - first) > limit) {
    const half = Math.floor(shape[axis] / 2);
    const cut = (n: number) => shape.map((d, i) => (i === axis ? n : d));
    addPart(sum, x, cut(half), strides, offset, xOffset, xStrides, factor);
    const [to, from] = [offset + half * strides[axis], xOffset + half * xStrides[axis]];
    addPart(sum, x, cut(shape[axis] - half), strides, to, from, xStrides, factor);
    return;
  }
  if (!sizeOf(shape)) return;
  const launch = addStrided(
    {
      shape,
      x: { strides: xStrides, offset: xOffset - xFirst },
      y: { strides, offset: offset - first },
      factor,
    },
    gpu.caps,
  );
  const from = { buffer: x.storage.buffer, offset: 4 * xFirst, bytes: 4 * (xEnd - xFirst) };
  gpu.launch(launch, [from, sum.binding(first, end - first)]);
}

/** A result of one launch over dense inputs, then weights as they are stored. */
export function launched(
  dy: Tensor,
  shape: readonly number[],
  inputs: readonly Tensor[],
  launch: Launch,
  weights: readonly Tensor[] = [],
): Tensor {
  const out = dy.empty(shape, dy.label);
  launchInto(out, inputs, launch, weights);
  return out;
}

function launchInto(
  out: Tensor,
  inputs: readonly Tensor[],
  launch: Launch,
  weights: readonly Tensor[],
): void {
  withDense(inputs, (dense) => {
    const bindings = [...dense.map((t) => t.binding()), ...weights.map((t) => t.weights())];
    out.gpu.launch(launch, [...bindings, out.binding()]);
  });
}

/** The same, or added to what input i has already; `launch` is told which. */
export function summed(
  { sum }: BackwardContext,
  i: number,
  dy: Tensor,
  shape: readonly number[],
  inputs: readonly Tensor[],
  launch: (accumulate: boolean) => Launch,
  weights: readonly Tensor[] = [],
): Tensor {
  const before = sum(i);
  if (!before) return launched(dy, shape, inputs, launch(false), weights);
  launchInto(before, inputs, launch(true), weights);
  return before;
}

/** Σ over rows of dY [rows, cols], or of dY · Z: [cols]. */
export function sumOverRows(
  dy: Tensor,
  cols: number,
  z: Tensor | null = null,
  shape: readonly number[] = [cols],
): Tensor {
  const { gpu } = dy;
  const rows = dy.size / cols;
  const parts = columnSumParts(rows);
  const times = z !== null;
  const inputs = z ? [dy, z] : [dy];
  const some = launched(
    dy,
    parts === 1 ? shape : [parts, cols],
    inputs,
    columnSums({ rows, cols, parts, times }, gpu.caps),
  );
  if (parts === 1) return some;
  return launched(dy, shape, [some], columnSums({ rows: parts, cols }, gpu.caps));
}
