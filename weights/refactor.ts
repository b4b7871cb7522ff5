/**
 * Flag 5 of `processing.ts`, refactorFactoredAttnMatrices: a head only ever uses the products W_Q·W_Kᵀ and W_V·W_O, so each
 * is factored again by its singular value decomposition, which makes the head's inner axes orthogonal and ordered.
 *
 * The products are [dModel, dModel] of rank dHead. They are never formed: with A = Q_a·R_a and B = Q_b·R_b,
 *
 *     A·Bᵀ = Q_a·(R_a·R_bᵀ)·Q_bᵀ,   and the SVD of the small R_a·R_bᵀ = U·S·Vᵀ gives that of A·Bᵀ: (Q_a·U)·S·(Q_b·V)ᵀ.
 *
 * Signs, and the basis where singular values coincide, are a free choice: single queries, keys, values and z are comparable
 * between implementations only through the products.
 */

import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import type { Config } from './config.js';
import type { BlockWeights } from './types.js';

/**
 * A block with every head factored again. The value biases must be zero (folded).
 *
 *     QK  [W_Q; b_Q]·[W_K; b_K]ᵀ = U·S·Vᵀ   (dModel + 1 rows)   →   [W_Q; b_Q] = U·√S,   [W_K; b_K] = V·√S
 *     OV  W_V·W_O = U·S·Vᵀ                                      →   W_V = U·S,   W_O = Vᵀ
 */
export function refactorBlock(block: BlockWeights, { nHeads, dHead, dModel }: Config): BlockWeights {
  const dAttn = nHeads * dHead;
  const W = block.W_QKV.data.slice();
  const b = block.b_QKV.data.slice();
  const O = block.W_O.data.slice();

  for (let head = 0; head < nHeads; head++) {
    const [q, k, v] = [0, 1, 2].map((part) => part * dAttn + head * dHead);
    const gather = (first: number, rows: number) =>
      columns(rows, dHead, (i, j) => (i < dModel ? W[i * 3 * dAttn + first + j] : b[first + j]));
    const scatter = (first: number, rows: number, matrix: Columns) => {
      for (let j = 0; j < dHead; j++)
        for (let i = 0; i < rows; i++) {
          if (i < dModel) W[i * 3 * dAttn + first + j] = matrix[j][i];
          else b[first + j] = matrix[j][i];
        }
    };

    const qk = factoredSvd(gather(q, dModel + 1), gather(k, dModel + 1));
    scatter(q, dModel + 1, scale(qk.U, qk.S.map(Math.sqrt)));
    scatter(k, dModel + 1, scale(qk.V, qk.S.map(Math.sqrt)));

    const row = (j: number) => (head * dHead + j) * dModel;
    const ov = factoredSvd(
      gather(v, dModel),
      columns(dModel, dHead, (i, j) => O[row(j) + i]),
    );
    scatter(v, dModel, scale(ov.U, ov.S));
    for (let j = 0; j < dHead; j++) O.set(ov.V[j], row(j));
  }
  return {
    ...block,
    W_QKV: { shape: block.W_QKV.shape, data: W },
    b_QKV: { shape: block.b_QKV.shape, data: b },
    W_O: { shape: block.W_O.shape, data: O },
  };
}

/** A tall matrix as its columns. */
type Columns = Float64Array[];

function columns(rows: number, n: number, value: (i: number, j: number) => number): Columns {
  return Array.from({ length: n }, (_, j) => Float64Array.from({ length: rows }, (_, i) => value(i, j)));
}

function scale(matrix: Columns, factors: readonly number[]): Columns {
  return matrix.map((column, j) => column.map((x) => x * factors[j]));
}

/**
 * The SVD of A·Bᵀ, A and B [rows, n]: U and V [rows, n], S [n] in descending order. Where n exceeds the rows, the
 * surplus columns are zero.
 */
export function factoredSvd(A: Columns, B: Columns): { U: Columns; S: number[]; V: Columns } {
  const n = A.length;
  const rows = A[0].length;
  const a = thinQr(A);
  const b = thinQr(B);
  const core = new SingularValueDecomposition(a.R.mmul(b.R.transpose()), { autoTranspose: true });
  const rank = a.Q.length;
  const order = Array.from({ length: rank }, (_, i) => i).sort((i, j) => core.diagonal[j] - core.diagonal[i]);
  const lift = (Q: Columns, vectors: Matrix): Columns =>
    Array.from({ length: n }, (_, j) => {
      const out = new Float64Array(rows);
      if (j >= rank) return out;
      for (let k = 0; k < rank; k++) {
        const factor = vectors.get(k, order[j]);
        for (let i = 0; i < rows; i++) out[i] += factor * Q[k][i];
      }
      return out;
    });
  const S = Array.from({ length: n }, (_, j) => (j < rank ? core.diagonal[order[j]] : 0));
  return { U: lift(a.Q, core.leftSingularVectors), S, V: lift(b.Q, core.rightSingularVectors) };
}

/**
 * A = Q·R by Householder reflections, which stay accurate when columns are dependent or zero (a plain Gram–Schmidt does
 * not). A [rows, n]; Q [rows, r] and R [r, n] with r = min(rows, n). Columns lie contiguous, which is several times
 * faster here than ml-matrix's row-wise QR.
 */
function thinQr(A: Columns): { Q: Columns; R: Matrix } {
  const n = A.length;
  const rows = A[0].length;
  const rank = Math.min(rows, n);
  const work = A.map((column) => column.slice());
  const reflectors: Float64Array[] = [];
  const reflect = (v: Float64Array, x: Float64Array, from: number) => {
    let dot = 0;
    for (let i = from; i < rows; i++) dot += v[i] * x[i];
    for (let i = from; i < rows; i++) x[i] -= 2 * dot * v[i];
  };
  for (let k = 0; k < rank; k++) {
    const v = new Float64Array(rows);
    let norm = 0;
    for (let i = k; i < rows; i++) norm += (v[i] = work[k][i]) ** 2;
    v[k] += work[k][k] < 0 ? -Math.sqrt(norm) : Math.sqrt(norm);
    let length = 0;
    for (let i = k; i < rows; i++) length += v[i] ** 2;
    if (length > 0) for (let i = k; i < rows; i++) v[i] /= Math.sqrt(length);
    reflectors.push(v);
    for (let j = k; j < n; j++) reflect(v, work[j], k);
  }
  const R = new Matrix(rank, n);
  for (let j = 0; j < n; j++) for (let k = 0; k <= Math.min(j, rank - 1); k++) R.set(k, j, work[j][k]);
  const Q = Array.from({ length: rank }, (_, k) => {
    const column = new Float64Array(rows);
    column[k] = 1;
    for (let i = rank - 1; i >= 0; i--) reflect(reflectors[i], column, i);
    return column;
  });
  return { Q, R };
}
