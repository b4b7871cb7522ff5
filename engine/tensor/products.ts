/** Products of matrices that lie anywhere: operands are views, and are read where they are. */

import { linear } from '../../kernels/products/linear.js';
import { stridedMatmul } from '../../kernels/products/strided-matmul.js';
import { shownValue } from '../../weights/checks/kinds.js';
import { Scope } from '../gpu/storage.js';
import { type AxisName, axesOf, type Packed } from '../shape/axes.js';
import { type Einsum, namesOfResult, parseEinsum } from '../shape/einsum.js';
import {
  broadcastShape,
  broadcastStrides,
  collapseLead,
  sameShape,
  showShape,
  sizeOf,
} from '../shape/shape.js';
import { allRows, insideOf, perRow, rowOf } from './along.js';
import { ALIGN, rowWindows } from './launches.js';
import { isTensor } from './select.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { matmulBackward, regionBackward } from './tensor-backward.js';

/**
 * C[i] (+)= A[i] · B[i] for A [batch, m, k], B [batch, k, n], C [batch, m, n], any of them a view (an axis may be expanded).
 * Batches are cut where one is too large to bind. It leaves no trace on a tape.
 * @param out dense or a view without overlaps; nobody else may need what it held
 * @throws when shapes do not fit, or one matrix is too large to bind.
 */
export function multiplyInto(
  a: Tensor,
  b: Tensor,
  out: Tensor,
  { accumulate = false }: { accumulate?: boolean } = {},
): void {
  const { gpu } = out;
  const [batch, m, k] = a.shape;
  const n = b.shape[2];
  if (b.shape[0] !== batch || b.shape[1] !== k || showShape(out.shape) !== showShape([batch, m, n]))
    throw new Error(
      `multiplyInto: ${showShape(a.shape)} · ${showShape(b.shape)} does not give ${showShape(out.shape)}`,
    );
  if (!batch || !m || !n) return;
  const limit = gpu.adapter.maxBindingBytes / 4;
  const all = [a, b, out];
  for (let from = 0; from < batch; ) {
    let count = batch - from;
    while (count > 1 && all.some((t) => spanOf(t, from, count).size > limit)) count = Math.ceil(count / 2);
    const spans = all.map((t) => spanOf(t, from, count));
    const at = spans.map(({ first, start }, i) => {
      const [batch, row, col] = all[i].strides;
      return { batch, row, col, offset: start - first };
    });
    const launch = stridedMatmul(
      { batch: count, m, k, n, a: at[0], b: at[1], c: at[2], accumulate },
      gpu.caps,
    );
    gpu.launch(
      launch,
      spans.map(({ first, size }, i) => ({
        buffer: all[i].storage.buffer,
        offset: 4 * first,
        bytes: 4 * size,
      })),
    );
    from += count;
  }
}

/** Where matrices [from, from + count) of a batch lie, in elements; a binding begins at `first`. */
function spanOf(
  { shape, strides, offset }: Tensor,
  from: number,
  count: number,
): { first: number; start: number; size: number } {
  const start = offset + from * strides[0];
  const first = Math.floor(start / ALIGN) * ALIGN;
  const reach = start + (count - 1) * strides[0] + (shape[1] - 1) * strides[1] + (shape[2] - 1) * strides[2];
  return { first, start, size: reach + 1 - first };
}

