/** Results as NumPy's arrays, for notebooks. Nothing is written here. */

import { is, signatures } from '../../hooks/input/check.js';
import type { LabelledData } from './result.js';

/**
 * The header, with what stands before it, fills a multiple of this many bytes: data can be mapped into
 * memory.
 */
const ALIGN = 64;
const MAGIC = '\x93NUMPY\x01\x00';

const takes = signatures({
  toNpy: { result: is.labelled },
});

/**
 * A result as the bytes of a `.npy` file for `numpy.load`: format 1.0, little-endian f32 (`<f4`), in C order,
 * shaped as the axes. Labels and provenance have no place in it: `toJson` keeps them.
 */
export const toNpy = takes.toNpy(function toNpy({ values, shape }: LabelledData): Uint8Array {
  const tuple = `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;
  const fields = `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`;
  const before = MAGIC.length + 2;
  const start = Math.ceil((before + fields.length + 1) / ALIGN) * ALIGN;
  const header = `${fields.padEnd(start - before - 1)}\n`;
  const out = new Uint8Array(start + 4 * values.length);
  const view = new DataView(out.buffer);
  out.set(Uint8Array.from(MAGIC, (c) => c.charCodeAt(0)));
  view.setUint16(MAGIC.length, header.length, true);
  out.set(new TextEncoder().encode(header), before);
  for (let i = 0; i < values.length; i++) view.setFloat32(start + 4 * i, values[i], true);
  return out;
});
