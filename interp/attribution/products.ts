/**
 * Products of whole activations, summed on the GPU: what attribution is made of. Only the sums are ever read
 * back.
 */

import { inScope } from '../../engine/gpu/storage.js';
import { addInto, zerosLike } from '../../engine/tensor/accumulate.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { Point } from '../../engine/transformer/model-points.js';

/**
 * Σ a · b over the axes that are not kept.
 * @param keep axes of `a`, ascending
 * @returns the kept axes; the caller owns it
 */
export function sumOfProducts(a: Tensor, b: Tensor, keep: readonly number[]): Tensor {
  return inScope((scope) => {
    let sum = a.detach(scope).mul(b);
    for (let axis = a.shape.length - 1; axis >= 0; axis--) if (!keep.includes(axis)) sum = sum.sum(axis);
    return sum.keep();
  });
}

/**
 * One activation minus another, owned by the caller.
 * @param point its hook point: attention scores are −∞ where they are masked, and the difference is 0 there
 */
export function differenceOf({ row }: Point, one: Tensor, other: Tensor): Tensor {
  if (!row.masked) return one.sub(other).keep();
  const out = zerosLike(one, one.shape, one.label).keep();
  return inScope((scope) => {
    const [queries, keys] = one.shape.slice(-2);
    for (let query = 0; query < queries; query++) {
      const seen = [null, null, query, [0, keys - queries + query + 1]] as const;
      addInto(out, one.detach(scope).window(seen).sub(other.detach(scope).window(seen)), seen);
    }
    return out;
  });
}

/**
 * Tensors of one shape as one, [tensor, ...shape]; they are disposed of, and the caller owns what is given.
 */
export function stacked(tensors: readonly Tensor[]): Tensor {
  return inScope((scope) => {
    for (const t of tensors) scope.add(t);
    return Tensor.concat(tensors.map((t) => t.reshape([1, ...t.shape]))).keep();
  });
}
