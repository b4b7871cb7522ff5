/**
 * A matrix that is kept as a product (TransformerLens' FactoredMatrix). What a head does is a [d_model,
 * d_model] matrix of rank d_head, and between tokens even [d_vocab, d_vocab]; all that one wants to know of
 * it (entries, norm, trace, singular values, eigenvalues) comes from the two thin factors, and from matrices
 * [d_head, d_head] made of them.
 */

import { PRODUCT_BYTES } from '../../engine/budgets.js';
import { checkedMethods, is, optional, signature } from '../../hooks/input/check.js';
import { shownJson } from '../../weights/checks/messages.js';
import {
  type Complex,
  checkMatrix,
  eigenvalues,
  type HostMatrix,
  lengthOf,
  type Matrix64,
  multiply,
  qr,
  type Svd,
  scaleColumns,
  scaleRows,
  shortened,
  svd,
  transpose,
  zeros,
} from './linear-algebra.js';

/**
 * Rows or columns: `null` = all, a number (negative counts from the end; an axis of length 1 stays), `[start,
 * end)`.
 */
export type Span = null | number | readonly [start: number, end: number];

/**
 * A · B, never multiplied out unless one asks for `AB`. Computes in float64; factors may be float32 and are
 * not copied.
 */
export class FactoredMatrix {
  /** [rows, inner] */
  readonly A: HostMatrix;
  /** [inner, columns] */
  readonly B: HostMatrix;
  #svd: Svd | null = null;

  /** @throws when the inner axes differ. */
  constructor(A: HostMatrix, B: HostMatrix, ...more: []) {
    takes(A, B, ...more);
    checkMatrix(A, 'A of a factored matrix');
    checkMatrix(B, 'B of a factored matrix');
    if (A.shape[1] !== B.shape[0])
      throw new Error(
        `a factored matrix of [${A.shape.join(', ')}] and [${B.shape.join(', ')}]: the inner axes must agree`,
      );
    this.A = A;
    this.B = B;
  }

  /** [rows, columns] */
  get shape(): readonly [rows: number, columns: number] {
    return [this.A.shape[0], this.B.shape[1]];
  }

  /** The length of the axis between the factors: at least the rank. */
  get inner(): number {
    return this.A.shape[1];
  }

  /** The product [rows, columns]. @throws when it has more than 2^26 entries: take a part with `slice`. */
  get AB(): Matrix64 {
    const [m, n] = this.shape;
    if (m * n > PRODUCT_BYTES / 8)
      throw new Error(
        `AB of ${m} × ${n}: ${m * n} numbers are not made; take rows or columns first, or read row(i), column(j), corner(n)`,
      );
    return multiply(this.A, this.B);
  }

  /** The other way round: Bᵀ · Aᵀ. */
  get T(): FactoredMatrix {
    return new FactoredMatrix(transpose(this.B), transpose(this.A));
  }

  // ---- products
  // ----------------------------------------------------------------------------------------------

  /** this · other, factored through the shortest axis on the way. */
  matmul(other: HostMatrix | FactoredMatrix): FactoredMatrix {
    const next = other instanceof FactoredMatrix ? other : null;
    const right = next ? next.A : (other as HostMatrix);
    checkMatrix(right, 'matmul');
    if (right.shape[0] !== this.shape[1])
      throw new Error(
        `matmul: [${this.shape.join(', ')}] · [${[right.shape[0], (next ?? right).shape[1]].join(', ')}]: the inner axes must agree`,
      );
    const B = multiply(this.B, right);
    if (!next) return new FactoredMatrix(this.A, B).#shortest();
    return this.inner <= next.inner
      ? new FactoredMatrix(this.A, multiply(B, next.B))
      : new FactoredMatrix(multiply(this.A, B), next.B);
  }

  /** matrix · this. */
  leftMatmul(matrix: HostMatrix): FactoredMatrix {
    return new FactoredMatrix(multiply(matrix, this.A), this.B).#shortest();
  }

