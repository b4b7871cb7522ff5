/**
 * Matrices on the host, in float64: products, and the decompositions of ml-matrix on matrices that are small.
 */

import { EigenvalueDecomposition, Matrix, QrDecomposition, SingularValueDecomposition } from 'ml-matrix';

/** A row-major matrix [rows, columns]; a `HostTensor` of two axes is one. */
export interface HostMatrix {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array;
}

/** A matrix of float64. */
export interface Matrix64 extends HostMatrix {
  readonly data: Float64Array;
}

/** A matrix of zeros, to be filled. */
export const zeros = (rows: number, columns: number): Matrix64 => ({
  shape: [rows, columns],
  data: new Float64Array(rows * columns),
});

/** `[768, 64]`. @throws unless it has two axes that its numbers fill. */
export function checkMatrix({ shape, data }: HostMatrix, what: string): void {
  if (shape.length !== 2 || shape[0] * shape[1] !== data.length)
    throw new Error(
      `${what}: a matrix of two axes is needed, not ${data.length} numbers of shape [${shape}]`,
    );
}

/** A · B: [m, k] · [k, n]. */
export function multiply(A: HostMatrix, B: HostMatrix): Matrix64 {
  const [m, k] = A.shape;
  const [kB, n] = B.shape;
  if (k !== kB) throw new Error(`a product of [${A.shape}] and [${B.shape}]: the inner axes must agree`);
  const C = zeros(m, n);
  for (let i = 0; i < m; i++) {
    const row = C.data.subarray(i * n, (i + 1) * n);
    for (let l = 0; l < k; l++) {
      const a = A.data[i * k + l];
      const from = l * n;
      for (let j = 0; j < n; j++) row[j] += a * B.data[from + j];
    }
  }
  return C;
}

/** The matrix the other way round. */
export function transpose({ shape: [m, n], data }: HostMatrix): Matrix64 {
  const out = zeros(n, m);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) out.data[j * m + i] = data[i * n + j];
  return out;
}

/** Row i times factors[i]. */
export function scaleRows({ shape: [m, n], data }: HostMatrix, factors: ArrayLike<number>): Matrix64 {
  return { shape: [m, n], data: Float64Array.from(data, (x, i) => x * factors[Math.floor(i / n)]) };
}

/** Column j times factors[j]. */
export function scaleColumns({ shape: [m, n], data }: HostMatrix, factors: ArrayLike<number>): Matrix64 {
  return { shape: [m, n], data: Float64Array.from(data, (x, i) => x * factors[i % n]) };
}

/** √Σ x². */
export const lengthOf = (x: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * x[i];
  return Math.sqrt(sum);
};

/** A = Q · R, Q [m, n] with orthonormal columns, R [n, n]; A [m, n] has at least as many rows as columns. */
export function qr(A: HostMatrix): { Q: Matrix64; R: Matrix64 } {
  const found = new QrDecomposition(asMatrix(A));
  return { Q: fromMatrix(found.orthogonalMatrix), R: fromMatrix(found.upperTriangularMatrix) };
}

/** A matrix C with no more rows than columns and CᵀC = AᵀA: it measures as A does. */
export function shortened(A: HostMatrix): HostMatrix {
  return A.shape[0] > A.shape[1] ? fromMatrix(new QrDecomposition(asMatrix(A)).upperTriangularMatrix) : A;
}

/** A = U · diag(S) · Vh with r = min(m, n): U [m, r], S [r] descending, Vh [r, n]. */
export interface Svd {
  readonly U: Matrix64;
  readonly S: Float64Array;
  readonly Vh: Matrix64;
}

/** The singular value decomposition of a small matrix: time grows with its cube, 64 × 64 take 30 ms. */
export function svd(A: HostMatrix): Svd {
  if (A.shape[0] < A.shape[1]) {
    const { U, S, Vh } = svd(transpose(A));
    return { U: transpose(Vh), S, Vh: transpose(U) };
  }
  const found = new SingularValueDecomposition(asMatrix(A));
  const S = Float64Array.from(found.diagonal);
  return {
    U: fromMatrix(found.leftSingularVectors),
    S,
    Vh: transpose(fromMatrix(found.rightSingularVectors)),
  };
}

/** Complex numbers. */
export interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** The eigenvalues of a small square matrix, the largest first by absolute value. */
export function eigenvalues(A: HostMatrix): Complex {
  const { realEigenvalues: re, imaginaryEigenvalues: im } = new EigenvalueDecomposition(asMatrix(A));
  const size = re.map((x, i) => Math.hypot(x, im[i]));
  const order = re.map((_, i) => i).sort((i, j) => size[j] - size[i] || im[j] - im[i]);
  return { re: Float64Array.from(order, (i) => re[i]), im: Float64Array.from(order, (i) => im[i]) };
}

function asMatrix({ shape: [m, n], data }: HostMatrix): Matrix {
  const out = new Matrix(m, n);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) out.set(i, j, data[i * n + j]);
  return out;
}

function fromMatrix(matrix: Matrix): Matrix64 {
  const out = zeros(matrix.rows, matrix.columns);
  for (let i = 0; i < matrix.rows; i++)
    for (let j = 0; j < matrix.columns; j++) out.data[i * matrix.columns + j] = matrix.get(i, j);
  return out;
}
