/** A run for reading: some activations, and instead of logits what the unembedding reads. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import { run } from '../run/run.js';
import { stopping } from '../run/stopping.js';
import type { ActivationCache, CacheModel } from './cache.js';
import { Capture } from './capture.js';

/** The activations named, and what the unembedding reads of every position: [tokens, dModel]. Dispose of both. */
export async function runToFinal(
  model: CacheModel,
  inputs: readonly RowInput[],
  names: readonly string[],
  signal?: AbortSignal,
): Promise<{ cache: ActivationCache; final: Tensor }> {
  const capture = new Capture(model, names);
  try {
    const final = await run(model, { inputs, capture, hooks: stopping(model.gpu, signal) }, ({ x }) =>
      x.alias(),
    );
    return { cache: capture.cache(), final };
  } catch (e) {
    capture.dispose();
    throw e;
  }
}
