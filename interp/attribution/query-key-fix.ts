/** The QK fix of a pair of runs, layer by layer: see engine/transformer/parts/query-key-fix.ts. */

import { Scope } from '../../engine/gpu/storage.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { type Batch, packBatch } from '../../engine/transformer/batch.js';
import type { AttentionSetting } from '../../engine/transformer/parts/attention-windows.js';
import {
  type Attended,
  patternOfQueries,
  scoresOfKeys,
  swapKeys,
} from '../../engine/transformer/parts/query-key-fix.js';
import { pointName } from '../../engine/transformer/points.js';
import type { ActivationCache } from '../../hooks/cache/cache.js';
import type { Model } from '../../hooks/input/model.js';
import { blockFacts } from '../../weights/facts.js';
import { sumOfProducts } from './products.js';

/** The hook points that both runs must hold. */
export const queryKeyNames = ({ nLayers, positionEmbedding }: Model['config']): string[] =>
  Array.from({ length: nLayers }, (_, l) =>
    (
      [
        ...(positionEmbedding === 'rotary' ? (['rot_q', 'rot_k'] as const) : (['q', 'k'] as const)),
        'attn_scores',
        'pattern',
      ] as const
    ).map((x) => pointName(`attn.hook_${x}`, l)),
  ).flat();

/** Clean and corrupted queries and keys of prompts of one length. Dispose of it. */
export class QueryKeyFix {
  readonly #model: Model;
  readonly #clean: ActivationCache;
  readonly #corrupted: ActivationCache;
  readonly #scope = new Scope();
  readonly #batch: Batch;

  /** The caches must outlive it. */
  constructor(
    model: Model,
    tokens: readonly (readonly number[])[],
    runs: { clean: ActivationCache; corrupted: ActivationCache },
  ) {
    const { gpu, config } = model;
    this.#model = model;
    this.#clean = runs.clean;
    this.#corrupted = runs.corrupted;
    const inputs = tokens.map((row) => ({ tokens: row }));
    this.#batch = packBatch(gpu, config, inputs, this.#scope);
  }

  /**
   * Σ over keys of the gradient at the pattern times what clean queries change: [batch, head, query]; the
   * caller owns it.
   */
  queries(layer: number, g: Tensor): Tensor {
    return this.#with(layer, (attended, clean, setting) =>
      sumOfProducts(patternOfQueries(attended, clean.q, setting), g, [0, 1, 2]),
    );
  }

  /**
   * The same for one clean key at a time, summed over queries and over heads that share it: [batch, kvHead,
   * key]; the caller owns it.
   */
  keys(layer: number, g: Tensor): Tensor {
    return this.#with(layer, (attended, clean, setting) =>
      ofKeyHeads(
        swapKeys(attended, scoresOfKeys(attended, clean.k, setting), g.alias(attended.q.scope)).sum(2),
        this.#model.config.nKeyValueHeads,
      ).keep(),
    );
  }

  dispose(): void {
    this.#scope.close();
  }

  #with(
    layer: number,
    use: (attended: Attended, clean: { q: Tensor; k: Tensor }, setting: AttentionSetting) => Tensor,
  ): Tensor {
    const facts = blockFacts(this.#model.config, layer).attention;
    const rotary = this.#model.config.positionEmbedding === 'rotary' ? 'rot_' : '';
    const scope = new Scope();
    const at = (cache: ActivationCache, x: 'q' | 'k' | 'rot_q' | 'rot_k' | 'v' | 'attn_scores' | 'pattern') =>
      cache.get(pointName(`attn.hook_${x}`, layer)).detach(scope);
    const vectors = (cache: ActivationCache) => {
      const { heads, kvHeads, dHead } = facts;
      return {
        q: at(cache, `${rotary}q`).reshape([-1, heads, dHead]),
        k: at(cache, `${rotary}k`).reshape([-1, kvHeads, dHead]),
      };
    };
    try {
      const [scores, pattern] = [at(this.#corrupted, 'attn_scores'), at(this.#corrupted, 'pattern')];
      const attended = { ...vectors(this.#corrupted), scores, pattern };
      return use(attended, vectors(this.#clean), { batch: this.#batch, layer, facts });
    } finally {
      scope.close();
    }
  }
}

/** Sums over the heads that share keys: [batch, head, key] → [batch, kvHead, key]. */
function ofKeyHeads(x: Tensor, kvHeads: number): Tensor {
  const [batch, heads, keys] = x.shape;
  return heads === kvHeads ? x : x.reshape([batch, kvHeads, heads / kvHeads, keys]).sum(2);
}
