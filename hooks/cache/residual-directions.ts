/** Columns of the unembedding as directions of the residual stream. */

import { axesOf } from '../../engine/shape/axes.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { checkOutputs } from '../input/input.js';
import type { Model } from '../input/model.js';

/**
 * A token as text or id, or a list of them, nested as deep as one likes; all lists of a level have one
 * length.
 */
export type NestedTokens = string | number | readonly NestedTokens[];

/** See `HookedTransformer.tokensToResidualDirections`. */
export function residualDirections(model: Model, tokens: NestedTokens): Tensor {
  const { weights, config, gpu } = model;
  const { ids, shape } = flattened(tokens, (text) => model.toSingleToken(text));
  checkOutputs(ids, config, 'tokensToResidualDirections');
  const { W_U } = weights;
  const { dModel, dVocabOut } = config;
  const data = new Float32Array(ids.length * dModel);
  ids.forEach((id, i) => {
    for (let d = 0; d < dModel; d++) data[i * dModel + d] = W_U.data[d * dVocabOut + id];
  });
  const out = Tensor.from(gpu, data, [...shape, dModel]);
  if (shape.length === 1) out.named = axesOf(['token', 'd_model']);
  return out;
}

/**
 * Ids in order, and the shape of the nested list. @throws when lists of one level differ in shape, or are
 * empty.
 */
function flattened(tokens: NestedTokens, idOf: (text: string) => number): { ids: number[]; shape: number[] } {
  if (typeof tokens === 'number') return { ids: [tokens], shape: [] };
  if (typeof tokens === 'string') return { ids: [idOf(tokens)], shape: [] };
  const parts = tokens.map((part) => flattened(part, idOf));
  const differs = parts.findIndex((part) => part.shape.join() !== parts[0].shape.join());
  if (!parts.length || differs > 0)
    throw new Error(
      `tokensToResidualDirections: ${parts.length ? `entry ${differs} has the shape [${parts[differs].shape.join(', ')}], entry 0 [${parts[0].shape.join(', ')}]` : 'an empty list'}; give lists of one shape`,
    );
  return { ids: parts.flatMap((part) => part.ids), shape: [parts.length, ...parts[0].shape] };
}
