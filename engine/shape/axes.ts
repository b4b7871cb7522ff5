/**
 * The names of a tensor's axes. Activations are named where a user meets them (`batch`, `pos`, `head`,
 * `d_head` …), and operations carry the names along where they still mean something. Rows of unequal length
 * are packed one after another along the first axis in memory: it then stands for `batch` and for the axes in
 * which the rows differ.
 */

import { type Index, type Part, sameShape, showShape } from './shape.js';

/** A name, or null where an axis has none. */
export type AxisName = string | null;

/** Rows of unequal length, one after another along the first axis. */
export interface Packed {
  /** The axes that differ: `['pos']`, or `['head', 'query', 'key']` of scores and patterns. */
  readonly axes: readonly string[];
  /** Per row, where it starts along the first axis, and its lengths along `axes`. */
  readonly rows: readonly { readonly start: number; readonly lengths: readonly number[] }[];
}

/** What a tensor knows of its axes. */
export interface Axes {
  /** One an axis in memory; of a packed tensor the first is null. */
  readonly names: readonly AxisName[];
  readonly packed: Packed | null;
}

/** A part by name: `{ pos: -1, head: [2, 5] }`. Axes that are not named stay whole. */
export type NamedIndex = { readonly [axis: string]: Part | undefined };

/** Names of an ordinary tensor; null when there is none. */
export const axesOf = (names: readonly AxisName[]): Axes | null =>
  names.some((n) => n !== null) ? { names, packed: null } : null;

/** The axes as a user names them, in order. */
export const logicalAxes = ({ names, packed }: Axes): readonly AxisName[] =>
  packed ? ['batch', ...packed.axes, ...names.slice(1)] : names;

/** Names as errors list them. */
export const listAxes = (axes: Axes | null): string =>
  axes
    ? logicalAxes(axes)
        .filter((n) => n !== null)
        .join(', ')
    : 'none';

/** `{ batch: 0, pos: -1 }`, as errors print a named part. */
export function showNamed(axes: Axes, index: Index): string {
  const named = logicalAxes(axes).flatMap((name, i) => {
    const part = index[i] ?? null;
    return name === null || part === null
      ? []
      : [`${name}: ${typeof part === 'number' ? part : `[${part.join(', ')}]`}`];
  });
  return named.length ? `{ ${named.join(', ')} }` : '{ pos: -1 }';
}

/** @throws when a name is not one of the axes. */
export function checkNames(given: readonly string[], axes: Axes | null, what: string): void {
  if (!given.length && !axes)
    throw new Error(`${what}: say which part, by position in a tensor without names, as in slice([0, -1])`);
  for (const name of given) {
    if (axes && logicalAxes(axes).includes(name)) continue;
    throw new Error(
      axes
        ? `${what}: there is no axis "${name}". The axes are ${listAxes(axes)}`
        : `${what}: axis "${name}" of a tensor without names: name its axes with withAxes([...]), or give positions, as in slice([0, -1])`,
    );
  }
}

/** A part by name, by position: for tensors that are not packed. */
export function positional(index: NamedIndex, axes: Axes | null, what: string): Index {
  checkNames(Object.keys(index), axes, what);
  return axes!.names.map((name) => (name === null ? null : (index[name] ?? null)));
}

// ---- what becomes of names
// ---------------------------------------------------------------------------------------

/** Of a part that was taken by position. */
export function indexed(axes: Axes | null, index: Index): Axes | null {
  if (!axes) return null;
  const whole = index.every((i) => i === null);
  if (axes.packed && !whole && (index[0] ?? null) !== null)
    return axesOf(drop([null, ...axes.names.slice(1)], index));
  return { ...axes, names: drop(axes.names, index) };
}

const drop = (names: readonly AxisName[], index: Index): AxisName[] =>
  names.filter((_, i) => typeof index[i] !== 'number');

/**
 * Of another shape: leading and trailing axes that stay keep their names. Packed rows become one axis, as
 * equal rows do.
 */
