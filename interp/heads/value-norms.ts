/** How large what a head would write is, were all its attention at one token. */

import { inScope } from '../../engine/gpu/storage.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { headResults } from '../../engine/transformer/ops.js';
import type { Runnable } from '../../hooks/input/model.js';
import { forEveryHead } from '../weights/shared-heads.js';

/**
 * ‖v · W_O‖ of every head and source token of one prompt, b_O and a norm behind left out: [head, source], row-major.
 * @param values `attn.hook_v` of that layer, [1, source, head, dHead]
 */
export async function normsOfValues(model: Runnable, values: Tensor, layer: number): Promise<Float32Array> {
  return inScope(async (scope) => {
    const v = values.alias(scope).slice([0]); //                                        [source, kvHead, dHead]
    const { W_O } = model.gpuWeights.blocks[layer];
    const written = headResults(forEveryHead(v, model.config), W_O); //                 [source, head, dModel]
    const squares = await written.mul(written).sum(-1).transpose().data(); //           [head, source]
    return squares.map(Math.sqrt);
  });
}
