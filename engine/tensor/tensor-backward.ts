/**
 * Vector-Jacobian products of the operations on tensors: see tape.ts. Those of element-wise ones stand in
 * elementwise.ts.
 */

import type { Launch } from '../../kernels/core/kernel.js';
import { type AlongAxis, gatherAxis, scatterAxis } from '../../kernels/memory/gather.js';
import type { ReduceOp } from '../../kernels/pointwise/reduce.js';
import { extremeBackward, prodBackward, softmaxBackward } from '../../kernels/pointwise/reduce-backward.js';
import { cumulate, triangle } from '../../kernels/pointwise/scan.js';
import { type Index, type Region, sizeOf } from '../shape/shape.js';
import { addInto, addRegion, zerosLike } from './accumulate.js';
import { fillPart, launchRows, withDense } from './launches.js';
import type { Backward, Save } from './tape.js';
import type { Tensor } from './tensor.js';

type Make = (save: Save) => Backward;

/** Undoes broadcasting: sums a gradient over the axes along which `shape` was repeated. */
export function sumTo(dy: Tensor, shape: readonly number[]): Tensor {
  const lead = dy.shape.length - shape.length;
  let sum = dy;
  for (let axis = 0; axis < dy.shape.length; axis++)
    if (dy.shape[axis] !== 1 && (axis < lead || shape[axis - lead] === 1))
      sum = sum.sum(axis, { keepDims: true });
  return lead || sum !== dy ? sum.reshape(shape) : dy;
}

/** Of a view in another shape. */
export const reshapeBackward =
  (shape: readonly number[]): Make =>
  () =>
  (dy) => [dy.reshape(shape)];

/** Of axes in another order. */
export const transposeBackward =
  (order: readonly number[]): Make =>
  () =>
  (dy) => [dy.transpose(order.map((_, i) => order.indexOf(i)))];

/** Of repeated axes. */
export const expandBackward =
  (shape: readonly number[]): Make =>
  () =>
  (dy) => [sumTo(dy, shape)];

/** Of a part: the rest has none. */
export const windowBackward =
  (shape: readonly number[], index: Index): Make =>
  () =>
  (dy, { sum }) => {
    const dx = sum(0) ?? zerosLike(dy, shape);
    addInto(dx, dy, index);
    return [dx];
  };

/** Of a copy with parts replaced, each by a number (no second gradient) or by a tensor of a shape. */
export const partsBackward =
  (parts: readonly (readonly [part: Region, valueShape: readonly number[] | null])[]): Make =>
  () =>
  (dy, { wants }) => {
    const dense = dy.dense();
    let dx: Tensor | null = null;
    if (wants(0)) {
      dx = dense.clone();
      dy.scope?.add(dx);
      for (const [part] of parts) fillPart(dx, part, 0);
    }
    const values = parts.flatMap(([part, shape]) => (shape ? [{ part, shape }] : []));
    return [
      dx,
      ...values.map(({ part, shape }, i) =>
        wants(i + 1) ? sumTo(dense.view({ ...part, offset: dense.offset + part.offset }), shape) : null,
      ),
    ];
  };

/** Of tensors one after another. */
export const concatBackward =
  (lengths: readonly number[], axis: number): Make =>
  () =>
  (dy, { wants }) => {
    let at = 0;
    return lengths.map((n, i) => {
      const part: [number, number] = [at, (at += n)];
      return wants(i) ? dy.window([...Array<null>(axis).fill(null), part]) : null;
    });
  };

/** Sizes of picking along an axis of a shape by indices of a shape, with strides of the indices. */
export function picking(
  shape: readonly number[],
  axis: number,
  k: number,
  strides: AlongAxis['strides'] = [k * sizeOf(shape.slice(axis + 1)), sizeOf(shape.slice(axis + 1)), 1],
): AlongAxis {
  const [outer, inner] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  return { outer, n: shape[axis], k, inner, strides };
}

/** Picks along an axis, or puts there what was picked, line by line; the indices may be one list for all. */
export function alongAxis(
  o: AlongAxis,
  launch: (outer: number) => Launch,
  arrays: readonly [x: Tensor, indices: Tensor, y: Tensor],
  widths: readonly [x: number, y: number],
): void {
  const shared = o.strides[0] === 0;
  withDense(arrays, ([x, indices, y]) => {
    const { gpu } = y;
    if (
      shared &&
      (o.outer === 1 || sizeOf([o.outer, ...[Math.max(...widths)]]) * 4 <= gpu.adapter.maxBindingBytes)
    ) {
      gpu.launch(launch(o.outer), [x.binding(), indices.binding(), y.binding()]);
      return;
    }
    if (shared) {
      const step = Math.max(1, Math.floor(gpu.adapter.maxBindingBytes / 4 / Math.max(...widths) / 64) * 64);
      for (let at = 0; at < o.outer; at += step) {
        const n = Math.min(step, o.outer - at);
        const part = (t: typeof x, width: number) => t.binding(at * width, n * width);
        gpu.launch(launch(n), [part(x, widths[0]), indices.binding(), part(y, widths[1])]);
      }
      return;
    }
    launchRows(o.outer, [x, indices, y], [widths[0], o.strides[0], widths[1]], launch);
  });
}

