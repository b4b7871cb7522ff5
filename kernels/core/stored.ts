/**
 * How weights lie in memory. A kernel reads them four at a time or one at a time, as float32, whatever they are stored as;
 * arithmetic stays float32.
 *
 *  - `f32`.
 *  - `f16`: two halves in a 32-bit word, widened exactly; needs no `shader-f16`. Rows are a multiple of 4 long, so that four
 *    neighbours lie in two whole words.
 *  - `Q8_0`, `Q4_0`, `Q4_1`: blocks of 32 neighbours in a row, with a scale d (and a minimum m) in float16, as GGUF files have
 *    them: d·q with q of 8 bits, d·(q − 8) and d·q + m with q of 4 bits. Rows are whole blocks. Blocks of the first two are
 *    dealt in pairs: a word with both scales, then the numbers of either, so that everything lies at whole words.
 */

import type { Host } from './kernel.js';

/** Formats of weights. */
export type Stored = 'f32' | 'f16' | 'Q8_0' | 'Q4_0' | 'Q4_1';
/** Those whose numbers come in blocks. */
export type Quantised = 'Q8_0' | 'Q4_0' | 'Q4_1';

/** What a kernel's matrix operand W is made of. */
export interface StoredWeights {
  /** Default `f32`. */
  readonly stored?: Stored;
}

/** Numbers in a block. */
export const BLOCK = 32;

/** Words of 32 bits that two blocks take. */
const PAIR: Readonly<Record<Quantised, number>> = { Q8_0: 17, Q4_0: 9, Q4_1: 10 };

/** Whether numbers come in blocks. */
export const isQuantised = (stored: Stored): stored is Quantised => stored in PAIR;

/** Words of 32 bits that `n` numbers take. */
export function wordsFor(stored: Stored, n: number): number {
  if (!isQuantised(stored)) return stored === 'f16' ? Math.ceil(n / 2) : n;
  return stored === 'Q4_1' ? (n / BLOCK) * 5 : Math.ceil(n / (2 * BLOCK)) * PAIR[stored];
}

/** WGSL that the loads of `weight4` and `weight1` from the array `name` need. */
export function storedWgsl(stored: Stored, name: string): string {
  if (stored === 'f32') return '';
  if (stored === 'f16')
    return `fn half4(v: vec2u) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn half1(v: u32, i: u32) -> f32 { return unpack2x16float(v)[i & 1u]; }`;
  const scale = `let at = (i >> 4u) * ${PAIR[stored]}u;
  let scales = unpack2x16float(${name}[at]);
  let d = select(scales.x, scales.y, (i & 8u) != 0u);`;
  const nibbles = 'vec4f(vec4u(w, w >> 8u, w >> 16u, w >> 24u) & vec4u(15u))';
  const body = {
    Q8_0: `${scale}
  let w = ${name}[at + 1u + (i & 15u)];
  return d * vec4f(bitcast<vec4i>(vec4u(w << 24u, w << 16u, w << 8u, w)) >> vec4u(24u));`,
    Q4_0: `${scale}
  let w = ${name}[at + 1u + ((i >> 1u) & 4u) + (i & 3u)] >> (i & 4u);
  return d * (${nibbles} - 8f);`,
    Q4_1: `let at = (i >> 3u) * 5u;
  let dm = unpack2x16float(${name}[at]);
  let w = ${name}[at + 1u + (i & 3u)] >> (i & 4u);
  return dm.x * ${nibbles} + dm.y;`,
  }[stored];
  return `/** Numbers 4i … 4i + 3 */
fn quantised4(i: u32) -> vec4f {
  ${body}
}`;
}

/** Element type of W where it is read four at a time, and one at a time. */
export function weightTypes(stored: Stored): { four: string; one: string } {
  if (stored === 'f32') return { four: 'vec4f', one: 'f32' };
  return { four: stored === 'f16' ? 'vec2u' : 'u32', one: 'u32' };
}

