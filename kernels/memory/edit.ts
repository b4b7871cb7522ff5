/**
 * Changing parts of an activation where it lies: what interventions do. A table says which segments of
 * `width` elements; they must not overlap.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { accumulate, kernel, otherKinds, perElement, perElementMain, teamFor } from '../core/wgsl.js';

/**
 * X[t + j] = keep · X[t + j] + add · V[v + j] for the segments (t, v, keep, add) and j < width; with
 * `broadcast` one value a segment, V[v]. A factor of 0 leaves its side unread: what was NaN or infinite does
 * not come through. Buffers: table u32 [n, 4] = (t, v, bits of f32 keep, bits of f32 add), V, X in place; t
 * and v in elements.
 */
export function blendSegments(o: { n: number; width: number; broadcast: boolean }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> segments: array<vec4u>;
@group(0) @binding(1) var<storage, read> V: array<f32>;
@group(0) @binding(2) var<storage, read_write> X: array<f32>;
struct Params {
  n: u32, // segments · width
  width: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let segment = segments[i / params.width];
  let j = i % params.width;
  let keep = bitcast<f32>(segment.z);
  let add = bitcast<f32>(segment.w);
  var y = 0f;
  if (keep != 0f) { y = keep * X[segment.x + j]; }
  if (add != 0f) { y += add * V[segment.y${o.broadcast ? '' : ' + j'}]; }
  X[segment.x + j] = y;
}`;
  const n = o.n * o.width;
  return {
    kernel: kernel(`blendSegments${o.broadcast ? '/broadcast' : ''}`, code),
    params: { n, width: o.width },
    grid: perElement(n),
  };
}

/**
 * X[t..] −= v · (X[t..] · v) / (v · v) for the segments (t, offset of v): nothing is left along the direction
 * v, of any length. A direction of zeros changes nothing. Buffers: table u32 [n, 2] = (offset in X, offset in
 * V), V, X in place.
 */
export function projectOutSegments(o: { n: number; width: number }, caps: Caps): Launch {
  const team = teamFor(caps);
  const each = { first: 'lane', step: `${team.threads}u`, end: 'params.width' };
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> segments: array<vec2u>;
@group(0) @binding(1) var<storage, read> V: array<f32>;
@group(0) @binding(2) var<storage, read_write> X: array<f32>;
struct Params {
  n: u32, // segments
  width: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${team.reduce('highest', 'f32', 'max(a, b)')}
${team.reduce('total', 'vec2f')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.n) { return; }
  let x = segments[row].x;
  let v = segments[row].y;
  // Divided by its largest element first, a direction's square neither overflows nor vanishes.
  ${accumulate({ name: 'size', ...each, term: (i) => `abs(V[v + ${i}])`, combine: (a, b) => `max(${a}, ${b})` })}
  size = highest(size, lane);
  let divisor = select(size, 1f, size == 0f);
  ${accumulate({ name: 'dots', ...each, term: (i) => `vec2f(X[x + ${i}], V[v + ${i}] / divisor) * (V[v + ${i}] / divisor)`, neutral: 'vec2f(0f)' })}
  dots = total(dots, lane); // (X · v, v · v)
  if (size == 0f) { return; }
  let along = dots.x / dots.y;
  for (var i = lane; i < params.width; i += ${team.threads}u) { X[x + i] -= along * (V[v + i] / divisor); }
}`;
  return {
    kernel: kernel(`projectOutSegments/${team.name}`, code),
    params: { n: o.n, width: o.width },
    grid: line(o.n),
  };
}

/** Float64 reference of `blendSegments`: X afterwards. */
export function blendReference(
  x: ArrayLike<number>,
  v: ArrayLike<number>,
  segments: readonly (readonly [target: number, value: number, keep: number, add: number])[],
  { width, broadcast }: { width: number; broadcast: boolean },
): Float64Array {
  const y = Float64Array.from(x);
  for (const [target, value, keep, add] of segments)
    for (let j = 0; j < width; j++) {
      const kept = keep ? keep * x[target + j] : 0;
      y[target + j] = kept + (add ? add * v[value + (broadcast ? 0 : j)] : 0);
    }
  return y;
}

