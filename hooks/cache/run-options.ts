/** Options of runs, and what they may be. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { is, options, type Spec } from '../input/check.js';
import type { HookEntry } from '../input/hook.js';
import type { InputOptions } from '../input/input.js';
import type { NameFilter } from '../input/names.js';
import type { Holder } from '../input/owning.js';
import type { PosSlice } from '../run/positions.js';
import type { ActivationCache } from './cache.js';

/** Options of a run. */
export interface RunOptions extends InputOptions {
  /** First block to run (inclusive; negative counts from the end): the input is then a residual stream. */
  startAtLayer?: number;
  /** First block not to run: the residual stream is returned instead of logits. 0 = embeddings only. */
  stopAtLayer?: number;
  hooks?: readonly HookEntry[];
}

/** Options of `runWithCache`. */
export interface CacheOptions extends RunOptions {
  /** Which hook points to keep; all that always exist by default. Naming an on-demand point (`attn.hook_result`) makes it. */
  names?: NameFilter;
  /** Keep only these positions (the query axis of scores and pattern); a number keeps an axis of length 1. */
  pos?: PosSlice;
  /** Bytes that what is kept may have: more is refused before anything runs. Default 8 GiB. */
  maxBytes?: number;
}

/** What `runWithCache` gives. */
export interface CachedRun extends Holder {
  /** As `forward` gives them. */
  logits: Tensor;
  cache: ActivationCache;
  /** The tokens of each row, with the beginning-of-text token where it was prepended. */
  tokens: readonly (readonly number[])[];
  /** Where `names` is a list: what of it the run does not come by. Left out where there is nothing to say. */
  warnings?: readonly string[];
}

/** How an input is read. */
export const INPUT = { prependBos: is.boolean, prefix: is.prefix } satisfies Spec<InputOptions>;
/** Of a run. */
export const RUN = {
  ...INPUT,
  startAtLayer: is.integer,
  stopAtLayer: is.integer,
  hooks: is.hooks,
} satisfies Spec<RunOptions>;
/** Of `forward`. */
export const RUN_OPTIONS = options<RunOptions>(RUN);
/** Of `runWithCache`. */
export const CACHE_OPTIONS = options<CacheOptions>({
  ...RUN,
  names: is.names,
  pos: is.pos,
  maxBytes: is.positive,
});
