/**
 * The pickle inside a PyTorch checkpoint, read without executing anything. A pickle is a program that calls
 * Python functions by name; here only the names on a list mean something, none of them touches anything but
 * its arguments, and any other is an error. What comes out are descriptions of tensors: where their numbers
 * lie.
 */

import { fileError, quoted, shownJson } from '../../checks/messages.js';
import { DTYPE_BYTES, type Dtype } from '../safetensors.js';
import { elements, showShape } from '../tensors.js';
import { PickleError, unpickle } from './pickle.js';

/** A one-dimensional array of a checkpoint, in the archive's entry `data/{key}`. Tensors may share it. */
export interface Storage {
  readonly key: string;
  readonly dtype: Dtype;
  /** Elements. */
  readonly length: number;
}

/**
 * A tensor: a strided view of a storage. Element [i, j, ...] is at offset + i·strides[0] + j·strides[1] + ...
 */
export interface StridedTensor {
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** `torch.FloatStorage` and so on; quantized and complex ones are no weights that could be read. */
const STORAGE_DTYPES: Readonly<Record<string, Dtype>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/**
 * Deeper nesting, more tensors, more entries or longer names than any checkpoint has: dictionaries that
 * contain each other.
 */
const MAX_DEPTH = 16;
const MAX_TENSORS = 100_000;
const MAX_ENTRIES = 1_000_000;
const MAX_NAME = 500;
/** PyTorch allows no more. */
const MAX_AXES = 64;
/**
 * What tensors may have beyond the numbers that are stored for them, in bytes: a tensor can repeat one
 * number.
 */
const SPARE_BYTES = 2 ** 24;

class Tensor implements StridedTensor {
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  /**
   * Arguments as `torch._utils._rebuild_tensor_v2` gets them. @throws when they are no tensor within its
   * storage.
   */
  constructor(storage: unknown, offset: unknown, shape: unknown, strides: unknown) {
    if (!(storage instanceof StorageReference)) throw new PickleError('a tensor without a storage');
    if (!isSizes([offset]) || !isSizes(shape) || !isSizes(strides) || shape.length !== strides.length)
      throw new PickleError(
        `a tensor of shape ${shownJson(shape)}, strides ${shownJson(strides)}, offset ${shownJson(offset)}`,
      );
    if (shape.length > MAX_AXES) throw new PickleError(`a tensor of ${shape.length} axes`);
    const reach = shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis], offset as number);
    if (elements(shape) > 0 && !(reach < storage.length))
      throw new PickleError(
        `a tensor of shape ${showShape(shape)} needs element ${reach} of a storage of ${storage.length}`,
      );
    this.storage = storage;
    this.offset = offset as number;
    this.shape = shape;
    this.strides = strides;
  }
}

class StorageReference implements Storage {
  readonly key: string;
  readonly dtype: Dtype;
  readonly length: number;
  constructor(key: string, dtype: Dtype, length: number) {
    this.key = key;
    this.dtype = dtype;
    this.length = length;
  }
}

/**
 * The tensors of a pickled state dict, in its order. Dictionaries in dictionaries give names with dots
 * (`state_dict.embed.W_E`); what is neither dictionary nor tensor (epochs, optimizer settings) is left out.
 * @param name the file, for messages
 * @throws when it asks for a Python object that is not on the list (the error names it), is damaged, holds no
 * dictionary, or
 *   describes tensors that would take more than twice the memory of what is stored.
 */
export function readStateDict(pickle: Uint8Array, name: string): Map<string, StridedTensor> {
  let root: unknown;
  try {
    root = parse(pickle);
  } catch (cause) {
    if (cause instanceof ForbiddenName) throw fileError(name, cause.message);
    const what = cause instanceof PickleError ? cause.message : 'it cannot be understood';
    throw fileError(name, `its pickle is damaged (${what}); get the file again`);
  }
  if (!(root instanceof Map))
    throw fileError(
      name,
      `it holds ${root instanceof Tensor ? 'one tensor' : 'no dictionary'}; a state dict is wanted: torch.save(model.state_dict(), path)`,
    );
  const tensors = new Map<string, StridedTensor>();
  let entries = 0;
  const collect = (dict: Map<unknown, unknown>, prefix: string, depth: number) => {
    if (depth > MAX_DEPTH)
      throw fileError(name, `its dictionaries are nested too deeply (${quoted(prefix)})`);
    for (const [key, value] of dict) {
      if (++entries > MAX_ENTRIES)
        throw fileError(name, `its dictionaries have more than ${MAX_ENTRIES} entries`);
      if (!(value instanceof Map || value instanceof Tensor)) continue;
      if (typeof key !== 'string' && typeof key !== 'number')
        throw fileError(
          name,
          `under ${quoted(prefix)}, a dictionary has ${shownJson(key)} where a name is needed`,
        );
      const full = `${prefix}${key}`;
      if (full.length > MAX_NAME)
        throw fileError(name, `a name of more than ${MAX_NAME} characters: ${quoted(full)}`);
      if (value instanceof Map) {
        collect(value, `${full}.`, depth + 1);
        continue;
      }
      if (tensors.size === MAX_TENSORS) throw fileError(name, `it has more than ${MAX_TENSORS} tensors`);
      if (tensors.has(full)) throw fileError(name, `tensor ${quoted(full)} is there twice`);
      tensors.set(full, value);
    }
  };
  collect(root, '', 0);
  checkSizes(tensors, name);
  return tensors;
}

