/**
 * What kinds of heads are expected to attend to, as TransformerLens' head_detector has it: matrices [query, key] of zeros and ones,
 * nothing above the diagonal.
 */

import type { HostMatrix } from '../weights/linear-algebra.js';

/** A kind of head (Elhage et al. 2021; Olsson et al. 2022). */
export type HeadKind = 'previous' | 'duplicate' | 'induction';

/** All kinds, in the order of results that have an axis of them. */
export const headKinds: readonly HeadKind[] = ['previous', 'duplicate', 'induction'];

/**
 * Where a head of this kind attends in a text, [query, key]: to the token before; to earlier tokens that are the same; to those
 * that come right after such ones (which may be the query itself, where a token is said twice in a row).
 */
export function targetsOf(kind: HeadKind, tokens: readonly number[]): HostMatrix {
  const n = tokens.length;
  const same = (query: number, key: number) => key >= 0 && key < query && tokens[key] === tokens[query];
  const hit = {
    previous: (query: number, key: number) => key === query - 1,
    duplicate: same,
    induction: (query: number, key: number) => same(query, key - 1),
  }[kind];
  const data = new Float32Array(n * n);
  for (let q = 0; q < n; q++) for (let k = 0; k <= q; k++) data[q * n + k] = Number(hit(q, k));
  return { shape: [n, n], data };
}

/**
 * The same for a text that is one part said twice, told by the distances alone: tokens that occur twice within the part do not
 * matter, and only queries of the second time count (of previous-token heads all but the first).
 * @param length of the part
 * @param before tokens that come first (the beginning of text)
 */
export function repetitionTargets(kind: HeadKind, length: number, before: number): HostMatrix {
  const n = before + 2 * length;
  const data = new Float32Array(n * n);
  const [first, distance] = {
    previous: [1, 1],
    duplicate: [before + length, length],
    induction: [before + length, length - 1],
  }[kind];
  for (let q = first; q < n; q++) data[q * n + q - distance] = 1;
  return { shape: [n, n], data };
}

/** How many queries have something to attend to. */
export function countQueries({ shape: [n], data }: HostMatrix): number {
  let count = 0;
  for (let q = 0; q < n; q++) if (data.subarray(q * n, (q + 1) * n).some((x) => x > 0)) count++;
  return count;
}
