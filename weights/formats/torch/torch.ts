/**
 * PyTorch checkpoints (`.pth`, `.pt`, `pytorch_model.bin`) as `torch.save` writes them since PyTorch 1.6,
 * read without executing anything:
 *
 *     {archive}/data.pkl       a pickle: the dictionary, its tensors described by storage, offset, shape and strides
 *     {archive}/data/{key}     one storage each: plain numbers, uncompressed
 *     {archive}/byteorder      "little" (absent in older files)
 *
 * The pickle is read first and checked whole (`state-dict.ts`); of a storage only the part that a tensor
 * covers is read, when it is asked for.
 */

import { fileError, quoted } from '../../checks/messages.js';
import type { RandomAccess } from '../../files/files.js';
import { openZip, type Zip, type ZipEntry } from '../../files/zip.js';
import { DTYPE_BYTES, type Dtype, toFloat32, whatIsThis } from '../safetensors.js';
import { elements, type TensorSource } from '../tensors.js';
import { readStateDict, type StridedTensor } from './state-dict.js';

/** An open PyTorch checkpoint. */
export interface TorchCheckpoint extends TensorSource {
  readonly tensors: ReadonlyMap<string, StridedTensor>;
}

/** The description of a model of a hundred layers takes 200 kB. */
const MAX_PICKLE_BYTES = 2 ** 25;

/**
 * Open a PyTorch checkpoint: read and check its description of tensors.
 * @throws an error that names the file when it is of another format, truncated or damaged, asks for Python
 * objects that a
 *   state dict does not need, or describes tensors that it does not hold.
 */
export async function openTorch(file: RandomAccess): Promise<TorchCheckpoint> {
  await checkFormat(file);
  const zip = await openZip(file);
  const { archive, pickle } = findPickle(zip, file);
  const order = zip.entries.get(`${archive}byteorder`);
  if (order && order.size < 16 && new TextDecoder().decode(await zip.read(order)) !== 'little')
    throw fileError(file.name, `its numbers are big-endian; only little-endian checkpoints are read`);
  if (pickle.size > MAX_PICKLE_BYTES)
    throw fileError(
      file.name,
      `its pickle has ${pickle.size} bytes; a state dict's is smaller than ${MAX_PICKLE_BYTES}`,
    );
  const tensors = readStateDict(await zip.read(pickle), file.name);
  for (const [name, { storage }] of tensors) {
    const entry = zip.entries.get(`${archive}data/${storage.key}`);
    if (!entry)
      throw fileError(
        file.name,
        `tensor ${quoted(name)}: its data (${archive}data/${storage.key}) is not in the file`,
      );
    const needed = storage.length * DTYPE_BYTES[storage.dtype];
    if (entry.size !== needed)
      throw fileError(
        file.name,
        `tensor ${quoted(name)}: its data (${entry.name}) has ${entry.size} bytes instead of ${needed}`,
      );
  }
  return {
    name: file.name,
    tensors,
    names: () => [...tensors.keys()],
    shape: (name) => tensors.get(name)?.shape,
    file: () => file.name,
    async read(name) {
      const tensor = tensors.get(name);
      if (!tensor) throw fileError(file.name, `no tensor ${quoted(name)}`);
      const entry = zip.entries.get(`${archive}data/${tensor.storage.key}`)!;
      const fail = (what: string) => fileError(file.name, `tensor ${quoted(name)}: ${what}`);
      return gather(tensor, (from, to) => readElements(zip, entry, tensor.storage.dtype, from, to, fail));
    },
  };
}

async function checkFormat(file: RandomAccess): Promise<void> {
  const head = await file.read(0, Math.min(64, file.size));
  if (head[0] === 0x50 && head[1] === 0x4b) return;
  // Protocol 2, then the magic number of the old format as a 10-byte integer.
  if (head[0] === 0x80 && head[2] === 0x8a && head[3] === 10)
    throw fileError(
      file.name,
      `this is PyTorch's format from before 1.6. Save it anew in Python: torch.save(torch.load(path), path)`,
    );
  throw fileError(file.name, `not a PyTorch checkpoint: ${whatIsThis(head)}`);
}

/** The archive's folder is named after the file that was first written, or `archive`. */
function findPickle(zip: Zip, file: RandomAccess): { archive: string; pickle: ZipEntry } {
  const found = [...zip.entries.values()].filter(({ name }) => /^([^/]*\/)?data\.pkl$/.test(name));
  if (found.length !== 1)
    throw fileError(
      file.name,
      `a ZIP archive with ${found.length || 'no'} data.pkl; torch.save writes exactly one`,
    );
  return { archive: found[0].name.slice(0, -'data.pkl'.length), pickle: found[0] };
}

/** Elements [from, to) of a storage as float32. Integers that float32 cannot hold are an error. */
async function readElements(
  zip: Zip,
  entry: ZipEntry,
  dtype: Dtype,
  from: number,
  to: number,
  fail: (what: string) => Error,
): Promise<Float32Array> {
  const width = DTYPE_BYTES[dtype];
  const bytes = await zip.read(entry, from * width, (to - from) * width);
  if (!(dtype in INTEGERS)) return toFloat32(bytes, dtype, fail);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: to - from }, (_, i) => {
    const value = INTEGERS[dtype]!(view, i * width);
    if (Math.fround(value) !== value) throw fail(`holds ${value}, which is no float32`);
    return value;
  });
}

/** How integers are read. */
const INTEGERS: Partial<Record<Dtype, (view: DataView, at: number) => number>> = {
  I64: (view, at) => Number(view.getBigInt64(at, true)),
  I32: (view, at) => view.getInt32(at, true),
  I16: (view, at) => view.getInt16(at, true),
  I8: (view, at) => view.getInt8(at),
  U8: (view, at) => view.getUint8(at),
  BOOL: (view, at) => view.getUint8(at),
};

/** A tensor's values, row-major, from the span of its storage that it covers. */
async function gather(
  { shape, strides, offset }: StridedTensor,
  read: (from: number, to: number) => Promise<Float32Array>,
): Promise<Float32Array> {
  const n = elements(shape);
  if (n === 0) return new Float32Array(0);
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis], offset);
  const span = await read(offset, last + 1);
  if (isDense(shape, strides)) return span;
  const out = new Float32Array(n);
  const index = shape.map(() => 0);
  let at = 0;
  for (let i = 0; i < n; i++) {
    out[i] = span[at];
    // Counts up, last axis first.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

/** Whether the values lie in the order in which they are wanted, without gaps. */
function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}
