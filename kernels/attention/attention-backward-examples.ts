/**
 * Float64 references of the gradients of attention over the packed layout, and the checks of their kernels.
 */

import { type Caps, type Example, type Family, noise } from '../core/kernel.js';
import { otherKinds } from '../core/wgsl.js';
import { attentionLayout, type HeadsAt } from './attention.js';
import {
  keyGradient,
  patternGradient,
  queryGradient,
  scoresGradient,
  valueGradient,
} from './attention-backward.js';
import {
  type AttentionInput,
  batches,
  keyOrValue,
  patternReference,
  type Sight,
  sees,
  sightExamples,
  sightTitle,
} from './attention-examples.js';
import { fusedKeyGradient, fusedQueryGradient } from './attention-fused-backward.js';

/** Calls f for every query and key of every row: `at` in packed scores, `visible`: the query sees it. */
function forPairs(
  o: AttentionInput,
  f: (p: { row: number; head: number; query: number; key: number; at: number; visible: boolean }) => void,
): void {
  let at = 0;
  o.rows.forEach(({ length, prefixSlots }, row) => {
    const before = prefixSlots.length;
    for (let head = 0; head < o.heads; head++)
      for (let query = 0; query < length; query++)
        for (let key = 0; key < before + length; key++, at++)
          f({ row, head, query, key, at, visible: sees(o, before, query, key) });
  });
}

/** Numbers a token of keys and of values, and where those that serve a head begin. */
const keysOf = ({ heads, kvHeads = heads, dHead }: AttentionInput) => ({
  kvWidth: kvHeads * dHead,
  at: (head: number) => Math.floor((head * kvHeads) / heads) * dHead,
});

/**
 * Gradients of z = P · v for any packed P: dP, packed, and dV [tokens, kvHeads · dHead] of the rows' own
 * values.
 */
export function valuesBackwardReference(
  o: AttentionInput,
  pattern: ArrayLike<number>,
  dz: ArrayLike<number>,
): { dp: Float64Array; dv: Float64Array } {
  const width = o.heads * o.dHead;
  const { kvWidth, at: kvAt } = keysOf(o);
  const dp = new Float64Array(pattern.length);
  const dv = new Float64Array((dz.length / width) * kvWidth);
  const values = o.rows.map((row) => keyOrValue(o, row, 1));
  forPairs(o, ({ row, head, query, key, at }) => {
    const { start, prefixSlots } = o.rows[row];
    const own = key - prefixSlots.length;
    for (let d = 0; d < o.dHead; d++) {
      const g = dz[(start + query) * width + head * o.dHead + d];
      dp[at] += g * values[row](head, key, d);
      if (own >= 0) dv[(start + own) * kvWidth + kvAt(head) + d] += g * pattern[at];
    }
  });
  return { dp, dv };
}

/** Gradient of P = softmax(S) over what each query sees: packed, 0 above the diagonal. */
export function scoresBackwardReference(
  o: AttentionInput,
  pattern: ArrayLike<number>,
  dp: ArrayLike<number>,
): Float64Array {
  const means = new Map<string, number>();
  const line = (p: { row: number; head: number; query: number }) => `${p.row} ${p.head} ${p.query}`;
  forPairs(o, (p) => {
    if (p.visible) means.set(line(p), (means.get(line(p)) ?? 0) + pattern[p.at] * dp[p.at]);
  });
  const ds = new Float64Array(pattern.length);
  forPairs(o, (p) => {
    if (p.visible) ds[p.at] = pattern[p.at] * (dp[p.at] - means.get(line(p))!);
  });
  return ds;
}

/**
 * Gradients of S = q · k · scale for any packed dS: dQ [tokens, heads · dHead], the rows' own dK [tokens,
 * kvHeads · dHead].
 */
export function productsBackwardReference(
  o: AttentionInput,
  ds: ArrayLike<number>,
): { dq: Float64Array; dk: Float64Array } {
  const width = o.heads * o.dHead;
  const tokens = o.rows.reduce((n, r) => Math.max(n, r.start + r.length), 0);
  const { kvWidth, at: kvAt } = keysOf(o);
  const [dq, dk] = [new Float64Array(tokens * width), new Float64Array(tokens * kvWidth)];
  const keys = o.rows.map((row) => keyOrValue(o, row, 0));
  forPairs(o, ({ row, head, query, key, at, visible }) => {
    if (!visible) return;
    const { start, prefixSlots } = o.rows[row];
    const own = key - prefixSlots.length;
    const token = start + query;
    for (let d = 0; d < o.dHead; d++) {
      const column = head * o.dHead + d;
      dq[token * width + column] += o.scale * ds[at] * keys[row](head, key, d);
      if (own >= 0)
        dk[(start + own) * kvWidth + kvAt(head) + d] +=
          o.scale * ds[at] * o.q.data[o.q.offset + token * o.q.stride + column];
    }
  });
  return { dq, dk };
}

