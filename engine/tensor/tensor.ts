/**
 * Operations on GPU arrays. They only encode work: nothing is read back but by `data()`, `toArray()`, `item()`, `show()` and
 * `select()`. Each makes a new tensor, which the caller disposes of (inside a hook or a run, that happens by itself).
 * Views are in array.ts, what goes element by element in elementwise.ts, reductions and orders in reducible.ts.
 */

import { shownValue } from '../../weights/checks/kinds.js';
import { countedMethods } from '../../weights/checks/options.js';
import type { Gpu } from '../gpu/gpu.js';
import { type Scope, Storage } from '../gpu/storage.js';
import { arangeOf, eyeOf, normalOf, uniformOf } from '../random/arrays.js';
import type { AxisName } from '../shape/axes.js';
import { showShape, sizeOf } from '../shape/shape.js';
import type { Axis } from './along.js';
import type { DataOf, DType, GpuArray, Parts } from './array.js';
import { type Operand, where } from './elementwise.js';
import {
  type AnyIndex,
  concatAlong,
  flipAlong,
  type RepeatOptions,
  repeatAlong,
  rollAlong,
  setPart,
  slicePart,
  splitAlong,
  stackAlong,
} from './parts.js';
import { einsum, matmul } from './products.js';
import { ReducibleArray } from './reducible.js';
import {
  diagonalOf,
  gatherAlong,
  isTensor,
  type ScatterOptions,
  scatterAlong,
  selectBy,
  takePart,
  triangleOf,
} from './select.js';

/** Where a tensor is made: a device, or what lives on one, a model or another tensor. */
export type Place = Gpu | { readonly gpu: Gpu };

const gpuOf = (place: Place, what: string): Gpu => {
  const gpu = (place as { gpu?: Gpu } | null)?.gpu ?? (place as Gpu);
  if (!gpu || typeof gpu.launch !== 'function')
    throw new Error(
      `${what}: first say where, ${what}(model, …): ${shownValue(place)} is no model, tensor or device`,
    );
  return gpu;
};

const made = (place: Place, data: Float32Array, shape: readonly number[], what: string): Tensor => {
  if (!Array.isArray(shape) || !shape.every((n) => Number.isInteger(n) && n > 0))
    throw new Error(`${what}: a shape is needed, a list of whole numbers above 0, not ${shownValue(shape)}`);
  return Tensor.from(gpuOf(place, what), data, shape);
};

