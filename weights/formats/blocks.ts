/**
 * Number formats of GGUF files: blocks of 32 or 256 numbers that share a scale. Read exactly as the `gguf`
 * package does, bit for bit: products and sums are rounded to float32 in its order.
 */

import { bf16ToF32, f16ToF32 } from './half.js';

/** One format. */
export interface BlockFormat {
  readonly name: string;
  /** Numbers in a block, and its bytes. */
  readonly elements: number;
  readonly bytes: number;
  /** Blocks to numbers. */
  read(bytes: Uint8Array, out: Float32Array): void;
}

const f = Math.fround;

/** A format whose block i, at byte `at`, gives numbers from `to` on. `half(at)` reads a float16. */
function blocks(
  name: string,
  elements: number,
  bytes: number,
  block: (b: Uint8Array, at: number, out: Float32Array, to: number, half: (at: number) => number) => void,
): BlockFormat {
  return {
    name,
    elements,
    bytes,
    read(b, out) {
      const bits = new Uint16Array(1);
      const half = (at: number) => {
        bits[0] = b[at] | (b[at + 1] << 8);
        return f16ToF32(bits)[0];
      };
      for (let at = 0, to = 0; to < out.length; at += bytes, to += elements) block(b, at, out, to, half);
    },
  };
}

const signed = (x: number) => (x << 24) >> 24;
/** Number i of 32 nibbles in 16 bytes: the low halves first. */
const nibble = (b: Uint8Array, at: number, i: number) => (i < 16 ? b[at + i] & 15 : b[at + i - 16] >> 4);
const word = (b: Uint8Array, at: number) =>
  (b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24)) >>> 0;

/** Scale and minimum j of the eight of Q4_K and Q5_K, 6 bits each in 12 bytes. */
function sixBits(b: Uint8Array, s: number, j: number): [scale: number, min: number] {
  if (j < 4) return [b[s + j] & 63, b[s + j + 4] & 63];
  const low = b[s + j + 4];
  return [(low & 15) | ((b[s + j - 4] >> 6) << 4), (low >> 4) | ((b[s + j] >> 6) << 4)];
}

const aligned = (b: Uint8Array) => (b.byteOffset % 4 === 0 ? b : b.slice());

