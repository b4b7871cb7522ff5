/**
 * What metrics ask of logits: how far up a token is (a chunk of the vocabulary at a time), how probable some
 * tokens are together, the difference of some logits.
 */

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
import { topkReference } from './topk.js';

/**
 * Adds to ranks[row, j] how many columns of this chunk come before the target: those with a larger logit, and
 * of the same logit those with a lower number, as `topk` has them. NaN comes last. Buffers: X [rows, cols],
 * targets u32 [rows, k], picked [rows, k] (the targets' logits), ranks [rows, k] in place.
 * @param o.first true for the first chunk: what the ranks held does not matter
 */
export function rankChunk(
  o: { rows: number; cols: number; col0: number; k: number; first: boolean },
  caps: Caps,
): Launch {
  const team = teamFor(caps);
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> picked: array<f32>;
@group(0) @binding(3) var<storage, read_write> ranks: array<f32>;
struct Params {
  n: u32, // rows · k
  cols: u32,
  col0: u32, // first column of this chunk
  k: u32,
  first: u32, // 1: start afresh
}
@group(1) @binding(0) var<uniform> params: Params;
${rankWgsl}
${team.reduce('total', 'u32')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = ${lineIndex};
  if (item >= params.n) { return; }
  let at = (item / params.k) * params.cols;
  let own = rank(picked[item]);
  let target_ = targets[item];
  var before = 0u;
  for (var c = lane; c < params.cols; c += ${team.threads}u) {
    let other = rank(X[at + c]);
    if (other > own || (other == own && params.col0 + c < target_)) { before++; }
  }
  before = total(before, lane);
  if (lane == 0u) {
    if (params.first == 1u) { ranks[item] = f32(before); } else { ranks[item] += f32(before); }
  }
}`;
  const { rows, cols, col0, k, first } = o;
  return {
    kernel: kernel(`rankChunk/${team.name}`, code),
    params: { n: rows * k, cols, col0, k, first: first ? 1 : 0 },
    grid: line(rows * k),
  };
}

/** The logit of no target: e to the power of it is 0. */
export const NOTHING = -3.4028234e38;

/**
 * Y[row] = probability of the row's k targets together, or its logarithm; those whose logit is `NOTHING` do
 * not count. Buffers: picked [rows, k] (their logits), state [rows, 2] (see `lseChunk`), Y [rows].
 */
export function targetProbs(o: { rows: number; k: number; log: boolean }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> picked: array<f32>;
@group(0) @binding(1) var<storage, read> state: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32, // rows
  k: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

/** e^x for x ≤ 0 to a few ulp: exp alone may lose 2 |x| ulp. ln 2 in two parts, the first times k exact (Cody & Waite 1980). */
fn expBelow(x: f32) -> f32 {
  let k = round(max(x, -104f) * 1.442695f);
  let whole = fma(k, -0.693359375f, max(x, -104f));
  // It lies within ±0.4: the clamp keeps Mesa's compiler from adding up the two parts of ln 2.
  let r = fma(k, 2.1219444e-4f, clamp(whole, -1f, 1f));
  return ldexp(exp(r), i32(k));
}

${perElementMain('row')}
  let at = row * params.k;
  var top = picked[at];
  for (var j = 1u; j < params.k; j++) { top = max(top, picked[at + j]); }
  var sum = 0f;
  for (var j = 0u; j < params.k; j++) { sum += expBelow(picked[at + j] - ${o.log ? 'top' : 'state[row].x'}); }
  Y[row] = ${o.log ? 'top - state[row].x + (log(sum) - log(state[row].y))' : 'sum / state[row].y'};
}`;
  return {
    kernel: kernel(`targetProbs/${o.log ? 'log' : 'exp'}`, code),
    params: { n: o.rows, k: o.k },
    grid: perElement(o.rows),
  };
}

/**
 * Y[row] = X[row, :] · D[which[row], :] + b[which[row]].
 * Buffers: X [rows, width], which u32 [rows], D [directions, width], b [directions], Y [rows].
 */