/** Of picking along an axis: see `picking`. */
export const gatherBackward =
  (shape: readonly number[], axis: number, indices: Tensor<'u32'>, strides?: AlongAxis['strides']): Make =>
  (save) => {
    const own = save(indices);
    return (dy, { sum }) => {
      const dx = sum(0) ?? zerosLike(dy, shape);
      const inner = sizeOf(shape.slice(axis + 1));
      const k = dy.size / sizeOf(shape.slice(0, axis)) / inner;
      const o = picking(shape, axis, k, strides);
      const dense = dy.dense();
      const add = (outer: number) => scatterAxis({ ...o, outer, add: true }, dy.gpu.caps);
      alongAxis(o, add, [dense, own as unknown as Tensor, dx], [k * inner, o.n * inner]);
      if (dense !== dy) dense.dispose();
      return [dx];
    };
  };

/** Of entries put somewhere along an axis: what they replaced has no gradient, and with `add` all of it. */
export const scatterBackward =
  (o: AlongAxis, shape: readonly number[], indices: Tensor<'u32'>, add: boolean): Make =>
  (save) => {
    const own = save(indices);
    return (dy, { wants }) => {
      const { caps } = dy.gpu;
      const widths = [o.k * o.inner, o.n * o.inner] as const;
      const ids = own as unknown as Tensor;
      let [dx, dSource]: (Tensor | null)[] = [null, null];
      if (wants(0)) {
        dx = dy;
        if (!add) {
          dx = dy.copy();
          dx.node = null;
          const put = (outer: number) => scatterAxis({ ...o, outer, add: false }, caps);
          alongAxis(o, put, [zerosLike(dy, shape), ids, dx], widths);
        }
      }
      if (wants(1)) {
        dSource = dy.empty(shape);
        const pick = (outer: number) => gatherAxis({ ...o, outer }, caps);
        alongAxis(o, pick, [dy, ids, dSource], [widths[1], widths[0]]);
      }
      return [dx, dSource];
    };
  };

/** Of running sums. */
export const cumsumBackward =
  (outer: number, n: number, inner: number): Make =>
  () =>
  (dy) => [
    rowwise(dy, dy.shape, outer, [dy], [n * inner], (rows) =>
      cumulate({ outer: rows, n, inner, reverse: true }, dy.gpu.caps),
    ),
  ];

/** Of one triangle of matrices. */
export const triangleBackward =
  (rows: number, cols: number, offset: number, upper: boolean): Make =>
  () =>
  (dy) => [
    rowwise(dy, dy.shape, dy.size / rows / cols, [dy], [rows * cols], (batch) =>
      triangle({ batch, rows, cols, offset, upper }, dy.gpu.caps),
    ),
  ];

/** Of a diagonal: the rest has none. `part`: where it lies in a dense tensor of the shape. */
export const regionBackward =
  (shape: readonly number[], part: Region): Make =>
  () =>
  (dy, { sum }) => {
    const dx = sum(0) ?? zerosLike(dy, shape);
    addRegion(dx, dy, part);
    return [dx];
  };

/**
 * Of a matrix product a · b, of one B for all (its batch is 1) or one each: batches that were repeated are
 * summed up.
 */
export const matmulBackward =
  (a: Tensor, b: Tensor): Make =>
  (save) => {
    const [x, y] = [save(a), save(b)];
    return (dy, { wants }) => {
      const [k, n] = y.shape.slice(-2);
      const flat = (t: Tensor, width: number) => t.alias(dy.scope).reshape([-1, width]).transpose();
      return [
        wants(0) ? sumTo(dy.matmul(y.alias(dy.scope).transpose()), x.shape) : null,
        !wants(1)
          ? null
          : y.shape.length === 2
            ? flat(x, k).matmul(dy.reshape([-1, n]))
            : sumTo(x.alias(dy.scope).transpose().matmul(dy), y.shape),
      ];
    };
  };

/** Of a reduction over one axis of [outer, n, inner]. */
export const reduceBackward =
  (op: ReduceOp, x: Tensor, axis: number): Make =>
  (save) => {
    const { shape } = x;
    const [outer, n, inner] = [sizeOf(shape.slice(0, axis)), shape[axis], sizeOf(shape.slice(axis + 1))];
    if (op === 'sum' || op === 'mean') {
      const kept = shape.map((d, i) => (i === axis ? 1 : d));
      return (dy) => {
        const d = op === 'mean' ? dy.mul(1 / n) : dy;
        return [d.reshape(kept).expand(shape)];
      };
    }
    const own = save(x);
    const widths = [n * inner, inner];
    return (dy) => [
      rowwise(
        dy,
        shape,
        outer,
        [own, dy],
        widths,
        (rows) =>
          op === 'prod'
            ? prodBackward({ outer: rows, n, inner }, dy.gpu.caps)
            : extremeBackward({ outer: rows, n, inner, op }, dy.gpu.caps),
        n * inner,
      ),
    ];
  };

/** Of a softmax over the last axis. */
export const softmaxGradient =
  (y: Tensor): Make =>
  (save) => {
    const own = save(y);
    const cols = own.shape.at(-1) ?? 1;
    return (dy) => [
      rowwise(dy, own.shape, own.size / cols, [own, dy], [cols, cols], (rows) =>
        softmaxBackward({ rows, cols }, dy.gpu.caps),
      ),
    ];
  };

/**
 * A kernel whose rows are independent; `widths` of the inputs, and the result's (that of the first input).
 */
function rowwise(
  dy: Tensor,
  shape: readonly number[],
  rows: number,
  inputs: readonly Tensor[],
  widths: readonly number[],
  launch: (rows: number) => Launch,
  width = widths[0],
): Tensor {
  const out = dy.empty(shape, dy.label);
  withDense(inputs, (dense) => launchRows(rows, [...dense, out], [...widths, width], launch));
  return out;
}