/** An array on the GPU. Its second parameter is the number of its axes, where TypeScript knows it. */
export class Tensor<D extends DType = 'f32', R extends number = number> extends ReducibleArray<D, R> {
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
    const dtype = data instanceof Uint32Array ? 'u32' : 'f32';
    const out = new Tensor<D>({ storage, shape, dtype, label, scope });
    out.holds(data);
    return out;
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
    for (const t of inputs) storage.flag(t.storage.flags);
    return new Tensor<D>({ storage, shape, dtype, label, scope });
  }

  /** Internal: uninitialised memory in the scope of this tensor. */
  empty(shape: readonly number[], label = this.label, dtype: DType = 'f32'): Tensor {
    return Tensor.result(this.gpu, shape, [this], label, dtype);
  }

  /** Internal: integers of the host, in the scope of this tensor. */
  ids(list: readonly number[]): Tensor<'u32'> {
    const { scope } = this;
    return Tensor.from<'u32'>(this.gpu, Uint32Array.from(list), [list.length], { label: 'indices', scope });
  }

  // ---- made of nothing ---------------------------------------------------------------------------------------

  /** Zeros. `place`: a model, a tensor or a device. `Tensor.zeros(x, x.shape)`: as many as another has. */
  static zeros(place: Place, shape: readonly number[]): Tensor {
    return Tensor.full(place, shape, 0);
  }
  /** Ones. */
  static ones(place: Place, shape: readonly number[]): Tensor {
    return Tensor.full(place, shape, 1);
  }
  /** A number everywhere. */
  static full(place: Place, shape: readonly number[], value: number): Tensor {
    const size = Array.isArray(shape) ? sizeOf(shape) : 0;
    return made(place, new Float32Array(size > 0 ? size : 0).fill(value), shape, 'full');
  }
  /** start, start + step, … below (or above) end; `arange(model, 5)`: 0 to 4. */
  static arange(place: Place, start: number, end?: number, step = 1): Tensor<'f32', 1> {
    const data = end === undefined ? arangeOf(0, start, step) : arangeOf(start, end, step);
    return made(place, data, [data.length], 'arange') as Tensor<'f32', 1>;
  }
  /** The identity, [rows, cols]; square by default. */
  static eye(place: Place, rows: number, cols = rows): Tensor<'f32', 2> {
    return made(place, eyeOf(rows, cols), [rows, cols], 'eye') as Tensor<'f32', 2>;
  }
  /** Numbers of the normal distribution, those of NumPy's `RandomState(seed).randn(...shape)`. */
  static randn(place: Place, shape: readonly number[], seed: number): Tensor {
    return made(place, normalOf(shape, seed), shape, 'randn');
  }
  /** Numbers from [low, high), [0, 1) by default: those of NumPy's `RandomState(seed).uniform(low, high, shape)`. */
  static rand(place: Place, shape: readonly number[], seed: number, low = 0, high = 1): Tensor {
    return made(place, uniformOf(shape, seed, low, high), shape, 'rand');
  }
  /** 1 at each id, 0 elsewhere: [..., n] of ids [...]. */
  static oneHot(place: Place, ids: Tensor<'u32'> | readonly number[], n: number): Tensor {
    const gpu = gpuOf(place, 'oneHot');
    if (!isTensor(ids) && !Array.isArray(ids))
      throw new Error(`oneHot: ${shownValue(ids)}: a list of ids or a tensor of them is needed`);
    const own = isTensor(ids)
      ? ids.alias(ids.scope)
      : Tensor.from<'u32'>(gpu, Uint32Array.from(ids), [ids.length]);
    const all = Tensor.from<'u32'>(
      gpu,
      Uint32Array.from({ length: n }, (_, i) => i),
      [n],
    );
    const each = own.reshape([...own.shape, 1]);
    const mask = each.eq(all as unknown as Tensor);
    const out = mask.to('f32');
    for (const t of [own, all, each, mask]) t.dispose();
    return out;
  }

  // ---- several tensors ---------------------------------------------------------------------------------------

  /** Tensors one after another along an axis (the first by default), by number or name; the other axes must agree. */
  static concat(tensors: readonly Tensor[], axis: Axis = 0): Tensor {
    return concatAlong(tensors, axis);
  }
  /** Tensors of one shape along a new axis, which may have a name. */
  static stack(tensors: readonly Tensor[], axis = 0, name: AxisName = null): Tensor {
    return stackAlong(tensors, axis, name);
  }
  /** `a` where the mask is not 0, else `b`, broadcast together; both may be numbers. */
  static where(mask: Operand, a: Operand, b: Operand): Tensor {
    return where(mask, a, b);
  }
  /**
   * A sum of products over the indices that are not in the result, by matrix products: `'bph,hd->bpd'`, or with words,
   * `'batch pos head, head d -> batch pos d'`. Of rows of unequal length, which have the axes of equal ones, too.
   * @throws when the pattern does not fit.
   */
  static einsum(pattern: string, ...tensors: readonly Tensor[]): Tensor {
    return einsum(pattern, tensors);
  }
  /**
   * Matrix product over the last two axes, [..., m, k] · [..., k, n], as NumPy's: the others broadcast, and a vector [k] stands
   * for one row or one column.
   */
  matmul(b: Tensor): Tensor {
    return matmul(this as unknown as Tensor, b);
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
  /**
   * A copy of the entries with these indices, in the order given: `take({ head: [0, 5, 7] })`, or of one axis, the first by
   * default, `take([0, 5, 7], -1)`. A tensor of ids [...] stands for the axis: of an embedding, `W_E.take(ids)` is [..., d_model].
   */
  take(
    lists: { readonly [axis: string]: readonly number[] } | readonly number[] | Tensor<'u32'>,
    axis: Axis = 0,
  ): Tensor<D> {
    return takePart(this as unknown as Tensor, lists, axis) as unknown as Tensor<D>;
  }
  /**
   * A copy with a part replaced. `index`: as in `slice`. `value`: a number, or a tensor that broadcasts to the part's shape;
   * where rows differ in length, to the part of each row, or with an entry for each row in front.
   */
  set(index: AnyIndex, value: Tensor<D> | number): Tensor<D, R> {
    return setPart(this as unknown as Tensor, index, value as Tensor | number) as unknown as Tensor<D, R>;
  }
  /**
   * Picks along an axis, the last by default. `indices`: a list (the same everywhere), or a u32 tensor with this tensor's other
   * axes (or 1 there). Where a tensor's index lies beyond the axis, the result is NaN.
   */
  gather(indices: readonly number[] | Tensor<'u32'>, axis: Axis = -1): Tensor<D> {
    return gatherAlong(this as unknown as Tensor, indices, axis) as unknown as Tensor<D>;
  }
  /**
   * A copy with entries put along an axis, the last by default: where `gather` by the same indices would pick them. Of several at
   * one place the last counts; with `add: true` all are added to what is there.
   */
  scatter(
    indices: readonly number[] | Tensor<'u32'>,
    source: Tensor | number,
    options: ScatterOptions = {},
  ): Tensor<D, R> {
    return scatterAlong(this as unknown as Tensor, indices, source, options) as unknown as Tensor<D, R>;
  }
  /**
   * The entries where a mask of the first axes is not 0, in order, [n, ...the other axes]. The mask is read back, to know how many
   * there are. @throws when there are none.
   */
  async select(mask: Tensor | Tensor<'u32'>): Promise<Tensor<D>> {
    return (await selectBy(this as unknown as Tensor, mask)) as unknown as Tensor<D>;
  }
  /** Copies of parts along an axis: of a length each (the last may be shorter), or of the lengths listed. */
  split(sizes: number | readonly number[], axis: Axis = 0): Tensor<D, R>[] {
    return splitAlong(this as unknown as Tensor, sizes, axis) as unknown as Tensor<D, R>[];
  }
  /** Several times along an axis: the whole, or with `each: true` every entry. */
  repeat(times: number, axis: Axis = 0, options: RepeatOptions = {}): Tensor<D, R> {
    return repeatAlong(this as unknown as Tensor, times, axis, options) as unknown as Tensor<D, R>;
  }
  /** The other way round along an axis. */
  flip(axis: Axis = 0): Tensor<D, R> {
    return flipAlong(this as unknown as Tensor, axis) as unknown as Tensor<D, R>;
  }
  /** Moved along an axis; what leaves it at one end comes in at the other. */
  roll(by: number, axis: Axis = 0): Tensor<D, R> {
    return rollAlong(this as unknown as Tensor, by, axis) as unknown as Tensor<D, R>;
  }
  /** The diagonal of the last two axes, [..., n]; `offset` above 0: to the right of it. */
  diagonal(offset = 0): Tensor {
    return diagonalOf(this as unknown as Tensor, offset);
  }
  /** With zeros to the right of the diagonal of the last two axes (of the one at `offset`). */
  tril(offset = 0): Tensor<'f32', R> {
    return triangleOf(this as unknown as Tensor, offset, false) as Tensor<'f32', R>;
  }
  /** With zeros to the left of the diagonal of the last two axes (of the one at `offset`). */
  triu(offset = 0): Tensor<'f32', R> {
    return triangleOf(this as unknown as Tensor, offset, true) as Tensor<'f32', R>;
  }

  // ---- inside ------------------------------------------------------------------------------------------------

  protected override make<E extends DType>(parts: Parts): Tensor<E> {
    return new Tensor<E>(parts);
  }
}

