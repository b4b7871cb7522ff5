/**
 * Sums over rows, for the gradients of what all rows share: biases, gains of layer norms. In two launches
 * where there are many rows, so that many threads are at work and yet the order is always the same: first
 * some parts, then their sum.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { accumulate, kernel, perElement, perElementMain } from '../core/wgsl.js';

/** Rows that one thread adds up, at least, before a second launch pays. */
const ROWS_A_PART = 64;

/** How many parts `columnSums` is best split into: 1 = a single launch. */
export const columnSumParts = (rows: number): number =>
  rows < 2 * ROWS_A_PART ? 1 : Math.min(ROWS_A_PART, Math.ceil(rows / ROWS_A_PART));

/**
 * Y[part, outOffset + c] (+)= Σ X[r, c] · Z[r, c] over the rows r of each part, which are neighbours.
 * Buffers in order: X [rows, cols], Z [rows, cols] (with `times`), Y [parts, cols] (from outOffset on).
 * For the sum of everything with several parts: once with parts = p, and once more with X = Y [p, cols],
 * parts = 1.
 * @param o.parts 1 by default: the sum over all rows
 */
export function columnSums(
  o: {
    rows: number;
    cols: number;
    parts?: number;
    times?: boolean;
    accumulate?: boolean;
    outOffset?: number;
  },
  _caps: Caps,
): Launch {
  const { rows, cols, parts = 1, times = false, outOffset = 0 } = o;
  const add = o.accumulate ? ' + Y[y]' : '';
  const term = (i: string) => (times ? `X[${i}] * Z[${i}]` : `X[${i}]`);
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
${times ? '@group(0) @binding(1) var<storage, read> Z: array<f32>;' : ''}
@group(0) @binding(${times ? 2 : 1}) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32, // parts · cols
  rows: u32,
  cols: u32,
  part: u32, // rows of a part
  outOffset: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let first = (i / params.cols) * params.part;
  let at = i % params.cols;
  let start = first * params.cols + at;
  let end = min(first + params.part, params.rows) * params.cols;
  ${accumulate({ name: 'sum', first: 'start', step: 'params.cols', end: 'end', term })}
  let y = params.outOffset + i;
  Y[y] = sum${add};
}`;
  return {
    kernel: kernel(`columnSums${times ? '/times' : ''}${o.accumulate ? '/accumulate' : ''}`, code),
    params: { n: parts * cols, rows, cols, part: Math.ceil(rows / parts), outOffset },
    grid: perElement(parts * cols),
  };
}

/** Float64 reference: the parts [parts, cols]. */
export function columnSumsReference(
  { rows, cols, parts = 1 }: { rows: number; cols: number; parts?: number },
  x: ArrayLike<number>,
  z?: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(parts * cols);
  const part = Math.ceil(rows / parts);
  for (let i = 0; i < rows * cols; i++)
    y[Math.floor(i / cols / part) * cols + (i % cols)] += x[i] * (z?.[i] ?? 1);
  return y;
}

/** Checks of the sums. */
export const columnSumsFamily: Family = {
  name: 'column-sums',
  about: 'Σ_rows X or Σ_rows X·Z, whole or in parts; X, Z [rows, cols] → [parts, cols]',
  examples(caps) {
    const examples: Example[] = [];
    for (const [rows, cols, parts] of [
      [1, 13, 1],
      [5, 39, 1],
      [120, 768, 1],
      [120, 12, columnSumParts(120)],
      [1000, 64, columnSumParts(1000)],
      [131, 7, 9],
      [10, 5, 7], // the last parts are empty
    ])
      for (const times of [false, true])
        for (const accumulate of [false, true]) {
          const [x, z] = [noise(rows * cols, 1), noise(rows * cols, 2)];
          const outOffset = accumulate ? 3 : 0;
          const before = noise(outOffset + parts * cols, 3);
          const sums = columnSumsReference({ rows, cols, parts }, x, times ? z : undefined);
          examples.push({
            title: `[${rows}, ${cols}] in ${parts}${times ? ', products' : ''}${accumulate ? ', accumulate' : ''}`,
            launch: columnSums({ rows, cols, parts, times, accumulate, outOffset }, caps),
            buffers: [x, ...(times ? [z] : []), accumulate ? before : sums.length],
            expected: [
              {
                binding: times ? 2 : 1,
                values: accumulate
                  ? before.map((b, i) => b + (i < outOffset ? 0 : sums[i - outOffset]))
                  : sums,
                atol: 1e-6 * Math.sqrt(rows) + 1e-6,
                rtol: 1e-6,
              },
            ],
          });
        }
    return examples;
  },
};
