/** A factored matrix knows of its product all that the product itself would tell. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FactoredMatrix } from '../../interp/weights/factored-matrix.js';
import {
  type HostMatrix,
  multiply as product,
  svd,
  transpose as turned,
} from '../../interp/weights/linear-algebra.js';
import { topSingular } from '../../interp/weights/top-singular.js';
import { allClose, rng, throws } from '../helpers.js';

const exact = { atol: 1e-10, rtol: 1e-10 };

const random = (rows: number, columns: number, seed: number): HostMatrix => ({
  shape: [rows, columns],
  data: Float64Array.from(rng(seed).array(rows * columns)),
});

// The tests multiply and transpose by themselves.
const entry = ({ shape, data }: HostMatrix, i: number, j: number) => data[i * shape[1] + j];
const matrix = (rows: number, columns: number, f: (i: number, j: number) => number): HostMatrix => ({
  shape: [rows, columns],
  data: Float64Array.from({ length: rows * columns }, (_, n) => f(Math.floor(n / columns), n % columns)),
});
const transpose = (a: HostMatrix) => matrix(a.shape[1], a.shape[0], (i, j) => entry(a, j, i));
const multiply = (a: HostMatrix, b: HostMatrix) =>
  matrix(a.shape[0], b.shape[1], (i, j) =>
    Array.from({ length: a.shape[1] }, (_, k) => entry(a, i, k) * entry(b, k, j)).reduce((x, y) => x + y, 0),
  );

test('products and transposes are what they are by hand', () => {
  const a = { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] } as const;
  const b = { shape: [3, 2], data: [7, 8, 9, 10, 11, 12] } as const;
  const of = ({ shape, data }: HostMatrix) => ({ shape: [...shape], data: [...(data as Float64Array)] });
  const f = (m: { shape: readonly number[]; data: readonly number[] }) =>
    ({ shape: m.shape, data: Float64Array.from(m.data) }) as unknown as HostMatrix;
  assert.equal(of(product(f(a), f(b))), { shape: [2, 2], data: [58, 64, 139, 154] });
  assert.equal(of(turned(f(a))), { shape: [3, 2], data: [1, 4, 2, 5, 3, 6] });
});

const low = new FactoredMatrix(random(9, 3, 1), random(3, 7, 2));
const square = new FactoredMatrix(random(8, 3, 3), random(3, 8, 4));

/** U · diag(S) · Vh. */
const together = ({ U, S, Vh }: ReturnType<typeof svd>): HostMatrix['data'] =>
  multiply({ shape: U.shape, data: U.data.map((x, i) => x * S[i % S.length]) }, Vh).data;

const isIdentity = ({ shape: [n], data }: HostMatrix) =>
  allClose(
    data,
    Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0)),
    exact,
  );

test('parts are those of the product', () => {
  const { data } = low.AB;
  assert.is(low.get(2, -1), data[2 * 7 + 6]);
  allClose(low.row(-1), data.slice(8 * 7), exact);
  allClose(
    low.column(4),
    data.filter((_, i) => i % 7 === 4),
    exact,
  );
  assert.equal(low.corner(2).shape, [2, 2]);
  allClose(low.corner(2).data, [data[0], data[1], data[7], data[8]], exact);
  const some = low.rows([5, 0]).columns([6, 1, 1]);
  assert.equal(some.shape, [2, 3]);
  allClose(some.AB.data, [data[41], data[36], data[36], data[6], data[1], data[1]], exact);
  assert.equal(low.slice([2, -1], 3).shape, [6, 1]);
  allClose(low.T.AB.data, transpose(low.AB).data, exact);
});

test('products stay factored, through the shortest axis', () => {
  const wide = random(7, 20, 5);
  assert.is(low.matmul(wide).inner, 3);
  allClose(low.matmul(wide).AB.data, multiply(low.AB, wide).data, exact);
  const thin = new FactoredMatrix(random(7, 2, 6), random(2, 30, 7));
  assert.is(low.matmul(thin).inner, 2);
  allClose(low.matmul(thin).AB.data, multiply(low.AB, thin.AB).data, exact);
  const tall = random(20, 9, 8);
  allClose(low.leftMatmul(tall).AB.data, multiply(tall, low.AB).data, exact);
  allClose(
    low.mul(-2).AB.data,
    low.AB.data.map((x) => -2 * x),
    exact,
  );
  const x = rng(9).array(7);
  allClose(low.apply(x), multiply(low.AB, { shape: [7, 1], data: x }).data, exact);
});

