/**
 * How far two distributions over the vocabulary are apart, from logits that exist a chunk of columns at a
 * time.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { accumulate, kernel, otherKinds, teamFor } from '../core/wgsl.js';
import { expBelowWgsl, LOWEST, softmaxReference } from '../pointwise/softmax.js';

/**
 * Takes a chunk of columns into a running KL(p ‖ q) = Σ p · (log p − log q), where p is a row of R and q one
 * of X. Summed are p times the differences d of logits, which are small where the distributions are alike:
 * then so is the error. Buffers: R [refs, cols], which u32 [rows] (the row of R for each of X), X [rows,
 * cols], state [rows, 5] in place: (max R, max X, Σ e, Σ e · d, Σ exp(X − max X)) with e = exp(R − max R) and
 * d = (R − max R) − (X − max X); Y [rows], written with the last chunk.
 */
export function divergenceChunk(
  o: { rows: number; cols: number; first: boolean; last: boolean },
  caps: Caps,
): Launch {
  const team = teamFor(caps);
  const each = { first: 'lane', step: `${team.threads}u`, end: 'params.cols' };
  const highest = (a: string, b: string) => `max(${a}, ${b})`;
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> R: array<f32>;
@group(0) @binding(1) var<storage, read> which: array<u32>;
@group(0) @binding(2) var<storage, read> X: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> Y: array<f32>;
struct Params {
  rows: u32,
  cols: u32,
  first: u32, // 1: start afresh
  last: u32, // 1: write Y
}
@group(1) @binding(0) var<uniform> params: Params;
${expBelowWgsl}
${team.reduce('highest', 'vec2f', 'max(a, b)')}
${team.reduce('total', 'vec3f')}
fn terms(r: f32, x: f32, top: vec2f) -> vec3f {
  let below = vec2f(r, x) - top;
  let e = expBelow(below.x);
  return vec3f(e, e * (below.x - below.y), expBelow(below.y));
}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let x = row * params.cols;
  let r = which[row] * params.cols;
  let s = row * 5u;
  ${accumulate({ name: 'top', ...each, term: (i) => `vec2f(R[r + ${i}], X[x + ${i}])`, combine: highest, neutral: `vec2f(${LOWEST})` })}
  var before = vec2f(${LOWEST});
  var sums = vec3f(0f);
  if (params.first == 0u) {
    before = vec2f(state[s], state[s + 1u]);
    sums = vec3f(state[s + 2u], state[s + 3u], state[s + 4u]);
  }
  top = max(before, highest(top, lane));
  let risen = top - before;
  sums.y -= sums.x * (risen.x - risen.y);
  sums *= vec2f(expBelow(-risen.x), expBelow(-risen.y)).xxy;
  ${accumulate({ name: 'more', ...each, term: (i) => `terms(R[r + ${i}], X[x + ${i}], top)`, neutral: 'vec3f(0f)' })}
  sums += total(more, lane);
  if (lane != 0u) { return; }
  state[s] = top.x;
  state[s + 1u] = top.y;
  state[s + 2u] = sums.x;
  state[s + 3u] = sums.y;
  state[s + 4u] = sums.z;
  if (params.last == 1u) { Y[row] = sums.y / sums.x + log(sums.z / sums.x); }
}`;
  return {
    kernel: kernel(`divergenceChunk/${team.name}`, code),
    params: { rows: o.rows, cols: o.cols, first: o.first ? 1 : 0, last: o.last ? 1 : 0 },
    grid: line(o.rows),
  };
}

/** Float64 reference: KL(softmax(r) ‖ softmax(x)). */
export function divergenceReference(r: readonly number[], x: readonly number[]): number {
  const [p, q] = [softmaxReference(r), softmaxReference(x)];
  return p.reduce((sum, v, i) => sum + (v ? v * Math.log(v / q[i]) : 0), 0);
}

/** Checks of the divergence. */
export const divergenceFamily: Family = {
  name: 'divergence',
  about: 'KL(softmax R ‖ softmax X) of rows of logits, a chunk of the vocabulary at a time',
  examples(ownCaps) {
    const examples: Example[] = [];
    const rowOf = (x: Float32Array, cols: number, row: number) =>
      Array.from(x.subarray(row * cols, (row + 1) * cols));

    const divergence = (title: string, r: Float32Array, x: Float32Array, cols: number, caps = ownCaps) => {
      const refs = r.length / cols;
      const rows = x.length / cols;
      const which = Uint32Array.from({ length: rows }, (_, i) => (i + 1) % refs);
      const values = Array.from(which, (w, i) => divergenceReference(rowOf(r, cols, w), rowOf(x, cols, i)));
      examples.push({
        title: `divergenceChunk, ${title} [${rows}, ${cols}]`,
        launch: divergenceChunk({ rows, cols, first: true, last: true }, caps),
        buffers: [r, which, x, new Float32Array(5 * rows).fill(Number.NaN), rows],
        expected: [{ binding: 4, values, atol: 1e-7, rtol: 1e-5 }],
      });
    };
    divergence('ordinary', noise(2 * 39, 1, 4), noise(5 * 39, 2, 4), 39);
    divergence('far apart', noise(3 * 70, 3, 50), noise(3 * 70, 4, 50), 70);
    divergence('the same', noise(2 * 1000, 5, 10), noise(2 * 1000, 5, 10).reverse(), 1000);
    const own = noise(1000, 6, 10);
    divergence('itself', own, own, 1000);
    const near = noise(1000, 7, 1e-2);
    divergence(
      'almost the same',
      own,
      own.map((v, i) => v + near[i]),
      1000,
    );
    divergence(
      'shifted by 50',
      own,
      own.map((v) => v - 50),
      1000,
    );
    for (const caps of otherKinds(ownCaps))
      divergence('as on other adapters', noise(2 * 2121, 8, 4), noise(3 * 2121, 9, 4), 2121, caps);

    // The second chunk of two, after a first whose logits are far above, among and far below its own.
    const [cols, levels] = [50, [40, 0, -40]];
    const [r, x] = [noise(3 * cols, 10, 4), noise(3 * cols, 11, 4)];
    const earlier = levels.map((v) => ({ r: [v, v - 1], x: [1 - v, -v - 2] }));
    const states = earlier.flatMap(({ r: [r0, r1], x: [x0, x1] }) => {
      const e = Math.exp(r1 - r0);
      return [r0, x0, 1 + e, e * (r1 - r0 - (x1 - x0)), 1 + Math.exp(x1 - x0)];
    });
    examples.push({
      title: 'divergenceChunk, next chunk',
      launch: divergenceChunk({ rows: 3, cols, first: false, last: true }, ownCaps),
      buffers: [r, Uint32Array.of(0, 1, 2), x, Float32Array.from(states), 3],
      expected: [
        {
          binding: 4,
          values: earlier.map((e, i) =>
            divergenceReference([...e.r, ...rowOf(r, cols, i)], [...e.x, ...rowOf(x, cols, i)]),
          ),
          atol: 1e-6,
          rtol: 1e-5,
        },
      ],
    });
    return examples;
  },
};
