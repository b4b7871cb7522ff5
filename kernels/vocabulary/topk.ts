/** The k largest of each row. */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { kernel, otherKinds, rankWgsl, teamFor } from '../core/wgsl.js';

/**
 * Values and columns of the k largest of each row: descending, ties by lower column; NaN comes first. k = 1
 * is argmax. With `smallest`, of the k smallest: ascending, NaN last. Buffers: X [rows, cols], values [rows,
 * k], indices u32 [rows, k].
 *
 * Every thread keeps the best of its own columns; the best of those is written out, and only its owner looks
 * again, among what comes after it: cols + k · cols / threads loads a row.
 */
export function topk(o: { rows: number; cols: number; k: number; smallest?: boolean }, caps: Caps): Launch {
  const team = teamFor(caps);
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
struct Params {
  rows: u32,
  cols: u32,
  k: u32,
  flip: u32, // all bits: the smallest come first
}
@group(1) @binding(0) var<uniform> params: Params;

${rankWgsl}

// A candidate is (rank, column).
const NONE = vec2u(0u, 0xffffffffu);
fn before(a: vec2u, b: vec2u) -> bool { return a.x > b.x || (a.x == b.x && a.y < b.y); }
fn first(a: vec2u, b: vec2u) -> vec2u { if (before(b, a)) { return b; } return a; }
${team.reduce('best', 'vec2u', 'first(a, b)')}

/** The first of this thread's columns, of those that come after \`last\`. */
fn next(at: u32, lane: u32, last: vec2u) -> vec2u {
  var found = NONE;
  for (var c = lane; c < params.cols; c += ${team.threads}u) {
    let candidate = vec2u(rank(X[at + c]) ^ params.flip, c);
    if (before(last, candidate)) { found = first(found, candidate); }
  }
  return found;
}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.cols;
  var mine = next(at, lane, vec2u(0xffffffffu, 0u));
  for (var j = 0u; j < params.k; j++) {
    let winner = best(mine, lane);
    if (winner.y % ${team.threads}u == lane) {
      values[row * params.k + j] = X[at + winner.y];
      indices[row * params.k + j] = winner.y;
      mine = next(at, lane, winner);
    }
  }
}`;
  if (o.k > o.cols) throw new Error(`topk: k = ${o.k} of ${o.cols} columns`);
  return {
    kernel: kernel(`topk/${team.name}`, code),
    params: { rows: o.rows, cols: o.cols, k: o.k, flip: o.smallest ? 0xffffffff : 0 },
    grid: line(o.rows),
  };
}

/**
 * Reference: columns of the k largest of a row, or of the k smallest; NaN counts as larger than every number.
 */
export function topkReference(row: readonly number[], k: number, smallest = false): number[] {
  const order = (a: number, b: number) => {
    const [nanA, nanB] = [Number.isNaN(a), Number.isNaN(b)];
    return nanA || nanB ? Number(nanA) - Number(nanB) : a < b ? -1 : a > b ? 1 : 0;
  };
  const sign = smallest ? 1 : -1;
  return row
    .map((_, c) => c)
    .sort((a, b) => sign * order(row[a], row[b]) || a - b)
    .slice(0, k);
}

/** Checks of topk. */
export const topkFamily: Family = {
  name: 'topk',
  about: 'the k largest of each row, with their columns',
  examples(caps) {
    const examples: Example[] = [];
    const exact = { atol: 0, rtol: 0 };
    const add = (title: string, x: Float32Array, cols: number, k: number, kind = caps, smallest = false) => {
      const rows = x.length / cols;
      const row = (r: number) => Array.from(x.subarray(r * cols, (r + 1) * cols));
      const top = Array.from({ length: rows }, (_, r) => topkReference(row(r), k, smallest));
      const values = top.flatMap((list, r) => list.map((c) => x[r * cols + c]));
      const indices = Uint32Array.from(top.flat());
      examples.push({
        title: `topk, ${title} [${rows}, ${cols}], k = ${k}`,
        launch: topk({ rows, cols, k, smallest }, kind),
        buffers: [x, rows * k, rows * k],
        expected: [
          { binding: 1, values, ...exact },
          { binding: 2, values: indices, ...exact },
        ],
      });
    };
    add('ordinary', noise(5 * 39, 1), 39, 3);
    add('argmax of the vocabulary', noise(2 * 50257, 2), 50257, 1);
    add('ten of the vocabulary', noise(2 * 50257, 3), 50257, 10);
    add('everything', noise(2 * 300, 4), 300, 300);
    add('ties', noise(3 * 200, 5, 4).map(Math.round), 200, 12);
    add('all equal, −0 and 0', Float32Array.of(0, -0, 0, -0, -0, 0), 3, 3);
    const odd = [Number.NaN, -1, Number.NEGATIVE_INFINITY, 5, Number.NaN, Number.POSITIVE_INFINITY, -3e38];
    add('NaN and infinities', Float32Array.from(odd), 7, 5);
    add('the smallest', noise(5 * 39, 9), 39, 3, caps, true);
    add('the smallest of ties', noise(3 * 200, 5, 4).map(Math.round), 200, 12, caps, true);
    add('the smallest of NaN and infinities', Float32Array.from(odd), 7, 7, caps, true);
    add('one column', noise(4, 6), 1, 1);
    for (const kind of otherKinds(caps)) add('as on other adapters', noise(3 * 500, 8), 500, 7, kind);

    return examples;
  },
};
