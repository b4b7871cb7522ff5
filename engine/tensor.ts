/**
 * Operations on GPU arrays. They only encode work: nothing is read back but by `data()`, `toArray()` and `item()`.
 * Each makes a new tensor, which the caller disposes of (inside a hook or a run, that happens by itself).
 */

import { fill, scatterStrided } from '../kernels/copy.js';
import { type BinaryOp, binary, binaryScalar, type UnaryOp, unary } from '../kernels/elementwise.js';
import type { Launch } from '../kernels/kernel.js';
import { batchMatmul } from '../kernels/matmul.js';
import { type ReduceOp, reduceMiddle } from '../kernels/reduce.js';
import { softmax } from '../kernels/softmax.js';
import { gatherLast, topk } from '../kernels/topk.js';
import { type DataOf, type DType, GpuArray, type Parts } from './array.js';
import type { Gpu } from './gpu.js';
import { copyInto, launchRows, withDense } from './launches.js';
import {
  axisOf,
  broadcastShape,
  broadcastStrides,
  type Index,
  resolveIndex,
  sameShape,
  showShape,
  sizeOf,
  stridesOf,
} from './shape.js';
import { type Scope, Storage } from './storage.js';
import { taped } from './tape.js';
import {
  binaryBackward,
  concatBackward,
  gatherBackward,
  matmulBackward,
  reduceBackward,
  scalarBackward,
  setBackward,
  softmaxGradient,
  unaryGradient,
} from './tensor-backward.js';

/** An array on the GPU. */
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

  /** Internal: uninitialised memory in the scope of this tensor. */
  empty(shape: readonly number[], label = this.label): Tensor {
    return Tensor.result(this.gpu, shape, [this], label);
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
    return taped(out, tensors, concatBackward(tensors.map((t) => t.shape[0])));
  }

  // ---- parts -------------------------------------------------------------------------------------------------

  /**
   * A copy of a part. Per axis: `null` = all, a number (negative counts from the end; drops the axis), `[start, end)`.
   * @example logits.slice([0, -1])  // the last position of the first row: [dVocab]
   */
  slice(index: Index): Tensor<D> {
    const view = this.window(index);
    const copy = view.copy();
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
    const out = this.copy();
    out.storage.guarded = null; // what is put in may be infinite
    const { gpu } = this;
    out.node = null;
    if (typeof value === 'number') {
      gpu.launch(fill({ ...part, value }, gpu.caps), [out.binding()]);
      return recorded(out, [this], setBackward(index, null));
    }
    const strides = broadcastStrides(value.shape, value.strides, part.shape);
    const source = value.view({ shape: part.shape, strides, offset: value.offset });
    withDense([source], ([s]) => gpu.launch(scatterStrided(part, gpu.caps), [s.binding(), out.binding()]));
    source.dispose();
    return recorded(out, [this, value], setBackward(index, value.shape));
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
    const launch = (n: number) => gatherLast({ rows: n, cols, k }, this.gpu.caps);
    const out = this.#rowwise('gather', indices.shape, rows, [this, indices], [cols, k, k], launch);
    return recorded(out, [this], gatherBackward(this.shape, indices));
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
    const launch = (n: number) => unary({ op, n }, this.gpu.caps);
    const out = this.#rowwise(op, this.shape, this.size, [this], [1, 1], launch);
    return recorded(out, [this], unaryGradient(op, this as unknown as Tensor));
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
    withDense([this, b], ([x, y]) =>
      gpu.launch(batchMatmul(o, gpu.caps), [x.binding(), y.binding(), out.binding()]),
    );
    return recorded(out, [this, b], matmulBackward(o, this as unknown as Tensor, b));
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
    const cols = this.shape[a];
    const launch = (rows: number) => softmax({ rows, cols }, this.gpu.caps);
    const out = this.#rowwise('softmax', this.shape, this.size / cols, [this], [cols, cols], launch);
    return recorded(out, [this], softmaxGradient(out));
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
    const launch = (rows: number) => topk({ rows, cols, k }, gpu.caps);
    withDense([this], ([x]) => launchRows(x.size / cols, [x, values, indices], [cols, k, k], launch));
    return { values: recorded(values, [this], gatherBackward(this.shape, indices)), indices };
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

  protected override make<E extends DType>(parts: Parts): Tensor<E> {
    return new Tensor<E>(parts);
  }

  /** A kernel whose rows are independent: `widths` are the elements a row of each input, then of the result. */
  #rowwise(
    name: string,
    shape: readonly number[],
    rows: number,
    inputs: readonly Tensor<DType>[],
    widths: readonly number[],
    launch: (rows: number) => Launch,
  ): Tensor {
    const out = Tensor.result(this.gpu, shape, inputs, `${this.label}.${name}`);
    withDense(inputs, (dense) => launchRows(rows, [...dense, out], widths, launch));
    return out;
  }

  #binary(op: BinaryOp, b: Tensor | number): Tensor {
    const { gpu } = this;
    if (typeof b === 'number') {
      const launch = (n: number) => binaryScalar({ op, n, value: b }, gpu.caps);
      const out = this.#rowwise(op, this.shape, this.size, [this], [1, 1], launch);
      return recorded(out, [this], scalarBackward(op, b));
    }
    const backward = binaryBackward(op, this as unknown as Tensor, b);
    if (sameShape(this.shape, b.shape)) {
      const launch = (n: number) => binary({ op, shape: [n], aStrides: [1], bStrides: [1] }, gpu.caps);
      return recorded(
        this.#rowwise(op, this.shape, this.size, [this, b], [1, 1, 1], launch),
        [this, b],
        backward,
      );
    }
    const shape = broadcastShape(this.shape, b.shape, op);
    const out = Tensor.result(gpu, shape, [this, b], `${this.label}.${op}`);
    withDense([this, b], ([x, y]) => {
      const strides = (t: GpuArray<DType>) => broadcastStrides(t.shape, stridesOf(t.shape), shape);
      const launch = binary({ op, shape, aStrides: strides(x), bStrides: strides(y) }, gpu.caps);
      gpu.launch(launch, [x.binding(), y.binding(), out.binding()]);
    });
    return recorded(out, [this, b], backward);
  }

  #reduce(op: ReduceOp, axis: number | undefined, keepDims: boolean): Tensor {
    if (axis === undefined) {
      // In two stages, so that more than one workgroup is at work.
      const { size } = this;
      let cols = Math.ceil(Math.sqrt(size));
      while (size % cols) cols++;
      const rows = this.reshape([size / cols, cols]);
      const sums = rows.#reduce(op, 1, false);
      const out = sums.#reduce(op, 0, false);
      rows.dispose();
      sums.dispose();
      return out;
    }
    const a = axisOf(axis, this.shape.length, op);
    const n = this.shape[a];
    const outer = sizeOf(this.shape.slice(0, a));
    const inner = sizeOf(this.shape.slice(a + 1));
    const shape = this.shape.flatMap((d, i) => (i !== a ? [d] : keepDims ? [1] : []));
    const launch = (rows: number) => reduceMiddle({ outer: rows, n, inner, op }, this.gpu.caps);
    const out = this.#rowwise(op, shape, outer, [this], [n * inner, inner], launch);
    return recorded(out, [this], reduceBackward(op, this as unknown as Tensor, a));
  }
}

/** A result goes onto the tape of its inputs; integers have no gradients. */
const recorded = <D extends DType>(
  out: Tensor<D>,
  inputs: readonly Tensor<DType>[],
  make: Parameters<typeof taped>[2],
): Tensor<D> => taped(out as unknown as Tensor, inputs as readonly Tensor[], make) as unknown as Tensor<D>;
