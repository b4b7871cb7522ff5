/**
 * The packed layout. A batch is one list of tokens, row after row, never padded; a small table says for each
 * row where its tokens are, at which position they start, and which stored keys and values lie before them.
 * "Every row is a suffix of a stored prefix": a prompt has an empty one, a generated token a long one.
 */

import { attentionLayout } from '../../kernels/attention/attention.js';
import { NO_SLOT } from '../../kernels/attention/store-kv.js';
import type { Config } from '../../weights/config.js';
import type { Gpu } from '../gpu/gpu.js';
import type { Scope } from '../gpu/storage.js';
import { Tensor } from '../tensor/tensor.js';
import type { KvStore, Prefix } from './kv.js';

/** One row of a batch. */
export interface Row {
  /** First token of the row in the packed list. */
  readonly start: number;
  /** Its own tokens (without the prefix). */
  readonly length: number;
  /** Position of its first own token: the length of its prefix. */
  readonly position: number;
  /** Where its [head, query, key] block starts in scores and patterns, in elements. */
  readonly block: number;
}

/** A packed batch on the GPU. */
export interface Batch {
  readonly rows: readonly Row[];
  /** Own tokens of all rows. */
  readonly tokens: number;
  /** The tokens themselves, packed; null when the run starts from a residual stream. */
  readonly ids: readonly number[] | null;
  /** The position of each. */
  readonly positions: readonly number[];
  /** Queries see all keys of their row, later ones too; such rows have no prefix. */
  readonly bidirectional: boolean;
  /** True when all rows have the same length and position: activations are seen as [batch, pos, ...]. */
  readonly equal: boolean;
  /** u32 [2, tokens]: token ids, then positions. */
  readonly table: Tensor<'u32'>;
  /** What the attention kernels read; see `attentionLayout`. */
  readonly layout: {
    readonly words: Tensor<'u32'>;
    readonly rowTable: number;
    readonly tileTable: number;
    readonly tiles: number;
    readonly maxKeys: number;
    /** Elements of scores and pattern, all rows. */
    readonly scores: number;
  };
  /** Keys and values of the prefixes. */
  readonly store: KvStore | null;
  /** `layout.words` for layers whose store keeps the last tokens only, by their number. */
  readonly ringWords: ReadonlyMap<number, Tensor<'u32'>>;
  /**
   * Where this run's own keys and values are to be kept: u32 [tokens] slots of `store`, and those of such
   * layers.
   */
  readonly keepIn: {
    readonly store: KvStore;
    readonly slots: Tensor<'u32'>;
    readonly ringSlots: ReadonlyMap<number, Tensor<'u32'>>;
  } | null;
}

/** What a row consists of. */
export interface RowInput {
  /** Token ids, or only a count when the run starts from a residual stream. */
  readonly tokens: readonly number[] | number;
  readonly prefix?: Prefix | null;
  /** Slots for its keys and values, one a token. */
  readonly slots?: readonly number[];
}

/** Packs rows and uploads their tables into `scope`. `keep`: the store that the rows' `slots` belong to. */
export function packBatch(
  gpu: Gpu,
  { nHeads, attentionDir }: Pick<Config, 'nHeads' | 'attentionDir'>,
  inputs: readonly RowInput[],
  scope: Scope,
  keep: KvStore | null = null,
): Batch {
  const ids: number[] = [];
  const positions: number[] = [];
  const places = inputs.map(({ tokens, prefix }) => {
    const length = typeof tokens === 'number' ? tokens : tokens.length;
    const start = positions.length;
    const position = prefix?.length ?? 0;
    for (let i = 0; i < length; i++) {
      positions.push(position + i);
      ids.push(typeof tokens === 'number' ? 0 : tokens[i]);
    }
    return { start, length, prefixSlots: prefix?.slots ?? [] };
  });
  const tokens = positions.length;
  const upload = (data: Uint32Array, shape: number[], label: string) =>
    Tensor.from<'u32'>(gpu, data, shape, { label, scope });
  const { words, blockOffsets, totalScores, ...offsets } = attentionLayout(places, nHeads);
  const rows = places.map(({ start, length, prefixSlots }, i) => ({
    start,
    length,
    position: prefixSlots.length,
    block: blockOffsets[i],
  }));
  const stores = new Set(inputs.flatMap(({ prefix }) => (prefix ? [prefix.store] : [])));
  if (stores.size > 1) throw new Error('the prefixes of one batch must come from one store');
  const store = [...stores][0] ?? null;
  const ringsOf = (of: KvStore | null) => new Set(of?.rings.filter((n) => n !== undefined));
  const ringWords = [...ringsOf(store)].map((ring) => {
    const kept = places.map((p) => ({ ...p, prefixSlots: p.prefixSlots.map((slot) => slot % ring) }));
    const { words } = attentionLayout(kept, nHeads);
    return [ring, upload(words, [words.length], 'layout')] as const;
  });
  const slots = inputs.flatMap((r) => r.slots ?? []);
  const ringSlots = [...ringsOf(keep)].map((ring) => {
    // Of tokens that would lie in one slot the last one is kept.
    const kept = slots.map((slot, i) => (i + ring < slots.length ? NO_SLOT : slot % ring));
    return [ring, upload(Uint32Array.from(kept), [tokens], 'slots')] as const;
  });
  return {
    rows,
    tokens,
    ids: typeof inputs[0].tokens === 'number' ? null : ids,
    positions,
    bidirectional: attentionDir === 'bidirectional',
    equal: rows.every((r) => r.length === rows[0].length && r.position === rows[0].position),
    table: upload(Uint32Array.from([...ids, ...positions]), [2, tokens], 'tokens'),
    layout: { ...offsets, words: upload(words, [words.length], 'layout'), scores: totalScores },
    store,
    ringWords: new Map(ringWords),
    keepIn: keep && {
      store: keep,
      slots: upload(Uint32Array.from(slots), [tokens], 'slots'),
      ringSlots: new Map(ringSlots),
    },
  };
}
