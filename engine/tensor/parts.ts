/** Parts of tensors by name and by position, also where rows of unequal length are packed. */

import { Scope } from '../gpu/storage.js';
import { type Axes, checkNames, listAxes, type NamedIndex, positional, showNamed } from '../shape/axes.js';
import {
  broadcastShape,
  type Index,
  type Region,
  resolveIndex,
  sameShape,
  showShape,
  stridesOf,
} from '../shape/shape.js';
import { concatAt } from './along.js';
import { fillPart, writePart } from './launches.js';
import { copyOf, perRow, rowNumbers, rowOf, rowRegion } from './rows.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { partsBackward } from './tensor-backward.js';

/** A part of a tensor: by position, one entry an axis, or by name. */
export type AnyIndex = Index | NamedIndex;

const isNamed = (index: AnyIndex): index is NamedIndex => !Array.isArray(index);

/** @throws what is wrong with something given for a part. */
function checkIndex(index: unknown, what: string): asserts index is AnyIndex {
  if (Array.isArray(index) || (typeof index === 'object' && index !== null && !ArrayBuffer.isView(index)))
    return;
  const shown = typeof index === 'number' ? index : 'of';
  throw new Error(
    `${what}(${typeof index === 'number' ? shown : typeof index}): a list with an entry for each axis, ${what}([0, -1]), or names, ${what}({ pos: -1 }), are needed`,
  );
}

/** A part by position of what may be packed. @throws when its meaning depends on the rows. */
function checkPositions(t: Tensor, index: Index, what: string): void {
  if (t.named?.packed && index.some((i) => i !== null && i !== undefined))
    throw new Error(
      `${what} on ${t.label}: its rows differ in length, so that positions would mean other axes than with equal rows. Name them: ${what}(${showNamed(t.named, index)}). The axes are ${listAxes(t.named)}`,
    );
}

/** A part that lies within every row: along axes that the rows do not share out. */
function withinRows(index: NamedIndex, { names, packed }: Axes): Index | null {
  const across = ['batch', ...packed!.axes].some((name) => (index[name] ?? null) !== null);
  return across ? null : names.map((n) => (n === null ? null : (index[n] ?? null)));
}

/** A copy of a part. See `Tensor.slice`. */
export function slicePart(t: Tensor, index: AnyIndex, what = 'slice'): Tensor {
  checkIndex(index, what);
  if (!isNamed(index)) {
    checkPositions(t, index, what);
    return copyOf(t, (own) => own.window(index, `${what} on ${t.label}`));
  }
  checkNames(Object.keys(index), t.named, `${what} on ${t.label}`);
  const within = t.named!.packed
    ? withinRows(index, t.named!)
    : positional(index, t.named, `${what} on ${t.label}`);
  if (within) return copyOf(t, (own) => own.window(within, `${what} on ${t.label}`));
  const { batch = null, ...rest } = index;
  const rows = rowNumbers(t.named!.packed!, batch, what);
  const one = (row: Tensor) => row.window(positional(rest, row.named, `${what} on ${t.label}`));
  if (typeof batch === 'number') return copyOf(t, (own) => one(rowOf(own, rows[0])));
  return perRow(t, rows, one, what);
}

/** A copy of the entries of lists of indices, axis by axis. See `Tensor.take`. */
export function takePart(t: Tensor, lists: { readonly [axis: string]: readonly number[] }): Tensor {
  const what = `take on ${t.label}`;
  const entries = Object.entries(lists ?? {});
  for (const [name, list] of entries)
    if (!Array.isArray(list) || !list.length)
      throw new Error(
        `${what}: ${name}: a list of at least one index is needed, as in take({ head: [0, 5] })`,
      );
  if (!entries.length) throw new Error(`${what}: name an axis, as in take({ head: [0, 5] })`);
  checkNames(Object.keys(lists), t.named, what);
  const { packed } = t.named!;
  const { batch = null, ...rest } = lists;
  const across = packed && ['batch', ...packed.axes].some((name) => lists[name]);
  if (!across) return copyOf(t, (own) => chosen(own, lists, what));
  const rows = batch ? batch.map((i) => rowNumbers(packed, i, what)[0]) : packed.rows.map((_, i) => i);
  return perRow(t, rows, (row) => (Object.keys(rest).length ? chosen(row, rest, what) : row), what);
}