/** What the fused kernels keep of each query and head: [tokens, heads, 4], (top, 1 / sum, D, 0). */
function statsReference(o: AttentionInput, scores: ArrayLike<number>, dp: ArrayLike<number>): Float64Array {
  const tokens = o.rows.reduce((n, r) => Math.max(n, r.start + r.length), 0);
  const stats = new Float64Array(tokens * o.heads * 4);
  const place = (p: { row: number; head: number; query: number }) =>
    4 * ((o.rows[p.row].start + p.query) * o.heads + p.head);
  for (let i = 0; i < stats.length; i += 4) stats[i] = Number.NEGATIVE_INFINITY;
  forPairs(o, (p) => {
    stats[place(p)] = Math.max(stats[place(p)], scores[p.at]);
  });
  forPairs(o, (p) => {
    const weight = Math.exp(scores[p.at] - stats[place(p)]);
    stats[place(p) + 1] += weight;
    stats[place(p) + 2] += weight * dp[p.at];
  });
  for (let i = 0; i < stats.length; i += 4) {
    stats[i + 2] /= stats[i + 1];
    stats[i + 1] = 1 / stats[i + 1];
  }
  return stats;
}

/** A [tokens, heads · dHead] result as it lies in a window of a buffer that held `before`. */
function inWindow(before: Float32Array, at: HeadsAt, width: number, values: Float64Array): Float64Array {
  const all = Float64Array.from(before);
  values.forEach((v, i) => {
    all[at.offset + Math.floor(i / width) * at.stride + (i % width)] = v;
  });
  return all;
}

/** Gradients of scores from those of capped scores. */
const uncapped = ({ softCap }: Sight, scores: readonly number[], ds: Float64Array): Float64Array =>
  softCap ? ds.map((d, i) => (Number.isFinite(scores[i]) ? d * (1 - (scores[i] / softCap) ** 2) : 0)) : ds;

function examplesOf(
  caps: Caps,
  batch: string,
  heads: number,
  dHead: number,
  size: number,
  sight: Sight = {},
): Example[] {
  const width = heads * dHead;
  const kvWidth = (sight.kvHeads ?? heads) * dHead;
  const stride = width + 2 * kvWidth;
  let start = 0;
  const rows = batches[batch].map(([length, prefixSlots]) => {
    const row = { start, length, prefixSlots };
    start += length;
    return row;
  });
  const tokens = start;
  const qkv = noise(tokens * stride, heads + dHead, size);
  const third = (part: number) => ({ stride, offset: part && width + (part - 1) * kvWidth });
  const at = (part: number) => ({ data: qkv, ...third(part) });
  const store = noise(97 * 2 * kvWidth, 5, size);
  const prefix = rows.some((r) => r.prefixSlots.length > 0);
  const bidirectional = batch === 'both directions';
  const own = { q: at(0), k: at(1), v: at(2) };
  const input = { rows, heads, dHead, scale: 1 / Math.sqrt(dHead), ...own, store, bidirectional, ...sight };
  const { words, totalScores, blockOffsets: _, ...geometry } = attentionLayout(rows, heads);
  const dz = { stride: width, offset: 0 };
  const windows = { q: third(0), k: third(1), v: third(2), dz, dq: third(0), dk: third(1), dv: third(2) };
  const o = { ...geometry, heads, dHead, scale: input.scale, prefix, bidirectional, ...sight, ...windows };
  const dZ = noise(tokens * width, 7);
  // what hooks may leave behind: a pattern that is not one, gradients above the diagonal
  const free = noise(totalScores, 9);
  const tables = prefix ? [words, store] : [words];
  const about = `${batch}, ${heads} heads of ${dHead}${sightTitle(sight)}${size > 1 ? `, ±${size}` : ''}`;
  const before = noise(tokens * stride, 10);
  const exact = patternReference(input);
  const pattern = Float32Array.from(exact.pattern);
  const dp = valuesBackwardReference(input, exact.pattern, dZ).dp;
  const freely = valuesBackwardReference(input, free, dZ);
  const ds = scoresBackwardReference(input, exact.pattern, dp);
  const { dq, dk } = productsBackwardReference(input, uncapped(sight, exact.scores, ds));
  const { dv } = valuesBackwardReference(input, exact.pattern, dZ);
  const masked = productsBackwardReference(input, free);
  const stats = statsReference(input, exact.scores, dp);
  const close = { atol: 1e-5 * size * size, rtol: 1e-5 };
  const window = (part: number, values: Float64Array, into: Float32Array | Float64Array = before) =>
    inWindow(Float32Array.from(into), third(part), part ? kvWidth : width, values);
  return [
    {
      title: `dP, ${about}`,
      launch: patternGradient(o, caps),
      buffers: [dZ, qkv, ...tables, totalScores],
      expected: [{ binding: 2 + tables.length, values: freely.dp, ...close }],
    },
    {
      title: `dV, ${about}`,
      launch: valueGradient(o, caps),
      buffers: [free, dZ, words, before],
      expected: [{ binding: 3, values: window(2, freely.dv), ...close }],
    },
    {
      title: `dS, ${about}`,
      launch: scoresGradient(o, caps),
      buffers: [pattern, free, words, totalScores],
      expected: [{ binding: 3, values: scoresBackwardReference(input, pattern, free), ...close }],
    },
    {
      title: `dQ, ${about}`,
      launch: queryGradient(o, caps),
      buffers: [free, qkv, ...tables, before],
      expected: [{ binding: 2 + tables.length, values: window(0, masked.dq), ...close }],
    },
    {
      title: `dK, ${about}`,
      launch: keyGradient(o, caps),
      buffers: [free, qkv, words, before],
      expected: [{ binding: 3, values: window(1, masked.dk), ...close }],
    },
    {
      title: `fused dQ, ${about}`,
      launch: fusedQueryGradient(o, caps),
      buffers: [qkv, qkv, qkv, dZ, ...tables, before, stats.length],
      expected: [
        { binding: 4 + tables.length, values: window(0, dq), ...close },
        { binding: 5 + tables.length, values: stats, ...close },
      ],
    },
    {
      title: `fused dK and dV, ${about}`,
      launch: fusedKeyGradient(o, caps),
      buffers: [qkv, qkv, qkv, dZ, words, Float32Array.from(stats), before],
      expected: [{ binding: 6, values: window(2, dv, window(1, dk)), ...close }],
    },
  ];
}