  /** this · x, [rows]. */
  apply(x: ArrayLike<number>): Float64Array {
    if (x.length !== this.shape[1])
      throw new Error(`apply: ${x.length} numbers for a matrix of ${this.shape[1]} columns`);
    const column = { shape: [x.length, 1], data: Float64Array.from(x) };
    return multiply(this.A, multiply(this.B, column)).data;
  }

  /** this · scalar. @throws for anything but a number: `matmul` multiplies by a matrix */
  mul(scalar: number): FactoredMatrix {
    return new FactoredMatrix({ ...this.A, data: Float64Array.from(this.A.data, (x) => x * scalar) }, this.B);
  }

  // ---- parts
  // -------------------------------------------------------------------------------------------------

  /** Some rows and columns. */
  slice(rows: Span, columns: Span = null): FactoredMatrix {
    const [m, n] = this.shape;
    const [r, c] = [range(rows, m, 'row'), range(columns, n, 'column')];
    const A = {
      shape: [r[1] - r[0], this.inner],
      data: this.A.data.subarray(r[0] * this.inner, r[1] * this.inner),
    };
    return new FactoredMatrix(A, columns === null ? this.B : pickColumns(this.B, count(c)));
  }

  /** Rows in any order, e.g. those of some tokens. */
  rows(indices: readonly number[]): FactoredMatrix {
    const { inner } = this;
    const A = zeros(indices.length, inner);
    indices.forEach((i, k) => {
      const [row] = range(i, this.shape[0], 'row');
      A.data.set(this.A.data.subarray(row * inner, (row + 1) * inner), k * inner);
    });
    return new FactoredMatrix(A, this.B);
  }

  /** Columns in any order. */
  columns(indices: readonly number[]): FactoredMatrix {
    const n = this.shape[1];
    return new FactoredMatrix(
      this.A,
      pickColumns(
        this.B,
        indices.map((j) => range(j, n, 'column')[0]),
      ),
    );
  }

  /** Row i: [columns]. */
  row(i: number): Float64Array {
    return this.slice(i).AB.data;
  }

  /** Column j: [rows]. */
  column(j: number): Float64Array {
    return this.slice(null, j).AB.data;
  }

  /** One entry. */
  get(i: number, j: number): number {
    return this.slice(i, j).AB.data[0];
  }

  /** The first n rows of the first n columns. */
  corner(n = 3): Matrix64 {
    const [rows, columns] = this.shape;
    return this.slice([0, Math.min(n, rows)], [0, Math.min(n, columns)]).AB;
  }

  // ---- what kind of matrix it is
  // -------------------------------------------------------------------------------

  /**
   * U [rows, r], S [r] descending, Vh [r, columns] with U · diag(S) · Vh = this; r is the inner length (no
   * more than rows or columns). A is written Q_a·R_a, Bᵀ Q_b·R_b, and only R_a·R_bᵀ is decomposed. Signs are
   * a free choice. What TransformerLens calls `Vh` is V, [columns, r]: ours is what the name says.
   */
  svd(): Svd {
    if (this.#svd) return this.#svd;
    const { A, B } = this.#shortest();
    const [a, b] = [qr(A), qr(transpose(B))];
    const { U, S, Vh } = svd(multiply(a.R, transpose(b.R)));
    this.#svd = { U: multiply(a.Q, U), S, Vh: multiply(Vh, transpose(b.Q)) };
    return this.#svd;
  }

  /** Left singular vectors, the columns of [rows, r]. */
  get U(): Matrix64 {
    return this.svd().U;
  }

  /** Singular values, descending. */
  get S(): Float64Array {
    return this.svd().S;
  }

  /** Right singular vectors, the rows of [r, columns]. */
  get Vh(): Matrix64 {
    return this.svd().Vh;
  }

  /**
   * The eigenvalues of B · A, largest first by absolute value: those of A · B but for zeros. @throws unless
   * it is square.
   */
  eigenvalues(): Complex {
    this.#checkSquare('eigenvalues');
    return eigenvalues(multiply(this.B, this.A));
  }

  /** Frobenius' norm, √Σ entry². */
  norm(): number {
    return lengthOf(multiply(shortened(this.A), transpose(shortened(transpose(this.B)))).data);
  }

  /** The sum of the diagonal, and of the eigenvalues. @throws unless it is square. */
  trace(): number {
    this.#checkSquare('trace');
    const { A, B, inner } = this;
    const n = this.shape[0];
    let sum = 0;
    for (let i = 0; i < n; i++)
      for (let k = 0; k < inner; k++) sum += A.data[i * inner + k] * B.data[k * n + i];
    return sum;
  }

  /** The same matrix as (U·√S)·(√S·Vh): orthogonal factors that share the singular values. */
  makeEven(): FactoredMatrix {
    const { U, S, Vh } = this.svd();
    const root = S.map(Math.sqrt);
    return new FactoredMatrix(scaleColumns(U, root), scaleRows(Vh, root));
  }

  /**
   * Measures as this does from the left: Q · collapseLeft() = this, Q with orthonormal columns. [inner or
   * fewer, columns]
   */
  collapseLeft(): Matrix64 {
    return multiply(shortened(this.A), this.B);
  }

  /** collapseRight() · Q = this, Q with orthonormal rows. [rows, inner or fewer] */
  collapseRight(): Matrix64 {
    return multiply(this.A, transpose(shortened(transpose(this.B))));
  }

  /** `FactoredMatrix(768 × 768, inner 64)`. */
  toString(): string {
    return `FactoredMatrix(${this.shape.join(' × ')}, inner ${this.inner})`;
  }

  /** The same with an inner axis that is no longer than rows and columns. */
  #shortest(): FactoredMatrix {
    const [m, n] = this.shape;
    if (this.inner <= Math.min(m, n)) return this;
    const product = multiply(this.A, this.B);
    return m <= n ? new FactoredMatrix(identity(m), product) : new FactoredMatrix(product, identity(n));
  }

