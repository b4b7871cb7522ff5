/** The mean of all tokens' embeddings. */

import { inScope } from '../../engine/gpu/storage.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Runnable } from '../../hooks/input/model.js';

/** Mean over the rows of W_E: [dModel]; the caller owns it. */
export function embeddingMean({ gpuWeights: { W_E } }: Runnable): Tensor {
  return inScope((scope) => {
    let sum: Tensor | null = null;
    for (const { tensor } of W_E.chunks) {
      const part = tensor.detach(scope).sum(0);
      sum = sum ? sum.add(part) : part;
    }
    return sum!.mul(1 / W_E.rows).keep();
  });
}