export function dotRows(o: { rows: number; width: number }, caps: Caps): Launch {
  const team = teamFor(caps);
  const each = { first: 'lane', step: `${team.threads}u`, end: 'params.width' };
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> which: array<u32>;
@group(0) @binding(2) var<storage, read> D: array<f32>;
@group(0) @binding(3) var<storage, read> B: array<f32>;
@group(0) @binding(4) var<storage, read_write> Y: array<f32>;
struct Params {
  rows: u32,
  width: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${team.reduce('total', 'f32')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let x = row * params.width;
  let d = which[row] * params.width;
  ${accumulate({ name: 'sum', ...each, term: (i) => `X[x + ${i}] * D[d + ${i}]` })}
  sum = total(sum, lane);
  if (lane == 0u) { Y[row] = sum + B[which[row]]; }
}`;
  return {
    kernel: kernel(`dotRows/${team.name}`, code),
    params: { rows: o.rows, width: o.width },
    grid: line(o.rows),
  };
}

/** Checks of what metrics ask. */
export const vocabularyFamily: Family = {
  name: 'vocabulary',
  about: 'rank of a target, probability of some targets, difference of some logits',
  examples(ownCaps) {
    const examples: Example[] = [];
    const exact = { atol: 0, rtol: 0 };
    const rowOf = (x: Float32Array, cols: number, row: number) =>
      Array.from(x.subarray(row * cols, (row + 1) * cols));

    const rank = (title: string, x: Float32Array, cols: number, k: number, col0: number, caps = ownCaps) => {
      const rows = x.length / cols;
      const targets = Uint32Array.from({ length: rows * k }, (_, i) => col0 + ((i * 37) % cols));
      const picked = Float32Array.from(targets, (t, i) => x[Math.floor(i / k) * cols + t - col0]);
      const before = Float32Array.from(targets, (_, i) => 5 * i);
      const ranks = Array.from(targets, (t, i) =>
        topkReference(rowOf(x, cols, Math.floor(i / k)), cols).indexOf(t - col0),
      );
      for (const first of [true, false])
        examples.push({
          title: `rankChunk, ${title} [${rows}, ${cols}], ${k} a row${first ? ', first chunk' : ''}`,
          launch: rankChunk({ rows, cols, col0, k, first }, caps),
          buffers: [x, targets, picked, first ? before.map(() => Number.NaN) : before],
          expected: [{ binding: 3, values: ranks.map((r, i) => (first ? r : r + before[i])), ...exact }],
        });
    };
    rank('ordinary', noise(5 * 39, 1, 8), 39, 1, 0);
    rank('ties', noise(4 * 100, 2, 3).map(Math.round), 100, 3, 4096);
    rank('all equal, −0 and 0', Float32Array.of(0, -0, 0, -0), 4, 2, 7);
    rank('NaN', Float32Array.of(1, Number.NaN, -1, Number.NaN, 0, Number.NEGATIVE_INFINITY), 3, 3, 0);
    for (const caps of otherKinds(ownCaps))
      rank('as on other adapters', noise(3 * 2121, 3), 2121, 2, 10, caps);
    examples.push({
      title: 'rankChunk, targets in other chunks',
      launch: rankChunk({ rows: 2, cols: 3, col0: 10, k: 1, first: true }, ownCaps),
      buffers: [Float32Array.of(1, 2, 1, 1, 2, 1), Uint32Array.of(9, 13), Float32Array.of(1, 1), 2],
      expected: [{ binding: 3, values: [1, 3], ...exact }],
    });

    const [rows, k] = [70, 3];
    const top = noise(rows, 12, 80).map((v) => Math.round(v) / 8); // so that differences are exact
    const picked = Float32Array.from({ length: rows * k }, (_, i) => {
      const row = Math.floor(i / k);
      return i % k === 2 && row % 2 ? NOTHING : top[row] - row - (i % k) / 8;
    });
    const state = Float32Array.from({ length: 2 * rows }, (_, i) => (i % 2 ? 1 + i / 9 : top[i / 2]));
    const probs = Array.from(top, (_, row) => {
      const logits = Array.from(picked.subarray(row * k, (row + 1) * k));
      return logits.reduce((sum, v) => sum + Math.exp(v - top[row]), 0) / state[2 * row + 1];
    });
    for (const log of [true, false])
      examples.push({
        title: `targetProbs${log ? ', logarithm' : ''}, down to e^−70 [${rows}, ${k}]`,
        launch: targetProbs({ rows, k, log }, ownCaps),
        buffers: [picked, state, rows],
        expected: [
          { binding: 2, values: log ? probs.map(Math.log) : probs, atol: log ? 2e-6 : 1e-38, rtol: 1e-6 },
        ],
      });

    const dot = (rows: number, width: number, caps = ownCaps) => {
      const [x, d, b] = [noise(rows * width, 14), noise(3 * width, 15), noise(3, 16)];
      const which = Uint32Array.from({ length: rows }, (_, i) => (2 * i) % 3);
      const values = Array.from(which, (w, i) => {
        let sum = b[w];
        for (let j = 0; j < width; j++) sum += x[i * width + j] * d[w * width + j];
        return sum;
      });
      examples.push({
        title: `dotRows [${rows}, ${width}]`,
        launch: dotRows({ rows, width }, caps),
        buffers: [x, which, d, b, rows],
        expected: [{ binding: 4, values, atol: 1e-5, rtol: 1e-6 }],
      });
    };
    dot(5, 39);
    dot(4, 768);
    dot(33_000, 3); // more workgroups than fit a line
    for (const caps of otherKinds(ownCaps)) dot(3, 2121, caps);
    return examples;
  },
};