/** Entries of an ordinary tensor, in its scope. */
function chosen(t: Tensor, lists: { readonly [axis: string]: readonly number[] }, what: string): Tensor {
  let out = t;
  for (const [name, list] of Object.entries(lists)) {
    const axis = t.named!.names.indexOf(name);
    const n = out.shape[axis];
    const at = list.map((i) => {
      const k = i < 0 ? i + n : i;
      if (!Number.isInteger(k) || k < 0 || k >= n)
        throw new Error(`${what}: index ${i} on axis ${name}, which has length ${n}`);
      return k;
    });
    const parts: Tensor[] = [];
    for (let i = 0; i < at.length; ) {
      let end = i + 1;
      while (end < at.length && at[end] === at[end - 1] + 1) end++;
      parts.push(out.window([...out.shape.slice(0, axis).map(() => null), [at[i], at[i] + end - i]]));
      i = end;
    }
    out = parts.length === 1 ? parts[0] : concatAt(parts, axis);
  }
  return out;
}

/** A copy with a part replaced. See `Tensor.set`. */
export function setPart(t: Tensor, index: AnyIndex, value: Tensor | number): Tensor {
  const what = `set on ${t.label}`;
  checkIndex(index, 'set');
  if (!isNamed(index)) checkPositions(t, index, 'set');
  else checkNames(Object.keys(index), t.named, what);
  if (typeof value !== 'number' && !(typeof value === 'object' && value && 'storage' in value))
    throw new Error(
      `${what}: the value must be a number or a tensor: model.tensor([...]) makes one of a list`,
    );
  const within = !isNamed(index)
    ? index
    : t.named!.packed
      ? withinRows(index, t.named!)
      : positional(index, t.named, what);
  if (within) {
    const part = resolveIndex(t.shape, stridesOf(t.shape), 0, within, what);
    return write(t, [{ part, value }], what);
  }
  const { batch = null, ...rest } = index as NamedIndex;
  const packed = t.named!.packed!;
  const rows = rowNumbers(packed, batch, 'set');
  const parts = rows.map((i) => rowRegion(t, packed, i, rest, what));
  if (typeof value === 'number')
    return write(
      t,
      parts.map((part) => ({ part, value })),
      what,
    );
  const own = new Scope();
  try {
    const values = valuesByRow(value.alias(own), parts, typeof batch === 'number', what);
    const out = write(
      t,
      parts.map((part, i) => ({ part, value: values[i] })),
      what,
    );
    return out;
  } finally {
    own.close();
  }
}

/** What each row of a packed tensor is given of a value: all the same, or a row of the value each. */
function valuesByRow(value: Tensor, parts: readonly Region[], one: boolean, what: string): Tensor[] {
  const { packed } = value.named ?? {};
  if (packed && !one) {
    if (packed.rows.length !== parts.length)
      throw new Error(`${what}: a value of ${packed.rows.length} rows for ${parts.length}`);
    return parts.map((_, i) => rowOf(value, i));
  }
  const rank = Math.max(...parts.map((p) => p.shape.length));
  if (one || value.shape.length <= rank) return parts.map(() => value);
  if (value.shape.length !== rank + 1 || (value.shape[0] !== 1 && value.shape[0] !== parts.length))
    throw new Error(
      `${what}: a value of shape ${showShape(value.shape)} does not fit ${parts.length} rows of ${parts
        .slice(0, 3)
        .map((p) => showShape(p.shape))
        .join(', ')}${parts.length > 3 ? ', …' : ''}`,
    );
  return parts.map((_, i) => value.window([value.shape[0] === 1 ? 0 : i]));
}

/** A copy with parts replaced, each by a number or what broadcasts to its shape. */
function write(t: Tensor, parts: readonly { part: Region; value: Tensor | number }[], what: string): Tensor {
  for (const { part, value } of parts)
    if (typeof value !== 'number' && !fits(value.shape, part.shape, what))
      throw new Error(
        `${what}: a value of shape ${showShape(value.shape)} does not fit the part ${showShape(part.shape)}`,
      );
  const out = t.copy();
  out.node = null;
  out.storage.guarded = null; // what is put in may be infinite
  for (const { part, value } of parts)
    if (typeof value === 'number') fillPart(out, part, value);
    else writePart(out, part, value);
  const values = parts.flatMap(({ value }) => (typeof value === 'number' ? [] : [value]));
  return taped(
    out,
    [t, ...values],
    partsBackward(parts.map(({ part, value }) => [part, typeof value === 'number' ? null : value.shape])),
  );
}

const fits = (value: readonly number[], part: readonly number[], what: string): boolean =>
  value.length <= part.length && sameShape(broadcastShape(part, value, what), part);