countedMethods(Tensor.prototype, {
  slice: ['index'],
  take: ['lists', 'axis'],
  set: ['index', 'value'],
  gather: ['indices', 'axis'],
  scatter: ['indices', 'source', 'options'],
  select: ['mask'],
  split: ['sizes', 'axis'],
  repeat: ['times', 'axis', 'options'],
  flip: ['axis'],
  roll: ['by', 'axis'],
  diagonal: ['offset'],
  tril: ['offset'],
  triu: ['offset'],
  ...Object.fromEntries(
    ['add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'gt', 'ge', 'lt', 'le', 'eq', 'ne'].map(
      (op) => [op, ['b']],
    ),
  ),
  ...Object.fromEntries(
    [
      'neg',
      'abs',
      'square',
      'sqrt',
      'rsqrt',
      'exp',
      'log',
      'log1p',
      'sign',
      'round',
      'floor',
      'ceil',
      'relu',
    ].map((op) => [op, []]),
  ),
  ...Object.fromEntries(['gelu', 'geluNew', 'silu', 'tanh', 'sigmoid', 'softplus'].map((op) => [op, []])),
  map: ['op'],
  clamp: ['low', 'high'],
  to: ['dtype'],
  matmul: ['b'],
  ...Object.fromEntries(
    ['sum', 'mean', 'max', 'min', 'prod', 'variance', 'std', 'norm', 'logSumExp'].map((op) => [
      op,
      ['axis', 'options'],
    ]),
  ),
  cumsum: ['axis'],
  softmax: ['axis'],
  logSoftmax: ['axis'],
  topk: ['k', 'options'],
  sort: ['options'],
  argmax: ['axis'],
  argmin: ['axis'],
  reshape: ['shape'],
  transpose: ['axes'],
  expand: ['shape'],
  withAxes: ['names'],
  data: [],
  toArray: ['rank'],
  show: [],
  item: [],
  clone: [],
});
