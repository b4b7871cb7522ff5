/** How large what a head would write is, were all its attention at one token. */

import { inScope } from '../../engine/gpu/storage.js';
import { headResults } from '../../engine/transformer/ops.js';
import type { ActivationCache } from '../../hooks/cache/cache.js';
import { forEveryHead } from '../weights/shared-heads.js';

/**
 * ‖v · W_O‖ of every head and source token of one prompt, b_O and a norm behind left out: [head, source], row-major.
 * @param cache holds `attn.hook_v` of that layer
 */
export async function valueNorms(cache: ActivationCache, layer: number): Promise<Float32Array> {
  return inScope(async (scope) => {
    const v = cache.get('v', layer).alias(scope).slice([0]); //                         [source, kvHead, dHead]
    const { W_O } = cache.model.gpuWeights.blocks[layer];
    const written = headResults(forEveryHead(v, cache.config), W_O); //                 [source, head, dModel]
    const squares = await written.mul(written).sum(-1).transpose().data(); //           [head, source]
    return squares.map(Math.sqrt);
  });
}
