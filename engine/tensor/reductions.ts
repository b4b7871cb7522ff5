/** Reductions of tensors along an axis, and what is like them: softmax, the largest entries. */

import { type ReduceOp, reduceMiddle } from '../../kernels/pointwise/reduce.js';
import { softmax } from '../../kernels/pointwise/softmax.js';
import { topk } from '../../kernels/vocabulary/topk.js';
import { boolean, type Kind } from '../../weights/checks/kinds.js';
import { check, options } from '../../weights/checks/options.js';
import { Scope } from '../gpu/storage.js';
import { reduced, withLast } from '../shape/axes.js';
import { sizeOf } from '../shape/shape.js';
import { type Axis, acrossRows, axisNumber, concatAt, handOver } from './along.js';
import { launchRows, withDense } from './launches.js';
import { allRows, perRow } from './rows.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { gatherBackward, reduceBackward, softmaxGradient } from './tensor-backward.js';

/** Options of `sum`, `mean` and `max`. */
export interface ReduceOptions {
  /** The axis stays, with length 1. */
  readonly keepDims?: boolean;
}

/** Options of `topk`. */
export interface TopkOptions {
  /** By number or name; the last by default. */
  readonly axis?: Axis;
  /** False: the smallest. */
  readonly largest?: boolean;
}

const axisKind: Kind = {
  what: 'the number or the name of an axis',
  is: (v) => Number.isInteger(v) || typeof v === 'string',
};
const reduceOptions = options<ReduceOptions>({ keepDims: boolean });
const topkOptions = options<TopkOptions>({ axis: axisKind, largest: boolean });

/** Whether a reduction keeps its axis. @throws on options that there are not */
export function keepsDims(what: string, given: ReduceOptions): boolean {
  check(what, reduceOptions, given);
  return given.keepDims ?? false;
}

/** Sum, mean or maximum over one axis, or over everything. */
export function reduceAxis(t: Tensor, op: ReduceOp, axis: Axis | undefined, keepDims: boolean): Tensor {
  if (axis === undefined) return reduceAll(t, op);
  if (acrossRows(t, axis)) return perRow(t, allRows(t), (row) => reduceAxis(row, op, axis, keepDims), op);
  const a = axisNumber(t, axis, op);
  const n = t.shape[a];
  const outer = sizeOf(t.shape.slice(0, a));
  const inner = sizeOf(t.shape.slice(a + 1));
  const whole = bindable(t, n * inner);
  if (!whole) return reduceInPieces(t, op, a, keepDims);
  const shape = t.shape.flatMap((d, i) => (i !== a ? [d] : keepDims ? [1] : []));
  const out = t.empty(shape, `${t.label}.${op}`);
  out.named = reduced(t.named, a, keepDims);
  const launch = (rows: number) => reduceMiddle({ outer: rows, n, inner, op }, t.gpu.caps);
  withDense([t], ([x]) => launchRows(outer, [x, out], [n * inner, inner], launch));
  return taped(out, [t], reduceBackward(op, t, a));
}

/** In two steps, so that more than one workgroup is at work. */
function reduceAll(t: Tensor, op: ReduceOp): Tensor {
  const { size } = t;
  let cols = Math.ceil(Math.sqrt(size));
  while (size % cols) cols++;
  const own = new Scope();
  try {
    const rows = t
      .alias(own)
      .renamed(null)
      .reshape([size / cols, cols]);
    return handOver(reduceAxis(reduceAxis(rows, op, 1, false), op, 0, false), t.scope);
  } finally {
    own.close();
  }
}

/** Whether a launch can take all rows, or 64 at a time (see `rowWindows`). */
const bindable = (t: Tensor, width: number): boolean =>
  4 * Math.min(t.size, 64 * width) <= t.gpu.adapter.maxBindingBytes;

/**
 * A reduction whose rows are larger than one binding: over pieces of the axis that one launch can take, then over the
 * pieces' results.
 */
function reduceInPieces(t: Tensor, op: ReduceOp, axis: number, keepDims: boolean): Tensor {
  const n = t.shape[axis];
  const lead = t.shape.slice(0, axis).map(() => null);
  const own = new Scope();
  try {
    const whole = t.alias(own);
    const width = sizeOf(t.shape.slice(axis + 1));
    const rows = Math.min(64, sizeOf(t.shape.slice(0, axis))); // what one launch takes at least
    const step = Math.floor(t.gpu.adapter.maxBindingBytes / 4 / rows / width);
    let out: Tensor;
    if (step >= 2 && n > step) {
      const parts: Tensor[] = [];
      for (let at = 0; at < n; at += step)
        parts.push(
          reduceAxis(
            whole.window([...lead, [at, Math.min(n, at + step)]]),
            op === 'mean' ? 'sum' : op,
            axis,
            true,
          ),
        );
      const all = reduceAxis(concatAt(parts, axis), op === 'mean' ? 'sum' : op, axis, keepDims);
      out = op === 'mean' ? all.mul(1 / n) : all;
    } else {
      // Short pieces of a long row each: the axis goes last, some of the other positions at a time.
      const order = [...t.shape.keys()].filter((i) => i !== axis);
      const last = whole.renamed(null).transpose([...order, axis]);
      const flat = reduceAxis(last.copy(), op, t.shape.length - 1, false);
      out = flat.reshape(t.shape.flatMap((d, i) => (i !== axis ? [d] : keepDims ? [1] : [])));
    }
    out.named = reduced(t.named, axis, keepDims);
    return handOver(out, t.scope);
  } finally {
    own.close();
  }
}