test('the decomposition has orthonormal vectors, descending values, and the matrix as its product', () => {
  for (const matrix of [low, square, new FactoredMatrix(random(4, 6, 10), random(6, 5, 11))]) {
    const found = matrix.svd();
    const rank = Math.min(matrix.inner, ...matrix.shape);
    assert.is(found.S.length, rank);
    assert.equal(
      Array.from(found.S),
      Array.from(found.S).sort((a, b) => b - a),
    );
    isIdentity(multiply(transpose(found.U), found.U));
    isIdentity(multiply(found.Vh, transpose(found.Vh)));
    allClose(together(found), matrix.AB.data, exact);
    allClose(found.S, svd(matrix.AB).S.slice(0, rank), exact);
    allClose([matrix.norm()], [Math.hypot(...matrix.AB.data)], exact);
  }
});

test('a factor of lower rank than it has columns is no trouble', () => {
  const half = random(9, 1, 12).data;
  const doubled = { shape: [9, 2], data: Float64Array.from({ length: 18 }, (_, i) => half[i >> 1]) };
  const matrix = new FactoredMatrix(doubled, random(2, 7, 13));
  allClose(together(matrix.svd()), matrix.AB.data, exact);
  allClose([matrix.S[1]], [0], { atol: 1e-12 });
  const nothing = new FactoredMatrix({ shape: [9, 2], data: new Float32Array(18) }, random(2, 7, 13));
  assert.equal(Array.from(nothing.S), [0, 0]);
  assert.is(nothing.norm(), 0);
});

test('even factors are the same matrix, and weigh the same', () => {
  const even = low.makeEven();
  allClose(even.AB.data, low.AB.data, exact);
  const weight = ({ data }: HostMatrix) => Math.hypot(...data);
  allClose([weight(even.A)], [weight(even.B)], exact);
  allClose(even.S, low.S, exact);
});

test('eigenvalues come in conjugate pairs, add up to the trace, and include those of a rotation', () => {
  const { re, im } = square.eigenvalues();
  assert.is(re.length, 3);
  allClose([re.reduce((a, b) => a + b)], [square.trace()], exact);
  allClose([im.reduce((a, b) => a + b)], [0], exact);
  const data = Float64Array.from({ length: 64 }, (_, i) => square.AB.data[i]);
  allClose([square.trace()], [data.reduce((sum, x, i) => (i % 9 ? sum : sum + x), 0)], exact);
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
  const turn = new FactoredMatrix(
    { shape: [2, 2], data: Float64Array.of(c, -s, s, c) },
    { shape: [2, 2], data: Float64Array.of(2, 0, 0, 2) },
  );
  allClose(turn.eigenvalues().re, [2 * c, 2 * c], exact);
  allClose(turn.eigenvalues().im, [2 * s, -2 * s], exact);
});

test('collapsed factors measure as the matrix does', () => {
  const [left, right] = [low.collapseLeft(), low.collapseRight()];
  assert.equal(
    [left.shape, right.shape],
    [
      [3, 7],
      [9, 3],
    ],
  );
  const gram = (A: HostMatrix) => multiply(transpose(A), A).data;
  allClose(gram(left), gram(low.AB), exact);
  allClose(gram(transpose(right)), gram(transpose(low.AB)), exact);
});

test('the largest singular vectors of a large matrix are found without decomposing it', () => {
  for (const [m, n, seed] of [
    [160, 120, 14],
    [110, 130, 15],
  ]) {
    const matrix = random(m, n, seed);
    const [all, top] = [svd(matrix), topSingular(matrix, 4)];
    allClose(top.S, all.S.slice(0, 4), exact);
    const best = { U: all.U, S: all.S.map((x, i) => (i < 4 ? x : 0)), Vh: all.Vh };
    allClose(together(top), together(best), { atol: 1e-7 });
  }
});

test('what cannot be is said', () => {
  throws(
    () => new FactoredMatrix(random(2, 3, 1), random(2, 3, 1)),
    /\[2, 3\] and \[2, 3\]: the inner axes must agree/,
  );
  throws(() => new FactoredMatrix({ shape: [4], data: new Float32Array(4) }, random(4, 3, 1)), /two axes/);
  throws(() => low.eigenvalues(), /9 × 7: only square/);
  throws(() => low.trace(), /only square/);
  throws(() => low.row(9), /row 9 of a matrix that has 9 rows/);
  throws(() => low.matmul(random(3, 3, 1)), /inner axes must agree/);
  const huge = new FactoredMatrix(
    { shape: [20_000, 1], data: new Float32Array(20_000) },
    { shape: [1, 20_000], data: new Float32Array(20_000) },
  );
  throws(() => huge.AB, /20000 × 20000.*row\(i\)/);
});

test('mul takes a number only', () => {
  const one = new FactoredMatrix(
    { shape: [1, 1], data: Float64Array.of(2) },
    { shape: [1, 1], data: Float64Array.of(3) },
  );
  assert.equal([...one.mul(2).AB.data], [12]);
  throws(
    () => one.mul(one as never),
    /mul: scalar is a FactoredMatrix.*a finite number \(matmul takes a matrix\) is needed/,
  );
});

test.run();
