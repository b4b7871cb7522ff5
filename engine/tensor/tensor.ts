/**
 * Operations on GPU arrays. They only encode work: nothing is read back but by `data()`, `toArray()` and `item()`.
 * Each makes a new tensor, which the caller disposes of (inside a hook or a run, that happens by itself).
 */

import type { Launch } from '../../kernels/core/kernel.js';
import {
  type BinaryOp,
  binary,
  binaryScalar,
  type UnaryOp,
  unary,
} from '../../kernels/pointwise/elementwise.js';
import { batchMatmul } from '../../kernels/products/matmul.js';
import { gatherLast } from '../../kernels/vocabulary/topk.js';
import { shownValue } from '../../weights/checks/kinds.js';
import { countedMethods } from '../../weights/checks/options.js';
import type { Gpu } from '../gpu/gpu.js';
import { type Scope, Storage } from '../gpu/storage.js';
import { axesOf, merged, withLast } from '../shape/axes.js';
import { broadcastShape, broadcastStrides, sameShape, showShape, sizeOf, stridesOf } from '../shape/shape.js';
import { type Axis, axisNumber, concatAlong } from './along.js';
import { type DataOf, type DType, GpuArray, type Parts } from './array.js';
import { launchRows, withDense } from './launches.js';
import { type AnyIndex, setPart, slicePart, takePart } from './parts.js';
import {
  argmaxAxis,
  keepsDims,
  type ReduceOptions,
  reduceAxis,
  softmaxAxis,
  type TopkOptions,
  topkAxis,
} from './reductions.js';
import { taped } from './tape.js';
import {
  binaryBackward,
  gatherBackward,
  matmulBackward,
  scalarBackward,
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
  empty(shape: readonly number[], label = this.label, dtype: DType = 'f32'): Tensor {
    return Tensor.result(this.gpu, shape, [this], label, dtype);
  }

  /** Tensors one after another along an axis (the first by default), by number or name; the other axes must agree. */
  static concat(tensors: readonly Tensor[], axis: Axis = 0): Tensor {
    return concatAlong(tensors, axis);
  }

  // ---- parts -------------------------------------------------------------------------------------------------

  /**
   * A copy of a part. By name, `{ pos: -1, head: [2, 5] }`: a number drops the axis (negative counts from the end, of each row
   * where rows differ in length), two numbers are always [start, end). By position, one entry an axis, where all rows are
   * equal: `[0, -1]`, null for all of an axis.
   * @throws when there is no such axis or entry, or when a position's meaning depends on the rows.
   * @example logits.slice({ batch: 0, pos: -1 }) // [dVocab]
   */
  slice(index: AnyIndex): Tensor<D> {
    return slicePart(this as unknown as Tensor, index) as unknown as Tensor<D>;
  }

  /** A copy of the entries with these indices, in the order given: `take({ head: [0, 5, 7] })`. The axis stays. */
  take(lists: { readonly [axis: string]: readonly number[] }): Tensor<D> {
    return takePart(this as unknown as Tensor, lists) as unknown as Tensor<D>;
  }

  /**
   * A copy with a part replaced. `index`: as in `slice`. `value`: a number, or a tensor that broadcasts to the part's shape;
   * where rows differ in length, to the part of each row, or with an entry for each row in front.
   */
  set(index: AnyIndex, value: Tensor<D> | number): Tensor<D> {
    return setPart(this as unknown as Tensor, index, value as Tensor | number) as unknown as Tensor<D>;
  }

  /**
   * Picks along the last axis. `indices`: a list (the same for every row: [..., n]), or a u32 tensor [..., k]
   * with this tensor's leading axes. Where a tensor's index lies beyond the axis, the result is NaN.
   */
  gather(indices: readonly number[] | Tensor<'u32'>): Tensor {
    if (this.shape.length < (this.named?.packed ? 2 : 1)) axisNumber(this as unknown as Tensor, -1, 'gather');
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
    if (indices.dtype !== 'u32')
      throw new Error('gather: indices must be a u32 tensor or a list of integers');
    if (!sameShape(indices.shape.slice(0, -1), lead))
      throw new Error(
        `gather: indices ${showShape(indices.shape)} for a tensor ${showShape(this.shape)}: leading axes must agree`,
      );
    const k = indices.shape.at(-1) ?? 1;
    const launch = (n: number) => gatherLast({ rows: n, cols, k }, this.gpu.caps);
    const out = this.#rowwise('gather', indices.shape, rows, [this, indices], [cols, k, k], launch);
    out.named = withLast(this.named, null);
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
    out.named = this.named;
    return recorded(out, [this], unaryGradient(op, this as unknown as Tensor));
  }

  /** Matrix product over the last two axes: [..., m, k] · [k, n] or [..., m, k] · [..., k, n]. */
  matmul(b: Tensor): Tensor {
    const { gpu } = this;
    if (!(b instanceof Tensor)) throw new Error(`matmul: a tensor is needed, not ${kindOf(b)}`);
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
    out.named = withLast(this.named ?? axesOf(out.shape.map(() => null)), b.named?.names.at(-1) ?? null);
    const batch = sizeOf(lead);
    // One B for all: the batch is only more rows.
    const o = sharedB ? { batch: 1, m: batch * m, k, n, sharedB } : { batch, m, k, n, sharedB };
    withDense([this, b], ([x, y]) =>
      gpu.launch(batchMatmul(o, gpu.caps), [x.binding(), y.binding(), out.binding()]),
    );
    return recorded(out, [this, b], matmulBackward(o, this as unknown as Tensor, b));
  }

  // ---- reductions --------------------------------------------------------------------------------------------

  /** Sum over one axis, by number or name, or over everything (shape []). */
  sum(axis?: Axis, options: ReduceOptions = {}): Tensor {
    return reduceAxis(this as unknown as Tensor, 'sum', axis, keepsDims('sum', options));
  }
  /** Mean over one axis, by number or name, or over everything (shape []). */
  mean(axis?: Axis, options: ReduceOptions = {}): Tensor {
    return reduceAxis(this as unknown as Tensor, 'mean', axis, keepsDims('mean', options));
  }
  /** Largest over one axis, by number or name, or over everything (shape []). NaN where there is one. */
  max(axis?: Axis, options: ReduceOptions = {}): Tensor {
    return reduceAxis(this as unknown as Tensor, 'max', axis, keepsDims('max', options));
  }

  /** Softmax over one axis, by number or name (the last by default); it cannot overflow. */
  softmax(axis: Axis = -1): Tensor {
    return softmaxAxis(this as unknown as Tensor, axis);
  }

  /**
   * The k largest along an axis (the last by default), descending, ties by lower index: { values, indices }, with k entries
   * along that axis. `largest: false`: the smallest, ascending. NaN counts as larger than every number.
   */
  topk(k: number, options: Axis | TopkOptions = {}): { values: Tensor; indices: Tensor<'u32'> } {
    return topkAxis(this as unknown as Tensor, k, options);
  }

  /** Index of the largest along an axis, by number or name (the last by default), which is dropped. NaN counts as the largest. */
  argmax(axis: Axis = -1): Tensor<'u32'> {
    return argmaxAxis(this as unknown as Tensor, axis);
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
      out.named = this.named;
      return recorded(out, [this], scalarBackward(op, b));
    }
    if (!(b instanceof Tensor)) throw new Error(`${op}: a tensor or a number is needed, not ${kindOf(b)}`);
    const axes = this.named || b.named ? merged(asAxes(this), asAxes(b), op) : null;
    const backward = binaryBackward(op, this as unknown as Tensor, b);
    if (sameShape(this.shape, b.shape)) {
      const launch = (n: number) => binary({ op, shape: [n], aStrides: [1], bStrides: [1] }, gpu.caps);
      const out = this.#rowwise(op, this.shape, this.size, [this, b], [1, 1, 1], launch);
      out.named = axes;
      return recorded(out, [this, b], backward);
    }
    const shape = broadcastShape(this.shape, b.shape, op);
    const out = Tensor.result(gpu, shape, [this, b], `${this.label}.${op}`);
    out.named = axes;
    withDense([this, b], ([x, y]) => {
      const strides = (t: GpuArray<DType>) => broadcastStrides(t.shape, stridesOf(t.shape), shape);
      const launch = binary({ op, shape, aStrides: strides(x), bStrides: strides(y) }, gpu.caps);
      gpu.launch(launch, [x.binding(), y.binding(), out.binding()]);
    });
    return recorded(out, [this, b], backward);
  }
}

