/**
 * The safetensors format (https://github.com/huggingface/safetensors), read.
 *
 *     8 bytes    N, the length of the header, little-endian
 *     N bytes    JSON: { "name": { "dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end] }, ...,
 *                        "__metadata__": { "key": "text" } }, padded with spaces
 *     the rest   the tensors, row-major, little-endian, without holes; offsets count from here
 *
 * The header is read first and checked whole; a tensor is read when it is asked for. Writing is in
 * `safetensors-write.ts`.
 */

import { whyNotJson } from '../checks/json-fault.js';
import { having } from '../checks/kinds.js';
import { fileError, quoted, shownJson } from '../checks/messages.js';
import { signatures } from '../checks/options.js';
import { duplicateKey } from '../checks/text.js';
import { isLfsPointer, LFS_POINTER, type RandomAccess } from '../files/files.js';
import { bf16ToF32, f16ToF32 } from './half.js';
import { elements, showShape, type TensorSource } from './tensors.js';

/** Bytes of one element, by the format's name for its type. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const;
/** The format's name for an element type. */
export type Dtype = keyof typeof DTYPE_BYTES;

/** Where one tensor lies in its file. */
export interface TensorInfo {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** First byte, from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** A file's header, checked. */
export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** An open safetensors file. */
export interface Safetensors extends TensorSource, SafetensorsHeader {
  /** A tensor's bytes as they are in the file, whatever its dtype. */
  readBytes(name: string): Promise<Uint8Array>;
}

/** As in the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;

const takes = signatures({
  openSafetensors: { file: having('a file of the library (with its name, size and read)', 'size', 'read') },
});

/**
 * Open a safetensors file: read and check its header.
 * @throws an error that names the file, and the tensor where there is one, for anything the format forbids.
 */
export const openSafetensors = takes.openSafetensors(async function openSafetensors(
  file: RandomAccess,
): Promise<Safetensors> {
  const { tensors, metadata } = await readHeader(file);
  const find = (name: string) => {
    const info = tensors.get(name);
    if (!info) throw fileError(file.name, `no tensor ${quoted(name)}`);
    return info;
  };
  const readBytes = async (name: string) => {
    const { offset, bytes } = find(name);
    return file.read(offset, bytes);
  };
  return {
    name: file.name,
    tensors,
    metadata,
    names: () => [...tensors.keys()],
    shape: (name) => tensors.get(name)?.shape,
    file: () => file.name,
    readBytes,
    async read(name) {
      const { dtype } = find(name);
      const bytes = await readBytes(name);
      return toFloat32(bytes, dtype, (what) => fileError(file.name, `tensor ${quoted(name)}: ${what}`));
    },
  };
});

/** Read and check the header of a safetensors file. */
export async function readHeader(file: RandomAccess): Promise<SafetensorsHeader> {
  if (file.size < 8) throw fileError(file.name, `${file.size} bytes is too short for a safetensors file`);
  const head = await file.read(0, Math.min(file.size, 64));
  const declared = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  const length = Number(declared);
  if (length > MAX_HEADER_BYTES || length < 2)
    throw fileError(file.name, `header length ${declared} is impossible; ${whatIsThis(head)}`);
  if (8 + length > file.size)
    throw fileError(
      file.name,
      `the header needs ${8 + length} bytes, the file has ${file.size}: it is truncated, or ${whatIsThis(head)}`,
    );
  return parseHeader(await file.read(8, length), file);
}

/** Names what people put in place of a checkpoint, by its first bytes. */
export function whatIsThis(head: Uint8Array): string {
  const text = new TextDecoder('latin1').decode(head);
  if (text.startsWith(LFS_POINTER)) return isLfsPointer;
  if (/^\s*</.test(text)) return 'this is a web page';
  if (text.startsWith('PK') || text.startsWith('\x80'))
    return 'this is a PyTorch pickle: name it .pth, and it is read as one';
  return 'it is of an unknown format, or corrupt';
}

function parseHeader(bytes: Uint8Array, file: RandomAccess): SafetensorsHeader {
  let text = '';
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    json = JSON.parse(text);
  } catch {
    const what = text ? whyNotJson(text) : 'it is not UTF-8 text';
    throw fileError(file.name, `the header is not JSON (${what}); the file is corrupt`);
  }
  if (!isObject(json)) throw fileError(file.name, 'the header is not a JSON object; the file is corrupt');
  const twice = duplicateKey(text, 2);
  if (twice !== undefined) throw fileError(file.name, `${quoted(twice)} appears twice in the header`);

