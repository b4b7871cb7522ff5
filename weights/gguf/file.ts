/**
 * GGUF files (llama.cpp, Ollama, LM Studio), versions 2 and 3: settings and tokenizer in front, then tensors, most of them in
 * quantised blocks, which are turned into float32 when they are read. Little-endian:
 *
 *     "GGUF"   u32 version   u64 tensors   u64 keys
 *     key: text, u32 type, value                     (text: u64 length, bytes; a list: u32 type, u64 length, values)
 *     tensor: text, u32 axes, u64 sizes (innermost first), u32 format, u64 offset from where the data begin
 *
 * Every count is held against the bytes that are left before anything is made of it.
 */

import { fileError, quoted } from '../checks/messages.js';
import { isLfsPointer, LFS_POINTER, type RandomAccess } from '../files/files.js';
import { FORMATS, formatName } from '../formats/blocks.js';
import { isKept } from '../formats/quantised.js';
import { elements, type TensorSource } from '../formats/tensors.js';

/** A value of the metadata; whole numbers of 64 bits are numbers. */
export type GgufValue =
  | number
  | boolean
  | string
  | readonly GgufValue[]
  | Float32Array
  | Int32Array
  | Uint32Array;

/** A GGUF file, opened. */
export interface Gguf {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: TensorSource;
  /** The format of each tensor: `Q8_0`. */
  readonly formats: ReadonlyMap<string, string>;
}

/** A list in a list in a list. */
const MAX_DEPTH = 3;
const MAX_NAME = 500;
const FIRST_READ = 2 ** 20;

/** More bytes than have been read so far are needed. */
class More extends Error {}

/** Opens a GGUF file: reads what stands before the tensors. @throws when it is damaged, or of a kind that is not read */
export async function openGguf(file: RandomAccess): Promise<Gguf> {
  for (let size = Math.min(FIRST_READ, file.size); ; size = Math.min(4 * size, file.size)) {
    const bytes = await file.read(0, size);
    try {
      return new Header(file, bytes).parse();
    } catch (e) {
      if (!(e instanceof More)) throw e;
      if (size === file.size) throw fileError(file.name, 'it ends within its header; get the file again');
    }
  }
}

interface Tensor {
  readonly shape: readonly number[];
  readonly type: number;
  readonly offset: number;
  readonly bytes: number;
}

