/**
 * The one way to keep activations of a run: what a run hands over goes into a cache, which exists from the
 * first one on.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Batch } from '../../engine/transformer/batch.js';
import type { NameFilter } from '../input/names.js';
import { keepPositions, type PosSlice } from '../run/positions.js';
import { type Layout, layoutOf } from '../run/view.js';
import { ActivationCache, type CacheModel } from './cache.js';

/** Keeps activations of one run; `run` takes it as `capture`. */
export class Capture {
  /** Which hook points are kept; all that always exist where there is no filter. */
  readonly names: NameFilter | undefined;
  readonly #model: CacheModel;
  readonly #pos: PosSlice | undefined;
  #cache: ActivationCache | null = null;

  /** @param pos keeps only these positions of each activation */
  constructor(model: CacheModel, names: NameFilter | undefined, pos?: PosSlice) {
    this.#model = model;
    this.names = names;
    this.#pos = pos;
  }

  /** Takes an activation over from a run. */
  put(name: string, t: Tensor, batch: Pick<Batch, 'rows' | 'equal'>): void {
    const layout = layoutOf(batch, this.#model.points);
    const { t: own, seen } =
      this.#pos === undefined ? { t, seen: layout } : keepPositions(name, t, layout, this.#pos);
    this.#of(seen).put(name, own);
  }

  /** What was kept, perhaps nothing: the receiver disposes of it. `batch`: how the rows of the run lie. */
  cache(batch: Pick<Batch, 'rows' | 'equal'> = { rows: [], equal: true }): ActivationCache {
    return this.#of(layoutOf(batch, this.#model.points));
  }

  /** Frees what was kept, after an error. */
  dispose(): void {
    this.#cache?.dispose();
  }

  #of(layout: Layout): ActivationCache {
    return (this.#cache ??= new ActivationCache(this.#model, layout));
  }
}
