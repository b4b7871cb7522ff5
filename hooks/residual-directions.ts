/** Columns of the unembedding as directions of the residual stream. */

import { axesOf } from '../engine/axes.js';
import { Tensor } from '../engine/tensor.js';
import { checkOutputs } from './input.js';
import type { HookedTransformer } from './model.js';

/** See `HookedTransformer.tokensToResidualDirections`. */
export function residualDirections(
  { weights, config, gpu }: HookedTransformer,
  ids: readonly number[],
): Tensor {
  checkOutputs(ids, config, 'tokensToResidualDirections');
  const { W_U } = weights;
  const { dModel, dVocabOut } = config;
  const data = new Float32Array(ids.length * dModel);
  ids.forEach((id, i) => {
    for (let d = 0; d < dModel; d++) data[i * dModel + d] = W_U.data[d * dVocabOut + id];
  });
  const out = Tensor.from(gpu, data, [ids.length, dModel]);
  out.named = axesOf(['token', 'd_model']);
  return out;
}
