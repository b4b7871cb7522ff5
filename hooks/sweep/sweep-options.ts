/** Options of sweeps, and what they may be. */

import { is, needed, options, type Spec } from '../input/check.js';
import type { RecordStore } from './record.js';

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
  /** Asked whenever more is to run: counterfactuals with smaller numbers come first. Default: as it is fastest. */
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
