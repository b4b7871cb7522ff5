/** Numbers drawn from a seed: the same ones everywhere. */

import { RandomState } from '../../engine/random/numpy-random.js';
import { uniform } from '../../engine/random/random.js';

/** n numbers from the normal distribution at each call. */
export function normals(seed: number): (n: number) => Float64Array {
  const state = new RandomState(seed);
  return (n) => state.randn(n);
}

/**
 * Draws without replacement from 0 … size − 1 (n of them at each call; each call begins anew). @throws when n
 * > size.
 */
export function draws(seed: number): (n: number, size: number) => number[] {
  const next = uniform(seed);
  return (n, size) => {
    if (n > size) throw new Error(`${n} different numbers cannot be drawn from ${size}`);
    // Fisher and Yates, of which only the exchanged places are kept.
    const moved = new Map<number, number>();
    return Array.from({ length: n }, (_, i) => {
      const j = i + Math.floor(next() * (size - i));
      const drawn = moved.get(j) ?? j;
      moved.set(j, moved.get(i) ?? i);
      return drawn;
    });
  };
}
