/**
 * Matrices that stay quantised: their blocks, as GGUF files have them, and their numbers when somebody looks.
 */

import { formatNamed } from './blocks.js';
import { f32ToF16 } from './half.js';
import { transpose } from './tensors.js';
import type { Blocks, HostTensor } from './types.js';

/** Formats whose blocks the engine reads as they are; others are turned into float32 on loading. */
export const KEPT = ['Q8_0', 'Q4_0', 'Q4_1'] as const;
/** One of them. */
export type Quantised = (typeof KEPT)[number];

/** Whether a format is one of `KEPT`. */
export const isKept = (format: string): format is Quantised => (KEPT as readonly string[]).includes(format);

/** Numbers in a block. */
export const BLOCK = 32;

/** Bytes of a row of `width` numbers. */
export const rowBytes = (format: Quantised, width: number): number =>
  (width / BLOCK) * formatNamed(format).bytes;

/** A matrix in blocks. `data` is made anew when nobody holds it any more. */
export class QuantisedTensor implements HostTensor {
  readonly shape: readonly number[];
  readonly blocks: Blocks;
  /** The blocks are those of the transpose: matrices [in, out] lie as [out, in], with blocks along what a layer sums over. */
  readonly turned: boolean;
  #data: WeakRef<Float32Array> | null = null;

  constructor(shape: readonly number[], blocks: Blocks, turned: boolean) {
    this.shape = shape;
    this.blocks = blocks;
    this.turned = turned;
  }

  /** Its numbers, row-major, as the GPU computes with them. */
  get data(): Float32Array {
    let data = this.#data?.deref();
    if (!data) {
      data = this.#read();
      this.#data = new WeakRef(data);
    }
    return data;
  }

  #read(): Float32Array {
    const [rows, columns] = this.shape;
    const data = new Float32Array(rows * columns);
    formatNamed(this.blocks.format).read(this.blocks.bytes, data);
    return this.turned ? transpose({ shape: [columns, rows], data }).data : data;
  }
}

/**
 * Numbers in blocks, as llama.cpp makes them, bit for bit: float32 arithmetic, multiplying with 1/d.
 * @param data rows, each a multiple of 32 long
 * @throws a RangeError with the place of a number that is too large for the format's scale (float16)
 */
export function quantise(data: Float32Array, format: 'Q8_0' | 'Q4_0'): Uint8Array {
  const size = formatNamed(format).bytes;
  const f = Math.fround;
  const scales = new Float32Array(data.length / BLOCK);
  for (let b = 0; b < scales.length; b++) {
    let most = data[b * BLOCK];
    for (let i = 1; i < BLOCK; i++) {
      const x = data[b * BLOCK + i];
      if (Math.abs(x) > Math.abs(most)) most = x;
    }
    scales[b] = format === 'Q8_0' ? Math.abs(most) / 127 : most / -8;
    if (Math.abs(scales[b]) >= 65520) throw new RangeError(`${most} is too large for ${format}`);
  }
  const halves = f32ToF16(scales);
  const out = new Uint8Array(scales.length * size);
  scales.forEach((d, b) => {
    const to = b * size;
    out[to] = halves[b] & 255;
    out[to + 1] = halves[b] >> 8;
    const inverse = d === 0 ? 0 : f(1 / d);
    for (let i = 0; i < BLOCK; i++) {
      const x = f(data[b * BLOCK + i] * inverse);
      if (format === 'Q8_0') out[to + 2 + i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
      else out[to + 2 + (i & 15)] |= Math.min(15, Math.trunc(f(x + 8.5))) << (i < 16 ? 0 : 4);
    }
  });
  return out;
}

/** Place of the first block whose scale or minimum is no number, or -1. */
export function brokenBlock({ format, bytes }: Blocks): number {
  const size = formatNamed(format).bytes;
  const bad = (at: number) => (bytes[at + 1] & 0x7c) === 0x7c;
  for (let at = 0; at < bytes.length; at += size)
    if (bad(at) || (format === 'Q4_1' && bad(at + 2))) return at / size;
  return -1;
}
