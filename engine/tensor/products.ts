/**
 * Products of matrices that lie anywhere: operands are views, and are read where they are. For attribution and circuits,
 * whose matrices are parts of large tables; they leave no trace on a tape.
 */

import { headInputGradient } from '../../kernels/products/products-backward.js';
import { stridedMatmul } from '../../kernels/products/strided-matmul.js';
import { showShape } from '../shape/shape.js';
import type { GpuBlock } from '../transformer/weights.js';
import { launched } from './accumulate.js';
import { ALIGN } from './launches.js';
import type { Tensor } from './tensor.js';

/**
 * C[i] (+)= A[i] · B[i] for A [batch, m, k], B [batch, k, n], C [batch, m, n], any of them a view (an axis may be expanded).
 * Batches are cut where one is too large to bind.
 * @param out dense or a view without overlaps; nobody else may need what it held
 * @throws when shapes do not fit, or one matrix is too large to bind.
 */
export function multiplyInto(
  a: Tensor,
  b: Tensor,
  out: Tensor,
  { accumulate = false }: { accumulate?: boolean } = {},
): void {
  const { gpu } = out;
  const [batch, m, k] = a.shape;
  const n = b.shape[2];
  if (b.shape[0] !== batch || b.shape[1] !== k || showShape(out.shape) !== showShape([batch, m, n]))
    throw new Error(
      `multiplyInto: ${showShape(a.shape)} · ${showShape(b.shape)} does not give ${showShape(out.shape)}`,
    );
  if (!batch || !m || !n) return;
  const limit = gpu.adapter.maxBindingBytes / 4;
  const all = [a, b, out];
  for (let from = 0; from < batch; ) {
    let count = batch - from;
    while (count > 1 && all.some((t) => spanOf(t, from, count).size > limit)) count = Math.ceil(count / 2);
    const spans = all.map((t) => spanOf(t, from, count));
    const at = spans.map(({ first, start }, i) => {
      const [batch, row, col] = all[i].strides;
      return { batch, row, col, offset: start - first };
    });
    const launch = stridedMatmul(
      { batch: count, m, k, n, a: at[0], b: at[1], c: at[2], accumulate },
      gpu.caps,
    );
    gpu.launch(
      launch,
      spans.map(({ first, size }, i) => ({
        buffer: all[i].storage.buffer,
        offset: 4 * first,
        bytes: 4 * size,
      })),
    );
    from += count;
  }
}

/** Where matrices [from, from + count) of a batch lie, in elements; a binding begins at `first`. */
function spanOf(
  { shape, strides, offset }: Tensor,
  from: number,
  count: number,
): { first: number; start: number; size: number } {
  const start = offset + from * strides[0];
  const first = Math.floor(start / ALIGN) * ALIGN;
  const reach = start + (count - 1) * strides[0] + (shape[1] - 1) * strides[1] + (shape[2] - 1) * strides[2];
  return { first, start, size: reach + 1 - first };
}

/**
 * From the gradients of queries (`part` 0), keys (1) or values (2) to those of each head's own input: what the gradient at
 * `hook_q_input` (…) is, without a run that gives every head an input of its own.
 * @param x what all heads read, before the norm, once for every head: [tokens, head, dModel]
 * @param dy gradients at `hook_q`, [tokens, head, dHead]
 * @returns [tokens, head, dModel]
 */
export function headInputGradients(x: Tensor, dy: Tensor, { W_QKV, ln1 }: GpuBlock, part: 0 | 1 | 2): Tensor {
  const [tokens, heads, dModel] = x.shape;
  const dHead = dy.shape[2];
  const { caps } = dy.gpu;
  const wCols = W_QKV.shape[1];
  const col0 = part && wCols - (3 - part) * heads * dHead;
  const o = { tokens, heads, dModel, dHead, wCols, col0 };
  const normalized = launched(dy, x.shape, [dy, W_QKV], headInputGradient(o, caps));
  if (!ln1) return normalized;
  const dx = ln1.gradientOf(x, normalized);
  normalized.dispose();
  return dx;
}