export function reshaped(axes: Axes | null, from: readonly number[], to: readonly number[]): Axes | null {
  if (!axes || (sameShape(from, to) && !axes.packed)) return axes;
  const most = Math.min(from.length, to.length);
  let lead = 0;
  while (lead < most && from[lead] === to[lead]) lead++;
  let tail = 0;
  while (tail < most - lead && from.at(-1 - tail) === to.at(-1 - tail)) tail++;
  const names = to.map((_, i) =>
    i < lead ? axes.names[i] : i >= to.length - tail ? axes.names[i - to.length + from.length] : null,
  );
  return axesOf(names);
}

/** Of axes in another order. */
export function reordered(axes: Axes | null, order: readonly number[]): Axes | null {
  if (!axes) return null;
  const names = order.map((i) => axes.names[i]);
  return axes.packed && order[0] === 0 ? { names, packed: axes.packed } : axesOf(names);
}

/** Without an axis, or with length 1 there. */
export function reduced(axes: Axes | null, axis: number, keepDims: boolean): Axes | null {
  if (!axes || keepDims) return axes;
  const names = axes.names.filter((_, i) => i !== axis);
  return axes.packed && axis !== 0 ? { names, packed: axes.packed } : axesOf(names);
}

/** With another last axis. */
export function withLast(axes: Axes | null, name: AxisName): Axes | null {
  if (!axes) return null;
  const names = [...axes.names.slice(0, -1), name];
  return axes.packed && names.length > 1 ? { names, packed: axes.packed } : axesOf(names);
}

/** Of two that are broadcast together, each with its rank. @throws when they pack different rows. */
export function merged(
  a: { axes: Axes | null; shape: readonly number[] },
  b: { axes: Axes | null; shape: readonly number[] },
  what: string,
): Axes | null {
  if (a.axes === b.axes && a.shape.length === b.shape.length) return a.axes;
  const rank = Math.max(a.shape.length, b.shape.length);
  const [x, y] = [a, b].map(({ axes, shape }) =>
    Array.from({ length: rank }, (_, i) => axes?.names[i - rank + shape.length] ?? null),
  );
  const [p, q] = [a, b].map(({ axes, shape }) => (shape.length === rank ? (axes?.packed ?? null) : null));
  if (p && q && p !== q && !sameRows(p, q))
    throw new Error(
      `${what}: these two pack rows of other lengths (${rowLengths(p)} and ${rowLengths(q)}): take single rows, slice({ batch: 0 })`,
    );
  // An axis of length 1 takes the other's name.
  const names = x.map((n, i) => {
    if (n === null || n === y[i]) return y[i] ?? n;
    if (y[i] === null) return n;
    const one = (s: readonly number[]) => s[i - rank + s.length] === 1;
    return one(a.shape) ? y[i] : one(b.shape) ? n : null;
  });
  const packed = p ?? q;
  return packed ? { names, packed } : axesOf(names);
}

const sameRows = (p: Packed, q: Packed): boolean =>
  sameShape(
    p.rows.map((r) => r.start),
    q.rows.map((r) => r.start),
  ) && p.rows.every((r, i) => sameShape(r.lengths, q.rows[i].lengths));

const rowLengths = ({ rows }: Packed): string => showShape(rows.slice(0, 6).map((r) => r.lengths.at(-1)!));

/** Of tensors one after another along an axis in memory. */
export function joined(all: readonly (Axes | null)[], lengths: readonly number[], axis: number): Axes | null {
  const [first] = all;
  if (!first || !all.every((a) => a && sameNames(a.names, first.names))) return null;
  if (!first.packed) return all.some((a) => a!.packed) ? null : first;
  const { packed } = first;
  if (axis !== 0 && all.every((a) => a!.packed === packed)) return first;
  if (axis !== 0 || !all.every((a) => a!.packed && sameNames(a!.packed.axes, packed.axes))) return null;
  let at = 0;
  const rows = all.flatMap((a, i) => {
    const moved = a!.packed!.rows.map((r) => ({ ...r, start: r.start + at }));
    at += lengths[i];
    return moved;
  });
  return { names: first.names, packed: { ...packed, rows } };
}

const sameNames = (a: readonly AxisName[], b: readonly AxisName[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);
