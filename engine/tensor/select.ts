/** Entries picked by lists, by tensors of indices and by masks; entries put somewhere; diagonals and triangles. */

import { gatherAxis, scatterAxis } from '../../kernels/memory/gather.js';
import { triangle } from '../../kernels/pointwise/scan.js';
import { boolean, isList, shownValue } from '../../weights/checks/kinds.js';
import { check, options } from '../../weights/checks/options.js';
import { type AxisName, axesOf, checkNames, withLast } from '../shape/axes.js';
import { broadcastStrides, showShape, sizeOf, stridesOf } from '../shape/shape.js';
import { type Axis, acrossRows, allRows, axisNumber, copyOf, insideOf, perRow, rowNumbers } from './along.js';
import { where } from './elementwise.js';
import { columnParts, fillPart, launchRows, rowTooLong, withDense } from './launches.js';
import { axisKind } from './reductions.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import {
  alongAxis,
  gatherBackward,
  picking,
  regionBackward,
  scatterBackward,
  triangleBackward,
} from './tensor-backward.js';

/** Options of `scatter`. */
export interface ScatterOptions {
  /** By number or name; the last by default. */
  readonly axis?: Axis;
  /** True: added to what is there. */
  readonly add?: boolean;
}
const scatterOptions = options<ScatterOptions>({ axis: axisKind, add: boolean });

/** Whether something is a tensor, of any kind. */
export const isTensor = (x: unknown): x is Tensor =>
  typeof x === 'object' && x !== null && 'storage' in x && 'dtype' in x;

/** Whole numbers of a list as places on an axis, negative ones counted from its end. */
function placesOn(list: ArrayLike<number>, n: number, what: string, axis: AxisName | number): number[] {
  return Array.from(list, (i) => {
    const k = i < 0 ? i + n : i;
    if (!Number.isInteger(k) || k < 0 || k >= n)
      throw new Error(`${what}: index ${i} on axis ${axis}, which has length ${n}`);
    return k;
  });
}

function integers(indices: unknown, what: string): asserts indices is Tensor<'u32'> {
  if (!isTensor(indices))
    throw new Error(`${what}: ${shownValue(indices)}: a list of integers or a tensor of them is needed`);
  if ((indices.dtype as string) !== 'u32')
    throw new Error(
      `${what}: indices must be a u32 tensor or a list of integers: to('u32') makes integers of numbers`,
    );
}

// ---- lists of entries --------------------------------------------------------------------------------------------

/** The entries of a list along an axis in memory, in its order. */
export function takeAxis(t: Tensor, list: readonly number[], axis: number): Tensor {
  const indices = t.ids(list);
  const out = takeIds(t, indices, axis);
  indices.dispose();
  return out;
}

/** The same by a tensor of ids of any shape, which stands for the axis then. */
function takeIds(t: Tensor, ids: Tensor<'u32'>, axis: number): Tensor {
  const shape = [...t.shape.slice(0, axis), ...ids.shape, ...t.shape.slice(axis + 1)];
  const out = t.empty(shape, `${t.label}.take`, t.dtype);
  out.storage.guarded = t.storage.guarded;
  out.storage.flag(ids.storage.flags);
  const o = picking(t.shape, axis, ids.size, [0, 1, 0]);
  const launch = (outer: number) => gatherAxis({ ...o, outer, dtype: t.dtype }, t.gpu.caps);
  alongAxis(o, launch, [t, ids as unknown as Tensor, out], [o.n * o.inner, o.k * o.inner]);
  if (t.named) {
    const names = [...t.named.names];
    const inside = ids.shape.length === 1 ? [names[axis]] : (ids.named?.names ?? ids.shape.map(() => null));
    names.splice(axis, 1, ...inside);
    out.named = t.named.packed && axis > 0 ? { names, packed: t.named.packed } : axesOf(names);
  }
  return taped(out, [t], gatherBackward(t.shape, axis, ids, [0, 1, 0]));
}

/** See `Tensor.take`. */
export function takePart(
  t: Tensor,
  what: { readonly [axis: string]: readonly number[] } | ArrayLike<number> | Tensor<'u32'>,
  axis: Axis,
): Tensor {
  const name = `take on ${t.label}`;
  if (isTensor(what) || isList(what)) {
    if (acrossRows(t, axis)) return perRow(t, allRows(t), (row) => takePart(row, what, axis), 'take');
    const a = axisNumber(t, axis, 'take');
    if (isTensor(what)) {
      integers(what, 'take');
      return takeIds(t, what, a);
    }
    if (!what.length) throw new Error(`${name}: an empty list: at least one index is needed`);
    return takeAxis(t, placesOn(what as ArrayLike<number>, t.shape[a], name, axis), a);
  }
  const lists = (what ?? {}) as { readonly [axis: string]: readonly number[] };
  const entries = Object.entries(lists);
  for (const [key, list] of entries)
    if (!isList(list) || !list.length)
      throw new Error(
        `${name}: ${key}: a list of at least one index is needed, as in take({ head: [0, 5] })`,
      );
  if (!entries.length)
    throw new Error(`${name}: name an axis, as in take({ head: [0, 5] }), or give a list, take([0, 5], 0)`);
  checkNames(Object.keys(lists), t.named, name);
  const { packed } = t.named!;
  const { batch = null, ...rest } = lists;
  const across = packed && ['batch', ...packed.axes].some((key) => lists[key]);
  if (!across) return copyOf(t, (own) => chosen(own, lists, name));
  const rows = batch ? Array.from(batch, (i) => rowNumbers(packed, i, name)[0]) : allRows(t);
  return perRow(t, rows, (row) => (Object.keys(rest).length ? chosen(row, rest, name) : row), name);
}

