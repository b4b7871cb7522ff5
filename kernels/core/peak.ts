/**
 * The adapter's own ceilings. For float32 multiply-adds, a kernel that does nothing else: twelve independent
 * accumulators, eight steps unrolled, the shape that ran fastest on software adapters, and enough to fill a
 * GPU's pipelines. For memory, a copy.
 */

import { type Caps, type Family, type Launch, lineIndex, noise, repeat } from './kernel.js';
import { kernel, perElement, WG } from './wgsl.js';

const ACCUMULATORS = 12;
const UNROLL = 8;
const THREADS = 64;

/** Size of a launch. */
export interface Peak {
  readonly groups: number;
  /** Steps of a thread; a multiple of 8. */
  readonly steps: number;
}

/** Floating-point operations of a launch: a multiply-add counts as two. */
export const peakFlops = ({ groups, steps }: Peak): number => 2 * ACCUMULATORS * steps * THREADS * groups;

/**
 * Y[thread] = Σ_i a_i after `steps` times a_i = a_i · x + y, from a_i = i, with x = 1/2 + thread / 2^20 and y
 * = 1 − x: a constant in place of y costs a quarter of SwiftShader's speed. Buffers: Y [groups · 64].
 */
export function peak({ groups, steps }: Peak, _caps: Caps): Launch {
  return { kernel: kernel('peak', () => wgsl), params: { rounds: steps / UNROLL }, grid: [groups, 1, 1] };
}

const wgsl = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> Y: array<f32>;
struct Params {
  rounds: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = wg.x * ${THREADS}u + lane;
  let x = 0.5f + f32(i) / 1048576f;
  let y = 1f - x;
${repeat(ACCUMULATORS, (a) => `  var a${a} = ${a}f;`)}
  for (var r = 0u; r < params.rounds; r++) {
${repeat(UNROLL, () => `    ${repeat(ACCUMULATORS, (a) => `a${a} = a${a} * x + y;`, ' ')}`)}
  }
  Y[i] = ${repeat(ACCUMULATORS, (a) => `a${a}`, ' + ')};
}`;

/** Y = X, a vec4 a thread. Buffers: X [n], Y [n]; n is a multiple of 4. */
export function copyPeak({ n }: { n: number }, _caps: Caps): Launch {
  return { kernel: kernel('copyPeak', () => copyWgsl), params: { n: n / 4 }, grid: perElement(n / 4) };
}

const copyWgsl = /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> Y: array<vec4f>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i < params.n) { Y[i] = X[i]; }
}`;

/** Float64 reference. */
export function peakReference({ groups, steps }: Peak): Float64Array {
  return new Float64Array(groups * THREADS).map((_, thread) => {
    let sum = 0;
    for (let i = 0; i < ACCUMULATORS; i++) {
      let a = i;
      const x = 0.5 + thread / 2 ** 20;
      for (let s = 0; s < steps; s++) a = a * x + (1 - x);
      sum += a;
    }
    return sum;
  });
}

/** The ceilings, with their examples. */
export const peakFamily: Family = {
  name: 'peak',
  about:
    'multiply-adds in registers and nothing else, Y [groups · 64]; a copy: the ceilings that benchmarks compare with',
  examples: (caps) => [
    ...[1, 3].map((groups) => {
      const o = { groups, steps: 8 * groups };
      return {
        title: `${groups} workgroups, ${o.steps} steps`,
        launch: peak(o, caps),
        buffers: [groups * THREADS],
        expected: [{ binding: 0, values: peakReference(o), atol: 1e-5, rtol: 1e-6 }],
      };
    }),
    ...[4, 1000].map((n) => {
      const x = noise(n, 7);
      return {
        title: `copy of ${n}`,
        launch: copyPeak({ n }, caps),
        buffers: [x, n],
        expected: [{ binding: 1, values: x, atol: 0, rtol: 0 }],
      };
    }),
  ],
};