/** A result goes onto the tape of its inputs; integers have no gradients. */
const recorded = <D extends DType>(
  out: Tensor<D>,
  inputs: readonly Tensor<DType>[],
  make: Parameters<typeof taped>[2],
): Tensor<D> => taped(out as unknown as Tensor, inputs as readonly Tensor[], make) as unknown as Tensor<D>;

const asAxes = ({ named: axes, shape }: GpuArray<DType>) => ({ axes, shape });

const kindOf = (x: unknown): string =>
  Array.isArray(x) ? 'a list: model.tensor([...]) makes a tensor of it' : shownValue(x);

countedMethods(Tensor.prototype, {
  slice: ['index'],
  take: ['lists'],
  set: ['index', 'value'],
  gather: ['indices'],
  add: ['b'],
  sub: ['b'],
  mul: ['b'],
  div: ['b'],
  map: ['op'],
  matmul: ['b'],
  sum: ['axis', 'options'],
  mean: ['axis', 'options'],
  max: ['axis', 'options'],
  softmax: ['axis'],
  topk: ['k', 'options'],
  argmax: ['axis'],
  reshape: ['shape'],
  transpose: ['axes'],
  expand: ['shape'],
  withAxes: ['names'],
  data: [],
  toArray: [],
  item: [],
  clone: [],
});
