/**
 * Memory on the GPU seen as a strided array: reading and views. `Tensor` adds the operations.
 * `reshape`, `transpose` and `expand` share memory: it goes back when the last view is disposed of.
 */

import { finite } from '../../weights/checks/finite.js';
import { type Scope, Storage } from '../gpu/storage.js';
import { type Axes, type AxisName, axesOf, indexed, reordered, reshaped } from '../shape/axes.js';
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
import { copyInto } from './launches.js';
import {
  type DataOf,
  type DType,
  GpuMemory,
  type Nested,
  type NestedOf,
  type Parts,
  SHOWN,
} from './memory.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { expandBackward, reshapeBackward, transposeBackward, windowBackward } from './tensor-backward.js';

export type { DataOf, DType, Nested, NestedOf, Parts } from './memory.js';

/** Memory with a shape; `Tensor` is the only kind there is. */
export abstract class GpuArray<D extends DType = 'f32', R extends number = number> extends GpuMemory<D, R> {
  /** Another handle on the same memory, owned by the caller (or by `scope`). */
  alias(scope: Scope | null = null, label = this.label): Tensor<D, R> {
    const out = this.detach(scope, label);
    out.node = this.node;
    return out;
  }

  /** The same memory as a constant: gradients end here. Owned by the caller (or by `scope`). */
  detach(scope: Scope | null = null, label = this.label): Tensor<D, R> {
    const { shape, strides, offset } = this;
    const region = { shape: [...shape], strides: [...strides], offset };
    return this.view(region, label, scope, this.named) as Tensor<D, R>;
  }

  /** The same memory with other names (a view): one an axis, null where it needs none. */
  withAxes(names: readonly AxisName[]): Tensor<D, R> {
    if (names.length !== this.shape.length)
      throw new Error(`withAxes: ${names.length} names for a tensor ${showShape(this.shape)}`);
    const twice = names.find((n, i) => n !== null && names.indexOf(n) !== i);
    if (twice) throw new Error(`withAxes: two axes are called "${twice}"`);
    return this.renamed(axesOf(names));
  }

  /** Internal: a view that knows its axes so. */
  renamed(axes: Axes | null): Tensor<D, R> {
    const out = this.alias(this.scope);
    out.named = axes;
    return out;
  }

  /** An independent copy, owned by the caller. */
  clone(): Tensor<D, R> {
    return this.copy().keep() as Tensor<D, R>;
  }

  // ---- reading -----------------------------------------------------------------------------------------------

  /** All elements in row-major order, on the host. @throws GPU errors that happened on the way; of logits and their order, NaN and infinity. */
  async data(): Promise<DataOf<D>> {
    const dense = this.dense();
    const own = (dense as unknown) !== this; // asked now: whoever reads may dispose of this tensor meanwhile
    try {
      const { guarded, flags } = this.storage;
      const [bytes, ...found] = await Promise.all([
        this.gpu.read(dense.binding()),
        ...flags.map(({ storage: { buffer }, count }) =>
          this.gpu.read({ buffer, offset: 0, bytes: 4 * count }),
        ),
      ]);
      for (const [i, flag] of flags.entries()) {
        const error = flag.error(new Uint32Array(found[i]));
        if (error) throw error;
      }
      const data = this.dtype === 'u32' ? new Uint32Array(bytes) : new Float32Array(bytes);
      this.holds(data);
      if (guarded && data instanceof Float32Array)
        finite(data, (i) => (this.shape.length ? `${guarded} ${showIndex(this.shape, i)}` : guarded));
      return data as DataOf<D>;
    } finally {
      if (own) dense.dispose();
    }
  }

