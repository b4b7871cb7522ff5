/**
 * Gradients of operations on tensors that are not products of other operations: elementwise functions, the divisor,
 * softmax, maximum.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import {
  accumulate,
  collapse,
  kernel,
  offsets,
  otherKinds,
  perElement,
  perElementMain,
  rankWgsl,
  sizeOf,
  teamFor,
  walkFields,
  walkParams,
  walkWgsl,
} from '../core/wgsl.js';
import type { UnaryOp } from './elementwise.js';
import { softmaxReference } from './softmax.js';

/** Derivatives: WGSL and float64 alike. */
const derivatives: Record<UnaryOp, { wgsl: string; f64: (x: number) => number }> = {
  exp: { wgsl: 'exp(x)', f64: Math.exp },
  log: { wgsl: '1f / x', f64: (x) => 1 / x },
  neg: { wgsl: '-1f', f64: () => -1 },
  abs: { wgsl: 'sign(x)', f64: Math.sign },
  sqrt: { wgsl: '0.5f / sqrt(x)', f64: (x) => 0.5 / Math.sqrt(x) },
  square: { wgsl: '2f * x', f64: (x) => 2 * x },
};

/** dX = dY · op′(X). Buffers: X [n], dY [n], dX [n]. */
export function unaryBackward(o: { op: UnaryOp; n: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
@group(0) @binding(2) var<storage, read_write> dX: array<f32>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

fn derivative(x: f32) -> f32 { return ${derivatives[o.op].wgsl}; }
${perElementMain()}
  dX[i] = dY[i] * derivative(X[i]);
}`;
  return { kernel: kernel(`unaryBackward/${o.op}`, code), params: { n: o.n }, grid: perElement(o.n) };
}

/**
 * dB = −dY · A / B², for Y = A / B, in the shape of Y: where B was broadcast, sum it up afterwards.
 * Buffers: dY [shape], A, B, dB [shape]; dY and dB contiguous, strides as for `binary`.
 */
export function divisorGradient(
  o: { shape: readonly number[]; aStrides: readonly number[]; bStrides: readonly number[] },
  _caps: Caps,
): Launch {
  const walk = collapse({ shape: o.shape, strides: { a: o.aStrides, b: o.bStrides } });
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> dY: array<f32>;
@group(0) @binding(1) var<storage, read> A: array<f32>;
@group(0) @binding(2) var<storage, read> B: array<f32>;
@group(0) @binding(3) var<storage, read_write> dB: array<f32>;
struct Params {
  n: u32,
${walkFields(walk)}
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  ${walkWgsl(walk)}
  let divisor = B[b];
  dB[i] = -(dY[i] / divisor) * (A[a] / divisor);
}`;
  const n = sizeOf(o.shape);
  return {
    kernel: kernel(`divisorGradient/rank-${walk.shape.length}`, code),
    params: { n, ...walkParams(walk) },
    grid: perElement(n),
  };
}

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
 * dX[outer, i, inner] = dY[outer, inner] where i is the first place of the maximum, else 0.
 * Buffers: X [outer, n, inner], dY [outer, inner], dX [outer, n, inner].
 */
