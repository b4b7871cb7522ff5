/**
 * Rotary positions (Su et al. 2021): a head's first dimensions turn by an angle that grows with the position,
 * pair by pair,
 *
 *     u′ = u cos − v sin       v′ = v cos + u sin
 *
 * The table holds cosines and sines of every position, times what the family multiplies them by; the rest of
 * a head is copied. Backward is the turn by the angle with the other sign.
 */

import { type Caps, type Example, type Family, type Launch, lineIndex, noise } from '../core/kernel.js';
import { kernel, perElement, WG } from '../core/wgsl.js';
import type { HeadsAt } from './attention-layout.js';

/** Sizes of a turn. */
export interface Turn {
  readonly tokens: number;
  readonly heads: number;
  readonly dHead: number;
  /** Dimensions of a head that turn, the first ones; even. */
  readonly dims: number;
  /** Which two make a pair: i and i + dims/2, or 2i and 2i + 1. */
  readonly pairs: 'halves' | 'adjacent';
  /** Turns by the angles with the other sign. */
  readonly backward?: boolean;
  readonly x: HeadsAt;
  readonly y: HeadsAt;
  /** Where the positions begin in their buffer. */
  readonly positionsAt: number;
}

/**
 * Y = X turned, head by head. Each thread has one pair, or one number of the rest; four of them where all
 * lies in fours. Buffers: X, table [positions, dims] (cosines, then sines), positions u32, Y.
 */
export function rotary(o: Turn, _caps: Caps): Launch {
  const { tokens, heads, dHead, dims, pairs, backward = false, x, y } = o;
  const half = dims / 2;
  const fours = [half, dHead - dims, dHead, x.stride, x.offset, y.stride, y.offset].every((n) => n % 4 === 0);
  const step = fours && pairs === 'halves' ? 4 : 1;
  const type = step === 4 ? 'vec4f' : 'f32';
  const inUnits = (n: number) => n / step;
  const rest = inUnits(dHead - dims);
  const each = inUnits(half) + rest;
  const [first, second] = pairs === 'halves' ? ['j', `j + ${inUnits(half)}u`] : ['2u * j', '2u * j + 1u'];
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<${type}>;
@group(0) @binding(1) var<storage, read> angles: array<${type}>; // [positions, 2, pairs]: cosines, sines
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read_write> Y: array<${type}>;
struct Params {
  n: u32, // threads
  heads: u32,
  xStride: u32, // in units of ${type}
  xOffset: u32,
  yStride: u32,
  yOffset: u32,
  positionsAt: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.n) { return; }
  let j = i % ${each}u;
  let head = (i / ${each}u) % params.heads;
  let token = i / ${each}u / params.heads;
  let x = params.xOffset + token * params.xStride + head * ${inUnits(dHead)}u;
  let y = params.yOffset + token * params.yStride + head * ${inUnits(dHead)}u;
  ${
    rest
      ? `if (j >= ${inUnits(half)}u) {
    let c = ${inUnits(dims)}u + j - ${inUnits(half)}u;
    Y[y + c] = X[x + c];
    return;
  }`
      : ''
  }
  let at = positions[params.positionsAt + token] * ${inUnits(dims)}u + j;
  let c = angles[at];
  let s = ${backward ? '-' : ''}angles[at + ${inUnits(half)}u];
  let u = X[x + ${first}];
  let v = X[x + ${second}];
  Y[y + ${first}] = u * c - v * s;
  Y[y + ${second}] = v * c + u * s;
}`;
  const n = tokens * heads * each;
  return {
    kernel: kernel(`rotary/${type}/${dHead}/${dims}-${pairs}${backward ? '/backward' : ''}`, code),
    params: {
      n,
      heads,
      xStride: inUnits(x.stride),
      xOffset: inUnits(x.offset),
      yStride: inUnits(y.stride),
      yOffset: inUnits(y.offset),
      positionsAt: o.positionsAt,
    },
    grid: perElement(n),
  };
}

/** Float64 reference: Y [tokens, heads, dHead] of X in its window. */
export function rotaryReference(
  o: Turn,
  x: ArrayLike<number>,
  table: ArrayLike<number>,
  positions: ArrayLike<number>,
): Float64Array {
  const { tokens, heads, dHead, dims, pairs, backward = false } = o;
  const half = dims / 2;
  const y = new Float64Array(tokens * heads * dHead);
  for (let t = 0; t < tokens; t++)
    for (let h = 0; h < heads; h++) {
      const from = o.x.offset + t * o.x.stride + h * dHead;
      const to = (t * heads + h) * dHead;
      for (let d = dims; d < dHead; d++) y[to + d] = x[from + d];
      for (let i = 0; i < half; i++) {
        const [a, b] = pairs === 'halves' ? [i, i + half] : [2 * i, 2 * i + 1];
        const c = table[positions[o.positionsAt + t] * dims + i];
        const s = table[positions[o.positionsAt + t] * dims + half + i] * (backward ? -1 : 1);
        y[to + a] = x[from + a] * c - x[from + b] * s;
        y[to + b] = x[from + b] * c + x[from + a] * s;
      }
    }
  return y;
}

/** Checks of the turns. */
export const rotaryFamily: Family = {
  name: 'rotary',
  about:
    'rotary positions: Y = X turned by the angle of its position, pair by pair; X, Y [tokens, heads, dHead]',
  examples: (caps) => {
    const examples: Example[] = [];
    const tokens = 5;
    const positions = Uint32Array.of(9, 9, 9, 9, 9, 0, 1, 2, 11, 3);
    for (const [heads, dHead, dims] of [
      [3, 10, 10],
      [2, 10, 4],
      [1, 2, 2],
      [4, 16, 16],
      [3, 16, 8],
      [2, 12, 6],
      [9, 64, 64],
    ] as const)
      for (const pairs of ['halves', 'adjacent'] as const)
        for (const backward of [false, true]) {
          // X is the first heads of a wider row
          const x = { stride: (heads + 2) * dHead, offset: 0 };
          const o: Turn = {
            ...{ tokens, heads, dHead, dims, pairs, backward, x },
            y: { stride: heads * dHead, offset: 0 },
            positionsAt: tokens,
          };
          const data = noise(tokens * x.stride, heads + dHead);
          const table = noise(12 * dims, 2, 1.2);
          const values = rotaryReference(o, data, table, positions);
          examples.push({
            title: `${heads} heads of ${dHead}, ${dims} turn in ${pairs}${backward ? ', backward' : ''}`,
            launch: rotary(o, caps),
            buffers: [data, table, positions, values.length],
            expected: [{ binding: 3, values, atol: 1e-6, rtol: 1e-6 }],
          });
        }
    return examples;
  },
};