/** A tensor whose strides are 0 is larger than what is stored of it. */
function checkSizes(tensors: ReadonlyMap<string, StridedTensor>, name: string): void {
  const stored = new Map<string, number>();
  const wanted = new Map<string, number>();
  for (const [key, { storage, shape }] of tensors) {
    if (!/^B?F/.test(storage.dtype)) continue; // masks of integers are not read
    const width = DTYPE_BYTES[storage.dtype];
    stored.set(storage.key, storage.length * width);
    wanted.set(key, elements(shape) * width);
  }
  const sum = (sizes: ReadonlyMap<string, number>) => [...sizes.values()].reduce((a, b) => a + b, 0);
  const all = sum(wanted);
  if (all <= 2 * sum(stored) + SPARE_BYTES) return;
  const [largest] = [...wanted].reduce((a, b) => (b[1] > a[1] ? b : a));
  throw fileError(
    name,
    `its tensors would take ${all} bytes, and ${sum(stored)} are stored: tensor ${quoted(largest)} of shape ` +
      `${showShape(tensors.get(largest)!.shape)} repeats its numbers`,
  );
}

class ForbiddenName extends Error {}

/** What Python would have called. */
type Call = (...args: unknown[]) => unknown;

/** The only functions that can be called, by their names in Python. */
const FUNCTIONS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ['collections.OrderedDict', (pairs = []) => dictionary(pairs)],
  [
    'torch._utils._rebuild_tensor_v2',
    (storage, offset, shape, strides) => new Tensor(storage, offset, shape, strides),
  ],
  ['torch._utils._rebuild_parameter', (tensor) => tensor],
  ['torch._utils._rebuild_parameter_with_state', (tensor) => tensor],
  ['torch.Size', (sizes) => sizes],
]);

function dictionary(pairs: unknown): Map<unknown, unknown> {
  if (!Array.isArray(pairs) || pairs.some((pair) => !Array.isArray(pair) || pair.length !== 2))
    throw new PickleError('a dictionary of something else than pairs');
  return new Map(pairs as [unknown, unknown][]);
}

/** A storage's type, where a storage is described. */
class StorageType {
  readonly dtype: Dtype;
  constructor(dtype: Dtype) {
    this.dtype = dtype;
  }
}

/** Runs the pickle's stack machine; the only functions it can call are `FUNCTIONS`. */
function parse(pickle: Uint8Array): unknown {
  return unpickle(pickle, {
    find(module, name) {
      const found = FUNCTIONS.get(`${module}.${name}`);
      if (found) return found;
      if (module === 'torch' && Object.hasOwn(STORAGE_DTYPES, name))
        return new StorageType(STORAGE_DTYPES[name]);
      throw new ForbiddenName(
        `its pickle asks for the Python object ${quoted(`${module}.${name}`)}, and only what a state dict needs is read. ` +
          'In Python, load it and save the weights alone: torch.save(model.state_dict(), path)',
      );
    },
    load(id) {
      const [kind, type, key, , length] = Array.isArray(id) ? id : [];
      if (
        kind !== 'storage' ||
        !(type instanceof StorageType) ||
        typeof key !== 'string' ||
        !isSizes([length])
      )
        throw new PickleError('a storage that cannot be understood');
      return new StorageReference(key, type.dtype, length as number);
    },
    call(target, args) {
      if (typeof target !== 'function') throw new PickleError('a call of something that is no function');
      return (target as Call)(...args.slice(0, 8));
    },
  });
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