/** Softmax over one axis. */
export function softmaxAxis(t: Tensor, axis: Axis): Tensor {
  if (acrossRows(t, axis)) return perRow(t, allRows(t), (row) => softmaxAxis(row, axis), 'softmax');
  const a = axisNumber(t, axis, 'softmax');
  if (a !== t.shape.length - 1) return alongLast(t, a, (moved) => softmaxAxis(moved, -1));
  const cols = t.shape[a];
  const out = t.empty(t.shape, `${t.label}.softmax`);
  out.named = t.named;
  const launch = (rows: number) => softmax({ rows, cols }, t.gpu.caps);
  withDense([t], ([x]) => launchRows(t.size / cols, [x, out], [cols, cols], launch));
  return taped(out, [t], softmaxGradient(out));
}

/** The k largest or smallest along an axis. */
export function topkAxis(
  t: Tensor,
  k: number,
  given: Axis | TopkOptions,
): { values: Tensor; indices: Tensor<'u32'> } {
  const all = axisKind.is(given) ? { axis: given as Axis } : (given as TopkOptions);
  check('topk', topkOptions, all);
  const { axis = -1, largest = true } = all;
  if (acrossRows(t, axis)) {
    const part = (which: 'values' | 'indices') =>
      perRow(t, allRows(t), (row) => topkAxis(row, k, { axis, largest })[which] as Tensor, 'topk');
    return { values: part('values'), indices: part('indices') as unknown as Tensor<'u32'> };
  }
  const a = axisNumber(t, axis, 'topk');
  const cols = t.shape[a];
  if (!Number.isInteger(k) || k < 1 || k > cols)
    throw new Error(`topk: k = ${k} of an axis of length ${cols}`);
  if (a !== t.shape.length - 1) {
    const own = new Scope();
    try {
      const { swap, moved } = withLastAxis(t, a, own);
      const found = topkAxis(moved, k, { largest });
      const back = <T extends Tensor | Tensor<'u32'>>(x: T) =>
        handOver(x.transpose(swap).copy() as unknown as Tensor, t.scope) as unknown as T;
      const values = back(found.values);
      values.storage.unread = false;
      return { values, indices: back(found.indices) };
    } finally {
      own.close();
    }
  }
  const shape = [...t.shape.slice(0, -1), k];
  const values = t.empty(shape, `${t.label}.topk`);
  const indices = t.empty(shape, `${t.label}.topk`, 'u32') as unknown as Tensor<'u32'>;
  values.named = withLast(t.named, null);
  indices.named = values.named;
  const launch = (rows: number) => topk({ rows, cols, k, smallest: !largest }, t.gpu.caps);
  withDense([t], ([x]) => launchRows(t.size / cols, [x, values, indices], [cols, k, k], launch));
  taped(values, [t], gatherBackward(t.shape, indices));
  values.storage.unread = false; // who reads the indices needs no values
  return { values, indices };
}

/** Index of the largest along an axis. */
export function argmaxAxis(t: Tensor, axis: Axis): Tensor<'u32'> {
  if (acrossRows(t, axis))
    return perRow(
      t,
      allRows(t),
      (row) => argmaxAxis(row, axis) as unknown as Tensor,
      'argmax',
    ) as unknown as Tensor<'u32'>;
  const a = axisNumber(t, axis, 'argmax');
  const { values, indices } = topkAxis(t, 1, { axis: a - t.shape.length });
  values.dispose();
  const out = indices.reshape(t.shape.filter((_, i) => i !== a));
  out.named = reduced(t.named, a, false);
  indices.dispose();
  return out;
}

/** f on a tensor with an axis last, in the tensor's own order again. */
function alongLast(t: Tensor, axis: number, f: (moved: Tensor) => Tensor): Tensor {
  const own = new Scope();
  try {
    const { swap, moved } = withLastAxis(t, axis, own);
    return handOver(f(moved).transpose(swap).copy(), t.scope);
  } finally {
    own.close();
  }
}

/** Two axes swapped; of packed rows only axes behind the first take part. */
function withLastAxis(t: Tensor, axis: number, own: Scope) {
  const rank = t.shape.length;
  const swap = t.shape.map((_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
  return { swap, moved: t.alias(own).transpose(swap) };
}
