/** Memory on the GPU seen as a strided array: shape, ownership, binding. `Tensor` adds the operations. */

import type { Binding, Gpu } from './gpu.js';
import { isContiguous, showShape, sizeOf, stridesOf } from './shape.js';
import type { Scope, Storage } from './storage.js';

export type DType = 'f32' | 'u32';
/** What `data()` gives. */
export type DataOf<D extends DType> = D extends 'u32' ? Uint32Array : Float32Array;

/** What an array is made of. */
export interface Parts {
  storage: Storage;
  shape: readonly number[];
  strides?: readonly number[];
  offset?: number;
  dtype?: DType;
  label?: string;
  scope?: Scope | null;
}

/** Bindings start at multiples of 64 elements (256 bytes). */
export const ALIGN = 64;

/** Frees the memory of arrays that were dropped without `dispose()`, when the garbage collector finds them. */
const dropped = new FinalizationRegistry<Storage>((storage) => storage.release());

export class GpuArray<D extends DType = 'f32'> {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** In elements. */
  readonly offset: number;
  readonly dtype: D;
  /** For messages: usually the hook point it came from. */
  readonly label: string;
  /** Internal: who disposes of it, if not the caller. */
  scope: Scope | null = null;
  #storage: Storage | null;

  /** Internal; use `model.tensor(data, shape)`. */
  constructor({ storage, shape, strides, offset = 0, dtype, label = 'tensor', scope }: Parts) {
    this.#storage = storage;
    this.shape = shape;
    this.strides = strides ?? stridesOf(shape);
    this.offset = offset;
    this.dtype = (dtype ?? 'f32') as D;
    this.label = label;
    storage.retain();
    dropped.register(this, storage, this);
    if (scope?.open) scope.add(this);
  }

  /** Internal: the memory. @throws when it was given back. */
  get storage(): Storage {
    if (!this.#storage)
      throw new Error(
        `${this.label} ${showShape(this.shape)} was disposed of: in a hook, call keep() (or clone()) on a tensor that must outlive the run`,
      );
    return this.#storage;
  }

  /** The device it lives on. */
  get gpu(): Gpu {
    return this.storage.gpu;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Whether its memory was given back. */
  get disposed(): boolean {
    return this.#storage === null;
  }

  /** Gives the memory back (once no view of it is left). Twice is once. */
  dispose(): void {
    if (!this.#storage) return;
    this.scope?.remove(this);
    dropped.unregister(this);
    const storage = this.#storage;
    this.#storage = null;
    storage.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Makes the caller its owner: it outlives the run or hook it comes from, until `dispose()`. */
  keep(): this {
    this.scope?.remove(this);
    return this;
  }

  /** Internal: true when it can be bound as it is. */
  get isDense(): boolean {
    return isContiguous(this.shape, this.strides) && this.offset % ALIGN === 0;
  }

  /** Internal: the memory of elements [start, start + count) of a dense array. */
  binding(start = 0, count = this.size): Binding {
    return { buffer: this.storage.buffer, offset: 4 * (this.offset + start), bytes: 4 * count };
  }
}