/** Type of W with `n` numbers, where it is read four at a time. */
export const weightArray = (stored: Stored, n: number): string =>
  `array<${weightTypes(stored).four}, ${isQuantised(stored) ? wordsFor(stored, n) : n / 4}>`;

/** WGSL: elements 4i … 4i + 3 of `name`. */
export function weight4(stored: Stored, name: string, i: string): string {
  if (stored === 'f32') return `${name}[${i}]`;
  return stored === 'f16' ? `half4(${name}[${i}])` : `quantised4(${i})`;
}

/** WGSL: element i of `name`. */
export function weight1(stored: Stored, name: string, i: string): string {
  if (stored === 'f32') return `${name}[${i}]`;
  return stored === 'f16' ? `half1(${name}[(${i}) >> 1u], ${i})` : `quantised4((${i}) >> 2u)[(${i}) & 3u]`;
}

/** Part of a kernel's name. */
export const storedName = (stored: Stored = 'f32'): string => (stored === 'f32' ? '' : `/${stored}`);

/**
 * Blocks one after another, as GGUF files have them, in the words that kernels read.
 * @param bytes 34 bytes a block of Q8_0, 18 of Q4_0, 20 of Q4_1
 */
export function blockWords(stored: Quantised, bytes: Uint8Array): Uint32Array {
  const size = { Q8_0: 34, Q4_0: 18, Q4_1: 20 }[stored];
  const blocks = bytes.length / size;
  const words = new Uint32Array(wordsFor(stored, blocks * BLOCK));
  const to = new Uint8Array(words.buffer);
  if (stored === 'Q4_1') {
    to.set(bytes);
    return words;
  }
  for (let b = 0; b < blocks; b++) {
    const pair = 4 * (b >> 1) * PAIR[stored];
    const from = b * size;
    const second = b & 1;
    to[pair + 2 * second] = bytes[from];
    to[pair + 2 * second + 1] = bytes[from + 1];
    to.set(bytes.subarray(from + 2, from + size), pair + 4 + second * (size - 2));
  }
  return words;
}

/** For examples: values rounded to a format, and the same as a kernel reads them. Halves are exact for |x| in [2⁻¹⁴, 65504]. */
export function packed(values: Float32Array, stored: Stored): { rounded: Float32Array; words: Host } {
  if (stored === 'f32') return { rounded: values, words: values };
  if (stored === 'f16') return halves(values);
  const rounded = new Float32Array(values.length);
  const size = { Q8_0: 34, Q4_0: 18, Q4_1: 20 }[stored];
  const bytes = new Uint8Array((values.length / BLOCK) * size);
  for (let b = 0; b < values.length / BLOCK; b++) {
    // Scales with few bits, which a half holds; another one for every block.
    const d = (stored === 'Q8_0' ? 1 : 16) * (1 + (b % 7)) * 2 ** -10;
    const m = stored === 'Q4_1' ? -8 * d : 0;
    const { words } = halves(Float32Array.of(d, m));
    const at = b * size;
    bytes.set(new Uint8Array((words as Uint32Array).buffer).subarray(0, stored === 'Q4_1' ? 4 : 2), at);
    for (let i = 0; i < BLOCK; i++) {
      const x = values[b * BLOCK + i];
      if (stored === 'Q8_0') {
        const q = Math.max(-128, Math.min(127, Math.round(x / d)));
        rounded[b * BLOCK + i] = d * q;
        bytes[at + 2 + i] = q & 255;
        continue;
      }
      const q = Math.max(0, Math.min(15, Math.round(x / d + 8)));
      rounded[b * BLOCK + i] = d * (q - 8);
      bytes[at + size - 16 + (i & 15)] |= q << (i < 16 ? 0 : 4);
    }
  }
  return { rounded, words: blockWords(stored, bytes) };
}

function halves(values: Float32Array): { rounded: Float32Array; words: Host } {
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
