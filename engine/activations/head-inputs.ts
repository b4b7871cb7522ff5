/** Gradients of what each head reads, without a run that gives every head an input of its own. */

import { headInputGradient } from '../../kernels/products/products-backward.js';
import { launched } from '../tensor/accumulate.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Norm } from '../transformer/parts/norm.js';

/**
 * From the gradients of queries (`part` 0), keys (1) or values (2) to those of each head's own input: what
 * the gradient at `hook_q_input` (…) is, without a run that gives every head an input of its own.
 * @param x what all heads read, before the norm, once for every head: [tokens, head, dModel]
 * @param dy gradients at `hook_q`, [tokens, head, dHead]
 * @param norm the one before attention, or null
 * @returns [tokens, head, dModel]
 */
export function headInputGradients(
  x: Tensor,
  dy: Tensor,
  W_QKV: Tensor,
  norm: Norm | null,
  part: 0 | 1 | 2,
): Tensor {
  const [tokens, heads, dModel] = x.shape;
  const dHead = dy.shape[2];
  const { caps } = dy.gpu;
  const wCols = W_QKV.shape[1];
  const col0 = part && wCols - (3 - part) * heads * dHead;
  const o = { tokens, heads, dModel, dHead, wCols, col0 };
  const normalized = launched(dy, x.shape, [dy, W_QKV], headInputGradient(o, caps));
  if (!norm) return normalized;
  const dx = norm.gradientOf(x, normalized);
  normalized.dispose();
  return dx;
}
