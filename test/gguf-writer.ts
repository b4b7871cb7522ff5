/** GGUF files made in tests: just what `openGguf` reads, written independently of it. */

/** A value of the metadata: numbers are u32 where they are whole, else f32. */
export type GgufEntry = number | boolean | string | readonly string[] | readonly number[];

/** A tensor: sizes as rows and columns (the file has them the other way round), number of the format, bytes. */
export interface GgufTensor {
  readonly shape: readonly number[];
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** Numbers of formats. */
export const TYPES = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 8 } as const;

/** Floats as a tensor of F32. */
export const floats = (shape: readonly number[], data: Float32Array): GgufTensor => ({
  shape,
  type: TYPES.F32,
  bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

/** A file, version 3. */
export function ggufBytes(
  metadata: Readonly<Record<string, GgufEntry>>,
  tensors: Readonly<Record<string, GgufTensor>>,
): Uint8Array {
  const out: number[] = [];
  const u32 = (n: number) => out.push(n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >>> 24) & 255);
  const u64 = (n: number) => {
    u32(n);
    u32(Math.floor(n / 2 ** 32));
  };
  const f32 = (x: number) => u32(new Uint32Array(Float32Array.of(x).buffer)[0]);
  const text = (s: string) => {
    const bytes = new TextEncoder().encode(s);
    u64(bytes.length);
    for (const b of bytes) out.push(b);
  };
  out.push(...new TextEncoder().encode('GGUF'));
  u32(3);
  u64(Object.keys(tensors).length);
  u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    text(key);
    if (typeof value === 'string') {
      u32(8);
      text(value);
    } else if (typeof value === 'boolean') {
      u32(7);
      out.push(value ? 1 : 0);
    } else if (typeof value === 'number') {
      u32(Number.isInteger(value) ? 4 : 6);
      (Number.isInteger(value) ? u32 : f32)(value);
    } else {
      const texts = typeof value[0] === 'string';
      u32(9);
      u32(texts ? 8 : value.every(Number.isInteger) ? 5 : 6);
      u64(value.length);
      for (const x of value)
        if (texts) text(x as string);
        else (value.every(Number.isInteger) ? u32 : f32)(x as number);
    }
  }
  let offset = 0;
  const places: [Uint8Array, number][] = [];
  for (const [name, { shape, type, bytes }] of Object.entries(tensors)) {
    text(name);
    u32(shape.length);
    for (const n of [...shape].reverse()) u64(n);
    u32(type);
    u64(offset);
    places.push([bytes, offset]);
    offset += Math.ceil(bytes.length / 32) * 32;
  }
  const start = Math.ceil(out.length / 32) * 32;
  const file = new Uint8Array(start + offset);
  file.set(out);
  for (const [bytes, at] of places) file.set(bytes, start + at);
  return file;
}
