/** Runs that a sweep rests on: their kinds, and what is kept of them. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { ActivationCache } from '../cache/cache.js';
import type { Edit } from '../interventions/edits.js';
import type { ForkRun } from './fork-run.js';

/** A run of tokens, perhaps with interventions of its own. */
export interface TokenRun {
  readonly kind: 'tokens';
  readonly rows: readonly (readonly number[])[];
  edits: readonly Edit[];
}

/** Any run that values may come from. */
export type AnyRun = TokenRun | { readonly kind: 'cache'; readonly cache: ActivationCache } | ForkRun;

/** What a run kept. */
export interface Kept {
  readonly cache: ActivationCache;
  /** What the unembedding reads at the metric's positions: [reads, dModel]. */
  readonly final: Tensor | null;
  /** Tokens of each prompt that it took from the base run instead of running them. */
  readonly shared: readonly number[];
}