/** Float64 reference of `projectOutSegments`: X afterwards. */
export function projectOutReference(
  x: ArrayLike<number>,
  v: ArrayLike<number>,
  segments: readonly (readonly [target: number, direction: number])[],
  width: number,
): Float64Array {
  const y = Float64Array.from(x);
  for (const [target, direction] of segments) {
    let [dot, square] = [0, 0];
    for (let j = 0; j < width; j++) {
      dot += x[target + j] * v[direction + j];
      square += v[direction + j] ** 2;
    }
    if (square) for (let j = 0; j < width; j++) y[target + j] -= (dot / square) * v[direction + j];
  }
  return y;
}

/** Checks of the edits. */
export const editFamily: Family = {
  name: 'edit',
  about: 'segments of X in place: keep · X + add · V; without their part along a direction V',
  examples(caps) {
    const examples: Example[] = [];
    const bits = (x: number) => new Uint32Array(Float32Array.of(x).buffer)[0];

    const blend = (title: string, n: number, width: number, broadcast: boolean, special = false) => {
      const factors = [
        [0, 1],
        [1, 0.5],
        [0.25, 0],
        [-2, 0.75],
        [0, 0],
      ];
      const gap = width + 1; // one element between the segments stays
      const x = noise(2 + n * gap, n);
      const v = noise(3 + n * width, width);
      const segments = Array.from({ length: n }, (_, i) => {
        const target = 2 + (n - 1 - i) * gap;
        const value = broadcast ? (i * 7) % v.length : 3 + i * width;
        const [keep, add] = factors[i % factors.length];
        if (special && !keep) x[target] = Number.NaN;
        if (special && !add) v[value] = Number.NEGATIVE_INFINITY;
        return [target, value, keep, add] as const;
      });
      const table = Uint32Array.from(
        segments.flatMap(([t, at, keep, add]) => [t, at, bits(keep), bits(add)]),
      );
      examples.push({
        title: `blendSegments, ${title} [${n}, ${width}]`,
        launch: blendSegments({ n, width, broadcast }, caps),
        buffers: [table, v, x],
        expected: [
          {
            binding: 2,
            values: blendReference(x, v, segments, { width, broadcast }),
            atol: 1e-6,
            rtol: 1e-6,
          },
        ],
      });
    };
    blend('ordinary', 5, 36, false);
    blend('a value a segment', 7, 13, true);
    blend('one element', 1, 1, false);
    blend('single neurons', 300, 1, false);
    blend('many', 70_001, 31, false); // more workgroups than fit a line
    blend('NaN and −∞ behind factors of 0', 10, 5, false, true);
    blend('NaN and −∞ behind factors of 0, a value a segment', 5, 5, true, true);

    const project = (title: string, n: number, width: number, scale = 1, kind = caps) => {
      const x = noise(1 + n * width, n, 3);
      const v = noise(3 * width, width, scale).fill(0, 2 * width); // two directions, and one of zeros
      const segments = Array.from({ length: n }, (_, i) => [1 + i * width, ((i + 1) % 3) * width] as const);
      examples.push({
        title: `projectOutSegments, ${title} [${n}, ${width}]`,
        launch: projectOutSegments({ n, width }, kind),
        buffers: [Uint32Array.from(segments.flat()), v, x],
        expected: [
          { binding: 2, values: projectOutReference(x, v, segments, width), atol: 1e-5, rtol: 1e-5 },
        ],
      });
    };
    project('ordinary', 5, 36);
    project('odd width', 4, 765);
    project('one element', 3, 1);
    project('very short directions', 3, 39, 1e-25);
    project('very long directions', 3, 39, 1e25);
    project('many', 33_000, 3); // more workgroups than fit a line
    for (const kind of otherKinds(caps)) project('as on other adapters', 4, 2121, 1, kind);
    return examples;
  },
};
