/** Norms of the blocks of a matrix product. */

import { inScope } from '../../engine/gpu/storage.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { unembed } from '../../engine/transformer/ops.js';
import { asTable } from './vocabulary-circuits.js';

/**
 * Frobenius' norm of each left block times each right block transposed: [blocks of left · blocks of right],
 * on the host.
 * @param left [blocks · rows, inner]
 * @param right [blocks · rows, inner], another number of rows if need be
 * @param blocks how many each of them consists of
 */
export async function blockNorms(left: Tensor, right: Tensor, blocks: number): Promise<Float32Array> {
  return inScope(async (scope) => {
    const product = unembed(left.alias(scope), asTable(right), null);
    const [rows, columns] = product.shape.map((n) => n / blocks);
    const squares = product.map('square').reshape([blocks, rows, blocks, columns]);
    return await squares.sum(3).sum(1).map('sqrt').data();
  });
}
