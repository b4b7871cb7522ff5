/**
 * Float64 reference of attention over the packed layout, and the checks of all its kernels.
 */

import { type Caps, type Example, type Family, noise } from '../core/kernel.js';
import { otherKinds } from '../core/wgsl.js';
import { softmaxReference } from '../pointwise/softmax.js';
import {
  attentionLayout,
  type HeadsAt,
  NO_SLOT,
  type PackedRow,
  pattern,
  scores,
  storeKv,
  weightedValues,
} from './attention.js';
import { fusedAttention } from './attention-fused.js';

/** Buffers of one attention: windows q, k, v as the kernels take them, and the store. */
export interface AttentionInput {
  readonly rows: readonly PackedRow[];
  readonly heads: number;
  readonly dHead: number;
  readonly scale: number;
  readonly q: HeadsAt & { data: ArrayLike<number> };
  readonly k: HeadsAt & { data: ArrayLike<number> };
  readonly v: HeadsAt & { data: ArrayLike<number> };
  /** [slots, 2, kvHeads · dHead] */
  readonly store: ArrayLike<number>;
  /** Queries see later keys of their row too. */
  readonly bidirectional?: boolean;
  readonly kvHeads?: number;
  readonly window?: number;
  readonly softCap?: number;
}

/** Whether query i of a row sees key k of it, counted with its prefix. */
export const sees = (
  o: Pick<AttentionInput, 'bidirectional' | 'window'>,
  before: number,
  i: number,
  k: number,
) => o.bidirectional || (k <= before + i && k > before + i - (o.window ?? Number.POSITIVE_INFINITY));

/** Key (0) or value (1) `key` of a row, prefix first: element d of head h. */
export function keyOrValue(o: AttentionInput, row: PackedRow, part: 0 | 1) {
  const own = part ? o.v : o.k;
  const kvHeads = o.kvHeads ?? o.heads;
  const width = kvHeads * o.dHead;
  return (head: number, key: number, d: number): number => {
    const h = Math.floor((head * kvHeads) / o.heads);
    if (key < row.prefixSlots.length)
      return o.store[(row.prefixSlots[key] * 2 + part) * width + h * o.dHead + d];
    const token = row.start + key - row.prefixSlots.length;
    return own.data[own.offset + token * own.stride + h * o.dHead + d];
  };
}

/** Float64: packed scores (−∞ above the diagonal) and pattern, [heads, queries, keys] a row. */
export function patternReference(o: AttentionInput): { scores: number[]; pattern: number[] } {
  const scores: number[] = [];
  const pattern: number[] = [];
  for (const row of o.rows) {
    const key = keyOrValue(o, row, 0);
    const before = row.prefixSlots.length;
    for (let h = 0; h < o.heads; h++)
      for (let i = 0; i < row.length; i++) {
        const line = Array.from({ length: before + row.length }, (_, k) => {
          if (!sees(o, before, i, k)) return Number.NEGATIVE_INFINITY;
          let sum = 0;
          for (let d = 0; d < o.dHead; d++)
            sum += o.q.data[o.q.offset + (row.start + i) * o.q.stride + h * o.dHead + d] * key(h, k, d);
          return o.softCap ? o.softCap * Math.tanh((sum * o.scale) / o.softCap) : sum * o.scale;
        });
        scores.push(...line);
        pattern.push(...softmaxReference(line));
      }
  }
  return { scores, pattern };
}

/** Float64: z [tokens, heads · dHead] for any packed pattern. */
export function attentionReference(o: AttentionInput, pattern: ArrayLike<number>): Float64Array {
  const width = o.heads * o.dHead;
  const z = new Float64Array(o.rows.reduce((n, r) => Math.max(n, r.start + r.length), 0) * width);
  let at = 0;
  for (const row of o.rows) {
    const value = keyOrValue(o, row, 1);
    for (let h = 0; h < o.heads; h++)
      for (let i = 0; i < row.length; i++)
        for (let k = 0; k < row.prefixSlots.length + row.length; k++, at++)
          for (let d = 0; d < o.dHead; d++)
            z[(row.start + i) * width + h * o.dHead + d] += pattern[at] * value(h, k, d);
  }
  return z;
}

const slotsFrom = (n: number, first: number) => Array.from({ length: n }, (_, i) => (first + 3 * i) % 97);
const shared = slotsFrom(5, 11);

