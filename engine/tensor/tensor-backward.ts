/** Vector-Jacobian products of the operations on tensors (tensor.ts, array.ts): see tape.ts. */

import type { Launch } from '../../kernels/core/kernel.js';
import { scatterLastAdd } from '../../kernels/memory/scatter-add.js';
import type { BinaryOp, UnaryOp } from '../../kernels/pointwise/elementwise.js';
import {
  divisorGradient,
  maxBackward,
  softmaxBackward,
  unaryBackward,
} from '../../kernels/pointwise/elementwise-backward.js';
import type { ReduceOp } from '../../kernels/pointwise/reduce.js';
import { batchMatmulGradientA, batchMatmulGradientB } from '../../kernels/products/products-backward.js';
import { broadcastStrides, type Index, type Region, sizeOf, stridesOf } from '../shape/shape.js';
import { addInto, zerosLike } from './accumulate.js';
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
  (lengths: readonly number[]): Make =>
  () =>
  (dy, { wants }) => {
    let at = 0;
    return lengths.map((n, i) => {
      const part: [number, number] = [at, (at += n)];
      return wants(i) ? dy.window([part]) : null;
    });
  };

/** Of picking along the last axis. */
export const gatherBackward =
  (shape: readonly number[], indices: Tensor<'u32'>): Make =>
  (save) => {
    const own = save(indices);
    return (dy, { sum }) => {
      const cols = shape.at(-1) ?? 1;
      const k = own.shape.at(-1) ?? 1;
      const dx = sum(0) ?? zerosLike(dy, shape);
      withDense([own, dy], ([ids, d]) => {
        const launch = (rows: number) => scatterLastAdd({ rows, cols, k }, dy.gpu.caps);
        launchRows(own.size / k, [ids, d, dx], [k, k, cols], launch);
      });
      return [dx];
    };
  };

/** Of an elementwise function. */
export const unaryGradient =
  (op: UnaryOp, x: Tensor): Make =>
  (save) => {
    const own = save(x);
    return (dy) => [
      rowwise(dy, own.shape, own.size, [own, dy], [1, 1], (n) => unaryBackward({ op, n }, dy.gpu.caps)),
    ];
  };

/** Of elementwise arithmetic with a number. */
export const scalarBackward =
  (op: BinaryOp, value: number): Make =>
  () =>
  (dy) => [op === 'mul' ? dy.mul(value) : op === 'div' ? dy.div(value) : dy];

/** Of elementwise arithmetic with broadcasting. */
export const binaryBackward =
  (op: BinaryOp, a: Tensor, b: Tensor): Make =>
  (save) => {
    const [shapeA, shapeB] = [a.shape, b.shape];
    if (op === 'add' || op === 'sub')
      return (dy, { wants }) => [
        wants(0) ? sumTo(dy, shapeA) : null,
        wants(1) ? sumTo(op === 'add' ? dy : dy.mul(-1), shapeB) : null,
      ];
    const [x, y] = [save(a), save(b)];
    if (op === 'mul')
      return (dy, { wants }) => [
        wants(0) ? sumTo(dy.mul(y), shapeA) : null,
        wants(1) ? sumTo(dy.mul(x), shapeB) : null,
      ];
    return (dy, { wants }) => [
      wants(0) ? sumTo(dy.div(y), shapeA) : null,
      wants(1) ? sumTo(divisor(dy, x, y), shapeB) : null,
    ];
  };

/** −dY · A / B², in the shape of dY. */
function divisor(dy: Tensor, x: Tensor, y: Tensor): Tensor {
  const out = dy.empty(dy.shape, dy.label);
  const strides = (t: { shape: readonly number[] }) =>
    broadcastStrides(t.shape, stridesOf(t.shape), dy.shape);
  withDense([dy, x, y], ([d, a, b]) => {
    const launch = divisorGradient(
      { shape: dy.shape, aStrides: strides(a), bStrides: strides(b) },
      dy.gpu.caps,
    );
    dy.gpu.launch(launch, [d.binding(), a.binding(), b.binding(), out.binding()]);
  });
  return out;
}

/** Sizes of a batch of products, as `batchMatmul` has them. */
export interface Products {
  readonly batch: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly sharedB: boolean;
}

/** Of a matrix product. */
export const matmulBackward =
  (o: Products, a: Tensor, b: Tensor): Make =>
  (save) => {
    const [x, y] = [save(a), save(b)];
    return (dy, { wants }) => {
      const { caps } = dy.gpu;
      const product = (shape: readonly number[], inputs: Tensor[], launch: Launch) => {
        const out = dy.empty(shape, dy.label);
        withDense(inputs, (dense) =>
          dy.gpu.launch(
            launch,
            [...dense, out].map((t) => t.binding()),
          ),
        );
        return out;
      };
      return [
        wants(0) ? product(x.shape, [dy, y], batchMatmulGradientA(o, caps)) : null,
        wants(1) ? product(y.shape, [x, dy], batchMatmulGradientB(o, caps)) : null,
      ];
    };
  };

/** Of a sum, mean or maximum over one axis of [outer, n, inner]. */
export const reduceBackward =
  (op: ReduceOp, x: Tensor, axis: number): Make =>
  (save) => {
    const { shape } = x;
    const [outer, n, inner] = [sizeOf(shape.slice(0, axis)), shape[axis], sizeOf(shape.slice(axis + 1))];
    if (op !== 'max') {
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
        (rows) => maxBackward({ outer: rows, n, inner }, dy.gpu.caps),
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

/** A kernel whose rows are independent; `widths` of the inputs, and the result's (that of the first input). */
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
