/** Numbers that tensors begin with: ranges, identities, random ones. */

import { RandomState } from './numpy-random.js';

const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** start, start + step, … on this side of end. @throws when there are none. */
export function arangeOf(start: number, end: number, step: number): Float32Array {
  const n = Math.ceil((end - start) / step);
  if (!(n > 0 && Number.isFinite(n)))
    throw new Error(`arange: from ${start} to ${end} by ${step}: there is no such number`);
  return Float32Array.from({ length: n }, (_, i) => start + i * step);
}

/** The identity, row-major. */
export function eyeOf(rows: number, cols: number): Float32Array {
  const out = new Float32Array(Math.max(0, rows * cols) || 0);
  for (let i = 0; i < Math.min(rows, cols); i++) out[i * cols + i] = 1;
  return out;
}

/** NumPy's `RandomState(seed).randn(...shape)`. */
export const normalOf = (shape: readonly number[], seed: number): Float32Array =>
  Float32Array.from(new RandomState(seed).randn(sizeOf(shape)));

/** NumPy's `RandomState(seed).uniform(low, high, shape)`. */
export const uniformOf = (shape: readonly number[], seed: number, low: number, high: number): Float32Array =>
  Float32Array.from(new RandomState(seed).uniform(low, high, sizeOf(shape)));
