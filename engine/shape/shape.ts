/** Shapes, strides and indices of row-major arrays: pure arithmetic, no GPU. */

import { shownValue } from '../../weights/checks/kinds.js';

/**
 * `null` = all of an axis, a number (negative counts from the end) drops it, two numbers are always `[start,
 * end)`.
 */
export type Part = null | number | readonly [start: number, end: number];

/** A part by position: one entry an axis; axes at the end may be left out. */
export type Index = readonly Part[];

/** Number of elements. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Row-major strides, in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let n = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = n;
    n *= shape[i];
  }
  return strides;
}

/** True when the elements lie one after another in row-major order (axes of length 1 do not matter). */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let n = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== n) return false;
    n *= shape[i];
  }
  return true;
}

/** True for shapes of the same lengths. */
export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

/** `[2, 15, 768]`, as errors print it. */
export const showShape = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/** An axis number counted from either end. */
export function axisOf(axis: number, rank: number, what: string): number {
  const a = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || a < 0 || a >= rank)
    throw new Error(
      `${what}: axis ${axis} of a tensor with ${rank} axes (0–${rank - 1}, or -1 for the last)`,
    );
  return a;
}

/** The common shape of two operands under NumPy's broadcasting rules. */
export function broadcastShape(a: readonly number[], b: readonly number[], what: string): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1)
      throw new Error(
        `${what}: shapes ${showShape(a)} and ${showShape(b)} do not go together (axis ${i}: ${x} and ${y})`,
      );
    return x === 1 ? y : x;
  });
}

/** Strides that read a tensor as if it had been expanded to `target`. */
export function broadcastStrides(
  shape: readonly number[],
  strides: readonly number[],
  target: readonly number[],
): number[] {
  const lead = target.length - shape.length;
  return target.map((_, i) => (i < lead || shape[i - lead] === 1 ? 0 : strides[i - lead]));
}

/** The one stride with which axes are walked as one, null where there is none. */
export function collapseLead(shape: readonly number[], strides: readonly number[]): number | null {
  const long = shape.flatMap((d, i) => (d === 1 ? [] : [{ d, stride: strides[i] }]));
  const last = long.at(-1);
  if (!last) return 0;
  let n = 1;
  for (let i = long.length - 1; i >= 0; i--) {
    if (long[i].stride !== last.stride * n) return null;
    n *= long[i].d;
  }
  return last.stride;
}

/** The part of an array that an index names. */
export interface Region {
  /** Without the axes that a number dropped. */
  readonly shape: number[];
  readonly strides: number[];
  /** In elements. */
  readonly offset: number;
}

/** Resolves an index. @throws when it leaves the tensor; the message names the axis. */
export function resolveIndex(
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  index: Index,
  what: string,
): Region {
  if (index.length > shape.length)
    throw new Error(`${what}: ${index.length} indices for a tensor of shape ${showShape(shape)}`);
  const out: Region & { offset: number } = { shape: [], strides: [], offset };
  shape.forEach((n, axis) => {
    const i = index[axis] ?? null;
    const from = (k: number) => (k < 0 ? k + n : k);
    if (i === null) {
      out.shape.push(n);
      out.strides.push(strides[axis]);
    } else if (typeof i === 'number') {
      const k = from(i);
      if (!Number.isInteger(k) || k < 0 || k >= n)
        throw new Error(
          `${what}: index ${i} on axis ${axis}, which has length ${n} (0–${n - 1}, or negative from the end)`,
        );
      out.offset += k * strides[axis];
    } else {
      if (!Array.isArray(i) || i.length !== 2) throw new Error(`${what}: ${notAPart(i, axis)}`);
      const [start, end] = [from(i[0]), from(i[1])];
      if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end > n || start >= end)
        throw new Error(
          `${what}: range [${i[0]}, ${i[1]}) on axis ${axis}, which has length ${n}: start < end ≤ ${n} is needed`,
        );
      out.offset += start * strides[axis];
      out.shape.push(end - start);
      out.strides.push(strides[axis]);
    }
  });
  return out;
}

/** Where element i of a row-major array is, for messages: `[0, 3, 17] of [1, 6, 101]`. */
export function showIndex(shape: readonly number[], i: number): string {
  const at = stridesOf(shape).map((stride, axis) => Math.floor(i / stride) % shape[axis]);
  return `${showShape(at)} of ${showShape(shape)}`;
}
/** Why something is no entry of an index. */
const notAPart = (i: unknown, axis: number): string =>
  Array.isArray(i)
    ? `${i.length} numbers on axis ${axis}: two are a range [start, end), without a step; a list of indices is for take({ head: [0, 5, 7] })`
    : `a ${typeof i} on axis ${axis}: null, a number or a range [start, end) is needed`;

/**
 * @throws when whole numbers that stand for axes or lengths do not come as one list: `reshape(3, 2)`,
 * `transpose(0, 1)`.
 */
export function checkSizes(sizes: unknown, what: string): void {
  if (!Array.isArray(sizes) || !sizes.every(Number.isInteger))
    throw new Error(
      `${what}: one list of whole numbers is needed, as in ${what}([1, 0]), not ${shownValue(sizes)}`,
    );
}