/** Matrix product. See `Tensor.matmul`. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  if (!isTensor(b))
    throw new Error(
      `matmul: a tensor is needed, not ${Array.isArray(b) ? 'a list: model.tensor([...]) makes a tensor of it' : shownValue(b)}`,
    );
  const refuse = (): never => {
    throw new Error(
      `matmul: ${showShape(a.shape)} · ${showShape(b.shape)}: [..., m, k] · [..., k, n] is needed, or a vector [k]`,
    );
  };
  const vectors = [a, b].map((t) => t.shape.length === 1);
  if (!a.shape.length || !b.shape.length) refuse();
  // Of packed rows the first axis is no axis of a matrix unless others follow it.
  if ([a, b].some((t, i) => vectors[i] && t.named?.packed)) refuse();
  if (vectors.some((v) => v))
    return insideOf(a, (x) => {
      const y = b.alias(x.scope);
      const [left, right] = [vectors[0] ? x.reshape([1, -1]) : x, vectors[1] ? y.reshape([-1, 1]) : y];
      const { shape } = a;
      if (left.shape.at(-1) !== right.shape.at(-2)) refuse();
      const made = matmul(left, right);
      const lead = vectors[0] ? b.shape.slice(0, -2) : shape.slice(0, -1);
      const out = made.reshape([...lead, ...(vectors[1] ? [] : b.shape.slice(-1))]);
      if (a.named?.packed && vectors[1])
        out.named = { names: a.named.names.slice(0, -1), packed: a.named.packed };
      return out;
    });
  const [m, k] = a.shape.slice(-2);
  const [kb, n] = b.shape.slice(-2);
  if (k !== kb) refuse();
  let lead: number[] = [];
  try {
    lead = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2), 'matmul');
  } catch {
    refuse();
  }
  const [x, y] = [a, b].map((t) => (t.dtype === 'f32' ? t : t.to('f32')));
  const out = ((a.scope?.open ? a : b.scope?.open ? b : a) as Tensor).empty([...lead, m, n], 'matmul');
  for (const t of [a, b]) out.storage.flag(t.storage.flags);
  out.named = namesOf(a, b, lead.length);
  multiply(x, y, out);
  const made = taped(out, [a, b], matmulBackward(x, y));
  for (const [t, of] of [
    [x, a],
    [y, b],
  ])
    if (t !== of) t.dispose();
  return made;
}

/** Rows of a matrix each, or matrices that lie anywhere; repeated batches are read where they are. */
function multiply(a: Tensor, b: Tensor, out: Tensor): void {
  const { gpu } = out;
  const [k, n] = b.shape.slice(-2);
  const m = a.shape.at(-2)!;
  if (b.shape.length === 2 && b.isDense && 4 * b.size <= gpu.adapter.maxBindingBytes) {
    const x = a.dense();
    for (const [start, rows] of rowWindows(gpu, a.size / k, Math.max(k, n)))
      gpu.launch(linear({ rows, inner: k, cols: n }, gpu.caps), [
        x.binding(start * k, rows * k),
        b.binding(),
        out.binding(start * n, rows * n),
      ]);
    if (x !== a) x.dispose();
    return;
  }
  const lead = out.shape.slice(0, -2);
  const made: Tensor[] = [];
  const batched = (t: Tensor) => {
    const dense = t.stored === 'f32' ? t : t.dense();
    if (dense !== t) made.push(dense);
    const strides = broadcastStrides(dense.shape.slice(0, -2), dense.strides.slice(0, -2), lead);
    const step = collapseLead(lead, strides);
    const [rows, cols] = t.shape.slice(-2);
    const region = {
      shape: [sizeOf(lead), rows, cols],
      strides: [step ?? 0, ...dense.strides.slice(-2)],
      offset: dense.offset,
    };
    if (step !== null) return keep(dense.view(region));
    const spread = keep(
      dense.view({
        shape: [...lead, rows, cols],
        strides: [...strides, ...dense.strides.slice(-2)],
        offset: dense.offset,
      }),
    );
    return keep(keep(spread.copy()).reshape(region.shape));
  };
  const keep = (t: Tensor) => {
    t.node = null;
    made.push(t);
    return t;
  };
  const c = keep(out.view({ shape: [sizeOf(lead), m, n], strides: [m * n, n, 1], offset: out.offset }));
  multiplyInto(batched(a), batched(b), c);
  for (const t of made) t.dispose();
}

function namesOf(a: Tensor, b: Tensor, lead: number) {
  if (!a.named && !b.named) return null;
  const names: AxisName[] = Array.from({ length: lead + 2 }, (_, i) => {
    if (i === lead + 1) return b.named?.names.at(-1) ?? null;
    const of = (t: Tensor) => t.named?.names[i - lead - 2 + t.shape.length] ?? null;
    return of(a) ?? (i < lead ? of(b) : null);
  });
  const packed: Packed | null =
    (a.shape.length === lead + 2 && a.named?.packed) ||
    (b.shape.length === lead + 2 && b.named?.packed) ||
    null;
  return packed ? { names, packed } : axesOf(names);
}

