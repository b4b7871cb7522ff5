/** Keeping keys and values of a run, for rows that continue it. */

import type { Caps, Launch } from '../core/kernel.js';
import { kernel, perElement, perElementMain } from '../core/wgsl.js';
import type { HeadsAt } from './attention-layout.js';

/** A token whose keys and values are not to be kept. */
export const NO_SLOT = 0xffffffff;

/**
 * Keeps keys and values: store[slots[t]] = (key, value) of token t, for tokens with a slot.
 * Buffers: K, V, slots u32 [tokens] (`NO_SLOT`: skip), store [slots, 2, width] in place.
 */
export function storeKv(o: { tokens: number; width: number; k: HeadsAt; v: HeadsAt }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> K: array<f32>;
@group(0) @binding(1) var<storage, read> V: array<f32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> store: array<f32>; // [slots, 2, width]
struct Params {
  n: u32, // tokens · width
  width: u32,
  kStride: u32,
  kOffset: u32,
  vStride: u32,
  vOffset: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let token = i / params.width;
  let column = i % params.width;
  let slot = slots[token];
  if (slot == ${NO_SLOT}u) { return; }
  let at = slot * 2u * params.width + column;
  store[at] = K[params.kOffset + token * params.kStride + column];
  store[at + params.width] = V[params.vOffset + token * params.vStride + column];
}`;
  const n = o.tokens * o.width;
  return {
    kernel: kernel('storeKv', code),
    params: {
      n,
      width: o.width,
      kStride: o.k.stride,
      kOffset: o.k.offset,
      vStride: o.v.stride,
      vOffset: o.v.offset,
    },
    grid: perElement(n),
  };
}
