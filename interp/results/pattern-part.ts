/** A part of the attention patterns of a text: chosen layers, heads, queries and keys, and whether it fits. */

import { PATTERN_RESULT_BYTES } from '../../engine/budgets.js';
import { is } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { positionLabels } from './provenance.js';
import type { Axis } from './result.js';

/** Which part of the patterns is wanted, and how large it may be. */
export interface PatternPart {
  /** Which layers; all by default. */
  readonly layers?: readonly number[];
  /** Which heads of each layer; all by default. */
  readonly heads?: readonly number[];
  /** Positions [start, end) that look; negative ones count from the end. Default: all. */
  readonly queries?: readonly [start: number, end: number];
  /** Positions [start, end) that are looked at. Default: all. */
  readonly keys?: readonly [start: number, end: number];
  /** Bytes that the result may have. Default 2 GiB. */
  readonly maxBytes?: number;
  /** Bytes of a layer's pattern that exist on the GPU at once: longer texts are run in blocks of queries. Default 64 MiB. */
  readonly blockBytes?: number;
}

/** What these options may be. */
export const PATTERN_PART = {
  layers: is.numbers,
  heads: is.numbers,
  queries: is.range,
  keys: is.range,
  maxBytes: is.positive,
  blockBytes: is.positive,
};

/** The part, spelled out. */
export interface Part {
  readonly layers: readonly number[];
  readonly heads: readonly number[];
  readonly queries: readonly [start: number, end: number];
  readonly keys: readonly [start: number, end: number];
}

/**
 * The part of a text's patterns.
 * @param name of the function, for messages
 * @param count how many prompts there are
 * @throws when it is none, or larger than `maxBytes`: the error says how large, and what would fit
 */
export function partOf(
  { config: { nLayers, nHeads } }: Pick<Model, 'config'>,
  n: number,
  { layers, heads, queries, keys, maxBytes = PATTERN_RESULT_BYTES }: PatternPart,
  name: string,
  count = 1,
): Part {
  const list = (given: readonly number[] | undefined, all: number, what: string) => {
    const chosen = given ?? Array.from({ length: all }, (_, i) => i);
    for (const i of chosen)
      if (!Number.isInteger(i) || i < 0 || i >= all)
        throw new Error(`${name}: ${what} ${i}: this model has ${what}s 0–${all - 1}`);
    if (!chosen.length) throw new Error(`${name}: ${what}s is an empty list`);
    return chosen;
  };
  const range = (given: readonly [number, number] | undefined, what: string): [number, number] => {
    const [start, end] = (given ?? [0, n]).map((p) => (p < 0 ? p + n : p));
    if (start >= 0 && start < end && end <= n) return [start, end];
    throw new Error(`${name}: ${what} [${given}]: the prompt has ${n} positions; [start, end) is needed`);
  };
  const part = {
    layers: list(layers, nLayers, 'layer'),
    heads: list(heads, nHeads, 'head'),
    queries: range(queries, 'queries'),
    keys: range(keys, 'keys'),
  };
  const [l, h] = [part.layers.length, part.heads.length];
  const [q, k] = [part.queries, part.keys].map(([start, end]) => end - start);
  const bytes = 4 * count * l * h * q * k;
  if (bytes <= maxBytes) return part;
  const fits = Math.floor(maxBytes / (4 * count * l * h * k));
  const one = Math.floor(maxBytes / (4 * count * q * k));
  const choice =
    fits >= 1
      ? `queries: [${part.queries[1] - fits}, ${part.queries[1]}] would fit`
      : one >= 1
        ? `layers: [0], heads: [0] would fit`
        : `layers: [0], heads: [0], queries: [${n - 1}, ${n}] is the least`;
  throw new Error(
    `${name}: ${l} layers × ${h} heads × ${q} queries × ${k} keys need ${size(bytes)}, and maxBytes is ${size(maxBytes)}: choose layers, heads, queries or keys; ${choice}`,
  );
}

/** `3.8 GiB` */
const size = (bytes: number): string =>
  bytes >= 2 ** 30
    ? `${(bytes / 2 ** 30).toFixed(1)} GiB`
    : bytes >= 2 ** 20
      ? `${(bytes / 2 ** 20).toFixed(1)} MiB`
      : `${bytes} bytes`;

/** Where a part lies in the block of queries [from, until): rows of the block, rows of the result; null: nowhere. */
export function inBlock(
  { queries: [start, end], keys }: Part,
  from: number,
  until: number,
): {
  readonly rows: readonly [number, number];
  readonly first: number;
  readonly keys: readonly [number, number];
} | null {
  const [a, b] = [Math.max(start, from), Math.min(end, until)];
  const last = Math.min(keys[1], until);
  return a < b && keys[0] < last
    ? { rows: [a - from, b - from], first: a - start, keys: [keys[0], last] }
    : null;
}

/** The axes layer × head × query × key of a part. */
export function partAxes(
  model: Model,
  tokens: readonly number[],
  { layers, heads, queries, keys }: Part,
): Axis[] {
  const positions = positionLabels(model, tokens);
  return [
    { name: 'layer', labels: layers.map((l) => `L${l}`) },
    { name: 'head', labels: heads.map((h) => `H${h}`) },
    { name: 'query', labels: positions.slice(...queries) },
    { name: 'key', labels: positions.slice(...keys) },
  ];
}

/** Puts a block's numbers, [head, row, key], to their places in the result. */
export function putBlock(
  values: Float32Array,
  data: Float32Array,
  part: Part,
  layerIndex: number,
  { rows, first, keys }: NonNullable<ReturnType<typeof inBlock>>,
): void {
  const [q, k] = [part.queries, part.keys].map(([start, end]) => end - start);
  const [r, w] = [rows[1] - rows[0], keys[1] - keys[0]];
  for (let h = 0; h < part.heads.length; h++)
    for (let i = 0; i < r; i++)
      values.set(
        data.subarray((h * r + i) * w, (h * r + i + 1) * w),
        ((layerIndex * part.heads.length + h) * q + first + i) * k,
      );
}
