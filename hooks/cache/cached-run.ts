/** A run for reading: some activations, and instead of logits what the unembedding reads. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Batch, RowInput } from '../../engine/transformer/batch.js';
import { run } from '../run/run.js';
import { stopping } from '../run/stopping.js';
import { layoutOf } from '../run/view.js';
import { ActivationCache, type CacheModel } from './cache.js';

/** The activations named, and what the unembedding reads of every position: [tokens, dModel]. Dispose of both. */
export async function runToFinal(
  model: CacheModel,
  inputs: readonly RowInput[],
  names: readonly string[],
  signal?: AbortSignal,
): Promise<{ cache: ActivationCache; final: Tensor }> {
  let cache: ActivationCache | null = null;
  const put = (name: string, t: Tensor, batch: Batch) => {
    cache ??= new ActivationCache(model, layoutOf(batch, model.points));
    cache.put(name, t);
  };
  try {
    const final = await run(
      model,
      { inputs, capture: { names, put }, hooks: stopping(model.gpu, signal) },
      ({ x }) => x.alias(),
    );
    return { cache: cache!, final };
  } catch (e) {
    (cache as ActivationCache | null)?.dispose();
    throw e;
  }
}
