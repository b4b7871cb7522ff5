/**
 * Weights as float16: two halves packed in a 32-bit word, widened exactly when they are loaded; arithmetic stays float32.
 * That needs no `shader-f16`. Rows of a matrix are a multiple of 4 long, so that four neighbours lie in two whole words.
 */

import type { Host } from './kernel.js';

/** What a kernel's matrix operand W is made of. */
export interface HalfWeights {
  /** W holds packed halves. */
  readonly half?: boolean;
}

/** WGSL that the loads of `weight4` and `weight1` need. */
export const halfWgsl = (half: boolean): string =>
  half
    ? `fn half4(v: vec2u) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn half1(v: u32, i: u32) -> f32 { return unpack2x16float(v)[i & 1u]; }`
    : '';

/** Element type of W where it is read four at a time, and one at a time. */
export const weightTypes = (half: boolean): { four: string; one: string } =>
  half ? { four: 'vec2u', one: 'u32' } : { four: 'vec4f', one: 'f32' };

/** WGSL: elements 4i … 4i + 3 of `name`. */
export const weight4 = (half: boolean, name: string, i: string): string =>
  half ? `half4(${name}[${i}])` : `${name}[${i}]`;

/** WGSL: element i of `name`. */
export const weight1 = (half: boolean, name: string, i: string): string =>
  half ? `half1(${name}[(${i}) >> 1u], ${i})` : `${name}[${i}]`;

/** Part of a kernel's name. */
export const halfName = (half: boolean | undefined): string => (half ? '/half' : '');

/** For examples: values rounded to float16, and the same packed. Exact for |x| in [2⁻¹⁴, 65504]. */
export function packed(values: Float32Array): { rounded: Float32Array; words: Host } {
  const rounded = new Float32Array(values.length);
  const words = new Uint32Array(Math.ceil(values.length / 2));
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  values.forEach((x, i) => {
    // Rounding to 10 bits of fraction by adding and taking away 2^13 times the number (Veltkamp 1968).
    const big = Math.fround(x * 8193);
    float[0] = rounded[i] = Math.abs(x) < 2 ** -14 ? 0 : Math.fround(big - Math.fround(big - x));
    const sign = (bits[0] >>> 16) & 0x8000;
    const magnitude = bits[0] & 0x7fffffff;
    const half = sign | (magnitude ? (magnitude - 0x38000000) >>> 13 : 0);
    words[i >> 1] |= half << (i & 1 ? 16 : 0);
  });
  return { rounded, words };
}