  #checkSquare(what: string): void {
    const [m, n] = this.shape;
    if (m !== n) throw new Error(`${what} of a matrix of ${m} × ${n}: only square matrices have that`);
  }
}

const matrix = is.having('a matrix { shape, data }', 'shape', 'data');
const factor = is.either(matrix, is.having('a FactoredMatrix', 'A', 'B'));
const span = is.either(is.oneOf(null), is.integer, is.range);
const spans = { ...span, what: 'null (all), a number or [start, end)' };
checkedMethods(
  FactoredMatrix.prototype,
  {
    matmul: { other: factor },
    leftMatmul: { matrix },
    apply: { x: is.numbers },
    mul: { scalar: { ...is.number, what: 'a finite number (matmul takes a matrix)' } },
    slice: { rows: spans, columns: optional(spans) },
    rows: { indices: is.numbers },
    columns: { indices: is.numbers },
    row: { i: is.integer },
    column: { j: is.integer },
    get: { i: is.integer, j: is.integer },
    corner: { n: optional(is.count) },
    svd: {},
    eigenvalues: {},
    norm: {},
    trace: {},
    makeEven: {},
    collapseLeft: {},
    collapseRight: {},
    toString: {},
  },
  'FactoredMatrix.',
);
const takes = signature('FactoredMatrix', { A: matrix, B: matrix });

function identity(n: number): Matrix64 {
  const out = zeros(n, n);
  for (let i = 0; i < n; i++) out.data[i * n + i] = 1;
  return out;
}

function pickColumns({ shape: [rows, n], data }: HostMatrix, indices: readonly number[]): Matrix64 {
  const out = zeros(rows, indices.length);
  for (let i = 0; i < rows; i++)
    indices.forEach((j, k) => {
      out.data[i * indices.length + k] = data[i * n + j];
    });
  return out;
}

const count = ([start, end]: readonly [number, number]): number[] =>
  Array.from({ length: end - start }, (_, i) => start + i);

function range(span: Span, length: number, what: string): readonly [start: number, end: number] {
  if (span === null) return [0, length];
  const at = (i: number) => (i < 0 ? i + length : i);
  const [start, end] = typeof span === 'number' ? [at(span), at(span) + 1] : [at(span[0]), at(span[1])];
  if (![start, end].every(Number.isInteger) || start < 0 || start > end || end > length)
    throw new Error(`${what} ${shownJson(span)} of a matrix that has ${length} ${what}s (0–${length - 1})`);
  return [start, end];
}
