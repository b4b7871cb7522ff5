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

/** Room for the keys and values of `capacity` tokens in every layer. */
export class KvStore {
  readonly capacity: number;
  /** Per layer [capacity, 2, nKeyValueHeads · dHead]: key (turned), then value; a store may hold some layers only. */
  readonly layers: readonly Tensor[];
  #used = 0;

  /** @param only the one layer that is needed; all of them where it is left out */
  constructor(
    gpu: Gpu,
    { nLayers, nKeyValueHeads, dHead }: Pick<Config, 'nLayers' | 'nKeyValueHeads' | 'dHead'>,
    capacity: number,
    only?: number,
  ) {
    this.capacity = capacity;
    const layers: Tensor[] = [];
    for (let l = only ?? 0; l <= (only ?? nLayers - 1); l++)
      layers[l] = Tensor.result(
        gpu,
        [capacity, 2, nKeyValueHeads * dHead],
        [],
        `keys and values of layer ${l}`,
      );
    this.layers = layers;
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