class Header {
  readonly #file: RandomAccess;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(file: RandomAccess, bytes: Uint8Array) {
    this.#file = file;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  parse(): Gguf {
    const file = this.#file;
    const start = new TextDecoder().decode(this.#bytes.subarray(0, 20));
    if (LFS_POINTER.startsWith(start)) throw fileError(file.name, isLfsPointer);
    if (!start.startsWith('GGUF'))
      throw fileError(file.name, 'this is no GGUF file (it does not begin with "GGUF")');
    this.#at = 4;
    const version = this.#u32();
    if (version !== 2 && version !== 3)
      throw fileError(
        file.name,
        version === 0x03000000 || version === 0x02000000
          ? 'a big-endian GGUF file; only little-endian ones are read'
          : `GGUF version ${version}; versions 2 and 3 are read (convert it with a current llama.cpp)`,
      );
    const tensorCount = this.#count(24, 'tensors');
    const keyCount = this.#count(13, 'keys');
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < keyCount; i++) {
      const key = this.#name();
      if (metadata.has(key)) throw this.#error(`key ${quoted(key)} is there twice`);
      metadata.set(key, this.#value(this.#u32(), 0));
    }
    const alignment = metadata.get('general.alignment') ?? 32;
    if (typeof alignment !== 'number' || alignment < 1 || alignment > 2 ** 20 || alignment & (alignment - 1))
      throw this.#error(`general.alignment is ${String(alignment).slice(0, 30)}; it must be a power of two`);
    const split = metadata.get('split.count');
    if (typeof split === 'number' && split > 1)
      throw this.#error(`it is one of ${split} parts: merge them first (llama-gguf-split --merge)`);
    const tensors = new Map<string, Tensor>();
    for (let i = 0; i < tensorCount; i++) {
      const name = this.#name();
      if (tensors.has(name)) throw this.#error(`tensor ${quoted(name)} is there twice`);
      tensors.set(name, this.#tensor(name, alignment));
    }
    const dataStart = Math.ceil(this.#at / alignment) * alignment;
    for (const [name, { offset, bytes }] of tensors)
      if (dataStart + offset + bytes > file.size)
        throw this.#error(
          `tensor ${quoted(name)} ends behind the end of the file (${file.size} bytes); get the file again`,
        );
    return {
      metadata,
      formats: new Map([...tensors].map(([name, { type }]) => [name, formatName(type)])),
      tensors: source(file, tensors, dataStart),
    };
  }

  #tensor(name: string, alignment: number): Tensor {
    const axes = this.#u32();
    if (axes < 1 || axes > 4)
      throw this.#error(`tensor ${quoted(name)} has ${axes} axes; 1 to 4 are possible`);
    const shape = Array.from({ length: axes }, () => this.#u64()).reverse();
    const type = this.#u32();
    const offset = this.#u64();
    const n = elements(shape);
    if (!Number.isSafeInteger(n) || n < 1) throw this.#error(`tensor ${quoted(name)} has an impossible size`);
    const format = FORMATS.get(type);
    if (!format)
      throw this.#error(
        `tensor ${quoted(name)} is ${formatName(type)}; these are read: ${[...FORMATS.values()].map((x) => x.name).join(', ')}`,
      );
    const row = shape[shape.length - 1];
    if (row % format.elements !== 0)
      throw this.#error(
        `tensor ${quoted(name)}: rows of ${row} are no whole blocks of ${format.name} (${format.elements})`,
      );
    if (offset % alignment !== 0)
      throw this.#error(`tensor ${quoted(name)} does not begin at a multiple of ${alignment}`);
    return { shape, type, offset, bytes: (n / format.elements) * format.bytes };
  }

  #value(type: number, depth: number): GgufValue {
    const view = this.#view;
    switch (type) {
      case 0:
        return view.getUint8(this.#take(1));
      case 1:
        return view.getInt8(this.#take(1));
      case 2:
        return view.getUint16(this.#take(2), true);
      case 3:
        return view.getInt16(this.#take(2), true);
      case 4:
        return this.#u32();
      case 5:
        return view.getInt32(this.#take(4), true);
      case 6:
        return view.getFloat32(this.#take(4), true);
      case 7:
        return view.getUint8(this.#take(1)) !== 0;
      case 8:
        return this.#text(this.#file.size);
      case 9:
        return this.#list(depth);
      case 10:
        return Number(view.getBigUint64(this.#take(8), true));
      case 11:
        return Number(view.getBigInt64(this.#take(8), true));
      case 12:
        return view.getFloat64(this.#take(8), true);
      default:
        throw this.#error(`a value of type ${type}, which there is not`);
    }
  }

  #list(depth: number): GgufValue {
    if (depth >= MAX_DEPTH) throw this.#error('its lists are nested too deeply');
    const type = this.#u32();
    const size = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8][type];
    if (size === undefined) throw this.#error(`a list of type ${type}, which there is not`);
    const n = this.#count(size, 'entries of a list');
    if (type < 8 && type !== 7) {
      if (this.#at + n * size > this.#bytes.length) throw new More();
      const out = type === 6 ? new Float32Array(n) : type % 2 ? new Int32Array(n) : new Uint32Array(n);
      for (let i = 0; i < n; i++) out[i] = this.#value(type, depth + 1) as number;
      return out;
    }
    const out: GgufValue[] = [];
    for (let i = 0; i < n; i++) out.push(this.#value(type, depth + 1));
    return out;
  }

  #name(): string {
    return this.#text(MAX_NAME);
  }

  #text(most: number): string {
    const length = this.#u64();
    if (length > most || this.#at + length > this.#file.size)
      throw this.#error(`a text of ${length} bytes, which is more than there can be`);
    const at = this.#take(length);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  /** A number of things of at least `size` bytes each. */
  #count(size: number, what: string): number {
    const n = this.#u64();
    if (n * size > this.#file.size - this.#at)
      throw this.#error(`${n} ${what}, which is more than the file can hold`);
    return n;
  }

  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #u64(): number {
    return Number(this.#view.getBigUint64(this.#take(8), true));
  }

  #take(n: number): number {
    const at = this.#at;
    if (at + n > this.#bytes.length) throw new More();
    this.#at += n;
    return at;
  }

  #error(what: string): Error {
    return fileError(this.#file.name, what);
  }
}

function source(file: RandomAccess, tensors: ReadonlyMap<string, Tensor>, dataStart: number): TensorSource {
  return {
    name: file.name,
    names: () => [...tensors.keys()],
    shape: (name) => tensors.get(name)?.shape,
    file: () => file.name,
    async blocks(name, wanted) {
      const tensor = tensors.get(name);
      const format = tensor && formatName(tensor.type);
      if (!format || !isKept(format) || !wanted(format)) return null;
      return { format, bytes: await file.read(dataStart + tensor.offset, tensor.bytes) };
    },
    async read(name) {
      const tensor = tensors.get(name);
      if (!tensor) throw fileError(file.name, `no tensor ${quoted(name)}`);
      const out = new Float32Array(elements(tensor.shape));
      const format = FORMATS.get(tensor.type)!;
      // In pieces of about a megabyte, so that the blocks are not in memory as a whole.
      const blocks = Math.max(1, Math.floor(2 ** 20 / format.bytes));
      const step = blocks * format.elements;
      for (let first = 0; first < out.length; first += step) {
        const n = Math.min(step, out.length - first);
        const at = dataStart + tensor.offset + (first / format.elements) * format.bytes;
        format.read(
          await file.read(at, (n / format.elements) * format.bytes),
          out.subarray(first, first + n),
        );
      }
      return out;
    },
  };
}
