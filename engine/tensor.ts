/**
 * Arrays on the GPU. Operations only encode work; nothing is read back but by `data()` and `toArray()`.
 * `reshape`, `transpose` and the like are views that share memory; everything else makes a new tensor.
 */

import { fill, gatherStrided, scatterStrided } from '../kernels/copy.js';
import { type BinaryOp, binary, binaryScalar, type UnaryOp, unary } from '../kernels/elementwise.js';
import { batchMatmul } from '../kernels/matmul.js';
import { type ReduceOp, reduceMiddle } from '../kernels/reduce.js';
import { softmax } from '../kernels/softmax.js';
import { gatherLast, topk } from '../kernels/topk.js';
import type { Binding, Gpu } from './gpu.js';
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

export type DType = 'f32' | 'u32';
/** What `data()` gives. */
export type DataOf<D extends DType> = D extends 'u32' ? Uint32Array : Float32Array;
/** Numbers in lists in lists. */
export type Nested = number | Nested[];

interface Parts {
  storage: Storage;
  shape: readonly number[];
  strides?: readonly number[];
  offset?: number;
  dtype?: DType;
  label?: string;
  scope?: Scope | null;
}

/** Bindings start at multiples of 64 elements. */
const ALIGN = 64;

/** Frees the memory of tensors that were dropped without `dispose()`, when the garbage collector finds them. */
const dropped = new FinalizationRegistry<Storage>((storage) => storage.release());