function chosen(t: Tensor, lists: { readonly [axis: string]: readonly number[] }, what: string): Tensor {
  return Object.entries(lists).reduce((out, [name, list]) => {
    const axis = out.named!.names.indexOf(name);
    return takeAxis(out, placesOn(list, out.shape[axis], what, name), axis);
  }, t);
}

/** The entries where a mask is not 0, read back to know how many. See `Tensor.select`. */
export async function selectBy(t: Tensor, mask: Tensor | Tensor<'u32'>): Promise<Tensor> {
  if (!isTensor(mask))
    throw new Error(`select: a mask is needed, as x.gt(0) gives one, not ${shownValue(mask)}`);
  const lead = t.shape.slice(0, mask.shape.length);
  if (showShape(lead) !== showShape(mask.shape))
    throw new Error(
      `select: a mask ${showShape(mask.shape)} for ${showShape(t.shape)}: the first axes must agree`,
    );
  const data = await mask.data();
  const places: number[] = [];
  data.forEach((on: number, i: number) => {
    if (on !== 0) places.push(i);
  });
  if (!places.length)
    throw new Error('select: the mask is 0 everywhere: nothing is left, and there are no empty tensors');
  return insideOf(t, (x) =>
    takeAxis(x.renamed(null).reshape([sizeOf(lead), ...t.shape.slice(lead.length)]), places, 0),
  );
}

// ---- an index each -----------------------------------------------------------------------------------------------

/** See `Tensor.gather`. */
export function gatherAlong(t: Tensor, indices: ArrayLike<number> | Tensor<'u32'>, axis: Axis): Tensor {
  if (!isTensor(indices)) {
    if (!isList(indices)) integers(indices, 'gather');
    const a = axisNumber(t, axis, 'gather');
    for (const i of Array.from(indices as ArrayLike<number>))
      if (!Number.isInteger(i) || i < 0 || i >= t.shape[a])
        throw new Error(`gather: index ${i} on an axis of length ${t.shape[a]}`);
    const out = takeAxis(t, Array.from(indices as ArrayLike<number>), a);
    if (a === t.shape.length - 1) out.named = withLast(t.named, null);
    return out;
  }
  integers(indices, 'gather');
  const a = axisNumber(t, axis, 'gather');
  if (a === t.shape.length - 1 && rowTooLong(t.gpu, t.shape[a])) return gatherFromParts(t, indices as never);
  const flagsOfIds = (indices as unknown as Tensor).storage.flags;
  const { o, dense } = indexed(t, indices, a, 'gather');
  const out = t.empty(
    t.shape.map((d, i) => (i === a ? o.k : d)),
    `${t.label}.gather`,
    t.dtype,
  );
  out.storage.flag(flagsOfIds);
  const launch = (outer: number) => gatherAxis({ ...o, outer, dtype: t.dtype }, t.gpu.caps);
  alongAxis(o, launch, [t, dense as unknown as Tensor, out], [o.n * o.inner, o.k * o.inner]);
  out.named = a === t.shape.length - 1 ? withLast(t.named, null) : t.named;
  taped(out, [t], gatherBackward(t.shape, a, dense));
  if (dense !== indices) dense.dispose();
  return out;
}

/** From rows that no binding takes: from each part what lies in it. */
function gatherFromParts(t: Tensor, indices: Tensor<'u32'>): Tensor {
  return insideOf(t, (x) => {
    const lead = x.shape.slice(0, -1).map(() => null);
    const ids = indices.alias(x.scope);
    let out: Tensor | null = null;
    for (const [from, to] of columnParts(x.gpu, 1, x.shape.at(-1)!)) {
      const part = x.window([...lead, [from, to]]).copy();
      const found = part.gather(
        ids
          .sub(from)
          .clamp(0, to - from - 1)
          .to('u32'),
      );
      out = out ? where(ids.ge(from), found, out) : found;
    }
    out!.named = withLast(t.named, null);
    return out!;
  });
}

/** Indices of the shape of t but along the axis, dense; axes of length 1 are repeated. */
function indexed(t: Tensor, indices: Tensor<'u32'>, axis: number, what: string) {
  const k = indices.shape[axis];
  const shape = t.shape.map((d, i) => (i === axis ? k : d));
  const fits =
    indices.shape.length === shape.length && indices.shape.every((d, i) => d === shape[i] || d === 1);
  if (!fits)
    throw new Error(
      `${what}: indices ${showShape(indices.shape)} for a tensor ${showShape(t.shape)}: the other axes must agree`,
    );
  const same = indices.shape.every((d, i) => d === shape[i]);
  const dense = same && indices.isDense ? indices : copyOfIds(indices, shape);
  return { o: picking(t.shape, axis, k), dense };
}

