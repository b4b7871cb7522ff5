/** How matrices of a family's files are put together: transposed, joined, heads apart; numbers and blocks. */

import { isKept } from '../formats/quantised.js';
import { type TensorSource, transpose } from '../formats/tensors.js';
import type { Blocks } from '../formats/types.js';

/** A matrix [rows, width] (out, in) becomes columns `first` … of a matrix of `total` columns. */
export function turnInto(
  out: Float32Array,
  total: number,
  first: number,
  data: Float32Array,
  rows: number,
  width: number,
): void {
  const turned = transpose({ shape: [rows, width], data }).data;
  for (let i = 0; i < width; i++) out.set(turned.subarray(i * rows, (i + 1) * rows), i * total + first);
}

/** For each head's q, k and v: where they begin in rows ordered by head, and in columns ordered q, k, v. */
export function eachHeadPart(nHeads: number, dHead: number, f: (row: number, column: number) => void): void {
  for (let head = 0; head < nHeads; head++)
    for (let part = 0; part < 3; part++) f((3 * head + part) * dHead, (part * nHeads + head) * dHead);
}

/** Rows of several matrices in blocks, one after another; null where their formats differ. */
export async function joinedBlocks(
  source: TensorSource,
  names: readonly string[],
  wanted: (format: string) => boolean,
): Promise<Blocks | null> {
  const read = (name: string, test: (format: string) => boolean) => source.blocks?.(name, test) ?? null;
  const formats = new Set<string>();
  for (const name of names)
    await read(name, (format) => {
      formats.add(wanted(format) ? format : '');
      return false;
    });
  const [format] = formats;
  if (formats.size !== 1 || !isKept(format)) return null;
  const all = await Promise.all(names.map((name) => read(name, (own) => own === format)));
  if (all.some((part) => !part)) return null;
  const bytes = new Uint8Array(all.reduce((n, part) => n + part!.bytes.length, 0));
  let at = 0;
  for (const part of all) {
    bytes.set(part!.bytes, at);
    at += part!.bytes.length;
  }
  return { format, bytes };
}
