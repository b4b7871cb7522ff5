/**
 * Arrays on the GPU, with operations. Operations only encode work; nothing is read back but by `data()`,
 * `toArray()` and `item()`. `reshape`, `transpose` and `expand` are views that share memory; everything else makes a
 * new tensor.
 */

import { fill, scatterStrided } from '../kernels/copy.js';
import { type BinaryOp, binary, binaryScalar, type UnaryOp, unary } from '../kernels/elementwise.js';
import { batchMatmul } from '../kernels/matmul.js';
import { type ReduceOp, reduceMiddle } from '../kernels/reduce.js';
import { softmax } from '../kernels/softmax.js';
import { gatherLast, topk } from '../kernels/topk.js';
import { type DataOf, type DType, GpuArray } from './array.js';
import type { Gpu } from './gpu.js';
import { copyInto, launchRows, withDense } from './launches.js';
import {
  axisOf,
  broadcastShape,
  broadcastStrides,
  type Index,
  isContiguous,
  type Region,
  resolveIndex,
  sameShape,
  showShape,
  sizeOf,
  stridesOf,
} from './shape.js';
import { type Scope, Storage } from './storage.js';

/** Numbers in lists in lists. */
export type Nested = number | Nested[];

export class Tensor<D extends DType = 'f32'> extends GpuArray<D> {
  /** Uploads host data. @throws when it does not fill the shape. */
  static from<D extends DType = 'f32'>(
    gpu: Gpu,
    data: DataOf<D>,
    shape: readonly number[],
    { label = 'tensor', exact = false, scope = null as Scope | null } = {},
  ): Tensor<D> {
    if (data.length !== sizeOf(shape))
      throw new Error(
        `${label}: ${data.length} numbers cannot fill shape ${showShape(shape)} (${sizeOf(shape)})`,
      );
    const storage = new Storage(gpu, gpu.upload(data, label, { exact }));
    return new Tensor<D>({
      storage,
      shape,
      dtype: data instanceof Uint32Array ? 'u32' : 'f32',
      label,
      scope,
    });
  }

  /** Internal: uninitialised memory for the result of an operation on `inputs`, whose scope it joins. */
  static result<D extends DType = 'f32'>(
    gpu: Gpu,
    shape: readonly number[],
    inputs: readonly GpuArray<DType>[],
    label: string,
    dtype: DType = 'f32',
  ): Tensor<D> {
    const storage = new Storage(gpu, gpu.alloc(4 * sizeOf(shape), label));
    const scope = inputs.find((t) => t.scope?.open)?.scope ?? null;
    return new Tensor<D>({ storage, shape, dtype, label, scope });
  }

  /** Tensors one after another along the first axis; the other axes must agree. */
  static concat(tensors: readonly Tensor[]): Tensor {
    const [first] = tensors;
    const rest = first.shape.slice(1);
    for (const t of tensors)
      if (!sameShape(t.shape.slice(1), rest))
        throw new Error(
          `concat: shapes ${tensors.map((t) => showShape(t.shape)).join(', ')} differ beyond the first axis`,
        );
    const length = tensors.reduce((n, t) => n + t.shape[0], 0);
    const out = Tensor.result(first.gpu, [length, ...rest], tensors, first.label);
    let at = 0;
    for (const t of tensors) {
      copyInto(t, out, at);
      at += t.size;
    }
    return out;
  }

  /** Another handle on the same memory, owned by the caller (or by `scope`). */
  alias(scope: Scope | null = null, label = this.label): Tensor<D> {
    return this.#view(this, label, scope);
  }

  /** An independent copy, owned by the caller. */
  clone(): Tensor<D> {
    return this.#copy().keep();
  }

  // ---- reading -----------------------------------------------------------------------------------------------