export class Tensor<D extends DType = 'f32'> {
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
    inputs: readonly Tensor<DType>[],
    label: string,
    dtype: DType = 'f32',
  ): Tensor<D> {
    const storage = new Storage(gpu, gpu.alloc(4 * sizeOf(shape), label));
    const scope = inputs.find((t) => t.scope?.open)?.scope ?? null;
    return new Tensor<D>({ storage, shape, dtype, label, scope });
  }

  get storage(): Storage {
    if (!this.#storage)
      throw new Error(
        `${this.label} ${showShape(this.shape)} was disposed of: in a hook, call keep() (or clone()) on a tensor that must outlive the run`,
      );
    return this.#storage;
  }

  get gpu(): Gpu {
    return this.storage.gpu;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  get disposed(): boolean {
    return this.#storage === null;
  }

  // ---- lifetime ----------------------------------------------------------------------------------------------

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
    const dense = this.#dense();
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
    const nest = (axis: number, at: number): Nested =>
      axis === this.shape.length
        ? data[at]
        : Array.from({ length: this.shape[axis] }, (_, i) => nest(axis + 1, at + i * stride[axis]));
    const stride = stridesOf(this.shape);
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
    const order = (axes ?? swapLast(rank)).map((a) => axisOf(a, rank, 'transpose'));
    if (new Set(order).size !== rank)
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
    const out = this.#copy();
    const part = resolveIndex(out.shape, out.strides, 0, index, `set on ${this.label}`);
    const { gpu } = this;
    if (typeof value === 'number') {
      gpu.launch(fill({ ...part, value }, gpu.caps), [out.binding()]);
      return out;
    }
    const shape = broadcastShape(part.shape, value.shape, `set on ${this.label}`);
    if (!sameShape(shape, part.shape))
      throw new Error(
        `set on ${this.label}: a value of shape ${showShape(value.shape)} does not fit the part ${showShape(part.shape)}`,
      );
    const strides = broadcastStrides(value.shape, value.strides, shape);
    const source = value.#view({ shape, strides, offset: value.offset });
    const dense = source.#dense();
    gpu.launch(scatterStrided(part, gpu.caps), [dense.binding(), out.binding()]);
    if (dense !== source) dense.dispose();
    source.dispose();
    return out;
  }

  /** Internal: itself if its memory can be bound as it is, else a dense copy (which the caller disposes of). */
  dense(): Tensor<D> {
    return this.#dense();
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
      const all = new Uint32Array(rows * indices.length).map((_, i) => indices[i % indices.length]);
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
    const out = Tensor.result(this.gpu, indices.shape, [this, indices], `${this.label}.gather`);
    this.#rowwise([cols, k, k], rows, [this, indices, out], (n) =>
      gatherLast({ rows: n, cols, k }, this.gpu.caps),
    );
    return out;
  }

  // ---- arithmetic --------------------------------------------------------------------------------------------

  /** Elementwise with NumPy's broadcasting. */
  add(b: Tensor | number): Tensor {
    return this.#binary('add', b);
  }
  sub(b: Tensor | number): Tensor {
    return this.#binary('sub', b);
  }
  mul(b: Tensor | number): Tensor {
    return this.#binary('mul', b);
  }
  div(b: Tensor | number): Tensor {
    return this.#binary('div', b);
  }

  /** Elementwise function. */
  map(op: UnaryOp): Tensor {
    const dense = this.#dense();
    const out = Tensor.result(this.gpu, this.shape, [this], `${this.label}.${op}`);
    this.#flat([dense, out], (n) => unary({ op, n }, this.gpu.caps));
    if (dense !== this) dense.dispose();
    return out;
  }
  exp(): Tensor {
    return this.map('exp');
  }
  log(): Tensor {
    return this.map('log');
  }
  neg(): Tensor {
    return this.map('neg');
  }
  abs(): Tensor {
    return this.map('abs');
  }
  sqrt(): Tensor {
    return this.map('sqrt');
  }

  /** Matrix product over the last two axes: [..., m, k] · [k, n] or [..., m, k] · [..., k, n]. */
  matmul(b: Tensor): Tensor {
    const fail = () =>
      new Error(
        `matmul: ${showShape(this.shape)} · ${showShape(b.shape)}: [..., m, k] · [k, n] or the same leading axes are needed`,
      );
    if (this.shape.length < 2 || b.shape.length < 2) throw fail();
    const [m, k] = this.shape.slice(-2);
    const [kb, n] = b.shape.slice(-2);
    const lead = this.shape.slice(0, -2);
    const sharedB = b.shape.length === 2;
    if (k !== kb || (!sharedB && !sameShape(lead, b.shape.slice(0, -2)))) throw fail();
    const out = Tensor.result(this.gpu, [...lead, m, n], [this, b], 'matmul');
    const [x, y] = [this.#dense(), b.#dense()];
    const batch = sizeOf(lead);
    // One B for all: the batch is only more rows.
    const o = sharedB ? { batch: 1, m: batch * m, k, n, sharedB: true } : { batch, m, k, n, sharedB: false };
    this.gpu.launch(batchMatmul(o, this.gpu.caps), [x.binding(), y.binding(), out.binding()]);
    if (x !== this) x.dispose();
    if (y !== b) y.dispose();
    return out;
  }

  // ---- reductions --------------------------------------------------------------------------------------------

  /** Sum over one axis, or over everything (shape []). */
  sum(axis?: number, { keepDims = false } = {}): Tensor {
    return this.#reduce('sum', axis, keepDims);
  }
  mean(axis?: number, { keepDims = false } = {}): Tensor {
    return this.#reduce('mean', axis, keepDims);
  }
  max(axis?: number, { keepDims = false } = {}): Tensor {
    return this.#reduce('max', axis, keepDims);
  }

  /** Softmax over one axis (the last by default); it cannot overflow. */
  softmax(axis = -1): Tensor {
    const a = axisOf(axis, this.shape.length, 'softmax');
    if (a !== this.shape.length - 1) {
      const order = this.shape.map((_, i) => i).filter((i) => i !== a);
      const moved = this.transpose([...order, a]);
      const result = moved.softmax();
      const back = result.transpose(this.shape.map((_, i) => (i === a ? order.length : order.indexOf(i))));
      moved.dispose();
      result.dispose();
      return back;
    }
    const cols = this.shape[a];
    const out = Tensor.result(this.gpu, this.shape, [this], `${this.label}.softmax`);
    this.#rowwise([cols, cols], this.size / cols, [this, out], (rows) =>
      softmax({ rows, cols }, this.gpu.caps),
    );
    return out;
  }

  /** The k largest along the last axis, descending, ties by lower index: { values, indices }, both [..., k]. */
  topk(k: number): { values: Tensor; indices: Tensor<'u32'> } {
    const cols = this.shape.at(-1) ?? 1;
    if (!Number.isInteger(k) || k < 1 || k > cols)
      throw new Error(`topk: k = ${k} of an axis of length ${cols}`);
    const shape = [...this.shape.slice(0, -1), k];
    const values = Tensor.result(this.gpu, shape, [this], `${this.label}.topk`);
    const indices = Tensor.result<'u32'>(this.gpu, shape, [this], `${this.label}.topk`, 'u32');
    this.#rowwise([cols, k, k], this.size / cols, [this, values, indices], (rows) =>
      topk({ rows, cols, k }, this.gpu.caps),
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

  /** Internal: the memory of elements [start, start + count) of a dense tensor. */
  binding(start = 0, count = this.size): Binding {
    return { buffer: this.storage.buffer, offset: 4 * (this.offset + start), bytes: 4 * count };
  }

  #view({ shape, strides, offset }: Region | Tensor<D>, label = this.label, scope = this.scope): Tensor<D> {
    return new Tensor<D>({ storage: this.storage, shape, strides, offset, dtype: this.dtype, label, scope });
  }

  #dense(): Tensor<D> {
    return isContiguous(this.shape, this.strides) && this.offset % ALIGN === 0 ? this : this.#copy();
  }

  /** Dense copy; the source may be larger than a binding, then the copy goes window by window. */
  #copy(): Tensor<D> {
    const out = Tensor.result<D>(this.gpu, this.shape, [this], this.label, this.dtype);
    this.#copyInto(out, 0, this.shape, this.offset);
    return out;
  }

  #copyInto(out: Tensor<D>, at: number, shape: readonly number[], offset: number): void {
    const { gpu, strides } = this;
    const first = Math.floor(offset / ALIGN) * ALIGN;
    const reach = offset + shape.reduce((n, d, i) => n + (d - 1) * strides[i], 0) + 1;
    const size = sizeOf(shape);
    const outFirst = Math.floor(at / ALIGN) * ALIGN;
    const limit = gpu.adapter.maxBindingBytes / 4;
    const axis = shape.findIndex((d) => d > 1);
    if (axis >= 0 && (reach - first > limit || at - outFirst + size > limit)) {
      const half = Math.floor(shape[axis] / 2);
      const parts = [half, shape[axis] - half].map((n) => shape.map((d, i) => (i === axis ? n : d)));
      this.#copyInto(out, at, parts[0], offset);
      this.#copyInto(out, at + sizeOf(parts[0]), parts[1], offset + half * strides[axis]);
      return;
    }
    const launch = gatherStrided(
      { shape, strides, offset: offset - first, outOffset: at - outFirst },
      gpu.caps,
    );
    const source = { buffer: this.storage.buffer, offset: 4 * first, bytes: 4 * (reach - first) };
    gpu.launch(launch, [source, out.binding(outFirst, at - outFirst + size)]);
  }

  /** Runs a kernel over windows of rows that fit the adapter's bindings. `widths`: elements a row of each tensor. */
  #rowwise(
    widths: readonly number[],
    rows: number,
    tensors: readonly Tensor<DType>[],
    launch: (rows: number) => Parameters<Gpu['launch']>[0],
  ): void {
    const dense = tensors.map((t) => t.#dense());
    for (const [start, count] of rowWindows(this.gpu, rows, Math.max(...widths)))
      this.gpu.launch(
        launch(count),
        dense.map((t, i) => t.binding(start * widths[i], count * widths[i])),
      );
    dense.forEach((t, i) => {
      if (t !== tensors[i]) t.dispose();
    });
  }

  #flat(tensors: readonly Tensor<DType>[], launch: (n: number) => Parameters<Gpu['launch']>[0]): void {
    this.#rowwise(
      tensors.map(() => 1),
      this.size,
      tensors,
      launch,
    );
  }

  #binary(op: BinaryOp, b: Tensor | number): Tensor {
    const { gpu } = this;
    if (typeof b === 'number') {
      const dense = this.#dense();
      const out = Tensor.result(gpu, this.shape, [this], `${this.label}.${op}`);
      this.#flat([dense, out], (n) => binaryScalar({ op, n, value: b }, gpu.caps));
      if (dense !== this) dense.dispose();
      return out;
    }
    const shape = broadcastShape(this.shape, b.shape, op);
    const out = Tensor.result(gpu, shape, [this, b], `${this.label}.${op}`);
    const same = sameShape(this.shape, b.shape);
    const [x, y] = [this.#dense(), b.#dense()];
    const strided = (t: Tensor) => broadcastStrides(t.shape, stridesOf(t.shape), shape);
    const o = { op, shape, aStrides: strided(x), bStrides: strided(y) };
    if (same)
      out.#flat([x, y, out], (n) => binary({ op, shape: [n], aStrides: [1], bStrides: [1] }, gpu.caps));
    else gpu.launch(binary(o, gpu.caps), [x.binding(), y.binding(), out.binding()]);
    if (x !== this) x.dispose();
    if (y !== b) y.dispose();
    return out;
  }

  #reduce(op: ReduceOp, axis: number | undefined, keepDims: boolean): Tensor {
    if (axis === undefined) {
      const flat = this.reshape([this.size]);
      const out = flat.#reduce(op, 0, false);
      flat.dispose();
      return out;
    }
    const a = axisOf(axis, this.shape.length, op);
    const outer = sizeOf(this.shape.slice(0, a));
    const n = this.shape[a];
    const inner = sizeOf(this.shape.slice(a + 1));
    const shape = this.shape.flatMap((d, i) => (i !== a ? [d] : keepDims ? [1] : []));
    const out = Tensor.result(this.gpu, shape, [this], `${this.label}.${op}`);
    this.#rowwise([n * inner, inner], outer, [this, out], (rows) =>
      reduceMiddle({ outer: rows, n, inner, op }, this.gpu.caps),
    );
    return out;
  }
}

const swapLast = (rank: number): number[] =>
  Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i));

/** Windows [start, count] of rows such that each binding fits the adapter and starts where a binding may. */
export function* rowWindows(
  gpu: Gpu,
  rows: number,
  width: number,
): Generator<[start: number, count: number]> {
  const fit = Math.floor(gpu.adapter.maxBindingBytes / 4 / width);
  const step = fit >= rows ? rows : Math.floor(fit / ALIGN) * ALIGN;
  if (step < 1)
    throw new Error(
      `a row of ${width} numbers is too long for this adapter: ${ALIGN} such rows must fit a binding`,
    );
  for (let start = 0; start < rows; start += step) yield [start, Math.min(step, rows - start)];
}
