/** The methods of tensors that go along axes: reductions, running sums, softmax, orders. */

import type { Axis } from './along.js';
import type { DType } from './array.js';
import { ElementwiseArray, elementwise } from './elementwise.js';
import {
  argmaxAxis,
  argminAxis,
  type Ordered,
  type SortOptions,
  sortAxis,
  type TopkOptions,
  topkAxis,
} from './order.js';
import {
  type AxisList,
  cumsumAxis,
  logSoftmax,
  logSumExp,
  type NormOptions,
  normOf,
  type ReduceOptions,
  reduceAxis,
  type SpreadOptions,
  softmaxAxis,
  spread,
} from './reductions.js';
import type { Tensor } from './tensor.js';

/** Tensors with what goes along axes. Of integers the results are numbers. */
export abstract class ReducibleArray<
  D extends DType = 'f32',
  R extends number = number,
> extends ElementwiseArray<D, R> {
  // ---- over axes: one by number or name, several, or everything (shape [])
  // -------------------------------------

  /** Sum. */
  sum(axis?: AxisList, options?: ReduceOptions): Tensor {
    return reduceAxis(this.#floats, 'sum', axis, options);
  }
  /** Mean. */
  mean(axis?: AxisList, options?: ReduceOptions): Tensor {
    return reduceAxis(this.#floats, 'mean', axis, options);
  }
  /** Largest; NaN where there is one. Of equal ones the first has the gradient. */
  max(axis?: AxisList, options?: ReduceOptions): Tensor {
    return reduceAxis(this.#floats, 'max', axis, options);
  }
  /** Smallest; NaN where there is one. Of equal ones the first has the gradient. */
  min(axis?: AxisList, options?: ReduceOptions): Tensor {
    return reduceAxis(this.#floats, 'min', axis, options);
  }
  /** Product. */
  prod(axis?: AxisList, options?: ReduceOptions): Tensor {
    return reduceAxis(this.#floats, 'prod', axis, options);
  }
  /** Variance: Σ (x − mean)² / (n − correction), with `correction` 1 by default, as PyTorch's. */
  variance(axis?: AxisList, options: SpreadOptions = {}): Tensor {
    return spread(this.#floats, 'variance', axis, options);
  }
  /** Standard deviation, the root of `variance`; where it is 0, its gradient is 0. */
  std(axis?: AxisList, options: SpreadOptions = {}): Tensor {
    return spread(this.#floats, 'std', axis, options);
  }
  /** Length √Σx², or of another `order`: 1, Σ|x|, or Infinity, the largest |x|. At 0 its gradient is 0. */
  norm(axis?: AxisList, options: NormOptions = {}): Tensor {
    return normOf(this.#floats, axis, options);
  }
  /** ln Σ e^x; it cannot overflow. */
  logSumExp(axis?: AxisList, options: ReduceOptions = {}): Tensor {
    return logSumExp(this.#floats, axis, options);
  }
  /** Running sums along an axis, the last by default. */
  cumsum(axis: Axis = -1): Tensor<'f32', R> {
    return cumsumAxis(this.#floats, axis) as Tensor<'f32', R>;
  }
  /** Softmax over one axis, by number or name (the last by default); it cannot overflow. */
  softmax(axis: Axis = -1): Tensor<'f32', R> {
    return softmaxAxis(this.#floats, axis) as Tensor<'f32', R>;
  }
  /** The logarithm of the softmax, exact where that is 0. */
  logSoftmax(axis: Axis = -1): Tensor<'f32', R> {
    return logSoftmax(this.#floats, axis) as Tensor<'f32', R>;
  }
  /**
   * The k largest along an axis (the last by default), descending, ties by lower index: { values, indices },
   * with k entries along that axis. `largest: false`: the smallest, ascending. NaN counts as larger than
   * every number.
   */
  topk(k: number, options: Axis | TopkOptions = {}): Ordered<R> {
    return topkAxis(this.#floats, k, options) as Ordered<R>;
  }
  /**
   * All along an axis (the last by default), ascending or `descending: true`, ties by lower index. NaN counts
   * as the largest.
   */
  sort(options: Axis | SortOptions = {}): Ordered<R> {
    return sortAxis(this.#floats, options) as Ordered<R>;
  }
  /**
   * Index of the largest along an axis, by number or name (the last by default), which is dropped. NaN counts
   * as the largest.
   */
  argmax(axis: Axis = -1): Tensor<'u32'> {
    return argmaxAxis(this.#floats, axis);
  }
  /**
   * Index of the smallest along an axis, by number or name (the last by default), which is dropped. NaN
   * counts as the smallest.
   */
  argmin(axis: Axis = -1): Tensor<'u32'> {
    return argminAxis(this.#floats, axis);
  }

  /** Itself, of integers the numbers. */
  get #floats(): Tensor {
    const self = this as unknown as Tensor;
    return (this.dtype as DType) === 'f32' ? self : elementwise('float', [self]);
  }
}
