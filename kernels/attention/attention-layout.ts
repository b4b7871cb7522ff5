/**
 * The packed batch as the attention kernels see it. Rows lie one after another, without padding; each owns
 * some tokens, before which may lie a prefix whose keys and values are in a store. One u32 buffer tells all
 * of it:
 *
 *     row table   6 words a row: start, length, prefixStart, prefixLength, block, 0
 *     tile table  2 words a tile: row, first query: up to QUERY_TILE neighbouring queries of one row
 *     slots       for each different prefix the store slots of its tokens
 */

import { cappedWgsl } from '../pointwise/soft-cap.js';

/** Queries of one row that are worked on together: each key and value is loaded once for all of them. */
export const QUERY_TILE = 4;

/** One row of the packed batch. */
export interface PackedRow {
  /** First token in the packed list. */
  readonly start: number;
  /** Its own tokens. */
  readonly length: number;
  /** Store slots of the tokens before them. */
  readonly prefixSlots: readonly number[];
}

/** The buffer, where its parts begin, and the sizes that launches need. */
export interface AttentionLayout {
  readonly words: Uint32Array;
  readonly rowTable: number;
  readonly tileTable: number;
  readonly tiles: number;
  /** Most keys (prefix and own) of any row. */
  readonly maxKeys: number;
  /** Per row, where its [heads, length, prefix + length] block begins in scores and pattern. */
  readonly blockOffsets: readonly number[];
  /** Elements of scores and pattern. */
  readonly totalScores: number;
}

/** Builds the tables. Rows that share one `prefixSlots` array share its copy. */
export function attentionLayout(rows: readonly PackedRow[], heads: number): AttentionLayout {
  const tiles = rows.reduce((n, { length }) => n + Math.ceil(length / QUERY_TILE), 0);
  const tileTable = 6 * rows.length;
  const slotsAt = new Map<readonly number[], number>();
  let end = tileTable + 2 * tiles;
  for (const { prefixSlots } of rows)
    if (prefixSlots.length && !slotsAt.has(prefixSlots)) {
      slotsAt.set(prefixSlots, end);
      end += prefixSlots.length;
    }
  const words = new Uint32Array(Math.max(1, end));
  for (const [slots, at] of slotsAt) words.set(slots, at);
  const blockOffsets: number[] = [];
  let [tile, block, maxKeys] = [tileTable, 0, 0];
  rows.forEach(({ start, length, prefixSlots }, r) => {
    const keys = prefixSlots.length + length;
    words.set([start, length, slotsAt.get(prefixSlots) ?? 0, prefixSlots.length, block, 0], 6 * r);
    for (let query = 0; query < length; query += QUERY_TILE, tile += 2) words.set([r, query], tile);
    blockOffsets.push(block);
    block += heads * length * keys;
    maxKeys = Math.max(maxKeys, keys);
  });
  return { words, rowTable: 0, tileTable, tiles, maxKeys, blockOffsets, totalScores: block };
}

/** Where queries, keys or values lie: head h of token t at `offset + t · stride + h · dHead`, in floats. */
export interface HeadsAt {
  readonly stride: number;
  readonly offset: number;
}

/** What every attention launch is told of the layout. */
export interface Geometry {
  readonly tiles: number;
  readonly tileTable: number;
  readonly rowTable: number;
  readonly maxKeys: number;
  readonly heads: number;
  /** Heads of keys and values: each serves heads / kvHeads neighbouring heads of queries. Default: heads. */
  readonly kvHeads?: number;
  /** Queries see all keys of their row, later ones too. */
  readonly bidirectional?: boolean;
  /** Where queries see no later keys: how many they see, their own included. Default: all. */
  readonly window?: number | null;
  /** Scores s become softCap · tanh(s / softCap). Default: they stay. */
  readonly softCap?: number | null;
}

/** WGSL: the head of keys and values that serves head `head` of the queries. */
export const kvHeadOf = ({ heads, kvHeads = heads }: Pick<Geometry, 'heads' | 'kvHeads'>): string =>
  heads === kvHeads ? 'head' : `head / ${heads / kvHeads}u`;

/** Parts of kernels' names: `12`, or `9of3` where heads share keys; `/window/cap` where there are such. */
export const headsName = ({ heads, kvHeads = heads }: Pick<Geometry, 'heads' | 'kvHeads'>): string =>
  heads === kvHeads ? String(heads) : `${heads}of${kvHeads}`;
/** How a kernel's name tells what a query sees: `/window`, `/cap`, both, or nothing. */
export const sightName = ({ window, softCap }: Pick<Geometry, 'window' | 'softCap'>): string =>
  `${window ? '/window' : ''}${softCap ? '/cap' : ''}`;

/** Fields of `struct Params` for a window and a soft cap, where there are such. */
export const sightFields = ({ window, softCap }: Pick<Geometry, 'window' | 'softCap'>): string =>
  `${window ? '  window: u32, // keys that a query sees\n' : ''}${softCap ? '  softCap: f32,\n' : ''}`;

/** Their values. */
export const sightParams = ({ window, softCap }: Pick<Geometry, 'window' | 'softCap'>) => ({
  ...(window && { window }),
  ...(softCap && { softCap }),
});

/** WGSL: the score x, capped where there is a cap. */
export const capped = (
  x: string,
  softCap: number | null | undefined,
  type: 'f32' | 'vec4f' = 'f32',
): string => (softCap ? cappedWgsl(x, 'params.softCap', type) : x);

/** WGSL that reads the tables; expects the binding `tables` and `params.rowTable`, `params.tileTable`. */
export const layoutWgsl = /* wgsl */ `
/** ${QUERY_TILE} queries of one row (fewer at its end). */
struct Tile {
  start: u32, // first token of the row in the packed list
  length: u32, // tokens of the row
  prefixStart: u32, // where the slots of its prefix are listed in tables
  prefixLength: u32,
  block: u32, // where its scores begin
  query: u32, // first query, counted in the row
}
fn tileAt(tile: u32) -> Tile {
  let t = params.tileTable + 2u * tile;
  let r = params.rowTable + 6u * tables[t];
  return Tile(tables[r], tables[r + 1u], tables[r + 2u], tables[r + 3u], tables[r + 4u], tables[t + 1u]);
}`;

/** The element type that all of these windows allow: `vec4f` needs everything to be a multiple of 4. */
export function elementType(
  dHead: number,
  windows: readonly HeadsAt[],
): { type: 'vec4f' | 'f32'; step: 4 | 1 } {
  const all = [dHead, ...windows.flatMap(({ stride, offset }) => [stride, offset])];
  return all.every((n) => n % 4 === 0) ? { type: 'vec4f', step: 4 } : { type: 'f32', step: 1 };
}
