/**
 * Memory on the GPU seen as a strided array: ownership, reading, views. `Tensor` adds the operations.
 * `reshape`, `transpose` and `expand` share memory: it goes back when the last view is disposed of.
 */

import { finite } from '../../weights/checks/finite.js';
import type { Binding, Gpu } from '../gpu/gpu.js';
import { type Scope, Storage } from '../gpu/storage.js';
import { currentScope, type UserScope } from '../gpu/user-scope.js';
import {
  type Axes,
  type AxisName,
  axesOf,
  indexed,
  logicalAxes,
  reordered,
  reshaped,
} from '../shape/axes.js';
import {
  axisOf,
  checkSizes,
  type Index,
  isContiguous,
  type Region,
  resolveIndex,
  showIndex,
  showShape,
  sizeOf,
  stridesOf,
} from '../shape/shape.js';
import { ALIGN, copyInto } from './launches.js';
import { type TapeNode, taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { expandBackward, reshapeBackward, transposeBackward, windowBackward } from './tensor-backward.js';

/** Numbers in lists in lists. */
export type Nested = number | Nested[];

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

/** Memory with a shape; `Tensor` is the only kind there is. */
export abstract class GpuArray<D extends DType = 'f32'> {
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

  /** Internal: elements are float16, two packed in a word: kernels that read such weights bind them by `halves`. */
  get half(): boolean {
    return this.storage.half;
  }

  /** Internal: true when it can be bound as it is. */
  get isDense(): boolean {
    return !this.half && isContiguous(this.shape, this.strides) && this.offset % ALIGN === 0;
  }

  /** Internal: the memory of elements [start, start + count) of a dense array. */
  binding(start = 0, count = this.size): Binding {
    if (this.half)
      throw new Error(
        `${this.label} is stored as f16, which this operation can neither read nor change: load the model with dtype "f32"`,
      );
    const { storage } = this;
    storage.unread = false;
    return { buffer: storage.buffer, offset: 4 * (this.offset + start), bytes: 4 * count };
  }

  /** Internal: the memory of a weight, f16 or f32, of which the kernel has been told. */
  weights(start = 0, count = this.size): Binding {
    if (!this.half) return this.binding(start, count);
    return { buffer: this.storage.buffer, offset: 2 * (this.offset + start), bytes: 2 * count };
  }

  /** Another handle on the same memory, owned by the caller (or by `scope`). */
  alias(scope: Scope | null = null, label = this.label): Tensor<D> {
    const out = this.detach(scope, label);
    out.node = this.node;
    return out;
  }

  /** The same memory as a constant: gradients end here. Owned by the caller (or by `scope`). */
  detach(scope: Scope | null = null, label = this.label): Tensor<D> {
    const { shape, strides, offset } = this;
    return this.view({ shape: [...shape], strides: [...strides], offset }, label, scope, this.named);
  }

  /** The same memory with other names (a view): one an axis, null where it needs none. */
  withAxes(names: readonly AxisName[]): Tensor<D> {
    if (names.length !== this.shape.length)
      throw new Error(`withAxes: ${names.length} names for a tensor ${showShape(this.shape)}`);
    const twice = names.find((n, i) => n !== null && names.indexOf(n) !== i);
    if (twice) throw new Error(`withAxes: two axes are called "${twice}"`);
    return this.renamed(axesOf(names));
  }

  /** Internal: a view that knows its axes so. */
  renamed(axes: Axes | null): Tensor<D> {
    const out = this.alias(this.scope);
    out.named = axes;
    return out;
  }

  /** What it is, without its numbers: `z f32 [batch 1, pos 15, head 12, d_head 64]`. */
  toString(): string {
    const { names = [], packed = null } = this.named ?? {};
    const lengths = this.shape.map((n, i) => (names[i] ? `${names[i]} ${n}` : `${n}`));
    const rows = packed ? `, ${packed.rows.length} rows of unequal length` : '';
    return `${this.label} ${this.dtype} [${lengths.join(', ')}]${rows}`;
  }

  /** `console.log` in Node prints `toString()`. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Tensor(${this.toString()})`;
  }

  /** An independent copy, owned by the caller. */
  clone(): Tensor<D> {
    return this.copy().keep();
  }

  // ---- reading -----------------------------------------------------------------------------------------------

  /** All elements in row-major order, on the host. @throws GPU errors that happened on the way; of logits, NaN and infinity. */
  async data(): Promise<DataOf<D>> {
    const dense = this.dense();
    const own = (dense as unknown) !== this; // asked now: whoever reads may dispose of this tensor meanwhile
    try {
      const { guarded } = this.storage;
      const bytes = await this.gpu.read(dense.binding());
      if (this.dtype === 'u32') return new Uint32Array(bytes) as DataOf<D>;
      const data = new Float32Array(bytes);
      if (guarded)
        finite(data, (i) => (this.shape.length ? `${guarded} ${showIndex(this.shape, i)}` : guarded));
      return data as DataOf<D>;
    } finally {
      if (own) dense.dispose();
    }
  }

  /** All elements as nested arrays (a number when the shape is []). */
  async toArray(): Promise<Nested> {
    const data = await this.data();
    const strides = stridesOf(this.shape);
    const nest = (axis: number, at: number): Nested =>
      axis === this.shape.length
        ? data[at]
        : Array.from({ length: this.shape[axis] }, (_, i) => nest(axis + 1, at + i * strides[axis]));
    return nest(0, 0);
  }

  /** The only element of a tensor of size 1. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new Error(`item() of ${this.label} ${showShape(this.shape)}: it has ${this.size} elements`);
    return (await this.data())[0];
  }

  // ---- views -------------------------------------------------------------------------------------------------

  /** The same elements in another shape (a view); one length may be -1. */
  reshape(shape: readonly number[]): Tensor<D> {
    checkSizes(shape, 'reshape');
    const known = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
    const full = shape.map((d) => (d === -1 ? this.size / known : d));
    const whole = full.every((d) => Number.isInteger(d) && d >= 0);
    if (!whole || sizeOf(full) !== this.size || shape.filter((d) => d === -1).length > 1)
      throw new Error(
        `reshape: ${this.label} ${showShape(this.shape)} has ${this.size} elements and cannot become ${showShape(shape)}`,
      );
    if (isContiguous(this.shape, this.strides)) {
      const region = { shape: full, strides: stridesOf(full), offset: this.offset };
      const view = this.view(region, this.label, this.scope, reshaped(this.named, this.shape, full));
      return this.#taped(view, reshapeBackward(this.shape));
    }
    const dense = this.copy();
    const view = dense.reshape(full);
    dense.dispose();
    return view;
  }

  /** Axes in another order (a view); without an argument the last two are swapped. */
  transpose(axes?: readonly number[]): Tensor<D> {
    if (axes !== undefined) checkSizes(axes, 'transpose');
    const rank = this.shape.length;
    const last = Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i));
    if (this.named?.packed && (axes ? axes[0] !== 0 : rank < 3))
      throw new Error(
        'transpose: axes cannot be reordered where rows of unequal length are packed: take one row, slice({ batch: 0 })',
      );
    const order = (axes ?? last).map((a) => axisOf(a, rank, 'transpose'));
    if (order.length !== rank || new Set(order).size !== rank)
      throw new Error(`transpose: ${showShape(axes ?? [])} is not an order of ${rank} axes`);
    const region = {
      shape: order.map((a) => this.shape[a]),
      strides: order.map((a) => this.strides[a]),
      offset: this.offset,
    };
    const view = this.view(region, this.label, this.scope, reordered(this.named, order));
    return this.#taped(view, transposeBackward(order));
  }

  /** Axes of length 1 repeated to the given lengths (a view); -1 leaves an axis as it is. */
  expand(shape: readonly number[]): Tensor<D> {
    const full = shape.map((d, i) => (d === -1 ? this.shape[i] : d));
    if (shape.length !== this.shape.length || full.some((d, i) => d !== this.shape[i] && this.shape[i] !== 1))
      throw new Error(`expand: ${this.label} ${showShape(this.shape)} cannot become ${showShape(shape)}`);
    const strides = this.strides.map((s, i) => (full[i] === this.shape[i] ? s : 0));
    const view = this.view({ shape: full, strides, offset: this.offset }, this.label, this.scope, this.named);
    return this.#taped(view, expandBackward(this.shape));
  }

  /** Internal: a view of any part, sharing memory; by position in memory, also where rows are packed. */
  window(index: Index, what = this.label): Tensor<D> {
    const region = resolveIndex(this.shape, this.strides, this.offset, index, what);
    const view = this.view(region, this.label, this.scope, indexed(this.named, index));
    return this.#taped(view, windowBackward(this.shape, index));
  }

  /** Internal: itself if its memory can be bound as it is, else a dense copy (which the caller disposes of). */
  dense(): Tensor<D> {
    return this.isDense ? (this as unknown as Tensor<D>) : this.copy();
  }

  /** Internal: a view that shares the memory, in the scope given. */
  view(
    { shape, strides, offset }: Region,
    label = this.label,
    scope = this.scope,
    axes: Axes | null = null,
  ): Tensor<D> {
    const { storage, dtype } = this;
    return this.make<D>({ storage, shape, strides, offset, dtype, label, scope, axes });
  }

  /** Internal: a dense copy, in the scope of this array. */
  copy(): Tensor<D> {
    const { gpu, shape, dtype, label, scope, named: axes } = this;
    const storage = new Storage(gpu, gpu.alloc(4 * this.size, label));
    storage.guarded = this.storage.guarded;
    const out = this.make<D>({ storage, shape, dtype, label, scope, axes });
    copyInto(this, out);
    out.node = this.node;
    return out;
  }

  /** A view goes onto the tape; integers have no gradients. */
  #taped(view: Tensor<D>, make: Parameters<typeof taped>[2]): Tensor<D> {
    if (this.node) taped(view as unknown as Tensor, [this as unknown as Tensor], make);
    return view;
  }

  /** A tensor of these parts: the operations are `Tensor`'s. */
  protected abstract make<E extends DType>(parts: Parts): Tensor<E>;
}
