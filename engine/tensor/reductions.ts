/** Reductions of tensors along an axis, several or all, and what is like them: softmax, running sums. */

import { type ReduceOp, reduceMiddle } from '../../kernels/pointwise/reduce.js';
import { cumulate } from '../../kernels/pointwise/scan.js';
import { softmax } from '../../kernels/pointwise/softmax.js';
import { boolean, isList, type Kind, number, oneOf } from '../../weights/checks/kinds.js';
import { check, options } from '../../weights/checks/options.js';
import { inScope } from '../gpu/storage.js';
import { axesOf, reduced } from '../shape/axes.js';
import { sizeOf } from '../shape/shape.js';
import { type Axis, acrossRows, allRows, axisNumber, concatAt, handOver, insideOf, perRow } from './along.js';
import { elementwise } from './elementwise.js';
import { launchRows, rowTooLong, withDense } from './launches.js';
import { type Save, taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { cumsumBackward, reduceBackward, softmaxGradient } from './tensor-backward.js';

/** One axis, by number (negative counts from the end) or name, or several. */
export type AxisList = Axis | readonly Axis[];

/** Options of reductions. */
export interface ReduceOptions {
  /** The axis stays, with length 1. */
  readonly keepDims?: boolean;
}

/** Options of `variance` and `std`. */
export interface SpreadOptions extends ReduceOptions {
  /** The sum of squares is divided by n − correction: 1 by default, as in PyTorch; 0 for the variance of the numbers as such. */
  readonly correction?: number;
}

/** Options of `norm`. */
export interface NormOptions extends ReduceOptions {
  /** 2 (the default): √Σx². 1: Σ|x|. Infinity: the largest |x|. */
  readonly order?: 1 | 2 | typeof Infinity;
}

/** The number or the name of an axis. */
export const axisKind: Kind = {
  what: 'the number or the name of an axis',
  is: (v) => Number.isInteger(v) || typeof v === 'string',
};
const reduceOptions = options<ReduceOptions>({ keepDims: boolean });
const spreadOptions = options<SpreadOptions>({ keepDims: boolean, correction: number });
const normOptions = options<NormOptions>({ keepDims: boolean, order: oneOf(1, 2, Number.POSITIVE_INFINITY) });

/** One reduction: of an axis, which stays with length 1. */
type OneAxis = (x: Tensor, axis: number) => Tensor;

/** Sum, mean, maximum, minimum or product over one axis, several, or everything. */
export function reduceAxis(
  t: Tensor,
  op: ReduceOp,
  axis: AxisList | undefined,
  given: ReduceOptions = {},
): Tensor {
  check(op, reduceOptions, given);
  const { keepDims = false } = given;
  if (axis === undefined && !keepDims) return reduceAll(t, op);
  return over(t, axis, keepDims, op, (x, a) => reduceOne(x, op, a));
}

/**
 * A reduction over one axis, several together, or all: f reduces one axis, which stays with length 1. Axes in which packed rows
 * differ go row by row.
 */
function over(t: Tensor, axis: AxisList | undefined, keepDims: boolean, what: string, f: OneAxis): Tensor {
  const list = axis === undefined ? null : isList(axis) ? (Array.from(axis) as Axis[]) : [axis as Axis];
  if (list && !list.length) throw new Error(`${what}: an empty list names no axis`);
  const packed = t.named?.packed;
  if (list && packed && list.some((a) => acrossRows(t, a))) {
    const whole = list.includes('batch') && packed.axes.every((a) => list.includes(a));
    if (!whole) return perRow(t, allRows(t), (row) => over(row, list, keepDims, what, f), what);
  }
  const axes = axesIn(t, list, what);
  return inScope((own) => {
    const x = t.alias(own);
    const rest = t.shape.map((_, i) => i).filter((i) => !axes.includes(i));
    const [first] = axes;
    const together = axes.every((a, i) => a === first + i);
    let out: Tensor;
    if (axes.length === 1) out = f(x, first);
    else {
      // The axes as one, where they lie or behind the others.
      const order = together ? null : [...rest, ...axes];
      const moved = order ? x.renamed(null).transpose(order) : x.renamed(null);
      const lead = together ? t.shape.slice(0, first) : rest.map((i) => t.shape[i]);
      const n = sizeOf(axes.map((i) => t.shape[i]));
      const tail = together ? t.shape.slice(first + axes.length) : [];
      out = f(moved.reshape([...lead, n, ...tail]), lead.length);
    }
    const shape = t.shape.flatMap((d, i) => (!axes.includes(i) ? [d] : keepDims ? [1] : []));
    out = out.reshape(shape).renamed(null);
    out.named = namesWithout(t, axes, keepDims);
    return handOver(out, t.scope);
  });
}

/** The axes of a list in memory, in order; all without a list. @throws when one is named twice. */
function axesIn(t: Tensor, list: readonly Axis[] | null, what: string): number[] {
  if (!list) return t.shape.length ? t.shape.map((_, i) => i) : [];
  const packed = t.named?.packed;
  const whole = packed && ['batch', ...packed.axes].every((a) => list.includes(a));
  const axes = list.flatMap((a) =>
    whole && typeof a === 'string' && (a === 'batch' || packed.axes.includes(a))
      ? a === 'batch'
        ? [0]
        : []
      : [axisNumber(t, a, what)],
  );
  if (new Set(axes).size < axes.length) throw new Error(`${what}: [${list.join(', ')}] names an axis twice`);
  return axes.sort((a, b) => a - b);
}

function namesWithout({ named }: Tensor, axes: readonly number[], keepDims: boolean) {
  if (!named) return null;
  if (axes.length === 1 && axes[0] !== 0) return reduced(named, axes[0], keepDims);
  const names = named.names.flatMap((n, i) => (!axes.includes(i) ? [n] : keepDims ? [n] : []));
  return named.packed && !axes.includes(0) ? { names, packed: named.packed } : axesOf(names);
}

/** Over one axis in memory, which stays with length 1. */
function reduceOne(t: Tensor, op: ReduceOp, a: number): Tensor {
  const n = t.shape[a];
  const outer = sizeOf(t.shape.slice(0, a));
  const inner = sizeOf(t.shape.slice(a + 1));
  if (!bindable(t, n * inner)) return reduceInPieces(t, op, a);
  const out = t.empty(
    t.shape.map((d, i) => (i === a ? 1 : d)),
    `${t.label}.${op}`,
  );
  const launch = (rows: number) => reduceMiddle({ outer: rows, n, inner, op }, t.gpu.caps);
  withDense([t], ([x]) => launchRows(outer, [x, out], [n * inner, inner], launch));
  return taped(out, [t], reduceBackward(op, t, a));
}

/** In two steps, so that more than one workgroup is at work. */
function reduceAll(t: Tensor, op: ReduceOp): Tensor {
  const { size } = t;
  let cols = Math.ceil(Math.sqrt(size));
  while (size % cols) cols++;
  return insideOf(t, (x) => {
    const rows = x.renamed(null).reshape([size / cols, cols]);
    return reduceOne(reduceOne(rows, op, 1), op, 0).reshape([]);
  });
}

/** Whether a launch can take all rows, or 64 at a time (see `rowWindows`). */
const bindable = (t: Tensor, width: number): boolean =>
  4 * Math.min(t.size, 64 * width) <= t.gpu.adapter.maxBindingBytes;

/**
 * A reduction whose rows are larger than one binding: over pieces of the axis that one launch can take, then over the
 * pieces' results.
 */
function reduceInPieces(t: Tensor, op: ReduceOp, axis: number): Tensor {
  const n = t.shape[axis];
  const lead = t.shape.slice(0, axis).map(() => null);
  const part = op === 'mean' ? 'sum' : op;
  return insideOf(t, (own) => {
    const whole = own.renamed(null);
    const width = sizeOf(t.shape.slice(axis + 1));
    const rows = Math.min(64, sizeOf(t.shape.slice(0, axis))); // what one launch takes at least
    const step = Math.floor(t.gpu.adapter.maxBindingBytes / 4 / rows / width);
    if (step >= 2 && n > step) {
      const parts: Tensor[] = [];
      for (let at = 0; at < n; at += step)
        parts.push(reduceOne(whole.window([...lead, [at, Math.min(n, at + step)]]), part, axis));
      const all = reduceOne(concatAt(parts, axis), part, axis);
      return op === 'mean' ? all.mul(1 / n) : all;
    }
    // Short pieces of a long row each: the axis goes last, some of the other positions at a time.
    const order = [...t.shape.keys()].filter((i) => i !== axis);
    const last = whole.transpose([...order, axis]);
    return reduceOne(last.copy(), op, t.shape.length - 1).reshape(
      t.shape.map((d, i) => (i === axis ? 1 : d)),
    );
  });
}

/** Variance, or its root. See `Tensor.variance`. */
export function spread(
  t: Tensor,
  what: 'variance' | 'std',
  axis: AxisList | undefined,
  given: SpreadOptions,
): Tensor {
  check(what, spreadOptions, given);
  const { keepDims = false, correction = 1 } = given;
  return over(t, axis, keepDims, what, (x, a) => {
    const n = (x.shape[a] ?? 1) - correction;
    const away = (of: Tensor) => of.sub(reduceOne(of, 'mean', a));
    if (what === 'variance') return reduceOne(away(x).square(), 'sum', a).div(Math.max(n, 0));
    // ∂ std / ∂x = (x − mean) / (n · std), and 0 where all are equal
    const own = x.detach(x.scope);
    const out = reduceOne(away(own).square(), 'sum', a).div(Math.max(n, 0)).sqrt();
    return taped(
      out,
      [x],
      ratio(own, out, (of) => away(of).div(n)),
    );
  });
}

/** Length of a vector. See `Tensor.norm`. */
export function normOf(t: Tensor, axis: AxisList | undefined, given: NormOptions): Tensor {
  check('norm', normOptions, given);
  const { keepDims = false, order = 2 } = given;
  return over(t, axis, keepDims, 'norm', (x, a) => {
    if (order !== 2) return reduceOne(x.abs(), order === 1 ? 'sum' : 'max', a);
    const own = x.detach(x.scope);
    const out = reduceOne(own.square(), 'sum', a).sqrt();
    return taped(
      out,
      [x],
      ratio(own, out, (of) => of),
    );
  });
}

/** Gradient dY · f(X) / Y, 0 where Y is 0. */
const ratio = (x: Tensor, y: Tensor, f: (x: Tensor) => Tensor) => (save: Save) => {
  const kept = [save(x), save(y)];
  return (dy: Tensor) => {
    const [ownX, ownY] = kept.map((t) => t.alias(dy.scope));
    return [elementwise('where', [ownY.ne(0), f(ownX).mul(dy.div(ownY)), 0])];
  };
};

/** Log of the sum of exponentials. See `Tensor.logSumExp`. */
export function logSumExp(t: Tensor, axis: AxisList | undefined, given: ReduceOptions): Tensor {
  check('logSumExp', reduceOptions, given);
  return over(t, axis, given.keepDims ?? false, 'logSumExp', (x, a) => {
    const own = x.detach(x.scope);
    const top = reduceOne(own, 'max', a);
    const sum = reduceOne(own.sub(top).exp(), 'sum', a).log().add(top);
    const out = elementwise('where', [top.sub(top).eq(0), sum, top]); // of −∞ alone, and with +∞
    return taped(out, [x], (save) => {
      const [ownX, ownY] = [save(own), save(out)];
      return (dy) => [ownX.alias(dy.scope).sub(ownY).exp().mul(dy)];
    });
  });
}

/** x − logSumExp(x). See `Tensor.logSoftmax`. */
export function logSoftmax(t: Tensor, axis: Axis): Tensor {
  if (acrossRows(t, axis)) return perRow(t, allRows(t), (row) => logSoftmax(row, axis), 'logSoftmax');
  axisNumber(t, axis, 'logSoftmax');
  return insideOf(t, (x) => x.sub(logSumExp(x, axis, { keepDims: true })).renamed(t.named));
}

/** Softmax over one axis. */
export function softmaxAxis(t: Tensor, axis: Axis): Tensor {
  if (acrossRows(t, axis)) return perRow(t, allRows(t), (row) => softmaxAxis(row, axis), 'softmax');
  const a = axisNumber(t, axis, 'softmax');
  if (a !== t.shape.length - 1) return alongLast(t, a, (moved) => softmaxAxis(moved, -1));
  const cols = t.shape[a];
  if (rowTooLong(t.gpu, cols)) return insideOf(t, (x) => logSoftmax(x, -1).exp());
  const out = t.empty(t.shape, `${t.label}.softmax`);
  out.named = t.named;
  const launch = (rows: number) => softmax({ rows, cols }, t.gpu.caps);
  withDense([t], ([x]) => launchRows(t.size / cols, [x, out], [cols, cols], launch));
  return taped(out, [t], softmaxGradient(out));
}

/** Running sums. See `Tensor.cumsum`. */
export function cumsumAxis(t: Tensor, axis: Axis): Tensor {
  if (acrossRows(t, axis)) return perRow(t, allRows(t), (row) => cumsumAxis(row, axis), 'cumsum');
  const a = axisNumber(t, axis, 'cumsum');
  const [outer, n, inner] = [sizeOf(t.shape.slice(0, a)), t.shape[a], sizeOf(t.shape.slice(a + 1))];
  const out = t.empty(t.shape, `${t.label}.cumsum`);
  out.named = t.named;
  const launch = (rows: number) => cumulate({ outer: rows, n, inner }, t.gpu.caps);
  withDense([t], ([x]) => launchRows(outer, [x, out], [n * inner, n * inner], launch));
  return taped(out, [t], cumsumBackward(outer, n, inner));
}

/** f on a tensor with an axis last, in the tensor's own order again. */
export function alongLast(t: Tensor, axis: number, f: (moved: Tensor) => Tensor): Tensor {
  return insideOf(t, (x) => {
    const { swap, moved } = withLastAxis(x, axis);
    return f(moved).transpose(swap).copy();
  });
}

/** Two axes swapped; of packed rows only axes behind the first take part. */
export function withLastAxis(t: Tensor, axis: number): { swap: number[]; moved: Tensor } {
  const rank = t.shape.length;
  const swap = t.shape.map((_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
  return { swap, moved: t.transpose(swap) };
}
