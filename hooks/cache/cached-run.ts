/** Runs for logits and activations. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import { layerRange, type ModelInput, readInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import { owning } from '../input/owning.js';
import { type RunPlan, run, runToLogits, unreached } from '../run/run.js';
import { stopping } from '../run/stopping.js';
import type { ActivationCache, CacheModel } from './cache.js';
import { Capture } from './capture.js';
import { checkCaptureSize } from './capture-size.js';
import type { CachedRun, CacheOptions, RunOptions } from './run-options.js';

/** See `HookedTransformer.forward`. */
export async function forward(model: Model, input: ModelInput, options: RunOptions = {}): Promise<Tensor> {
  return runToLogits(model, planOf(model, readInput(model, input, options), options));
}

/** See `HookedTransformer.runWithCache`. */
export async function runWithCache(
  model: Model,
  input: ModelInput,
  { names, pos, maxBytes, ...options }: CacheOptions = {},
): Promise<CachedRun> {
  const rows = readInput(model, input, options);
  const plan = planOf(model, rows, options);
  checkCaptureSize(model, rows.inputs, plan.layers!, { names, pos, maxBytes }, 'runWithCache');
  const capture = new Capture(model, names, pos);
  try {
    const logits = await runToLogits(model, { ...plan, capture });
    const cache = capture.cache();
    const warnings = unreached(names, plan.layers!, model.points);
    const told = warnings.length ? { warnings } : {};
    return owning({ logits, cache, tokens: rows.tokens, ...told }, logits, cache);
  } catch (e) {
    capture.dispose();
    throw e;
  }
}

/** See `HookedTransformer.runWithResidual`. */
export async function runWithResidual(
  model: Model,
  input: ModelInput,
  options: Omit<CacheOptions, 'stopAtLayer'> = {},
): Promise<Omit<CachedRun, 'logits'>> {
  const { nLayers } = model.config;
  const { logits, ...run } = await runWithCache(model, input, { ...options, stopAtLayer: nLayers });
  logits.dispose();
  return owning(run, run.cache);
}

function planOf(
  { config }: Model,
  rows: ReturnType<typeof readInput>,
  { startAtLayer, stopAtLayer, hooks }: RunOptions,
): RunPlan {
  const layers = layerRange(config, startAtLayer, stopAtLayer, rows.residual !== null);
  return { inputs: rows.inputs, residual: rows.residual, layers, hooks };
}

/** The activations named, and what the unembedding reads of every position: [tokens, dModel]. Dispose of both. */
export async function runToFinal(
  model: CacheModel,
  inputs: readonly RowInput[],
  names: readonly string[],
  signal?: AbortSignal,
): Promise<{ cache: ActivationCache; final: Tensor }> {
  const capture = new Capture(model, names);
  try {
    const final = await run(model, { inputs, capture, hooks: stopping(model.gpu, signal) }, ({ x }) =>
      x.alias(),
    );
    return { cache: capture.cache(), final };
  } catch (e) {
    capture.dispose();
    throw e;
  }
}
