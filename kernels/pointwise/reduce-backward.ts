/** Gradients of softmax, of a maximum, a minimum and a product over one axis. */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import {
  accumulate,
  kernel,
  otherKinds,
  perElement,
  perElementMain,
  rankWgsl,
  teamFor,
} from '../core/wgsl.js';
import { softmaxReference } from './softmax.js';

/** dX = Y · (dY − Σ Y · dY), row by row, for Y = softmax(X). Buffers: Y [rows, cols], dY [rows, cols], dX. */
export function softmaxBackward(o: { rows: number; cols: number }, caps: Caps): Launch {
  const team = teamFor(caps);
  const each = { first: 'at + lane', step: `${team.threads}u`, end: 'end' };
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> Y: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
@group(0) @binding(2) var<storage, read_write> dX: array<f32>;
struct Params {
  rows: u32,
  cols: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${team.reduce('total', 'f32')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.cols;
  let end = at + params.cols;
  ${accumulate({ name: 'mean', ...each, term: (i) => `Y[${i}] * dY[${i}]` })}
  mean = total(mean, lane);
  for (var i = at + lane; i < end; i += ${team.threads}u) { dX[i] = Y[i] * (dY[i] - mean); }
}`;
  return {
    kernel: kernel(`softmaxBackward/${team.name}`, code),
    params: { rows: o.rows, cols: o.cols },
    grid: line(o.rows),
  };
}

/**
 * dX[outer, i, inner] = dY[outer, inner] where i is the first place of the maximum (or minimum), else 0.
 * Buffers: X [outer, n, inner], dY [outer, inner], dX [outer, n, inner].
 */
export function extremeBackward(
  o: { outer: number; n: number; inner: number; op: 'max' | 'min' },
  caps: Caps,
): Launch {
  const team = teamFor(caps);
  const ranked = (x: string) => (o.op === 'max' ? `rank(${x})` : `rankDown(${x})`);
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
@group(0) @binding(2) var<storage, read_write> dX: array<f32>;
struct Params {
  lines: u32, // outer · inner
  length: u32, // of the axis
  inner: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${rankWgsl}
// The smallest highest, NaN above all.
fn rankDown(x: f32) -> u32 { let r = rank(x); return select(~r, r, r == 0xfffffffeu); }
${team.reduce('highest', 'u32', 'max(a, b)')}
${team.reduce('lowest', 'u32', 'min(a, b)')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let y = ${lineIndex};
  if (y >= params.lines) { return; }
  let at = (y / params.inner) * params.length * params.inner + y % params.inner;
  var top = 0u;
  for (var i = lane; i < params.length; i += ${team.threads}u) { top = max(top, ${ranked('X[at + i * params.inner]')}); }
  top = highest(top, lane);
  var first = 0xffffffffu;
  for (var i = lane; i < params.length; i += ${team.threads}u) {
    if (${ranked('X[at + i * params.inner]')} == top) { first = min(first, i); }
  }
  first = lowest(first, lane);
  for (var i = lane; i < params.length; i += ${team.threads}u) {
    dX[at + i * params.inner] = select(0f, dY[y], i == first);
  }
}`;
  const lines = o.outer * o.inner;
  return {
    kernel: kernel(`extremeBackward/${o.op}/${team.name}`, code),
    params: { lines, length: o.n, inner: o.inner },
    grid: line(lines),
  };
}

/**
 * dX[outer, i, inner] = dY[outer, inner] · Π of the others: by what comes before and what comes after, so
 * that zeros do no harm. Buffers: X [outer, n, inner], dY [outer, inner], dX [outer, n, inner].
 */
export function prodBackward(o: { outer: number; n: number; inner: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
@group(0) @binding(2) var<storage, read_write> dX: array<f32>;
struct Params {
  n: u32, // lines: outer · inner
  length: u32, // of the axis
  inner: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain('y')}
  let at = (y / params.inner) * params.length * params.inner + y % params.inner;
  var before = dY[y];
  for (var i = 0u; i < params.length; i++) {
    dX[at + i * params.inner] = before;
    before *= X[at + i * params.inner];
  }
  var after = 1f;
  for (var i = params.length; i > 0u; i--) {
    dX[at + (i - 1u) * params.inner] *= after;
    after *= X[at + (i - 1u) * params.inner];
  }
}`;
  const n = o.outer * o.inner;
  return {
    kernel: kernel('prodBackward', code),
    params: { n, length: o.n, inner: o.inner },
    grid: perElement(n),
  };
}

/** Float64 reference of one row of `softmaxBackward`. */
export function softmaxBackwardReference(y: ArrayLike<number>, dy: ArrayLike<number>): number[] {
  let mean = 0;
  for (let i = 0; i < y.length; i++) mean += y[i] * dy[i];
  return Array.from(y, (p, i) => p * (dy[i] - mean));
}

/** Checks of these gradients. */
export const reduceBackwardFamily: Family = {
  name: 'reduce-backward',
  about: 'dX of softmax over rows, of the maximum, minimum or product over one axis',
  examples(ownCaps) {
    const examples: Example[] = [];
    const rowsOf = (x: Float32Array, cols: number) =>
      Array.from({ length: x.length / cols }, (_, r) => Array.from(x.subarray(r * cols, (r + 1) * cols)));
    const softmax = (rows: number, cols: number, scale: number, caps = ownCaps) => {
      const y = Float32Array.from(rowsOf(noise(rows * cols, 6, scale), cols).flatMap(softmaxReference));
      const dy = noise(rows * cols, 7);
      const dys = rowsOf(dy, cols);
      examples.push({
        title: `softmax [${rows}, ${cols}], logits of ±${scale}`,
        launch: softmaxBackward({ rows, cols }, caps),
        buffers: [y, dy, y.length],
        expected: [
          {
            binding: 2,
            values: rowsOf(y, cols).flatMap((row, r) => softmaxBackwardReference(row, dys[r])),
            atol: 1e-6,
            rtol: 1e-5,
          },
        ],
      });
    };
    softmax(5, 39, 4);
    softmax(4, 1, 4);
    softmax(2, 50257, 12);
    softmax(3, 70, 1e4);
    const extreme = (
      op: 'max' | 'min',
      [outer, n, inner]: readonly number[],
      change: (x: number) => number,
      caps = ownCaps,
    ) => {
      const x = noise(outer * n * inner, 8, 4).map(change);
      const dy = noise(outer * inner, 9);
      const values = new Float64Array(x.length);
      dy.forEach((g, y) => {
        const at = Math.floor(y / inner) * n * inner + (y % inner);
        const row = Array.from({ length: n }, (_, i) => x[at + i * inner]);
        values[at + row.indexOf(Math[op](...row)) * inner] = g;
      });
      examples.push({
        title: `${op} of [${outer}, ${n}, ${inner}] over the middle, ${values.filter((v) => v).length} places`,
        launch: extremeBackward({ outer, n, inner, op }, caps),
        buffers: [x, dy, x.length],
        expected: [{ binding: 2, values, atol: 0, rtol: 0 }],
      });
    };
    for (const op of ['max', 'min'] as const) {
      extreme(op, [3, 39, 1], (x) => x);
      extreme(op, [3, 13, 7], Math.round); // ties
      extreme(op, [2, 5000, 1], Math.round);
      extreme(op, [4, 1, 3], (x) => x);
      extreme(op, [2, 9, 1], () => Number.NEGATIVE_INFINITY);
    }
    for (const zeros of [0, 1, 2]) {
      const [outer, n, inner] = [3, 5, 4];
      const x = noise(outer * n * inner, 4, 2).map((v, i) => (Math.floor(i / inner) % n < zeros ? 0 : v));
      const dy = noise(outer * inner, 5);
      examples.push({
        title: `prod of [${outer}, ${n}, ${inner}] over the middle, ${zeros} zeros in each`,
        launch: prodBackward({ outer, n, inner }, ownCaps),
        buffers: [x, dy, x.length],
        expected: [
          {
            binding: 2,
            values: Array.from(x, (_, i) => {
              const [o, k] = [Math.floor(i / n / inner), Math.floor(i / inner) % n];
              let others = dy[o * inner + (i % inner)];
              for (let j = 0; j < n; j++) if (j !== k) others *= x[(o * n + j) * inner + (i % inner)];
              return others;
            }),
            atol: 1e-6,
            rtol: 1e-5,
          },
        ],
      });
    }
    for (const kind of otherKinds(ownCaps)) {
      softmax(3, 2121, 8, kind);
      extreme('max', [3, 2121, 1], Math.round, kind);
    }
    return examples;
  },
};