export function maxBackward(o: { outer: number; n: number; inner: number }, caps: Caps): Launch {
  const team = teamFor(caps);
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
${team.reduce('highest', 'u32', 'max(a, b)')}
${team.reduce('lowest', 'u32', 'min(a, b)')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let y = ${lineIndex};
  if (y >= params.lines) { return; }
  let at = (y / params.inner) * params.length * params.inner + y % params.inner;
  var top = 0u;
  for (var i = lane; i < params.length; i += ${team.threads}u) { top = max(top, rank(X[at + i * params.inner])); }
  top = highest(top, lane);
  var first = 0xffffffffu;
  for (var i = lane; i < params.length; i += ${team.threads}u) {
    if (rank(X[at + i * params.inner]) == top) { first = min(first, i); }
  }
  first = lowest(first, lane);
  for (var i = lane; i < params.length; i += ${team.threads}u) {
    dX[at + i * params.inner] = select(0f, dY[y], i == first);
  }
}`;
  const lines = o.outer * o.inner;
  return {
    kernel: kernel(`maxBackward/${team.name}`, code),
    params: { lines, length: o.n, inner: o.inner },
    grid: line(lines),
  };
}

/** Float64 reference of one row of `softmaxBackward`. */
export function softmaxBackwardReference(y: ArrayLike<number>, dy: ArrayLike<number>): number[] {
  let mean = 0;
  for (let i = 0; i < y.length; i++) mean += y[i] * dy[i];
  return Array.from(y, (p, i) => p * (dy[i] - mean));
}

/** Checks of these gradients. */
export const elementwiseBackwardFamily: Family = {
  name: 'elementwise-backward',
  about: 'dX of Y = op(X), of Y = A / B, of softmax over rows, of the maximum over one axis',
  examples(ownCaps) {
    const examples: Example[] = [];
    for (const [op, { f64 }] of Object.entries(derivatives)) {
      const x = noise(131, 4, 5).map((v, i) =>
        op === 'log' || op === 'sqrt' ? Math.abs(v) + 1e-2 : i % 10 ? v : 0,
      );
      const dy = noise(131, 5);
      examples.push({
        title: op,
        launch: unaryBackward({ op: op as UnaryOp, n: x.length }, ownCaps),
        buffers: [x, dy, x.length],
        expected: [{ binding: 2, values: Array.from(x, (v, i) => dy[i] * f64(v)), atol: 1e-6, rtol: 1e-5 }],
      });
    }
    for (const walk of [
      { shape: [3, 5, 7], aStrides: [35, 7, 1], bStrides: [35, 7, 1] },
      { shape: [4, 39], aStrides: [39, 1], bStrides: [0, 1] },
      { shape: [4, 5], aStrides: [1, 0], bStrides: [0, 1] },
    ]) {
      const [from, by] = [offsets(walk.shape, walk.aStrides), offsets(walk.shape, walk.bStrides)];
      const [a, dy] = [noise(Math.max(...from) + 1, 1, 3), noise(sizeOf(walk.shape), 2)];
      const b = noise(Math.max(...by) + 1, 3).map((v) => v + 2);
      examples.push({
        title: `divisor [${walk.shape}], strides [${walk.bStrides}]`,
        launch: divisorGradient(walk, ownCaps),
        buffers: [dy, a, b, dy.length],
        expected: [
          {
            binding: 3,
            values: Array.from(dy, (g, i) => (-g * a[from[i]]) / b[by[i]] ** 2),
            atol: 1e-6,
            rtol: 1e-5,
          },
        ],
      });
    }
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
    const max = (outer: number, n: number, inner: number, change: (x: number) => number, caps = ownCaps) => {
      const x = noise(outer * n * inner, 8, 4).map(change);
      const dy = noise(outer * inner, 9);
      const values = new Float64Array(x.length);
      dy.forEach((g, y) => {
        const at = Math.floor(y / inner) * n * inner + (y % inner);
        const row = Array.from({ length: n }, (_, i) => x[at + i * inner]);
        values[at + row.indexOf(Math.max(...row)) * inner] = g;
      });
      examples.push({
        title: `max of [${outer}, ${n}, ${inner}] over the middle, ${values.filter((v) => v).length} places`,
        launch: maxBackward({ outer, n, inner }, caps),
        buffers: [x, dy, x.length],
        expected: [{ binding: 2, values, atol: 0, rtol: 0 }],
      });
    };
    max(3, 39, 1, (x) => x);
    max(3, 13, 7, Math.round); // ties
    max(2, 5000, 1, Math.round);
    max(4, 1, 3, (x) => x);
    max(2, 9, 1, () => Number.NEGATIVE_INFINITY);
    for (const kind of otherKinds(ownCaps)) {
      softmax(3, 2121, 8, kind);
      max(3, 2121, 1, Math.round, kind);
    }
    return examples;
  },
};
