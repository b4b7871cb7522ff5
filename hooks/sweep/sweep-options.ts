/** Options of sweeps, and what they may be. */

import { is, needed, options, type Spec } from '../input/check.js';
import type { Counterfactual } from '../interventions/interventions.js';
import type { Metric } from '../run/metric.js';
import type { RecordStore } from './record/record.js';

/** Options of a sweep. */
export interface SweepOptions {
  /** So much of the work (token-layers) is done. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** Cells are kept here as they come, and cells that are already there are not run again. */
  readonly record?: RecordStore;
  /** Runs only cells i with i mod `of` = `index`: one of several machines. */
  readonly shard?: { readonly index: number; readonly of: number };
  /** Tokens that run at once. Default: what fits the adapter; on a CPU 1024. */
  readonly maxTokens?: number;
  /**
   * Asked whenever more is to run: counterfactuals with smaller numbers come first. Default: as it is
   * fastest.
   */
  readonly rank?: (index: number) => number;
}

/** What they may be. */
export const SWEEP = {
  onProgress: is.callback,
  signal: is.signal,
  record: is.record,
  shard: options<NonNullable<SweepOptions['shard']>>({ index: needed(is.whole), of: needed(is.count) }),
  maxTokens: is.count,
  rank: is.callback,
} satisfies Spec<SweepOptions>;

/** @throws when the list, the metric or an option of a sweep cannot be. */
export function checkOptions(
  list: readonly Counterfactual[],
  metric: Metric,
  { shard, maxTokens }: SweepOptions,
): void {
  if (!Array.isArray(list) || !list.length)
    throw new Error(
      `counterfactuals: ${Array.isArray(list) ? 'the list is empty' : `the list is ${typeof list}`}: [[{ at, pos, set }], …] is needed, each entry a list of interventions`,
    );
  if (typeof metric?.prepare !== 'function')
    throw new Error('metric: one like logitDiff(" Mary", " John") is needed');
  if (
    shard &&
    !(
      Number.isInteger(shard.of) &&
      Number.isInteger(shard.index) &&
      shard.index >= 0 &&
      shard.index < shard.of
    )
  )
    throw new Error(`shard ${shard.index} of ${shard.of}: the index counts from 0 to ${shard.of - 1}`);
  if (maxTokens !== undefined && !(maxTokens >= 1))
    throw new Error(`maxTokens ${maxTokens}: a positive number is needed`);
}
