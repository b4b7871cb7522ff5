/**
 * Logits of (row, target) pairs out of a chunk of the vocabulary: a row may have any number of targets, as a
 * node in a tree of texts has children.
 */

import { type Caps, type Family, type Launch, noise } from '../core/kernel.js';
import { kernel, perElement, perElementMain } from '../core/wgsl.js';

/**
 * picked[i] = X[row i, target i − col0] where this chunk of columns has that target; else it stays.
 * Buffers: X [rows, cols], pairs u32 [2, n] (rows, then targets), picked [n] in place.
 */
export function pickPairs(o: { n: number; rows: number; cols: number; col0: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> pairs: array<u32>;
@group(0) @binding(2) var<storage, read_write> picked: array<f32>;
struct Params {
  n: u32, // pairs
  rows: u32,
  cols: u32,
  col0: u32, // first column of this chunk
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let row = pairs[i];
  let col = pairs[params.n + i] - params.col0; // wraps round to a huge number below col0
  if (row < params.rows && col < params.cols) { picked[i] = X[row * params.cols + col]; }
}`;
  return {
    kernel: kernel('pickPairs', code),
    params: { n: o.n, rows: o.rows, cols: o.cols, col0: o.col0 },
    grid: perElement(o.n),
  };
}

/** Checks of picking. */
export const pickFamily: Family = {
  name: 'pick',
  about: 'logits of (row, target) pairs, a chunk of the vocabulary at a time',
  examples(caps) {
    const [rows, cols, col0] = [4, 10, 20];
    const n = 150;
    const row = Uint32Array.from({ length: n }, (_, i) => (7 * i) % rows);
    const target = Uint32Array.from({ length: n }, (_, i) => (11 * i) % 40); // below, in and after the chunk
    const X = noise(rows * cols, 1);
    const before = noise(n, 2);
    const inside = (i: number) => target[i] >= col0 && target[i] < col0 + cols;
    return [
      {
        title: 'pickPairs, many targets a row, inside and outside of the chunk',
        launch: pickPairs({ n, rows, cols, col0 }, caps),
        buffers: [X, Uint32Array.of(...row, ...target), before],
        expected: [
          {
            binding: 2,
            values: before.map((b, i) => (inside(i) ? X[row[i] * cols + target[i] - col0] : b)),
            atol: 0,
            rtol: 0,
          },
        ],
      },
    ];
  },
};
