/** What a hook is: a function that is called with an activation of a run. */

import type { NestedNumbers } from '../../engine/numbers.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Row } from '../../engine/transformer/batch.js';
import type { NameFilter } from './names.js';

/** What a hook is told besides the activation. */
export interface HookContext {
  /** Full name of the hook point. */
  readonly name: string;
  /** Layer, or null outside the blocks. */
  readonly layer: number | null;
  /** The rows of the batch: where each starts in a ragged activation, its length and first position. */
  readonly rows: readonly Row[];
  /**
   * Uploads numbers; without a shape, that of their lists. The tensor is freed with the others of the hook;
   * `model.tensor` makes one that you dispose of.
   */
  tensor(data: NestedNumbers, shape?: readonly number[]): Tensor;
  /**
   * Row i of the activation, [1, pos, ...] or [1, head, query, key], whether the rows are equal or ragged.
   */
  row(t: Tensor, i: number): Tensor;
  /** A copy of the activation with row i replaced. */
  setRow(t: Tensor, i: number, value: Tensor): Tensor;
}

/**
 * Called with an activation, synchronously or not. A tensor of the same shape replaces it; nothing leaves it
 * as it is. Tensors made inside a hook are freed when it returns, unless `keep()` is called on them. A hook
 * that makes a tensor of the activation's shape and neither reads, keeps nor returns it is an error:
 * operations change nothing in place.
 */
export type Hook = (activation: Tensor, hook: HookContext) => HookResult | Promise<HookResult>;

/** What a hook returns. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook that only looks returns nothing
type HookResult = Tensor | void;

/** A hook and the points it is called at. */
export type HookEntry = readonly [points: NameFilter, hook: Hook];
