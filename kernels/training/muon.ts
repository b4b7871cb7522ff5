/**
 * What Muon (Jordan et al. 2024) needs besides matrix products: the momentum of a gradient, and the small
 * steps around the Newton–Schulz iteration that makes a matrix orthogonal. The products are `linear` and
 * `unembed` (engine/training/muon.ts).
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { kernel, offsets, perElement, perElementMain } from '../core/wgsl.js';

/** What the momentum of one step depends on. */
export interface Momentum {
  readonly momentum: number;
  /** As for `adamW`: the largest norm of all gradients together. */
  readonly maxNorm?: number | null;
}

/**
 * g = gradient, clipped; m = β·m + (1 − β)·g; direction = β·m + (1 − β)·g (Nesterov's).
 * Buffers: gradient [n], squares [1] (with `maxNorm`), m [n] in place, direction [n].
 */
export function momentum(o: Momentum & { n: number }, _caps: Caps): Launch {
  const { n, momentum, maxNorm = null } = o;
  const clip = maxNorm !== null;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> G: array<f32>;
${clip ? '@group(0) @binding(1) var<storage, read> squares: array<f32>;' : ''}
@group(0) @binding(${clip ? 2 : 1}) var<storage, read_write> M: array<f32>;
@group(0) @binding(${clip ? 3 : 2}) var<storage, read_write> D: array<f32>;
struct Params {
  n: u32,
  beta: f32,
  rest: f32, // 1 − beta
  maxNorm: f32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  ${clip ? 'let g = G[i] * min(1f, params.maxNorm / (sqrt(squares[0]) + 1e-6f));' : 'let g = G[i];'}
  let m = params.beta * M[i] + params.rest * g;
  M[i] = m;
  D[i] = params.beta * m + params.rest * g;
}`;
  return {
    kernel: kernel(`momentum${clip ? '/clip' : ''}`, code),
    params: { n, beta: momentum, rest: 1 - momentum, maxNorm: maxNorm ?? 0 },
    grid: perElement(n),
  };
}

/**
 * X / (√squares + 1e-7): Frobenius norm 1. Buffers: squares [parts], as `sumSquares` makes them, X [n] in
 * place.
 */
export function normalizeMatrix(o: { n: number; parts: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> squares: array<f32>;
@group(0) @binding(1) var<storage, read_write> X: array<f32>;
struct Params {
  n: u32,
  parts: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  var sum = 0f;
  for (var p = 0u; p < params.parts; p++) { sum += squares[p]; }
  X[i] = X[i] / (sqrt(sum) + 1e-7f);
}`;
  return { kernel: kernel('normalizeMatrix', code), params: { ...o }, grid: perElement(o.n) };
}

/** Y = a·A + b·B. Buffers: A [n], B [n], Y [n]. */
export function combine(o: { n: number; a: number; b: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> A: array<f32>;
@group(0) @binding(1) var<storage, read> B: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
  a: f32,
  b: f32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  Y[i] = params.a * A[i] + params.b * B[i];
}`;
  return { kernel: kernel('combine', code), params: { ...o }, grid: perElement(o.n) };
}

/** Where a matrix lies in a parameter, in elements. */
export interface MatrixPlace {
  readonly rows: number;
  readonly cols: number;
  readonly rowStride: number;
  readonly colStride: number;
  readonly offset: number;
}

/**
 * W = keep·W − rate·D for a matrix that is part of a parameter, or lies transposed in it.
 * Buffers: D [rows, cols], W (the whole parameter) in place.
 */
export function matrixUpdate(o: MatrixPlace & { keep: number; rate: number }, _caps: Caps): Launch {
  const { rows, ...params } = o;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> D: array<f32>;
@group(0) @binding(1) var<storage, read_write> W: array<f32>;
struct Params {
  n: u32,
  cols: u32,
  rowStride: u32,
  colStride: u32,
  offset: u32,
  keep: f32,
  rate: f32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let at = params.offset + (i / params.cols) * params.rowStride + (i % params.cols) * params.colStride;
  W[at] = params.keep * W[at] - params.rate * D[i];
}`;
  const n = rows * o.cols;
  return { kernel: kernel('matrixUpdate', code), params: { n, ...params }, grid: perElement(n) };
}

/** Float64 reference of `momentum`. */
function momentumReference(
  { momentum: beta, maxNorm = null }: Momentum,
  { g, m }: Record<'g' | 'm', ArrayLike<number>>,
  squares: number,
): Record<'m' | 'd', Float64Array> {
  const scale = maxNorm === null ? 1 : Math.min(1, maxNorm / (Math.sqrt(squares) + 1e-6));
  const after = Float64Array.from(m, (x, i) => beta * x + (1 - beta) * g[i] * scale);
  return { m: after, d: after.map((x, i) => beta * x + (1 - beta) * g[i] * scale) };
}

/** Checks of Muon's small steps. */
export const muonFamily: Family = {
  name: 'muon',
  about: 'momentum, m [n]; X / |X|; a·A + b·B; a step on a matrix that is part of a parameter',
  examples(caps) {
    const near = { atol: 1e-7, rtol: 1e-6 };
    const examples: Example[] = [];
    for (const n of [1, 39, 1000])
      for (const maxNorm of [null, 0.5]) {
        const o = { momentum: 0.95, maxNorm };
        const data = { g: noise(n, 1), m: noise(n, 2) };
        const squares = 2 * data.g.reduce((a, x) => a + x * x, 0);
        const after = momentumReference(o, data, squares);
        const clip = maxNorm === null ? [] : [Float32Array.of(squares)];
        const at = 1 + clip.length;
        examples.push({
          title: `momentum [${n}]${maxNorm === null ? '' : ', clipped'}`,
          launch: momentum({ ...o, n }, caps),
          buffers: [data.g, ...clip, data.m, n],
          expected: [
            { binding: at, values: after.m, ...near },
            { binding: at + 1, values: after.d, ...near },
          ],
        });
      }
    const n = 100;
    const [x, y] = [noise(n, 3), noise(n, 4)];
    const squares = Float32Array.of(1.5, 2.5);
    examples.push(
      {
        title: 'a matrix over its norm',
        launch: normalizeMatrix({ n, parts: 2 }, caps),
        buffers: [squares, x],
        expected: [{ binding: 1, values: x.map((v) => v / 2), ...near }],
      },
      {
        title: '3·A − 2·B',
        launch: combine({ n, a: 3, b: -2 }, caps),
        buffers: [x, y, n],
        expected: [{ binding: 2, values: Float64Array.from(x, (v, i) => 3 * v - 2 * y[i]), ...near }],
      },
    );
    for (const [title, rowStride, colStride] of [
      ['columns 4 to 8 of a [5, 12]', 12, 1],
      ['the same, transposed', 1, 12],
    ] as const) {
      const [rows, cols] = rowStride === 1 ? [4, 5] : [5, 4];
      const place = { rows, cols, rowStride, colStride, offset: 4 };
      const [d, w] = [noise(20, 5), noise(60, 6)];
      const values = Float64Array.from(w);
      offsets([rows, cols], [rowStride, colStride], 4).forEach((at, i) => {
        values[at] = 0.9 * w[at] - 0.1 * d[i];
      });
      examples.push({
        title: `a step on ${title}`,
        launch: matrixUpdate({ ...place, keep: 0.9, rate: 0.1 }, caps),
        buffers: [d, w],
        expected: [{ binding: 1, values, ...near }],
      });
    }
    return examples;
  },
};