  /**
   * All elements as lists in lists, as deep as there are axes (a number when the shape is []). Where TypeScript does not know how
   * many there are, say so: `toArray(3)` gives `number[][][]`.
   * @throws when there are other axes than that.
   */
  async toArray<N extends number = R>(rank?: N): Promise<NestedOf<N>> {
    if (rank !== undefined && rank !== (this.shape.length as number))
      throw new Error(
        `toArray(${rank}): ${this.label} ${showShape(this.shape)} has ${this.shape.length} axes`,
      );
    const data = await this.data();
    const strides = stridesOf(this.shape);
    const nest = (axis: number, at: number): Nested =>
      axis === this.shape.length
        ? data[at]
        : Array.from({ length: this.shape[axis] }, (_, i) => nest(axis + 1, at + i * strides[axis]));
    return nest(0, 0) as NestedOf<N>;
  }

  /** The only element of a tensor of size 1. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new Error(`item() of ${this.label} ${showShape(this.shape)}: it has ${this.size} elements`);
    return (await this.data())[0];
  }

  /** Reads the first numbers, and gives `toString()` with them. */
  async show(): Promise<string> {
    const n = Math.min(SHOWN, this.size);
    const flat = this.reshape([this.size]);
    const part = flat.window([[0, n]]).dense();
    try {
      this.first = await part.data();
    } finally {
      for (const t of [flat, part]) t.dispose();
    }
    return this.toString();
  }

  // ---- views -------------------------------------------------------------------------------------------------

  /** The same elements in another shape (a view); one length may be -1. */
  reshape<const S extends readonly number[]>(shape: S): Tensor<D, S['length']> {
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
      return this.#taped(view, reshapeBackward(this.shape)) as Tensor<D, S['length']>;
    }
    const dense = this.copy();
    const view = dense.reshape(full);
    dense.dispose();
    return view as Tensor<D, S['length']>;
  }

  /** Axes in another order (a view); without an argument the last two are swapped. */
  transpose(axes?: readonly number[]): Tensor<D, R> {
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
    return this.#taped(view, transposeBackward(order)) as Tensor<D, R>;
  }

  /** Axes of length 1 repeated to the given lengths (a view); -1 leaves an axis as it is. */
  expand(shape: readonly number[]): Tensor<D, R> {
    const full = shape.map((d, i) => (d === -1 ? this.shape[i] : d));
    if (shape.length !== this.shape.length || full.some((d, i) => d !== this.shape[i] && this.shape[i] !== 1))
      throw new Error(`expand: ${this.label} ${showShape(this.shape)} cannot become ${showShape(shape)}`);
    const strides = this.strides.map((s, i) => (full[i] === this.shape[i] ? s : 0));
    const view = this.view({ shape: full, strides, offset: this.offset }, this.label, this.scope, this.named);
    return this.#taped(view, expandBackward(this.shape)) as Tensor<D, R>;
  }

  /** Internal: a view of any part, sharing memory; by position in memory, also where rows are packed. */
  window(index: Index, what = this.label): Tensor<D> {
    const region = resolveIndex(this.shape, this.strides, this.offset, index, what);
    const view = this.view(region, this.label, this.scope, indexed(this.named, index));
    return this.#taped(view, windowBackward(this.shape, index));
  }

  /** Internal: itself if its memory can be bound as it is, else a dense copy (which the caller disposes of). */
  dense(): Tensor<D, R> {
    return this.isDense ? (this as unknown as Tensor<D, R>) : this.copy();
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
  copy(): Tensor<D, R> {
    const { gpu, shape, dtype, label, scope, named: axes } = this;
    const storage = new Storage(gpu, gpu.alloc(4 * this.size, label));
    storage.guarded = this.storage.guarded;
    storage.flag(this.storage.flags);
    const out = this.make<D>({ storage, shape, dtype, label, scope, axes });
    copyInto(this, out);
    out.node = this.node;
    return out as Tensor<D, R>;
  }

  /** A view goes onto the tape; integers have no gradients. */
  #taped(view: Tensor<D>, make: Parameters<typeof taped>[2]): Tensor<D> {
    if (this.node) taped(view as unknown as Tensor, [this as unknown as Tensor], make);
    return view;
  }

  /** A tensor of these parts: the operations are `Tensor`'s. */
  protected abstract make<E extends DType>(parts: Parts): Tensor<E>;
}
