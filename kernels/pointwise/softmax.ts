/**
 * Softmax over rows, and its pieces for rows that never exist as a whole: log-sum-exp and the logit of one
 * target, chunk of columns by chunk of columns.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import {
  accumulate,
  kernel,
  orNan,
  otherKinds,
  perElement,
  perElementMain,
  specialsWgsl,
  teamFor,
} from '../core/wgsl.js';

/**
 * WGSL `fn expBelow(x)`: e^x for x ≤ 0. e^−104 is 0 in f32; the maximum keeps −∞ away from exp, and NaN stays
 * NaN (SwiftShader's exp makes it ∞).
 */
export const expBelowWgsl = `fn expBelow(x: f32) -> f32 { return ${orNan('exp(max(x, -104f))', 'x')}; }`;
/** The same of four. */
export const expBelow4Wgsl = `fn expBelow(x: vec4f) -> vec4f { return ${orNan('exp(max(x, vec4f(-104f)))', 'x', 'vec4f')}; }`;

/** Lower than every logit, but finite: the maximum of nothing. */
export const LOWEST = '-3.4028234e38f';

/**
 * Y = softmax of each row; cannot overflow. A row with NaN or +∞, or of −∞ alone, is all NaN. Buffers: X
 * [rows, cols], Y [rows, cols].
 */
export function softmax(o: { rows: number; cols: number }, caps: Caps): Launch {
  const team = teamFor(caps);
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  rows: u32,
  cols: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${expBelowWgsl}
${specialsWgsl}
${team.reduce('highest', 'f32', 'larger(a, b)')}
${team.reduce('total', 'f32')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.cols;
  let end = at + params.cols;
  var top = ${LOWEST};
  for (var i = at + lane; i < end; i += ${team.threads}u) { top = larger(top, X[i]); }
  top = highest(top, lane);
  for (var i = at + lane; i < end; i += ${team.threads}u) { Y[i] = expBelow(X[i] - top); }
  ${accumulate({ name: 'sum', first: 'at + lane', step: `${team.threads}u`, end: 'end', term: (i) => `Y[${i}]` })} // its own elements
  sum = total(sum, lane);
  if (isNan(top) || top == special(INFINITY) || sum == 0f) { sum = special(NAN); }
  for (var i = at + lane; i < end; i += ${team.threads}u) { Y[i] /= sum; } // each thread its own elements
}`;
  return {
    kernel: kernel(`softmax/${team.name}`, code),
    params: { rows: o.rows, cols: o.cols },
    grid: line(o.rows),
  };
}

/**
 * Takes a chunk of columns into a running log-sum-exp (Milakov & Gimelshein 2018).
 * Buffers: X [rows, stride] of which the first `cols` columns count, state [rows, 2] in place: (max, Σ exp(x
 * − max)).
 * @param o.first true for the first chunk: what the state held does not matter
 */
export function lseChunk(
  o: { rows: number; cols: number; stride: number; first: boolean },
  caps: Caps,
): Launch {
  const team = teamFor(caps);
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> state: array<vec2f>;
struct Params {
  rows: u32,
  cols: u32,
  stride: u32, // of a row of X
  first: u32, // 1: start afresh
}
@group(1) @binding(0) var<uniform> params: Params;
${expBelowWgsl}
${team.reduce('highest', 'f32', 'max(a, b)')}
${team.reduce('total', 'f32')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.stride;
  let end = at + params.cols;
  var top = ${LOWEST};
  for (var i = at + lane; i < end; i += ${team.threads}u) { top = max(top, X[i]); }
  top = highest(top, lane);
  var before = vec2f(${LOWEST}, 0f);
  if (params.first == 0u) { before = state[row]; }
  let both = max(before.x, top);
  ${accumulate({ name: 'sum', first: 'at + lane', step: `${team.threads}u`, end: 'end', term: (i) => `expBelow(X[${i}] - both)` })}
  sum = total(sum, lane);
  if (lane == 0u) { state[row] = vec2f(both, before.y * expBelow(before.x - both) + sum); }
}`;
  return {
    kernel: kernel(`lseChunk/${team.name}`, code),
    params: { rows: o.rows, cols: o.cols, stride: o.stride, first: o.first ? 1 : 0 },
    grid: line(o.rows),
  };
}

/**
 * picked[row, j] = X[row, targets[row, j] − col0] where this chunk of columns has that target; else it stays.
 * Buffers: X [rows, cols], targets u32 [rows, k], picked [rows, k] in place.
 */
