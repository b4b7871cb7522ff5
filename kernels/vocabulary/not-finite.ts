/** Whether rows are made of numbers: who orders them hides NaN, so the engine asks this first. */

import { type Caps, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { kernel, notFinite, otherKinds, teamFor } from '../core/wgsl.js';

/** What stands for "all of the row's entries are finite". */
export const ALL_FINITE = 0xffffffff;

/**
 * Of each row the first column whose entry is NaN or infinite and the bits of that entry; ALL_FINITE and 0 where there is none.
 * Buffers: X [rows, cols], found u32 [rows, 2].
 */
export function firstNotFinite(o: { rows: number; cols: number }, caps: Caps): Launch {
  const team = teamFor(caps);
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<u32>;
@group(0) @binding(1) var<storage, read_write> found: array<u32>;
struct Params {
  rows: u32,
  cols: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${team.reduce('lowest', 'u32', 'min(a, b)')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.cols;
  var first = 0xffffffffu;
  for (var c = lane; c < params.cols && first == 0xffffffffu; c += ${team.threads}u) {
    if (${notFinite('X[at + c]')}) { first = c; }
  }
  first = lowest(first, lane);
  if (lane == 0u) {
    found[2u * row] = first;
    found[2u * row + 1u] = select(X[at + min(first, params.cols - 1u)], 0u, first == 0xffffffffu);
  }
}`;
  return {
    kernel: kernel(`firstNotFinite/${team.name}`, code),
    params: { rows: o.rows, cols: o.cols },
    grid: line(o.rows),
  };
}

/** Reference: column and bits of the first entry of a row that is not finite. */
export function firstNotFiniteReference(row: Float32Array): [column: number, bits: number] {
  const column = row.findIndex((x) => !Number.isFinite(x));
  return column < 0 ? [ALL_FINITE, 0] : [column, new Uint32Array(row.slice(column, column + 1).buffer)[0]];
}

/** Checks of firstNotFinite. */
export const notFiniteFamily: Family = {
  name: 'not-finite',
  about: 'the first NaN or infinity of each row',
  examples(caps) {
    const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const of = (cols: number, kind: Caps) => {
      // Row 0 is finite; the others have one, two or three odd entries, in the last column, too.
      const x = noise(5 * cols, 3);
      x[2 * cols - 1] = odd[0];
      x[2 * cols + (cols >> 1)] = odd[1];
      x[3 * cols] = odd[2];
      for (const [i, value] of odd.entries()) x[4 * cols + Math.min(cols - 1, 2 * i)] = value;
      const expected = Array.from({ length: 5 }, (_, r) =>
        firstNotFiniteReference(x.subarray(r * cols, (r + 1) * cols)),
      );
      return {
        title: `five rows of ${cols}`,
        launch: firstNotFinite({ rows: 5, cols }, kind),
        buffers: [x, 10],
        expected: [{ binding: 1, values: Uint32Array.from(expected.flat()), atol: 0, rtol: 0 }],
      };
    };
    return [of(1, caps), of(39, caps), of(5000, caps), ...otherKinds(caps).map((kind) => of(700, kind))];
  },
};