  /** All elements in row-major order, on the host. @throws GPU errors that happened on the way. */
  async data(): Promise<DataOf<D>> {
    const dense = this.dense();
    try {
      const bytes = await this.gpu.read(dense.binding());
      return (this.dtype === 'u32' ? new Uint32Array(bytes) : new Float32Array(bytes)) as DataOf<D>;
    } finally {
      if (dense !== this) dense.dispose();
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
    const known = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
    const full = shape.map((d) => (d === -1 ? this.size / known : d));
    if (sizeOf(full) !== this.size || shape.filter((d) => d === -1).length > 1)
      throw new Error(`reshape: ${this.label} ${showShape(this.shape)} cannot become ${showShape(shape)}`);
    if (isContiguous(this.shape, this.strides))
      return this.#view({ shape: full, strides: stridesOf(full), offset: this.offset });
    const dense = this.#copy();
    const view = dense.reshape(full);
    dense.dispose();
    return view;
  }

  /** Axes in another order (a view); without an argument the last two are swapped. */
  transpose(axes?: readonly number[]): Tensor<D> {
    const rank = this.shape.length;
    const last = Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i));
    const order = (axes ?? last).map((a) => axisOf(a, rank, 'transpose'));
    if (order.length !== rank || new Set(order).size !== rank)
      throw new Error(`transpose: ${showShape(axes ?? [])} is not an order of ${rank} axes`);
    return this.#view({
      shape: order.map((a) => this.shape[a]),
      strides: order.map((a) => this.strides[a]),
      offset: this.offset,
    });
  }

  /** Axes of length 1 repeated to the given lengths (a view); -1 leaves an axis as it is. */
  expand(shape: readonly number[]): Tensor<D> {
    const full = shape.map((d, i) => (d === -1 ? this.shape[i] : d));
    if (shape.length !== this.shape.length || full.some((d, i) => d !== this.shape[i] && this.shape[i] !== 1))
      throw new Error(`expand: ${this.label} ${showShape(this.shape)} cannot become ${showShape(shape)}`);
    const strides = this.strides.map((s, i) => (full[i] === this.shape[i] ? s : 0));
    return this.#view({ shape: full, strides, offset: this.offset });
  }

  /** Internal: a view of any part, sharing memory. */
  window(index: Index): Tensor<D> {
    return this.#view(resolveIndex(this.shape, this.strides, this.offset, index, this.label));
  }

  /** Internal: itself if its memory can be bound as it is, else a dense copy (which the caller disposes of). */
  dense(): Tensor<D> {
    return this.isDense ? this : this.#copy();
  }

  // ---- parts -------------------------------------------------------------------------------------------------

  /**
   * A copy of a part. Per axis: `null` = all, a number (negative counts from the end; drops the axis), `[start, end)`.
   * @example logits.slice([0, -1])  // the last position of the first row: [dVocab]
   */
  slice(index: Index): Tensor<D> {
    const view = this.window(index);
    const copy = view.#copy();
    view.dispose();
    return copy;
  }

  /** A copy with a part replaced. `value`: a number, or a tensor that broadcasts to the part's shape. */
  set(index: Index, value: Tensor<D> | number): Tensor<D> {
    const what = `set on ${this.label}`;
    const part = resolveIndex(this.shape, stridesOf(this.shape), 0, index, what);
    if (typeof value !== 'number' && !sameShape(broadcastShape(part.shape, value.shape, what), part.shape))
      throw new Error(
        `${what}: a value of shape ${showShape(value.shape)} does not fit the part ${showShape(part.shape)}`,
      );
    const out = this.#copy();
    const { gpu } = this;
    if (typeof value === 'number') {
      gpu.launch(fill({ ...part, value }, gpu.caps), [out.binding()]);
      return out;
    }
    const strides = broadcastStrides(value.shape, value.strides, part.shape);
    const source = value.#view({ shape: part.shape, strides, offset: value.offset });
    withDense([source], ([s]) => gpu.launch(scatterStrided(part, gpu.caps), [s.binding(), out.binding()]));
    source.dispose();
    return out;
  }

  /**
   * Picks along the last axis. `indices`: a list (the same for every row: [..., n]), or a u32 tensor [..., k]
   * with this tensor's leading axes.
   */
  gather(indices: readonly number[] | Tensor<'u32'>): Tensor {
    const cols = this.shape.at(-1) ?? 1;
    const lead = this.shape.slice(0, -1);
    const rows = sizeOf(lead);
    if (!(indices instanceof Tensor)) {
      for (const i of indices)
        if (!Number.isInteger(i) || i < 0 || i >= cols)
          throw new Error(`gather: index ${i} on an axis of length ${cols}`);
      const all = Uint32Array.from({ length: rows * indices.length }, (_, i) => indices[i % indices.length]);
      const uploaded = Tensor.from<'u32'>(this.gpu, all, [...lead, indices.length], { label: 'indices' });
      const out = this.gather(uploaded);
      uploaded.dispose();
      return out;
    }
    if (!sameShape(indices.shape.slice(0, -1), lead))
      throw new Error(
        `gather: indices ${showShape(indices.shape)} for a tensor ${showShape(this.shape)}: leading axes must agree`,
      );
    const k = indices.shape.at(-1) ?? 1;
    const { gpu } = this;
    const out = Tensor.result(gpu, indices.shape, [this, indices], `${this.label}.gather`);
    withDense<Tensor<DType>>([this, indices], ([x, i]) =>
      launchRows(
        rows,
        [
          [x, cols],
          [i, k],
          [out, k],
        ],
        (n) => gatherLast({ rows: n, cols, k }, gpu.caps),
      ),
    );
    return out;
  }

  // ---- arithmetic --------------------------------------------------------------------------------------------

  /** Elementwise with NumPy's broadcasting. */
  add(b: Tensor | number): Tensor {
    return this.#binary('add', b);
  }
  /** Elementwise with NumPy's broadcasting. */
  sub(b: Tensor | number): Tensor {
    return this.#binary('sub', b);
  }
  /** Elementwise with NumPy's broadcasting. */
  mul(b: Tensor | number): Tensor {
    return this.#binary('mul', b);
  }
  /** Elementwise with NumPy's broadcasting. */
  div(b: Tensor | number): Tensor {
    return this.#binary('div', b);
  }

  /** Elementwise function: `t.map('exp')`. */
  map(op: UnaryOp): Tensor {
    const { gpu } = this;
    const out = Tensor.result(gpu, this.shape, [this], `${this.label}.${op}`);
    withDense<Tensor<DType>>([this], ([x]) =>
      launchRows(
        x.size,
        [
          [x, 1],
          [out, 1],
        ],
        (n) => unary({ op, n }, gpu.caps),
      ),
    );
    return out;
  }

  /** Matrix product over the last two axes: [..., m, k] · [k, n] or [..., m, k] · [..., k, n]. */
  matmul(b: Tensor): Tensor {
    const { gpu } = this;
    const [m, k] = this.shape.slice(-2);
    const [kb, n] = b.shape.slice(-2);
    const lead = this.shape.slice(0, -2);
    const sharedB = b.shape.length === 2;
    if (
      this.shape.length < 2 ||
      b.shape.length < 2 ||
      k !== kb ||
      (!sharedB && !sameShape(lead, b.shape.slice(0, -2)))
    )
      throw new Error(
        `matmul: ${showShape(this.shape)} · ${showShape(b.shape)}: [..., m, k] · [k, n] or [..., m, k] · [..., k, n] is needed`,
      );
    const out = Tensor.result(gpu, [...lead, m, n], [this, b], 'matmul');
    const batch = sizeOf(lead);
    // One B for all: the batch is only more rows.
    const o = sharedB ? { batch: 1, m: batch * m, k, n, sharedB } : { batch, m, k, n, sharedB };
    withDense<Tensor<DType>>([this, b], ([x, y]) =>
      gpu.launch(batchMatmul(o, gpu.caps), [x.binding(), y.binding(), out.binding()]),
    );
    return out;
  }

  // ---- reductions --------------------------------------------------------------------------------------------

  /** Sum over one axis, or over everything (shape []). */
  sum(axis?: number, { keepDims = false } = {}): Tensor {
    return this.#reduce('sum', axis, keepDims);
  }
  /** Mean over one axis, or over everything (shape []). */
  mean(axis?: number, { keepDims = false } = {}): Tensor {
    return this.#reduce('mean', axis, keepDims);
  }
  /** Largest over one axis, or over everything (shape []). */
  max(axis?: number, { keepDims = false } = {}): Tensor {
    return this.#reduce('max', axis, keepDims);
  }

  /** Softmax over one axis (the last by default); it cannot overflow. */
  softmax(axis = -1): Tensor {
    const rank = this.shape.length;
    const a = axisOf(axis, rank, 'softmax');
    if (a !== rank - 1) {
      const swap = this.shape.map((_, i) => (i === a ? rank - 1 : i === rank - 1 ? a : i));
      const moved = this.transpose(swap);
      const result = moved.softmax();
      const back = result.transpose(swap);
      moved.dispose();
      result.dispose();
      return back;
    }
    const { gpu } = this;
    const cols = this.shape[a];
    const out = Tensor.result(gpu, this.shape, [this], `${this.label}.softmax`);
    withDense<Tensor<DType>>([this], ([x]) =>
      launchRows(
        x.size / cols,
        [
          [x, cols],
          [out, cols],
        ],
        (rows) => softmax({ rows, cols }, gpu.caps),
      ),
    );
    return out;
  }

  /** The k largest along the last axis, descending, ties by lower index: { values, indices }, both [..., k]. */
  topk(k: number): { values: Tensor; indices: Tensor<'u32'> } {
    const { gpu } = this;
    const cols = this.shape.at(-1) ?? 1;
    if (!Number.isInteger(k) || k < 1 || k > cols)
      throw new Error(`topk: k = ${k} of an axis of length ${cols}`);
    const shape = [...this.shape.slice(0, -1), k];
    const values = Tensor.result(gpu, shape, [this], `${this.label}.topk`);
    const indices = Tensor.result<'u32'>(gpu, shape, [this], `${this.label}.topk`, 'u32');
    withDense<Tensor<DType>>([this], ([x]) =>
      launchRows(
        x.size / cols,
        [
          [x, cols],
          [values, k],
          [indices, k],
        ],
        (rows) => topk({ rows, cols, k }, gpu.caps),
      ),
    );
    return { values, indices };
  }

  /** Index of the largest along the last axis: [...]. */
  argmax(): Tensor<'u32'> {
    const { values, indices } = this.topk(1);
    values.dispose();
    const out = indices.reshape(this.shape.slice(0, -1));
    indices.dispose();
    return out;
  }

  // ---- inside ------------------------------------------------------------------------------------------------

  #view({ shape, strides, offset }: Region | Tensor<D>, label = this.label, scope = this.scope): Tensor<D> {
    return new Tensor<D>({ storage: this.storage, shape, strides, offset, dtype: this.dtype, label, scope });
  }

  #copy(): Tensor<D> {
    const out = Tensor.result<D>(this.gpu, this.shape, [this], this.label, this.dtype);
    copyInto(this, out);
    return out;
  }

  #binary(op: BinaryOp, b: Tensor | number): Tensor {
    const { gpu } = this;
    if (typeof b === 'number') {
      const out = Tensor.result(gpu, this.shape, [this], `${this.label}.${op}`);
      withDense<Tensor<DType>>([this], ([x]) =>
        launchRows(
          x.size,
          [
            [x, 1],
            [out, 1],
          ],
          (n) => binaryScalar({ op, n, value: b }, gpu.caps),
        ),
      );
      return out;
    }
    const shape = broadcastShape(this.shape, b.shape, op);
    const out = Tensor.result(gpu, shape, [this, b], `${this.label}.${op}`);
    withDense<Tensor<DType>>([this, b], ([x, y]) => {
      if (sameShape(x.shape, y.shape)) {
        const flat = (n: number) => binary({ op, shape: [n], aStrides: [1], bStrides: [1] }, gpu.caps);
        launchRows(
          x.size,
          [
            [x, 1],
            [y, 1],
            [out, 1],
          ],
          flat,
        );
        return;
      }
      const strides = (t: GpuArray<DType>) => broadcastStrides(t.shape, stridesOf(t.shape), shape);
      const launch = binary({ op, shape, aStrides: strides(x), bStrides: strides(y) }, gpu.caps);
      gpu.launch(launch, [x.binding(), y.binding(), out.binding()]);
    });
    return out;
  }

  #reduce(op: ReduceOp, axis: number | undefined, keepDims: boolean): Tensor {
    if (axis === undefined) {
      const flat = this.reshape([this.size]);
      const out = flat.#reduce(op, 0, false);
      flat.dispose();
      return out;
    }
    const { gpu } = this;
    const a = axisOf(axis, this.shape.length, op);
    const outer = sizeOf(this.shape.slice(0, a));
    const n = this.shape[a];
    const inner = sizeOf(this.shape.slice(a + 1));
    const shape = this.shape.flatMap((d, i) => (i !== a ? [d] : keepDims ? [1] : []));
    const out = Tensor.result(gpu, shape, [this], `${this.label}.${op}`);
    withDense<Tensor<DType>>([this], ([x]) =>
      launchRows(
        outer,
        [
          [x, n * inner],
          [out, inner],
        ],
        (rows) => reduceMiddle({ outer: rows, n, inner, op }, gpu.caps),
      ),
    );
    return out;
  }
}
