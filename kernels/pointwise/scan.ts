/** What a place along an axis decides: running sums, and the triangles of matrices. */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { kernel, perElement, perElementMain } from '../core/wgsl.js';

/**
 * Y[o, i, c] = Σ X[o, j, c] over j ≤ i, or with `reverse` over j ≥ i. A thread a line; sums of 32 are taken
 * first, so that rounding errors grow with their number. Buffers: X [outer, n, inner], Y.
 */
export function cumulate(
  o: { outer: number; n: number; inner: number; reverse?: boolean },
  _caps: Caps,
): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32, // lines: outer · inner
  length: u32, // of the axis
  inner: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain('y')}
  let at = (y / params.inner) * params.length * params.inner + y % params.inner;
  var sum = 0f;
  var part = 0f;
  for (var i = 0u; i < params.length; i++) {
    let place = at + ${o.reverse ? '(params.length - 1u - i)' : 'i'} * params.inner;
    part += X[place];
    Y[place] = sum + part;
    if (i % 32u == 31u) {
      sum += part;
      part = 0f;
    }
  }
}`;
  const lines = o.outer * o.inner;
  return {
    kernel: kernel(`cumulate${o.reverse ? '/reverse' : ''}`, code),
    params: { n: lines, length: o.n, inner: o.inner },
    grid: perElement(lines),
  };
}

/**
 * Y = X where column − row ≤ offset (with `upper`: ≥ offset), else 0, whatever X is there. Buffers: X [batch,
 * rows, cols], Y.
 */
export function triangle(
  o: { batch: number; rows: number; cols: number; offset: number; upper: boolean },
  _caps: Caps,
): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
  rows: u32,
  cols: u32,
  offset: u32, // two's complement
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let above = i32(i % params.cols) - i32((i / params.cols) % params.rows) - bitcast<i32>(params.offset);
  Y[i] = select(0f, X[i], above ${o.upper ? '>=' : '<='} 0);
}`;
  const n = o.batch * o.rows * o.cols;
  return {
    kernel: kernel(`triangle/${o.upper ? 'upper' : 'lower'}`, code),
    params: { n, rows: o.rows, cols: o.cols, offset: o.offset >>> 0 },
    grid: perElement(n),
  };
}

/** Checks of both. */
export const scanFamily: Family = {
  name: 'scan',
  about: 'running sums along one axis, X [outer, n, inner]; triangles of matrices, X [batch, rows, cols]',
  examples(caps) {
    const examples: Example[] = [];
    for (const reverse of [false, true])
      for (const [outer, n, inner] of [
        [3, 39, 1],
        [2, 65, 7],
        [4, 1, 3],
        [1, 5000, 1],
      ]) {
        const x = noise(outer * n * inner, n, 2);
        const values = new Float64Array(x.length);
        for (let o = 0; o < outer; o++)
          for (let c = 0; c < inner; c++) {
            let sum = 0;
            for (let i = 0; i < n; i++) {
              const at = (o * n + (reverse ? n - 1 - i : i)) * inner + c;
              values[at] = sum += x[at];
            }
          }
        examples.push({
          title: `running sums of [${outer}, ${n}, ${inner}]${reverse ? ', from the end' : ''}`,
          launch: cumulate({ outer, n, inner, reverse }, caps),
          buffers: [x, x.length],
          expected: [{ binding: 1, values, atol: 1e-6 * Math.sqrt(n), rtol: 1e-6 }],
        });
      }
    for (const upper of [false, true])
      for (const offset of [0, 1, -2, 9]) {
        const [batch, rows, cols] = [2, 5, 7];
        const x = noise(batch * rows * cols, 3).map((v, i) => (i === 6 || i === 28 ? Number.NaN : v));
        const kept = (i: number) => {
          const above = (i % cols) - (Math.floor(i / cols) % rows);
          return upper ? above >= offset : above <= offset;
        };
        examples.push({
          title: `${upper ? 'upper' : 'lower'} triangle from ${offset} of [${batch}, ${rows}, ${cols}]`,
          launch: triangle({ batch, rows, cols, offset, upper }, caps),
          buffers: [x, x.length],
          expected: [{ binding: 1, values: x.map((v, i) => (kept(i) ? v : 0)), atol: 0, rtol: 0 }],
        });
      }
    return examples;
  },
};