// ---- einsum ------------------------------------------------------------------------------------------------------

/** See `Tensor.einsum`. */
export function einsum(pattern: string, tensors: readonly Tensor[]): Tensor {
  tensors.forEach((t) => {
    if (!isTensor(t)) throw new Error(`einsum: after the pattern come tensors, not ${shownValue(t)}`);
  });
  const ranks = tensors.map(({ named, shape }) => shape.length + (named?.packed?.axes.length ?? 0));
  const parsed = parseEinsum(pattern, ranks);
  const at = tensors.findIndex((t) => t.named?.packed);
  if (at >= 0) return einsumRows(parsed, tensors, at);
  return contract(parsed, tensors);
}

/** Packed rows: each by itself, without the index of the batch; summed up where the result has none. */
function einsumRows({ inputs, output }: Einsum, tensors: readonly Tensor[], at: number): Tensor {
  const { packed } = tensors[at].named!;
  const batch = inputs[at][0];
  if (output.includes(batch) && output[0] !== batch)
    throw new Error(
      `einsum: rows differ in length: "${batch}", which counts them, must come first in the result`,
    );
  const rest = output.filter((i) => i !== batch);
  const whole = inputs.map((names) => names.filter((i) => i !== batch));
  const scope = new Scope();
  const own = tensors.map((t) => t.alias(scope));
  const row = (i: number) => (t: Tensor, j: number) =>
    t.named?.packed
      ? rowAt(t, i, packed!)
      : inputs[j].includes(batch)
        ? t.window(inputs[j].map((n) => (n === batch ? (t.shape[inputs[j].indexOf(n)] === 1 ? 0 : i) : null)))
        : t;
  const each = (i: number) => contract({ inputs: whole, output: rest }, own.map(row(i)), true);
  const rows = allRows(tensors[at]);
  try {
    if (output[0] === batch) return perRow(tensors[at], rows, (_, i) => each(i), 'einsum');
    return insideOf(tensors[at], () => rows.map(each).reduce((sum, part) => sum.add(part)));
  } finally {
    scope.close();
  }
}

function rowAt(t: Tensor, i: number, like: Packed): Tensor {
  const { rows } = t.named!.packed!;
  if (rows.length !== like.rows.length)
    throw new Error(`einsum: ${rows.length} rows beside ${like.rows.length}`);
  return rowOf(t, i);
}

/** One tensor with its indices. */
interface Term {
  readonly t: Tensor;
  readonly at: readonly string[];
}

/** Products of two at a time, from the left; what nobody needs any more is summed up on the way. */
function contract({ inputs, output }: Einsum, tensors: readonly Tensor[], rows = false): Tensor {
  const lengths = new Map<string, number>();
  const names = new Map<string, AxisName>();
  inputs.forEach((at, j) => {
    if (at.length !== tensors[j].shape.length)
      throw new Error(`einsum: ${at.length} indices for a tensor ${showShape(tensors[j].shape)}`);
    at.forEach((index, axis) => {
      const n = tensors[j].shape[axis];
      const before = lengths.get(index) ?? 1;
      if (n !== before && n !== 1 && before !== 1)
        throw new Error(`einsum: "${index}" is ${before} long in one tensor and ${n} in another`);
      lengths.set(index, Math.max(n, before));
      names.set(index, names.get(index) ?? tensors[j].named?.names[axis] ?? null);
    });
  });
  const first = tensors.find((t) => t.scope?.open) ?? tensors[0];
  return insideOf(first, (x) => {
    let terms: Term[] = inputs.map((at, j) => diagonalTerm(tensors[j].alias(x.scope).renamed(null), at));
    while (terms.length > 1) {
      const [a, b, ...rest] = terms;
      const needed = new Set([...output, ...rest.flatMap(({ at }) => at)]);
      terms = [pairProduct(a, b, needed), ...rest];
    }
    const summed = without(terms[0], new Set(output));
    const order = output.map((i) => summed.at.indexOf(i));
    const moved = summed.t.transpose(order);
    const shape = output.map((i) => lengths.get(i)!);
    const out = (sameShape(moved.shape, shape) ? moved : moved.expand(shape)).copy();
    out.named = axesOf(namesOfResult(output, names, rows));
    return out;
  });
}

