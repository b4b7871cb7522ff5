/**
 * Stored keys and values. A store has slots, one a token; a prefix is a list of slots, so that prefixes may
 * share their beginnings (a trie) and a generated text grows by one slot a token.
 */

import type { Config } from '../../weights/config.js';
import type { Gpu } from '../gpu/gpu.js';
import { Tensor } from '../tensor/tensor.js';

/** Keys and values of tokens that came before. */
export interface Prefix {
  readonly store: KvStore;
  /** Slot of each of its tokens, in order of position. */
  readonly slots: readonly number[];
  readonly length: number;
  /** Its token ids. */
  readonly tokens: readonly number[];
  /** The weights or edits that made it, where somebody asks: only with them can it be continued. */
  readonly madeBy?: { readonly weights: object; readonly edits: object | null };
}

type StoreSizes = Pick<Config, 'nLayers' | 'nKeyValueHeads' | 'dHead' | 'windows'>;

/** Room for the keys and values of `capacity` tokens in every layer. */
export class KvStore {
  readonly capacity: number;
  /**
   * Per layer [capacity, 2, nKeyValueHeads · dHead]: key (turned), then value; a store may hold some layers
   * only.
   */
  readonly layers: readonly Tensor[];
  /** Of layers that keep their last tokens only, how many; token n then lies in slot n modulo that. */
  readonly rings: readonly (number | undefined)[];
  #used = 0;

  /**
   * @param only the one layer that is needed; all of them where it is left out
   * @param growing the store is filled by one text, in order: layers with a window keep the tokens that a
   * later one may see
   */
  constructor(
    gpu: Gpu,
    { nLayers, nKeyValueHeads, dHead, windows }: StoreSizes,
    capacity: number,
    { only, growing = false }: { only?: number; growing?: boolean } = {},
  ) {
    this.capacity = capacity;
    const layers: Tensor[] = [];
    const rings: (number | undefined)[] = [];
    for (let l = only ?? 0; l <= (only ?? nLayers - 1); l++) {
      const window = windows?.[l] ?? capacity;
      if (growing && window < capacity) rings[l] = window;
      layers[l] = Tensor.result(
        gpu,
        [rings[l] ?? capacity, 2, nKeyValueHeads * dHead],
        [],
        `keys and values of layer ${l}`,
      );
    }
    this.layers = layers;
    this.rings = rings;
  }

  /** The next `n` free slots. @throws when the store is full. */
  take(n: number): number[] {
    if (this.#used + n > this.capacity)
      throw new Error(
        `the key-value store holds ${this.capacity} tokens, ${this.#used} are taken: no room for ${n} more`,
      );
    this.#used += n;
    return Array.from({ length: n }, (_, i) => this.#used - n + i);
  }

  /** Gives the memory back. */
  dispose(): void {
    this.layers.forEach((t) => {
      t.dispose();
    });
  }

  /** The same as `dispose()`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The prefix that `tokens`, kept in `slots`, make after `before` (null: at the start). */
export function extendPrefix(
  before: Prefix | null,
  store: KvStore,
  tokens: readonly number[],
  slots: readonly number[],
): Prefix {
  const all = [...(before?.slots ?? []), ...slots];
  return { store, slots: all, length: all.length, tokens: [...(before?.tokens ?? []), ...tokens] };
}