/** Rows [length, prefix slots] of awkward lengths; in 'both directions' queries see later keys too. */
export const batches: Record<string, [length: number, prefixSlots: number[]][]> = {
  'one token': [[1, []]],
  'ragged rows': [
    [7, []],
    [1, []],
    [12, []],
    [4, []],
  ],
  'a long row': [[131, []]],
  'both directions': [
    [131, []],
    [6, []],
  ],
  'prefixes, one shared': [
    [1, shared],
    [6, []],
    [5, shared],
    [2, slotsFrom(70, 2)],
    [9, slotsFrom(1, 40)],
  ],
};

/** What is not usual about an attention. */
export type Sight = Pick<AttentionInput, 'kvHeads' | 'window' | 'softCap'>;

/** For titles. */
export const sightTitle = ({ kvHeads, window, softCap }: Sight): string =>
  `${kvHeads ? `, ${kvHeads} of keys` : ''}${window ? `, window ${window}` : ''}${softCap ? `, cap ${softCap}` : ''}`;

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
  // q, k and v are windows of one [tokens, width + 2 · kvWidth] buffer
  const qkv = noise(tokens * stride, heads + dHead, size);
  const at = (part: number) => ({ data: qkv, stride, offset: part && width + (part - 1) * kvWidth });
  const store = noise(97 * 2 * kvWidth, 5, size);
  const prefix = rows.some((r) => r.prefixSlots.length > 0);
  const bidirectional = batch === 'both directions';
  const windows = { q: at(0), k: at(1), v: at(2) };
  const input = {
    rows,
    heads,
    dHead,
    scale: 1 / Math.sqrt(dHead),
    ...windows,
    store,
    bidirectional,
    ...sight,
  };
  const { words, totalScores, blockOffsets: _, ...geometry } = attentionLayout(rows, heads);
  const o = { ...input, ...geometry, prefix };
  const reference = patternReference(input);
  const z = attentionReference(input, reference.pattern);
  // what hooks may leave behind: finite scores above the diagonal; a pattern that is not one
  const edited = Float32Array.from(reference.scores, (s) => (Number.isFinite(s) ? s : 1e9));
  const free = noise(totalScores, 9);
  const tables = prefix ? [words, store] : [words];
  const about = `${batch}, ${heads} heads of ${dHead}${sightTitle(sight)}${size > 10 ? ', huge scores' : ''}`;
  const tolerance = size > 10 ? { atol: 1e-3 * size, rtol: 1e-5 } : { atol: 1e-5, rtol: 1e-5 };
  const close = { atol: 2e-6, rtol: 1e-5 };
  return [
    {
      title: `scores, ${about}`,
      launch: scores(o, caps),
      buffers: [qkv, qkv, ...tables, totalScores],
      expected: [{ binding: 2 + tables.length, values: reference.scores, ...tolerance }],
    },
    {
      title: `pattern, ${about}`,
      launch: pattern(o, caps),
      buffers: [edited, words, totalScores],
      // the kernel sees scores rounded to f32, and so does this reference
      expected: [{ binding: 2, values: patternOf(input, edited), atol: 2e-6, rtol: 2e-5 }],
    },
    {
      title: `weightedValues, ${about}`,
      launch: weightedValues(o, caps),
      buffers: [free, qkv, ...tables, tokens * width],
      expected: [{ binding: 2 + tables.length, values: attentionReference(input, free), ...tolerance }],
    },
    ...(size > 10
      ? []
      : [
          {
            title: `fusedAttention, ${about}`,
            launch: fusedAttention(o, caps),
            buffers: [qkv, qkv, qkv, ...tables, tokens * width],
            expected: [{ binding: 3 + tables.length, values: z, ...close }],
          },
        ]),
  ];
}

/** Pattern of packed scores, by index. */
function patternOf(o: AttentionInput, scores: ArrayLike<number>): number[] {
  const out: number[] = [];
  for (const { length, prefixSlots } of o.rows)
    for (let h = 0; h < o.heads; h++)
      for (let i = 0; i < length; i++) {
        const line = Array.from({ length: prefixSlots.length + length }, (_, k) =>
          sees(o, prefixSlots.length, i, k) ? scores[out.length + k] : Number.NEGATIVE_INFINITY,
        );
        out.push(...softmaxReference(line));
      }
  return out;
}

