/**
 * What kinds of heads are expected to attend to, as TransformerLens' head_detector has it: matrices [query, key] of zeros and ones,
 * nothing above the diagonal.
 */

import type { HostMatrix } from '../weights/linear-algebra.js';

/** A kind of head (Elhage et al. 2021; Olsson et al. 2022). */
export type HeadKind = 'previous' | 'duplicate' | 'induction';

/** All kinds, in the order of results that have an axis of them. */
export const headKinds: readonly HeadKind[] = ['previous', 'duplicate', 'induction'];

/** Whether a head attends from a query to a key. */
export type Hit = (query: number, key: number) => boolean;

/** Where a head should attend in a text of `n` tokens. */
export interface Targets {
  readonly n: number;
  readonly hit: Hit;
}

/**
 * Where a head of this kind attends in a text: to the token before; to earlier tokens that are the same; to those that come right after
 * such ones (which may be the query itself, where a token is said twice in a row).
 */
export function hitsOf(kind: HeadKind, tokens: readonly number[]): Targets {
  const same: Hit = (query, key) => key >= 0 && key < query && tokens[key] === tokens[query];
  const hit: Hit = {
    previous: (query: number, key: number) => key === query - 1,
    duplicate: same,
    induction: (query: number, key: number) => same(query, key - 1),
  }[kind];
  return { n: tokens.length, hit };
}

/**
 * The same for a text that is one part said twice, told by the distances alone: tokens that occur twice within the part do not
 * matter, and only queries of the second time count (of previous-token heads all but the first).
 * @param length of the part
 * @param before tokens that come first (the beginning of text)
 */
export function repetitionHits(kind: HeadKind, length: number, before: number): Targets {
  const [first, distance] = {
    previous: [1, 1],
    duplicate: [before + length, length],
    induction: [before + length, length - 1],
  }[kind];
  return { n: before + 2 * length, hit: (query, key) => query >= first && key === query - distance };
}

/** Rows [from, until) of the targets as a matrix [query, key], with keys up to `until`; `value` where a head should attend. */
export function targetRows({ hit }: Targets, from: number, until: number, value = 1): Float32Array {
  const data = new Float32Array((until - from) * until);
  for (let q = from; q < until; q++)
    for (let k = 0; k <= q; k++) if (hit(q, k)) data[(q - from) * until + k] = value;
  return data;
}

/** All of them, [query, key]. */
export const targetsOf = (kind: HeadKind, tokens: readonly number[]): HostMatrix =>
  matrixOf(hitsOf(kind, tokens));
/** All of them, of a part said twice. */
export const repetitionTargets = (kind: HeadKind, length: number, before: number): HostMatrix =>
  matrixOf(repetitionHits(kind, length, before));

const matrixOf = (targets: Targets): HostMatrix => ({
  shape: [targets.n, targets.n],
  data: targetRows(targets, 0, targets.n),
});

/** How many queries have something to attend to. */
export function countQueries({ n, hit }: Targets): number {
  let count = 0;
  for (let q = 0; q < n; q++)
    for (let k = 0; k <= q; k++)
      if (hit(q, k)) {
        count++;
        break;
      }
  return count;
}
