/** A run without gradients: a metric of it, and some of its activations. */

import type { ActivationCache } from '../cache/cache.js';
import { Capture } from '../cache/capture.js';
import { type ModelInput, readInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import type { Metric } from '../run/metric.js';
import { run } from '../run/run.js';
import { measure } from './measure.js';

/** What `measuredRun` gives; the caller disposes of `cache`. */
export interface MeasuredRun {
  /** The mean over prompts, or with `per: 'prompt'` their sum. */
  readonly value: number;
  readonly prompts: Float32Array;
  /** Null where no names were given. */
  readonly cache: ActivationCache | null;
}

/**
 * Runs prompts, keeps the activations `names`, and evaluates a metric.
 * @param sources other prompts that the metric compares with: `kl('clean')`
 */
export async function measuredRun(
  model: Model,
  tokens: readonly (readonly number[])[],
  metric: Metric,
  names: readonly string[],
  sources: Readonly<Record<string, ModelInput>> = {},
): Promise<MeasuredRun> {
  const { inputs } = readInput(model, tokens as number[][]);
  const capture = new Capture(model, names);
  try {
    const plan = names.length ? { inputs, capture } : { inputs };
    const { value, prompts } = await run(model, plan, (ended, scope) =>
      measure(model, metric, ended, scope, { tokens, watchLogits: null, sources, inputOptions: {} }),
    );
    return { value, prompts, cache: names.length ? capture.cache() : null };
  } catch (e) {
    capture.dispose();
    throw e;
  }
}
