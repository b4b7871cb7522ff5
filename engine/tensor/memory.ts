/** Memory on the GPU with a shape: who owns it, what it is called, how kernels bind it. */

import { type Stored, wordsFor } from '../../kernels/core/stored.js';
import type { Gpu } from '../gpu/gpu.js';
import type { Binding } from '../gpu/pipelines.js';
import type { Scope, Storage } from '../gpu/storage.js';
import { currentScope, type UserScope } from '../gpu/user-scope.js';
import { type Axes, type AxisName, logicalAxes } from '../shape/axes.js';
import { isContiguous, showShape, sizeOf, stridesOf } from '../shape/shape.js';
import { ALIGN } from './launches.js';
import type { TapeNode } from './tape.js';

/** Numbers in lists in lists. */
export type Nested = number | Nested[];
/** Lists as deep as a tensor has axes, where that is known. */
export type NestedOf<R extends number> = number extends R
  ? Nested
  : R extends 0
    ? number
    : R extends 1
      ? number[]
      : R extends 2
        ? number[][]
        : R extends 3
          ? number[][][]
          : R extends 4
            ? number[][][][]
            : R extends 5
              ? number[][][][][]
              : Nested;

/** Number formats of arrays. */
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
  axes?: Axes | null;
}

/** Frees the memory of arrays that were dropped without `dispose()`, when the garbage collector finds them. */
const dropped = new FinalizationRegistry<Storage>((storage) => storage.release());

/** Numbers that `toString()` shows. */
export const SHOWN = 6;

/** Memory with a shape, strides and names. */
export abstract class GpuMemory<D extends DType = 'f32', R extends number = number> {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** In elements. */
  readonly offset: number;
  readonly dtype: D;
  /** For messages: usually the hook point it came from. */
  readonly label: string;
  /** Internal: the names of its axes, and the rows that are packed along the first. */
  named: Axes | null;
  /** Internal: who disposes of it, if not the caller. */
  scope: Scope | null = null;
  /** Internal: the user's scope that it ends with, if no run owns it. */
  owner: UserScope | null = null;
  /** Internal: where it stands on a tape, if somebody wants gradients. */
  node: TapeNode | null = null;
  /** Its first numbers, as they were uploaded or last read. */
  protected first: ArrayLike<number> | null = null;
  #storage: Storage | null;

  /** Internal; use `model.tensor(data, shape)`. */
  constructor({ storage, shape, strides, offset = 0, dtype, label = 'tensor', scope, axes = null }: Parts) {
    this.#storage = storage;
    this.shape = shape;
    this.strides = strides ?? stridesOf(shape);
    this.offset = offset;
    this.dtype = (dtype ?? 'f32') as D;
    this.label = label;
    this.named = axes;
    storage.retain();
    dropped.register(this, storage, this);
    if (scope?.open) scope.add(this);
    else currentScope()?.add(this);
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

  /**
   * The names of the axes, null where one has none, and null when none has: `['batch', 'pos', 'head', 'd_head']`. Rows of
   * unequal length have the same names, though `shape` is [tokens, head, d_head] then.
   */
  get axes(): readonly AxisName[] | null {
    return this.named && logicalAxes(this.named);
  }

  /** Number of axes in memory. */
  get rank(): R {
    return this.shape.length as R;
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
    this.owner?.remove(this);
    dropped.unregister(this);
    const storage = this.#storage;
    this.#storage = null;
    storage.release();
  }

  /** The same as `dispose()`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Makes the caller its owner: it outlives the run or hook it comes from, until `dispose()` (or the end of a `scope`). */
  keep(): this {
    if (this.#storage) this.#storage.unread = false;
    if (this.scope) {
      this.scope.remove(this);
      currentScope()?.add(this);
    }
    return this;
  }

  /** Internal: how its elements are stored. Kernels that read weights in other formats than float32 bind them by `weights`. */
  get stored(): Stored {
    return this.storage.stored;
  }

  /** Internal: true when it can be bound as it is. */
  get isDense(): boolean {
    return this.stored === 'f32' && isContiguous(this.shape, this.strides) && this.offset % ALIGN === 0;
  }

  /** Internal: the memory of elements [start, start + count) of a dense array. */
  binding(start = 0, count = this.size): Binding {
    if (this.stored !== 'f32')
      throw new Error(
        `${this.label} is stored as ${this.stored}, which this operation can neither read nor change: load the model with dtype "f32"`,
      );
    const { storage } = this;
    storage.unread = false;
    return { buffer: storage.buffer, offset: 4 * (this.offset + start), bytes: 4 * count };
  }

  /** Internal: the memory of a weight in any format, of which the kernel has been told. In blocks: always all of it. */
  weights(start = 0, count = this.size): Binding {
    const { stored } = this;
    if (stored === 'f32') return this.binding(start, count);
    const { buffer } = this.storage;
    if (stored === 'f16') return { buffer, offset: 2 * (this.offset + start), bytes: 2 * count };
    return { buffer, offset: 0, bytes: 4 * wordsFor(stored, this.size) };
  }

  /**
   * What it is, and its first numbers where the host knows them, because it was made of them or they were read (`show` reads
   * them): `z f32 [batch 1, pos 15, head 12, d_head 64]: 0.25, -1.5, …`.
   */
  toString(): string {
    const { names = [], packed = null } = this.named ?? {};
    const lengths = this.shape.map((n, i) => (names[i] ? `${names[i]} ${n}` : `${n}`));
    const rows = packed ? `, ${packed.rows.length} rows of unequal length` : '';
    const what = `${this.label} ${this.dtype} [${lengths.join(', ')}]${rows}`;
    if (this.disposed) return `${what}, disposed of`;
    if (!this.first) return what;
    const numbers = Array.from(this.first, (x) => String(Number(x.toPrecision(4))));
    return `${what}: ${[...numbers, ...(this.size > numbers.length ? ['…'] : [])].join(', ')}`;
  }

  /** Internal: the host knows what it holds. */
  holds(data: ArrayLike<number>): void {
    this.first = Array.from({ length: Math.min(SHOWN, data.length) }, (_, i) => data[i]);
  }

  /** `console.log` in Node prints `toString()`. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Tensor(${this.toString()})`;
  }
}