/** An index twice in one tensor: its diagonal. */
function diagonalTerm(t: Tensor, at: readonly string[]): Term {
  const distinct = [...new Set(at)];
  if (distinct.length === at.length) return { t, at };
  const dense = t.dense();
  const region = (strides: readonly number[], offset: number) => ({
    shape: distinct.map((i) => Math.max(...at.flatMap((x, axis) => (x === i ? [t.shape[axis]] : [])))),
    strides: distinct.map((i) => at.reduce((s, x, axis) => (x === i ? s + strides[axis] : s), 0)),
    offset,
  });
  distinct.forEach((i) => {
    const all = new Set(at.flatMap((x, axis) => (x === i ? [t.shape[axis]] : [])));
    if (all.size > 1)
      throw new Error(`einsum: "${i}" stands for axes of ${[...all].join(' and ')} in one tensor`);
  });
  const view = dense.view(region(dense.strides, dense.offset));
  return { t: taped(view.copy(), [t], regionBackward(t.shape, region(dense.strides, 0))), at: distinct };
}

/** Summed over the indices that nobody needs. */
function without({ t, at }: Term, needed: ReadonlySet<string>): Term {
  const gone = at.flatMap((i, axis) => (needed.has(i) ? [] : [axis]));
  if (!gone.length) return { t, at };
  return { t: t.sum(gone), at: at.filter((i) => needed.has(i)) };
}

/** The product of two as products of matrices: [both and needed, only in a, both and summed] · [both, summed, only in b]. */
function pairProduct(left: Term, right: Term, needed: ReadonlySet<string>): Term {
  const a = without(left, new Set([...needed, ...right.at]));
  const b = without(right, new Set([...needed, ...left.at]));
  const [inA, inB] = [new Set(a.at), new Set(b.at)];
  const length = ({ t, at }: Term, i: string) => (at.includes(i) ? t.shape[at.indexOf(i)] : 1);
  const both = a.at.filter((i) => inB.has(i));
  const summed = both.filter((i) => !needed.has(i));
  // Where one side is of length 1 and the other is not, the sum is over the other alone.
  const [lone, inner] = [
    summed.filter((i) => length(a, i) !== length(b, i)),
    summed.filter((i) => length(a, i) === length(b, i)),
  ];
  if (lone.length) {
    const one = (term: Term): Term => {
      const axes = lone.map((i) => term.at.indexOf(i));
      return { t: term.t.sum(axes), at: term.at.filter((i) => !lone.includes(i)) };
    };
    return pairProduct(one(a), one(b), needed);
  }
  const batch = both.filter((i) => needed.has(i));
  const rows = a.at.filter((i) => !inB.has(i));
  const cols = b.at.filter((i) => !inA.has(i));
  const arrange = ({ t, at }: Term, groups: readonly (readonly string[])[]) => {
    const moved = t.transpose(groups.flat().map((i) => at.indexOf(i)));
    const sizes = groups.map((g) => g.map((i) => t.shape[at.indexOf(i)]));
    return moved.reshape([...sizes[0], sizeOf(sizes[1]), sizeOf(sizes[2])]);
  };
  const product = matmul(arrange(a, [batch, rows, inner]), arrange(b, [batch, inner, cols]));
  const lead = batch.map((i) => Math.max(length(a, i), length(b, i)));
  const shape = [...lead, ...rows.map((i) => length(a, i)), ...cols.map((i) => length(b, i))];
  return { t: product.reshape(shape), at: [...batch, ...rows, ...cols] };
}
