/**
 * The safetensors format, written: a model for Python, or a cache of activations. The format is described in
 * `safetensors.ts`.
 */

import { type Kind, oneOf, plainObject, tagOf } from '../checks/kinds.js';
import { options, signatures } from '../checks/options.js';
import { f32ToBf16, f32ToF16 } from './half.js';
import { DTYPE_BYTES, type Dtype } from './safetensors.js';
import { elements, showShape } from './tensors.js';

/** What can be saved; the dtype in the file follows from the array's type. */
export interface SavedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array | BigInt64Array;
}

/** How a safetensors file is written. */
export interface WriteOptions {
  /** Free texts for the header. */
  metadata?: Readonly<Record<string, string>>;
  /** How float32 arrays are stored. Default 'F32'. */
  dtype?: 'F32' | 'F16' | 'BF16';
}

/** Arrays by name. */
export const TENSORS: Kind = { ...plainObject, what: 'arrays by name, { name: { shape, data } }' };
/** What `WriteOptions` may be. */
export const WRITING = options<WriteOptions>({ metadata: plainObject, dtype: oneOf('F32', 'F16', 'BF16') });

const takes = signatures({
  writeSafetensors: { tensors: TENSORS, options: WRITING },
});

/**
 * A safetensors file in memory. Readable by Python's `safetensors.numpy.load` and `safetensors.torch.load`.
 * @throws when an array's length does not match its shape.
 */
export const writeSafetensors = takes.writeSafetensors(function writeSafetensors(
  tensors: Readonly<Record<string, SavedTensor>>,
  options: WriteOptions = {},
): Uint8Array<ArrayBuffer> {
  const { header, size } = layOut(tensors, options);
  const file = new Uint8Array(size);
  let offset = 0;
  for (const chunk of safetensorsChunks(tensors, options, header)) {
    file.set(chunk, offset);
    offset += chunk.length;
  }
  return file;
});

/** The same file piece by piece (header, then one tensor each), for writers that stream. */
export function* safetensorsChunks(
  tensors: Readonly<Record<string, SavedTensor>>,
  options: WriteOptions = {},
  header = layOut(tensors, options).header,
): Generator<Uint8Array> {
  yield header;
  const { dtype = 'F32' } = options;
  for (const [, { data }] of ordered(tensors, dtype)) {
    const narrow = tagOf(data) === 'Float32Array' && dtype !== 'F32';
    const floats = data as Float32Array;
    const stored = narrow ? (dtype === 'F16' ? f32ToF16(floats) : f32ToBf16(floats)) : data;
    yield new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  }
}

/** Widest elements first, so that every tensor is aligned for its type; otherwise as given. */
function ordered(
  tensors: Readonly<Record<string, SavedTensor>>,
  dtype: 'F32' | 'F16' | 'BF16',
): [string, SavedTensor][] {
  const width = ({ data }: SavedTensor) => DTYPE_BYTES[storedDtype(data, dtype)];
  return Object.entries(tensors).sort(([, a], [, b]) => width(b) - width(a));
}

/** The file's first bytes, length field included, and the size of the whole file. */
function layOut(
  tensors: Readonly<Record<string, SavedTensor>>,
  { metadata, dtype = 'F32' }: WriteOptions,
): { header: Uint8Array; size: number } {
  // Text and not an object: as keys of an object, names like "0" would move to the front.
  const entries: string[] = [];
  if (metadata) entries.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const [name, { shape, data }] of ordered(tensors, dtype)) {
    if (name === '__metadata__') throw new Error('a tensor cannot be called "__metadata__"');
    if (elements(shape) !== data.length)
      throw new RangeError(
        `tensor "${name}": shape ${showShape(shape)} needs ${elements(shape)} values, data has ${data.length}`,
      );
    const stored = storedDtype(data, dtype);
    const end = offset + data.length * DTYPE_BYTES[stored];
    entries.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype: stored, shape, data_offsets: [offset, end] })}`,
    );
    offset = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return { header, size: header.length + offset };
}

const DTYPES: Readonly<Record<string, Dtype>> = {
  Float64Array: 'F64',
  Int32Array: 'I32',
  Uint32Array: 'U32',
  Uint8Array: 'U8',
};

function storedDtype(data: SavedTensor['data'], floats: 'F32' | 'F16' | 'BF16'): Dtype {
  const tag = tagOf(data);
  return tag === 'Float32Array' ? floats : (DTYPES[tag] ?? 'I64');
}
