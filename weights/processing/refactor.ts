/**
 * Flag 5 of `processing.ts`, refactorFactoredAttnMatrices: a head only ever uses the products W_Q·W_Kᵀ and
 * W_V·W_O, so each is factored again by its singular value decomposition, which makes the head's inner axes
 * orthogonal and ordered.
 *
 * The products are [dModel, dModel] of rank dHead. They are never formed: with A = Q_a·R_a and B = Q_b·R_b,
 *
 *     A·Bᵀ = Q_a·(R_a·R_bᵀ)·Q_bᵀ,   and the SVD of the small R_a·R_bᵀ = U·S·Vᵀ gives that of A·Bᵀ: (Q_a·U)·S·(Q_b·V)ᵀ.
 *
 * Signs, and the basis where singular values coincide, are a free choice: single queries, keys, values and z
 * are comparable between implementations only through the products.
 */

import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import type { Config } from '../config.js';
import type { BlockWeights } from '../formats/types.js';

/**
 * A block with every head factored again. The value biases must be zero (folded).
 *
 *     QK  [W_Q; b_Q]·[W_K; b_K]ᵀ = U·S·Vᵀ   (dModel + 1 rows)   →   [W_Q; b_Q] = U·√S,   [W_K; b_K] = V·√S
 *     OV  W_V·W_O = U·S·Vᵀ                                      →   W_V = U·S,   W_O = Vᵀ
 *
 * @param which of the two products: heads with keys and values of their own only
 */
export function refactorBlock(
  block: BlockWeights,
  { nHeads, nKeyValueHeads, dHead, dModel }: Config,
  which: { readonly queryKey: boolean; readonly outputValue: boolean },
): BlockWeights {
  const width = block.W_QKV.shape[1];
  const W = block.W_QKV.data.slice();
  const b = block.b_QKV ? block.b_QKV.data.slice() : new Float32Array(width);
  const O = block.W_O.data.slice();
  const firsts = [0, nHeads * dHead, (nHeads + nKeyValueHeads) * dHead];

  for (let head = 0; head < nHeads; head++) {
    const [q, k, v] = firsts.map((first) => first + head * dHead);
    const gather = (first: number, rows: number) =>
      columns(rows, dHead, (i, j) => (i < dModel ? W[i * width + first + j] : b[first + j]));
    const scatter = (first: number, rows: number, matrix: Columns) => {
      for (let j = 0; j < dHead; j++)
        for (let i = 0; i < rows; i++) {
          if (i < dModel) W[i * width + first + j] = matrix[j][i];
          else b[first + j] = matrix[j][i];
        }
    };

    if (which.queryKey) {
      const qk = factoredSvd(gather(q, dModel + 1), gather(k, dModel + 1));
      scatter(q, dModel + 1, scale(qk.U, qk.S.map(Math.sqrt)));
      scatter(k, dModel + 1, scale(qk.V, qk.S.map(Math.sqrt)));
    }
    if (!which.outputValue) continue;
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
    b_QKV: block.b_QKV || b.some((x) => x !== 0) ? { shape: [width], data: b } : null,
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
 * The SVD of A·Bᵀ, A and B [rows, n]: U and V [rows, n], S [n] in descending order. Where n exceeds the rows,
 * the surplus columns are zero.
 */
export function factoredSvd(A: Columns, B: Columns): { U: Columns; S: number[]; V: Columns } {
  const n = A.length;
  const a = householder(A);
  const b = householder(B);
  const rank = a.R.rows;
  const core = new SingularValueDecomposition(a.R.mmul(b.R.transpose()));
  const order = Array.from({ length: rank }, (_, i) => i).sort((i, j) => core.diagonal[j] - core.diagonal[i]);
  const lift = (Q: Reflections, vectors: Matrix): Columns =>
    Q(columns(A[0].length, n, (i, j) => (i < rank && j < rank ? vectors.get(i, order[j]) : 0)));
  const S = Array.from({ length: n }, (_, j) => (j < rank ? core.diagonal[order[j]] : 0));
  return { U: lift(a.Q, core.leftSingularVectors), S, V: lift(b.Q, core.rightSingularVectors) };
}

/** Multiplies Q by a matrix, in place. */
type Reflections = (matrix: Columns) => Columns;

/**
 * A = Q·R by Householder reflections, which stay accurate when columns are dependent or zero (Gram–Schmidt
 * does not). A [rows, n], R [r, n] with r = min(rows, n); Q stays a product of reflections. Columns lie
 * contiguous, which takes a third of the time of ml-matrix's row-wise QR (769 × 64, Node 20).
 */
function householder(A: Columns): { Q: Reflections; R: Matrix } {
  const n = A.length;
  const rows = A[0].length;
  const rank = Math.min(rows, n);
  const work = A.map((column) => column.slice());
  const normals: Float64Array[] = [];
  for (let k = 0; k < rank; k++) {
    const normal = work[k].slice();
    normal.fill(0, 0, k);
    const length = lengthOf(normal);
    normal[k] += normal[k] < 0 ? -length : length; // away from zero: no cancellation
    const norm = lengthOf(normal);
    if (norm > 0) for (let i = k; i < rows; i++) normal[i] /= norm;
    normals.push(normal);
    reflect(work, k, normal, k);
  }
  const R = new Matrix(rank, n);
  for (let j = 0; j < n; j++) for (let k = 0; k <= Math.min(j, rank - 1); k++) R.set(k, j, work[j][k]);
  const Q: Reflections = (matrix) => {
    for (let k = rank - 1; k >= 0; k--) reflect(matrix, 0, normals[k], k);
    return matrix;
  };
  return { Q, R };
}

/**
 * x −= 2·(normal·x)·normal for the columns x from `first` on; `normal` is zero before `from`. Four columns at
 * a time: each sum waits for its last addition, so four go at nearly the price of one.
 */
function reflect(matrix: Columns, first: number, normal: Float64Array, from: number): void {
  const rows = normal.length;
  let j = first;
  for (; j + 3 < matrix.length; j += 4) {
    const [a, b, c, d] = [matrix[j], matrix[j + 1], matrix[j + 2], matrix[j + 3]];
    let sa = 0;
    let sb = 0;
    let sc = 0;
    let sd = 0;
    for (let i = from; i < rows; i++) {
      const v = 2 * normal[i];
      sa += a[i] * v;
      sb += b[i] * v;
      sc += c[i] * v;
      sd += d[i] * v;
    }
    for (let i = from; i < rows; i++) {
      const v = normal[i];
      a[i] -= sa * v;
      b[i] -= sb * v;
      c[i] -= sc * v;
      d[i] -= sd * v;
    }
  }
  for (; j < matrix.length; j++) {
    const x = matrix[j];
    let sum = 0;
    for (let i = from; i < rows; i++) sum += 2 * normal[i] * x[i];
    for (let i = from; i < rows; i++) x[i] -= sum * normal[i];
  }
}

function lengthOf(x: Float64Array): number {
  return Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));
}
