/**
 * Numbers as users hold them (lists, typed arrays of any kind and realm, lists of lists) as the engine takes
 * them.
 */

import { isList, shownValue } from '../weights/checks/kinds.js';

/** A number, a list or typed array of numbers, or lists of such of one length. */
export type NestedNumbers = number | ArrayLike<number> | ArrayLike<bigint> | readonly NestedNumbers[];

/** A matrix as two factors, as `FactoredMatrix` is: what it multiplies out to. */
export interface FactoredNumbers {
  readonly AB: { readonly data: ArrayLike<number>; readonly shape: readonly number[] };
}
/** Whether something is a matrix as two factors. */
export const isFactored = (data: unknown): data is FactoredNumbers =>
  typeof data === 'object' && data !== null && 'AB' in data;

/** Row-major numbers, and the shape that their lists have. */
export interface ShapedNumbers {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/**
 * Numbers as f32. A Float32Array of this realm is taken as it is, everything else is copied; 64-bit integers
 * become numbers.
 * @param what names the function in messages
 * @throws on lists of different lengths, and on what is no number, saying where.
 */
export function numbersOf(data: unknown, what: string): ShapedNumbers {
  if (data instanceof Float32Array) return { values: data, shape: [data.length] };
  const shape: number[] = [];
  for (let first = data; isList(first); first = first[0]) {
    shape.push(first.length);
    if (!first.length) break;
  }
  const values = new Float32Array(shape.reduce((n, d) => n * d, 1));
  let at = 0;
  const place = (path: readonly number[]) => path.map((i) => `[${i}]`).join('') || 'it';
  const one = (x: unknown, path: readonly number[]): number => {
    if (typeof x === 'number' || typeof x === 'bigint') return Number(x);
    throw new Error(`${what}: ${place(path)} is ${shownValue(x)}: a number is needed`);
  };
  const read = (x: unknown, axis: number, path: readonly number[]): void => {
    if (axis === shape.length) {
      values[at++] = one(x, path);
      return;
    }
    if (!isList(x))
      throw new Error(`${what}: ${place(path)} is ${shownValue(x)}: a list of ${shape[axis]} is needed`);
    if (x.length !== shape[axis])
      throw new Error(
        `${what}: ${place(path)} has ${x.length} entries, ${place(path.map(() => 0))} has ${shape[axis]}: lists must be of one length`,
      );
    if (axis < shape.length - 1) for (let i = 0; i < x.length; i++) read(x[i], axis + 1, [...path, i]);
    else
      for (let i = 0; i < x.length; i++)
        values[at++] = typeof x[i] === 'number' ? (x[i] as number) : one(x[i], [...path, i]);
  };
  read(data, 0, []);
  return { values, shape };
}