export function pickChunk(o: { rows: number; cols: number; col0: number; k?: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> picked: array<f32>;
struct Params {
  n: u32, // rows · k
  cols: u32,
  col0: u32, // first column of this chunk
  k: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let col = targets[i] - params.col0; // wraps round to a huge number below col0
  if (col < params.cols) { picked[i] = X[(i / params.k) * params.cols + col]; }
}`;
  const { rows, cols, col0, k = 1 } = o;
  return {
    kernel: kernel('pickChunk', code),
    params: { n: rows * k, cols, col0, k },
    grid: perElement(rows * k),
  };
}

/** Float64 reference: softmax of one row. A row of −∞ alone gives zeros. */
export function softmaxReference(row: readonly number[]): number[] {
  const top = Math.max(...row);
  if (top === Number.NEGATIVE_INFINITY) return row.map(() => 0);
  const e = row.map((x) => Math.exp(x - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
}

/** Checks of softmax, log-sum-exp and picking. */
export const softmaxFamily: Family = {
  name: 'softmax',
  about: 'softmax over rows; running log-sum-exp and target logits, a chunk of columns at a time',
  examples(caps) {
    const examples: Example[] = [];
    const rowsOf = (x: Float32Array, cols: number) =>
      Array.from({ length: x.length / cols }, (_, r) => Array.from(x.subarray(r * cols, (r + 1) * cols)));
    const add = (title: string, x: Float32Array, cols: number, kind = caps) => {
      examples.push({
        title: `softmax, ${title} [${x.length / cols}, ${cols}]`,
        launch: softmax({ rows: x.length / cols, cols }, kind),
        buffers: [x, x.length],
        expected: [{ binding: 1, values: rowsOf(x, cols).flatMap(softmaxReference), atol: 1e-7, rtol: 2e-5 }],
      });
    };
    add('ordinary', noise(3 * 39, 1, 8), 39);
    add('one column', noise(5, 2, 8), 1);
    add('vocabulary', noise(2 * 50257, 3, 12), 50257);
    add('scores of ±1e4', noise(4 * 70, 4, 1e4), 70);
    add('scores of ±3e38', noise(4 * 70, 5, 3e38), 70);
    add(
      'with −∞',
      noise(4 * 70, 6, 3).map((v, i) => (i % 3 ? v : Number.NEGATIVE_INFINITY)),
      70,
    );

    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    examples.push({
      title: 'softmax, NaN, +∞ and −∞ alone',
      launch: softmax({ rows: 4, cols: 3 }, caps),
      buffers: [Float32Array.of(1, nan, 2, 1, inf, 2, -inf, -inf, -inf, 0, -inf, 0), 12],
      expected: [{ binding: 1, values: [...Array(9).fill(nan), 0.5, 0, 0.5], atol: 1e-7 }],
    });
    for (const kind of otherKinds(caps)) add('as on other adapters', noise(3 * 2121, 10, 8), 2121, kind);

    const state = (row: number[]) => {
      const top = Math.max(...row);
      return [top, row.reduce((a, v) => a + Math.exp(v - top), 0)];
    };
    const [cols, stride] = [500, 503];
    const x = noise(3 * stride, 7, 20);
    const rows = rowsOf(x, stride).map((r) => r.slice(0, cols));
    examples.push({
      title: 'lseChunk, first chunk',
      launch: lseChunk({ rows: 3, cols, stride, first: true }, caps),
      buffers: [x, new Float32Array(6).fill(Number.NaN)],
      expected: [{ binding: 1, values: rows.flatMap(state), rtol: 1e-5 }],
    });
    // what came before: a single logit, far above, among, and far below those of the chunk
    const earlier = [1e4, 3.5, -1e4];
    examples.push({
      title: 'lseChunk, next chunk',
      launch: lseChunk({ rows: 3, cols, stride, first: false }, caps),
      buffers: [x, Float32Array.from(earlier.flatMap((v) => [v, 1]))],
      expected: [{ binding: 1, values: rows.flatMap((r, i) => state([...r, earlier[i]])), rtol: 1e-5 }],
    });
    const logits = noise(6 * 10, 8);
    const before = noise(6, 9);
    const targets = Uint32Array.of(7, 12, 19, 20, 10, 4_294_967_295);
    for (const k of [1, 2])
      examples.push({
        title: `pickChunk, targets inside and outside, ${k} a row`,
        launch: pickChunk({ rows: 6 / k, cols: 10, col0: 10, k }, caps),
        buffers: [logits.slice(0, 60 / k), targets, before],
        expected: [
          {
            binding: 2,
            values: before.map((b, i) =>
              targets[i] >= 10 && targets[i] < 20 ? logits[Math.floor(i / k) * 10 + targets[i] - 10] : b,
            ),
            atol: 0,
            rtol: 0,
          },
        ],
      });
    return examples;
  },
};