/** One-hot queries, keys and values: scores of ±2e4 must not overflow, and the winner takes all. */
function hugeScores(caps: Caps): Example {
  const [tokens, dHead] = [9, 8];
  const basis = (scale: number) =>
    Float32Array.from({ length: tokens * dHead }, (_, i) =>
      i % dHead === Math.floor(i / dHead) % dHead ? scale : 0,
    );
  const [q, k, v] = [basis(-200), basis(100), noise(tokens * dHead, 3)];
  const rows = [{ start: 0, length: tokens, prefixSlots: [] }];
  const { words, ...geometry } = attentionLayout(rows, 1);
  const window = { stride: dHead, offset: 0 };
  const at = (data: Float32Array) => ({ ...window, data });
  const input = { rows, heads: 1, dHead, scale: 1, q: at(q), k: at(k), v: at(v), store: [] };
  return {
    title: 'fusedAttention, scores of −20000',
    launch: fusedAttention(
      { ...geometry, heads: 1, dHead, q: window, k: window, v: window, scale: 1, prefix: false },
      caps,
    ),
    buffers: [q, k, v, words, tokens * dHead],
    expected: [
      {
        binding: 4,
        values: attentionReference(input, patternReference(input).pattern),
        atol: 1e-6,
        rtol: 1e-5,
      },
    ],
  };
}

function storeExample(caps: Caps): Example {
  const [tokens, width] = [5, 13];
  const qkv = noise(tokens * 3 * width, 6);
  const slots = Uint32Array.of(3, NO_SLOT, 0, 7, NO_SLOT);
  const store = noise(8 * 2 * width, 7);
  const values = store.slice();
  slots.forEach((slot, t) => {
    if (slot !== NO_SLOT)
      values.set(qkv.subarray((3 * t + 1) * width, (3 * t + 3) * width), slot * 2 * width);
  });
  const window = (part: number) => ({ stride: 3 * width, offset: part * width });
  return {
    title: 'storeKv, some tokens skipped',
    launch: storeKv({ tokens, width, k: window(1), v: window(2) }, caps),
    buffers: [qkv, qkv, slots, store],
    expected: [{ binding: 3, values, atol: 0, rtol: 0 }],
  };
}

/** Shared keys, windows and soft caps: examples of every kernel. */
export function sightExamples(caps: Caps, make: typeof examplesOf): Example[] {
  const kinds = [caps, ...otherKinds(caps)];
  return [
    ...make(caps, 'ragged rows', 3, 10, 1, { kvHeads: 1 }),
    ...make(caps, 'prefixes, one shared', 6, 8, 1, { kvHeads: 2, window: 4, softCap: 0.7 }),
    ...make(caps, 'both directions', 4, 8, 1, { kvHeads: 2, softCap: 0.5 }),
    ...make(caps, 'ragged rows', 2, 8, 1, { window: 1 }),
    ...kinds.flatMap((kind) => [
      ...make(kind, 'a long row', 4, 12, 1, { kvHeads: 2, window: 37 }),
      ...make(kind, 'prefixes, one shared', 2, 20, 2, { kvHeads: 1, window: 66, softCap: 1.5 }),
    ]),
  ];
}

/** Checks of the attention kernels. */
export const attentionFamily: Family = {
  name: 'attention',
  about:
    'attention over the packed layout, causal and in both directions: scores, pattern, weighted values; the same fused; KV store',
  examples: (caps) => [
    ...Object.keys(batches).flatMap((batch) => [
      ...examplesOf(caps, batch, 2, 13, 1), // no vec4
      ...examplesOf(caps, batch, 3, 8, 1),
    ]),
    ...examplesOf(caps, 'ragged rows', 12, 64, 1),
    ...examplesOf(caps, 'prefixes, one shared', 2, 64, 2),
    ...examplesOf(caps, 'ragged rows', 2, 140, 1), // more columns than threads
    ...examplesOf(caps, 'prefixes, one shared', 1, 8, 200),
    ...otherKinds(caps).flatMap((kind) => [
      ...examplesOf(kind, 'prefixes, one shared', 2, 20, 1),
      ...examplesOf(kind, 'a long row', 2, 20, 1), // several blocks of keys
      ...examplesOf(kind, 'both directions', 1, 140, 1), // and more columns than threads
    ]),
    ...sightExamples(caps, examplesOf),
    hugeScores(caps),
    storeExample(caps),
  ],
};
