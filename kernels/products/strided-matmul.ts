/**
 * A batch of matrix products with any strides, four by four outputs a thread: the gradients of products that
 * have a head or batch axis (products-backward.ts).
 */

import { type Caps, type Example, type Family, type Launch, noise, repeat } from '../core/kernel.js';
import { kernel, perElement, perElementMain } from '../core/wgsl.js';

/** Where element [batch, row, column] of an operand lies, in floats. */
export interface MatrixAt {
  readonly batch: number;
  readonly row: number;
  readonly col: number;
  readonly offset?: number;
}

/** Sizes C [batch, m, n] = A [batch, m, k] · B [batch, k, n], and where each of them lies. */
export interface StridedMatmul {
  readonly batch: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly a: MatrixAt;
  readonly b: MatrixAt;
  readonly c: MatrixAt;
  /** C += … */
  readonly accumulate?: boolean;
  /** A number for each column, the same in every row: where those of batch i begin. */
  readonly bias?: { readonly batch: number; readonly offset: number };
}

const OPERANDS = ['a', 'b', 'c'] as const;

/**
 * C[i] (+)= A[i] · B[i] (+ bias[i]). Buffers: A, B, bias (if there is one), C; what is not an element of C
 * stays.
 */
export function stridedMatmul(o: StridedMatmul, _caps: Caps): Launch {
  const { batch, m, k, n, accumulate = false, bias } = o;
  const four = (f: (i: number) => string, join = '\n') => repeat(4, f, join);
  const added = (e: number) =>
    (bias ? ` + bias[params.biasOffset + batch * params.biasBatch + col + ${e}u]` : '') +
    (accumulate ? ' + C[at]' : '');
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> A: array<f32>;
@group(0) @binding(1) var<storage, read> B: array<f32>;
${bias ? '@group(0) @binding(2) var<storage, read> bias: array<f32>;' : ''}
@group(0) @binding(${bias ? 3 : 2}) var<storage, read_write> C: array<f32>;
struct Params {
  n: u32, // threads: blocks of 4 × 4 outputs
  rows: u32,
  inner: u32,
  cols: u32,
${OPERANDS.map((t) => `  ${t}Batch: u32,\n  ${t}Row: u32,\n  ${t}Col: u32,\n  ${t}Offset: u32,`).join('\n')}
${bias ? '  biasBatch: u32,\n  biasOffset: u32,' : ''}
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let across = (params.cols + 3u) / 4u;
  let down = (params.rows + 3u) / 4u;
  let row = 4u * ((i / across) % down);
  let col = 4u * (i % across);
  let batch = i / across / down;
  let a = params.aOffset + batch * params.aBatch;
  let b = params.bOffset + batch * params.bBatch;
  ${four((r) => `let a${r} = a + min(row + ${r}u, params.rows - 1u) * params.aRow;`)}
  ${four((r) => `let b${r} = b + min(col + ${r}u, params.cols - 1u) * params.bCol;`)}
  ${four((r) => `var y${r} = vec4f();`)}
  for (var k = 0u; k < params.inner; k++) {
    let w = vec4f(${four((r) => `B[b${r} + k * params.bRow]`, ', ')});
    ${four((r) => `y${r} = fma(vec4f(A[a${r} + k * params.aCol]), w, y${r});`)}
  }
  let c = params.cOffset + batch * params.cBatch;
  ${four(
    (r) => `if (row + ${r}u < params.rows) {
    ${four((e) => `if (col + ${e}u < params.cols) { let at = c + (row + ${r}u) * params.cRow + (col + ${e}u) * params.cCol; C[at] = y${r}[${e}]${added(e)}; }`)}
  }`,
  )}
}`;
  const threads = batch * Math.ceil(m / 4) * Math.ceil(n / 4);
  const places = OPERANDS.flatMap((t) => {
    const { batch, row, col, offset = 0 } = o[t];
    return Object.entries({ Batch: batch, Row: row, Col: col, Offset: offset }).map(([name, value]) => [
      t + name,
      value,
    ]);
  });
  return {
    kernel: kernel(`stridedMatmul${bias ? '/bias' : ''}${accumulate ? '/accumulate' : ''}`, code),
    params: {
      n: threads,
      rows: m,
      inner: k,
      cols: n,
      ...Object.fromEntries(places),
      ...(bias && { biasBatch: bias.batch, biasOffset: bias.offset }),
    },
    grid: perElement(threads),
  };
}

/** Float64 reference: C as a whole, given what it held before. */
export function stridedMatmulReference(
  o: StridedMatmul,
  { a, b, c }: Record<'a' | 'b' | 'c', ArrayLike<number>>,
): Float64Array {
  const out = Float64Array.from(c);
  const at = (t: MatrixAt, i: number, row: number, col: number) =>
    (t.offset ?? 0) + i * t.batch + row * t.row + col * t.col;
  for (let i = 0; i < o.batch; i++)
    for (let row = 0; row < o.m; row++)
      for (let col = 0; col < o.n; col++) {
        const to = at(o.c, i, row, col);
        if (!o.accumulate) out[to] = 0;
        for (let k = 0; k < o.k; k++) out[to] += a[at(o.a, i, row, k)] * b[at(o.b, i, k, col)];
      }
  return out;
}

/** Checks of the product by itself. */
export const stridedMatmulFamily: Family = {
  name: 'strided-matmul',
  about: 'C[i] (+)= A[i]·B[i] with any strides; C [batch, m, n]',
  examples: (caps) =>
    [
      { batch: 1, m: 1, k: 1, n: 1 },
      { batch: 3, m: 5, k: 13, n: 7 },
      { batch: 2, m: 8, k: 40, n: 12, accumulate: true },
    ].flatMap((o) => {
      const { batch, m, k, n } = o;
      const sizes = { a: batch * m * k, b: batch * k * n, c: batch * m * n + 3 };
      const a = { batch: m * k, row: k, col: 1 };
      const b = { batch: k * n, row: n, col: 1 };
      const c = { batch: m * n, row: n, col: 1, offset: 3 };
      const transposed = { ...o, a: { ...a, row: 1, col: m }, b: { ...b, row: 1, col: k }, c };
      const about = `${batch}×${m}×${k}×${n}`;
      const example = (title: string, product: StridedMatmul): Example => {
        const data = { a: noise(sizes.a, 1), b: noise(sizes.b, 2), c: noise(sizes.c, 3) };
        return {
          title,
          launch: stridedMatmul(product, caps),
          buffers: [data.a, data.b, data.c],
          expected: [{ binding: 2, values: stridedMatmulReference(product, data), atol: 1e-5, rtol: 1e-6 }],
        };
      };
      return [example(about, { ...o, a, b, c }), example(`${about}, both transposed`, transposed)];
    }),
};