function copyOfIds(indices: Tensor<'u32'>, shape: readonly number[]): Tensor<'u32'> {
  const strides = broadcastStrides(indices.shape, indices.strides, shape);
  const view = indices.view({ shape: [...shape], strides, offset: indices.offset });
  const out = view.copy();
  view.dispose();
  return out;
}

/** See `Tensor.scatter`. */
export function scatterAlong(
  t: Tensor,
  indices: ArrayLike<number> | Tensor<'u32'>,
  source: Tensor | number,
  given: ScatterOptions,
): Tensor {
  check('scatter', scatterOptions, given);
  const { axis = -1, add = false } = given;
  const a = axisNumber(t, axis, 'scatter');
  return insideOf(t, (x) => {
    let ids: Tensor<'u32'>;
    if (isTensor(indices)) {
      integers(indices, 'scatter');
      ids = indices;
    } else {
      if (!isList(indices)) integers(indices, 'scatter');
      const list = x.ids(placesOn(indices as ArrayLike<number>, t.shape[a], 'scatter', axis));
      ids = list.reshape(t.shape.map((_, i) => (i === a ? list.size : 1)));
    }
    const { o, dense } = indexed(x, ids, a, 'scatter');
    const shape = t.shape.map((d, i) => (i === a ? o.k : d));
    const from = typeof source === 'number' ? x.empty([], 'source', t.dtype) : source;
    if (typeof source === 'number') fillPart(from, { shape: [], strides: [], offset: 0 }, source);
    if (!isTensor(from)) throw new Error(`scatter: ${shownValue(source)}: a tensor or a number is needed`);
    const placed = from.alias(x.scope).renamed(null);
    const lead = shape.length - placed.shape.length;
    if (lead < 0) throw new Error(`scatter: a source ${showShape(from.shape)} for ${showShape(shape)}`);
    const spread = placed.reshape([...Array<number>(lead).fill(1), ...placed.shape]).expand(shape);
    const out = x.copy();
    out.node = null;
    out.storage.guarded = null;
    for (const given of [ids, from]) out.storage.flag(given.storage.flags);
    const launch = (outer: number) => scatterAxis({ ...o, outer, add, dtype: t.dtype }, t.gpu.caps);
    alongAxis(o, launch, [spread, dense as unknown as Tensor, out], [o.k * o.inner, o.n * o.inner]);
    return taped(out, [x, spread], scatterBackward(o, shape, dense, add));
  });
}

// ---- matrices ----------------------------------------------------------------------------------------------------

/** See `Tensor.diagonal`. */
export function diagonalOf(t: Tensor, offset: number): Tensor {
  const [rows, cols] = matrixOf(t, offset, 'diagonal');
  const length = Math.min(rows + Math.min(offset, 0), cols - Math.max(offset, 0));
  if (length < 1) throw new Error(`diagonal: there is none at ${offset} of ${showShape(t.shape)}`);
  const lead = t.shape.slice(0, -2);
  const region = (strides: readonly number[], first: number) => ({
    shape: [...lead, length],
    strides: [...strides.slice(0, -2), strides.at(-2)! + strides.at(-1)!],
    offset: first + (offset < 0 ? -offset * strides.at(-2)! : offset * strides.at(-1)!),
  });
  return insideOf(t, (x) => {
    const out = x.view(region(x.strides, x.offset)).copy();
    out.named = x.named && withLast({ ...x.named, names: x.named.names.slice(0, -1) }, null);
    return taped(out, [x], regionBackward(t.shape, region(stridesOf(t.shape), 0)));
  });
}

/** See `Tensor.tril` and `Tensor.triu`. */
export function triangleOf(t: Tensor, offset: number, upper: boolean): Tensor {
  const what = upper ? 'triu' : 'tril';
  const [rows, cols] = matrixOf(t, offset, what);
  const out = t.empty(t.shape, `${t.label}.${what}`);
  out.named = t.named;
  const launch = (batch: number) => triangle({ batch, rows, cols, offset, upper }, t.gpu.caps);
  withDense([t], ([x]) => launchRows(t.size / rows / cols, [x, out], [rows * cols, rows * cols], launch));
  return taped(out, [t], triangleBackward(rows, cols, offset, upper));
}

function matrixOf(t: Tensor, offset: number, what: string): [rows: number, cols: number] {
  if (!Number.isInteger(offset))
    throw new Error(`${what}: an offset of ${shownValue(offset)}: a whole number is needed`);
  const within = t.named?.packed ? t.shape.length - 1 : t.shape.length;
  if (within < 2)
    throw new Error(
      `${what}: ${showShape(t.shape)} has no two last axes${t.named?.packed ? ' within its rows: take one row, slice({ batch: 0 })' : ''}`,
    );
  return t.shape.slice(-2) as [number, number];
}
