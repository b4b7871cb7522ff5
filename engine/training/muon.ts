/**
 * Muon (Jordan et al. 2024): the momentum of a matrix, made orthogonal, is the direction of its step. All
 * directions of the matrix move equally far, also those in which gradients are small; it learns from fewer
 * tokens than AdamW.
 */

import {
  combine,
  linear,
  matrixUpdate,
  normalizeMatrix,
  reduceRows,
  sumSquares,
  sumSquaresParts,
  unembed,
} from '../../kernels/index.js';
import { gatherStrided } from '../../kernels/memory/copy.js';
import type { MatrixPlace } from '../../kernels/training/muon.js';
import type { Gpu } from '../gpu/gpu.js';
import { inScope, type Scope } from '../gpu/storage.js';
import { Tensor } from '../tensor/tensor.js';

/**
 * Coefficients of X ← a·X + b·(X·Xᵀ)·X + c·(X·Xᵀ)²·X: they lift small singular values fast, to about 1 ± 0.3.
 */
const [A, B, C] = [3.4445, -4.775, 2.0315];
const ITERATIONS = 5;

/**
 * W = (1 − lr·decay)·W − lr·0.2·√(max(rows, cols))·orthogonal(direction), for one matrix that lies in both of
 * these parameters alike. The factor gives the step the root mean square of AdamW's (Liu et al. 2025), so
 * that both take the same learning rate.
 */
export function muonStep(
  direction: Tensor,
  parameter: Tensor,
  place: MatrixPlace,
  { lr, weightDecay }: { lr: number; weightDecay: number },
): void {
  const { gpu } = parameter;
  const wide = place.rows <= place.cols ? place : transposed(place);
  inScope((scope) => {
    const { tensor, scale } = orthogonal(direction, wide, scope);
    const rate = lr * 0.2 * Math.sqrt(wide.cols) * scale;
    const launch = matrixUpdate({ ...wide, keep: 1 - lr * weightDecay, rate }, gpu.caps);
    gpu.launch(launch, [tensor.binding(), parameter.binding()]);
  });
}

const transposed = ({ rows, cols, rowStride, colStride, offset }: MatrixPlace): MatrixPlace => ({
  rows: cols,
  cols: rows,
  rowStride: colStride,
  colStride: rowStride,
  offset,
});

/**
 * A matrix [rows, cols], rows ≤ cols, made nearly orthogonal by Newton–Schulz: scale · tensor. The factor a
 * of each iteration stays outside (X = s·Y, X ← a·s·(Y + (b·s²/a·M + c·s⁴/a·M²)·Y) with M = Y·Yᵀ), so that
 * the last product adds Y itself.
 */
function orthogonal(
  source: Tensor,
  { rows, cols, rowStride, colStride, offset }: MatrixPlace,
  scope: Scope,
): { tensor: Tensor; scale: number } {
  const { gpu } = source;
  const make = (shape: number[]) => ownedBy(scope, Tensor.result(gpu, shape, [], 'muon'));
  const walk = { shape: [rows, cols], strides: [rowStride, colStride], offset };
  let y = make([rows, cols]);
  gpu.launch(gatherStrided(walk, gpu.caps), [source.binding(), y.binding()]);
  const parts = sumSquaresParts(rows * cols);
  const squares = make([parts]);
  gpu.launch(sumSquares({ n: rows * cols }, gpu.caps), [y.binding(), squares.binding()]);
  gpu.launch(normalizeMatrix({ n: rows * cols, parts }, gpu.caps), [squares.binding(), y.binding()]);

  const square = { rows, inner: rows, cols: rows };
  const gram = make([rows, rows]);
  const gramSquared = make([rows, rows]);
  const polynomial = make([rows, rows]);
  let next = make([rows, cols]);
  let s = 1;
  for (let i = 0; i < ITERATIONS; i++) {
    const products = unembed({ rows, inner: cols, cols: rows, col0: 0, stride: rows }, gpu.caps);
    gpu.launch(products, [y.binding(), y.binding(), gram.binding()]);
    gpu.launch(linear(square, gpu.caps), [gram.binding(), gram.binding(), gramSquared.binding()]);
    const weights = { n: rows * rows, a: (B * s ** 2) / A, b: (C * s ** 4) / A };
    const [m, m2, p] = [gram, gramSquared, polynomial].map((t) => t.binding());
    gpu.launch(combine(weights, gpu.caps), [m, m2, p]);
    const last = linear({ rows, inner: rows, cols, residual: true }, gpu.caps);
    gpu.launch(last, [p, y.binding(), y.binding(), next.binding()]);
    [y, next] = [next, y];
    s *= A;
  }
  return { tensor: y, scale: s };
}

function ownedBy(scope: Scope, tensor: Tensor): Tensor {
  scope.add(tensor);
  return tensor;
}

/**
 * Σ squares of many tensors, [1]: for clipping by their common norm. It stays on the GPU; the caller disposes
 * of it.
 */
export function sumOfSquares(gpu: Gpu, tensors: readonly Tensor[]): Tensor {
  const counts = tensors.map((t) => sumSquaresParts(t.size));
  const total = counts.reduce((a, b) => a + b, 0);
  const parts = Tensor.result(gpu, [total], [], 'squares');
  const sum = Tensor.result(gpu, [1], [], 'squares');
  let outOffset = 0;
  tensors.forEach((t, i) => {
    gpu.launch(sumSquares({ n: t.size, outOffset }, gpu.caps), [t.binding(), parts.binding()]);
    outOffset += counts[i];
  });
  gpu.launch(reduceRows({ rows: 1, cols: total, op: 'sum' }, gpu.caps), [parts.binding(), sum.binding()]);
  parts.dispose();
  return sum;
}
