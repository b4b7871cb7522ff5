/**
 * The largest singular values of a matrix that is too large to decompose, with their vectors: Golub and
 * Kahan's bidiagonalisation (1965), which needs products with vectors only, with every new vector made
 * orthogonal to all before.
 */

import { normals } from '../../hooks/interventions/draw.js';
import {
  type HostMatrix,
  lengthOf,
  type Matrix64,
  multiply,
  type Svd,
  svd,
  transpose,
  zeros,
} from './linear-algebra.js';

/** Up to this size (of the shorter side) a matrix is decomposed whole. */
const SMALL = 96;
/** A singular vector is found when the residual is so small, relative to the largest value. */
const TOLERANCE = 1e-11;

/** U [m, k], S [k] descending, Vh [k, n] of a matrix [m, n], k no more than either. */
export function topSingular(A: HostMatrix, k: number): Svd {
  const [m, n] = A.shape;
  if (m < n) {
    const { U, S, Vh } = topSingular(transpose(A), k);
    return { U: transpose(Vh), S, Vh: transpose(U) };
  }
  if (n <= Math.max(SMALL, 2 * k)) return first(svd(A), k);
  const lanczos = new Bidiagonal(A);
  for (let steps = 2 * k + 32; ; steps = Math.ceil(1.5 * steps)) {
    lanczos.extend(Math.min(steps, n));
    const small = svd(lanczos.matrix());
    if (lanczos.steps < n && !lanczos.holds(small, k)) continue;
    const { U, S, Vh } = first(small, k);
    return {
      U: transpose(multiply(transpose(U), stack(lanczos.left))),
      S,
      Vh: multiply(Vh, stack(lanczos.right)),
    };
  }
}

/** A · V = U · B with B upper bidiagonal, as many columns as there were steps. */
class Bidiagonal {
  readonly #A: HostMatrix;
  readonly left: Float64Array[] = [];
  readonly right: Float64Array[] = [];
  /** The diagonal of B, and what stands right of it; of the last, the residual. */
  readonly #alpha: number[] = [];
  readonly #beta: number[] = [];
  /** What the next right vector will be. */
  #next: Float64Array;
  readonly #draw = normals(1);

  constructor(A: HostMatrix) {
    this.#A = A;
    this.#next = this.#draw(A.shape[1]);
  }

  get steps(): number {
    return this.left.length;
  }

  extend(steps: number): void {
    const { left, right } = this;
    while (left.length < steps) {
      right.push(this.#unit(this.#next, right).vector);
      const u = this.#unit(product(this.#A, right.at(-1)!), left);
      left.push(u.vector);
      this.#alpha.push(u.length);
      this.#next = orthogonal(productOfTransposed(this.#A, u.vector), right);
      this.#beta.push(lengthOf(this.#next));
    }
  }

  /** B, [steps, steps]. */
  matrix(): Matrix64 {
    const n = this.steps;
    const B = zeros(n, n);
    for (let i = 0; i < n; i++) {
      B.data[i * n + i] = this.#alpha[i];
      if (i + 1 < n) B.data[i * n + i + 1] = this.#beta[i];
    }
    return B;
  }

  /** Whether the first k of B's singular values are those of A. */
  holds({ U, S }: Svd, k: number): boolean {
    const n = this.steps;
    const last = U.data.subarray((n - 1) * n, (n - 1) * n + k);
    return last.every((x) => Math.abs(x) * this.#beta[n - 1] <= TOLERANCE * S[0]);
  }

  /**
   * A vector made orthogonal to others and of length 1; where nothing is left, any other one, and length 0.
   */
  #unit(x: Float64Array, others: readonly Float64Array[]): { vector: Float64Array; length: number } {
    const before = lengthOf(x);
    const rest = orthogonal(x, others);
    const length = lengthOf(rest);
    if (length > 1e-13 * before) return { vector: rest.map((v) => v / length), length };
    const other = orthogonal(this.#draw(x.length), others);
    const size = lengthOf(other);
    return { vector: other.map((v) => v / size), length: 0 };
  }
}

/** x less its parts along the others; twice, since once leaves rounding errors. */
function orthogonal(x: Float64Array, others: readonly Float64Array[]): Float64Array {
  const out = x.slice();
  for (let round = 0; round < 2; round++)
    for (const q of others) {
      let dot = 0;
      for (let i = 0; i < q.length; i++) dot += q[i] * out[i];
      for (let i = 0; i < q.length; i++) out[i] -= dot * q[i];
    }
  return out;
}

const product = (A: HostMatrix, x: Float64Array): Float64Array =>
  multiply(A, { shape: [x.length, 1], data: x }).data;

const productOfTransposed = (A: HostMatrix, x: Float64Array): Float64Array =>
  multiply({ shape: [1, x.length], data: x }, A).data;

const stack = (rows: readonly Float64Array[]): Matrix64 => {
  const out = zeros(rows.length, rows[0].length);
  rows.forEach((row, i) => {
    out.data.set(row, i * row.length);
  });
  return out;
};

function first({ U, S, Vh }: Svd, k: number): Svd {
  const some = (M: Matrix64): Matrix64 => ({
    shape: [k, M.shape[1]],
    data: M.data.slice(0, k * M.shape[1]),
  });
  return { U: transpose(some(transpose(U))), S: S.slice(0, k), Vh: some(Vh) };
}
