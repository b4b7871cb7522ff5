/**
 * Gradients at hook points. The gradient at a hook point is that of the metric with respect to the value that
 * leaves the point, hooks included. Each point is one of its own, as in TransformerLens: `hook_mlp_in` gets
 * what flows through the MLP, `hook_resid_mid` what goes around it besides.
 */

import type { ActivationCache } from '../cache/cache.js';
import type { ModelInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import { type Holder, owning } from '../input/owning.js';
import type { Differentiable } from '../metrics/measure.js';
import { type BackwardPassOptions, type TapedRunOptions, tapedRun } from '../metrics/taped-run.js';
import { hooksByName } from '../run/run.js';

/** Options of `runWithGrads`. */
export type GradientOptions = Omit<TapedRunOptions, 'watch' | 'before'> & BackwardPassOptions;

/** What `runWithGrads` gives. Dispose of it, or of `cache` and `grads`. */
export interface GradientRun extends Holder {
  /** What was differentiated: the metric's mean over prompts, or with `per: 'prompt'` their sum. */
  readonly value: number;
  /** The metric of each prompt; of a function of the logits just the one number. */
  readonly prompts: Float32Array;
  /** Activations, after all hooks. */
  readonly cache: ActivationCache;
  /** Gradients by the same names, in the same shapes. */
  readonly grads: ActivationCache;
  /** The tokens of each row. */
  readonly tokens: readonly (readonly number[])[];
  /** Bytes of GPU memory beyond what was held before: after the forward pass, and at the most. */
  readonly memory: { readonly kept: number; readonly peak: number };
}

/** See `HookedTransformer.runWithGrads`. */
export async function runWithGrads(
  model: Model,
  input: ModelInput,
  metric: Differentiable,
  { constant, gradHooks = [], ...options }: GradientOptions & Pick<TapedRunOptions, 'before'> = {},
): Promise<GradientRun> {
  const { gpu, points } = model;
  const held = gpu.memory().bytes;
  const endWatch = gpu.watchPeak();
  try {
    const watch = [...hooksByName(points, gradHooks, undefined, 'gradHooks').keys()];
    return await tapedRun(model, input, metric, { ...options, watch }, async ({ backward, ...run }) => {
      const kept = gpu.memory().bytes - held;
      const grads = await backward({ constant, gradHooks });
      return owning({ ...run, grads, memory: { kept, peak: endWatch() - held } }, run.cache, grads);
    });
  } finally {
    endWatch();
  }
}
