/** Heads that share keys and values. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Config } from '../../weights/config.js';

/**
 * Keys or values [..., kvHead, dHead] once for every head that reads them: [..., head, dHead]; themselves
 * where none are shared.
 */
export function forEveryHead(x: Tensor, { nHeads, nKeyValueHeads }: Config): Tensor {
  if (nHeads === nKeyValueHeads) return x;
  const dHead = x.shape.at(-1)!;
  const sharing = nHeads / nKeyValueHeads;
  return x
    .reshape([-1, nKeyValueHeads, 1, dHead])
    .expand([-1, -1, sharing, -1])
    .slice([])
    .reshape([...x.shape.slice(0, -2), nHeads, dHead]);
}