/** The formats that are read, by their number in the file. */
export const FORMATS: ReadonlyMap<number, BlockFormat> = new Map<number, BlockFormat>([
  [
    0,
    {
      name: 'F32',
      elements: 1,
      bytes: 4,
      read: (b, out) => {
        const from = aligned(b);
        out.set(new Float32Array(from.buffer, from.byteOffset, out.length));
      },
    },
  ],
  ...(
    [
      [1, 'F16', f16ToF32],
      [30, 'BF16', bf16ToF32],
    ] as const
  ).map(([type, name, widen]): [number, BlockFormat] => [
    type,
    {
      name,
      elements: 1,
      bytes: 2,
      read: (b, out) => {
        const from = aligned(b);
        out.set(widen(new Uint16Array(from.buffer, from.byteOffset, out.length)));
      },
    },
  ]),
  [
    2,
    blocks('Q4_0', 32, 18, (b, at, out, to, half) => {
      const d = half(at);
      for (let i = 0; i < 32; i++) out[to + i] = d * (nibble(b, at + 2, i) - 8);
    }),
  ],
  [
    3,
    blocks('Q4_1', 32, 20, (b, at, out, to, half) => {
      const [d, m] = [half(at), half(at + 2)];
      for (let i = 0; i < 32; i++) out[to + i] = f(d * nibble(b, at + 4, i)) + m;
    }),
  ],
  [
    6,
    blocks('Q5_0', 32, 22, (b, at, out, to, half) => {
      const [d, high] = [half(at), word(b, at + 2)];
      for (let i = 0; i < 32; i++)
        out[to + i] = d * ((nibble(b, at + 6, i) | (((high >>> i) & 1) << 4)) - 16);
    }),
  ],
  [
    7,
    blocks('Q5_1', 32, 24, (b, at, out, to, half) => {
      const [d, m, high] = [half(at), half(at + 2), word(b, at + 4)];
      for (let i = 0; i < 32; i++)
        out[to + i] = f(d * (nibble(b, at + 8, i) | (((high >>> i) & 1) << 4))) + m;
    }),
  ],
  [
    8,
    blocks('Q8_0', 32, 34, (b, at, out, to, half) => {
      const d = half(at);
      for (let i = 0; i < 32; i++) out[to + i] = d * signed(b[at + 2 + i]);
    }),
  ],
  [
    10,
    blocks('Q2_K', 256, 84, (b, at, out, to, half) => {
      const [d, dmin] = [half(at + 80), half(at + 82)];
      for (let i = 0; i < 256; i++) {
        const scale = b[at + (i >> 4)];
        const q = (b[at + 16 + 32 * (i >> 7) + (i & 31)] >> (2 * ((i & 127) >> 5))) & 3;
        out[to + i] = f(f(d * (scale & 15)) * q) - f(dmin * (scale >> 4));
      }
    }),
  ],
  [
    11,
    blocks('Q3_K', 256, 110, (b, at, out, to, half) => {
      const d = half(at + 108);
      for (let i = 0; i < 256; i++) {
        const k = i >> 4;
        const low = (b[at + 96 + (k & 7)] >> (4 * (k >> 3))) & 15;
        const scale = (low | (((b[at + 104 + (k & 3)] >> (2 * (k >> 2))) & 3) << 4)) - 32;
        const two = (b[at + 32 + 32 * (i >> 7) + (i & 31)] >> (2 * ((i & 127) >> 5))) & 3;
        const q = two - ((b[at + (i & 31)] >> (i >> 5)) & 1 ? 0 : 4);
        out[to + i] = f(d * scale) * q;
      }
    }),
  ],
  [
    12,
    blocks('Q4_K', 256, 144, (b, at, out, to, half) => {
      const [d, dmin] = [half(at), half(at + 2)];
      for (let j = 0; j < 8; j++) {
        const [scale, min] = sixBits(b, at + 4, j);
        const [ds, m] = [f(d * scale), f(dmin * min)];
        for (let i = 0; i < 32; i++) {
          const byte = b[at + 16 + 32 * (j >> 1) + i];
          out[to + 32 * j + i] = f(ds * (j & 1 ? byte >> 4 : byte & 15)) - m;
        }
      }
    }),
  ],
  [
    13,
    blocks('Q5_K', 256, 176, (b, at, out, to, half) => {
      const [d, dmin] = [half(at), half(at + 2)];
      for (let j = 0; j < 8; j++) {
        const [scale, min] = sixBits(b, at + 4, j);
        const [ds, m] = [f(d * scale), f(dmin * min)];
        for (let i = 0; i < 32; i++) {
          const byte = b[at + 48 + 32 * (j >> 1) + i];
          const q = (j & 1 ? byte >> 4 : byte & 15) | (((b[at + 16 + i] >> j) & 1) << 4);
          out[to + 32 * j + i] = f(ds * q) - m;
        }
      }
    }),
  ],
  [
    14,
    blocks('Q6_K', 256, 210, (b, at, out, to, half) => {
      const d = half(at + 208);
      for (let i = 0; i < 256; i++) {
        const [n, r] = [i >> 7, i & 127];
        const [g, l] = [r >> 5, r & 31];
        const byte = b[at + 64 * n + 32 * (g & 1) + l];
        const high = (b[at + 128 + 32 * n + l] >> (2 * g)) & 3;
        const q = ((g >= 2 ? byte >> 4 : byte & 15) | (high << 4)) - 32;
        out[to + i] = f(d * signed(b[at + 192 + (i >> 4)])) * q;
      }
    }),
  ],
]);

const OTHERS =
  'Q4_2 4, Q4_3 5, Q8_1 9, Q8_K 15, IQ2_XXS 16, IQ2_XS 17, IQ3_XXS 18, IQ1_S 19, IQ4_NL 20, IQ3_S 21, IQ2_S 22, IQ4_XS 23, I8 24, I16 25, I32 26, I64 27, F64 28, IQ1_M 29, TQ1_0 34, TQ2_0 35, MXFP4 39';

/** What a format is called, also one that is not read. */
export const formatName = (type: number): string =>
  FORMATS.get(type)?.name ?? new RegExp(`(\\w+) ${type}(,|$)`).exec(OTHERS)?.[1] ?? `type ${type}`;

/** A format by its name. */
export const formatNamed = (name: string): BlockFormat => [...FORMATS.values()].find((x) => x.name === name)!;