/** One-hot queries and keys: scores of −20000 must not overflow. */
function hugeScores(caps: Caps): Example[] {
  const [tokens, dHead] = [9, 8];
  const basis = (scale: number) =>
    Float32Array.from({ length: tokens * dHead }, (_, i) =>
      i % dHead === Math.floor(i / dHead) % dHead ? scale : 0,
    );
  const [q, k, v, dZ] = [basis(-200), basis(100), noise(tokens * dHead, 3), noise(tokens * dHead, 4)];
  const rows = [{ start: 0, length: tokens, prefixSlots: [] }];
  const { words, totalScores: _, blockOffsets: __, ...geometry } = attentionLayout(rows, 1);
  const window = { stride: dHead, offset: 0 };
  const dv = { stride: dHead, offset: tokens * dHead };
  const windows = { q: window, k: window, v: window, dz: window, dq: window, dk: window, dv };
  const o = { ...geometry, ...windows, heads: 1, dHead, scale: 1, prefix: false };
  const at = (data: Float32Array) => ({ ...window, data });
  const input = { rows, heads: 1, dHead, scale: 1, q: at(q), k: at(k), v: at(v), store: [] };
  const { scores, pattern } = patternReference(input);
  const values = valuesBackwardReference(input, pattern, dZ);
  const { dq, dk } = productsBackwardReference(input, scoresBackwardReference(input, pattern, values.dp));
  const stats = statsReference(input, scores, values.dp);
  const close = { atol: 1e-4, rtol: 1e-5 };
  return [
    {
      title: 'fused dQ, scores of −20000',
      launch: fusedQueryGradient(o, caps),
      buffers: [q, k, v, dZ, words, dq.length, stats.length],
      expected: [
        { binding: 5, values: dq, ...close },
        { binding: 6, values: stats, ...close },
      ],
    },
    {
      title: 'fused dK and dV, scores of −20000',
      launch: fusedKeyGradient(o, caps),
      buffers: [q, k, v, dZ, words, Float32Array.from(stats), 2 * dk.length],
      expected: [{ binding: 6, values: Float64Array.of(...dk, ...values.dv), ...close }],
    },
  ];
}

/** Checks of the gradients of attention. */
export const attentionBackwardFamily: Family = {
  name: 'attention-backward',
  about: 'gradients of attention over the packed layout: of v, pattern, scores, q, k; the same fused',
  examples: (caps) => [
    ...Object.keys(batches).flatMap((batch) => [
      ...examplesOf(caps, batch, 2, 13, 1), // no vec4
      ...examplesOf(caps, batch, 3, 8, 1),
    ]),
    ...examplesOf(caps, 'ragged rows', 12, 64, 1),
    ...examplesOf(caps, 'prefixes, one shared', 2, 64, 2),
    ...examplesOf(caps, 'ragged rows', 2, 140, 1), // more columns than threads
    ...otherKinds(caps).flatMap((kind) => [
      ...examplesOf(kind, 'prefixes, one shared', 2, 20, 1),
      ...examplesOf(kind, 'a long row', 2, 20, 1), // several blocks of keys and of queries
      ...examplesOf(kind, 'both directions', 1, 140, 1), // and more columns than threads
    ]),
    ...sightExamples(caps, examplesOf),
    ...hugeScores(caps),
  ],
};