  const dataStart = 8 + bytes.length;
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(json)) {
    if (name === '__metadata__') {
      if (!isObject(entry) || Object.values(entry).some((value) => typeof value !== 'string'))
        throw fileError(file.name, `__metadata__ must map names to texts`);
      metadata = entry as Record<string, string>;
    } else {
      tensors.set(name, parseEntry(name, entry, dataStart, file));
    }
  }
  checkCoverage(tensors, dataStart, file);
  return { tensors, metadata };
}

function parseEntry(name: string, entry: unknown, dataStart: number, file: RandomAccess): TensorInfo {
  const fail = (what: string) => fileError(file.name, `tensor ${quoted(name)}: ${what}`);
  if (!isObject(entry)) throw fail('its header entry is not an object');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype))
    throw fail(`unknown dtype ${shownJson(dtype)}; known are ${Object.keys(DTYPE_BYTES).join(', ')}`);
  if (!isSizes(shape)) throw fail(`shape ${shownJson(shape)} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1])
    throw fail(`data_offsets ${shownJson(offsets)} are not [begin, end]`);
  const bytes = offsets[1] - offsets[0];
  const needed = elements(shape) * DTYPE_BYTES[dtype as Dtype];
  if (bytes !== needed)
    throw fail(`${dtype} ${showShape(shape)} needs ${needed} bytes, but data_offsets give ${bytes}`);
  const offset = dataStart + offsets[0];
  if (offset + bytes > file.size)
    throw fail(
      `its data ends at byte ${offset + bytes}, the file at ${file.size}: the file is truncated or corrupt`,
    );
  return { dtype: dtype as Dtype, shape, offset, bytes };
}

/**
 * The format wants every data byte to belong to exactly one tensor: a flipped bit in an offset is found this
 * way.
 */
function checkCoverage(
  tensors: ReadonlyMap<string, TensorInfo>,
  dataStart: number,
  file: RandomAccess,
): void {
  const sorted = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = dataStart;
  let before = '';
  for (const [name, { offset, bytes }] of sorted) {
    if (offset < end) throw fileError(file.name, `tensors ${quoted(before)} and ${quoted(name)} overlap`);
    if (offset > end)
      throw fileError(file.name, `${offset - end} bytes before tensor ${quoted(name)} belong to no tensor`);
    end = offset + bytes;
    before = name;
  }
  if (end !== file.size)
    throw fileError(file.name, `${file.size - end} bytes after the last tensor belong to no tensor`);
}

/** Floats of a file as float32. @throws what `fail` makes, for integers. */
export function toFloat32(bytes: Uint8Array, dtype: Dtype, fail: (what: string) => Error): Float32Array {
  const width = DTYPE_BYTES[dtype];
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  const length = aligned.length / width;
  if (dtype === 'F32') return new Float32Array(buffer, byteOffset, length);
  if (dtype === 'F16') return f16ToF32(new Uint16Array(buffer, byteOffset, length));
  if (dtype === 'BF16') return bf16ToF32(new Uint16Array(buffer, byteOffset, length));
  if (dtype === 'F64') return Float32Array.from(new Float64Array(buffer, byteOffset, length));
  throw fail(`${dtype} numbers; weights are read from F32, F16, BF16 or F64`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
