/** Runs for logits and activations. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Batch, RowInput } from '../../engine/transformer/batch.js';
import { layerRange, type ModelInput, readInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import { owning } from '../input/owning.js';
import { keepPositions } from '../run/positions.js';
import { type RunPlan, run, runToLogits } from '../run/run.js';
import { stopping } from '../run/stopping.js';
import { ActivationCache, type CacheModel } from './cache.js';
import type { CachedRun, CacheOptions, RunOptions } from './run-options.js';

/** See `HookedTransformer.forward`. */
export async function forward(model: Model, input: ModelInput, options: RunOptions = {}): Promise<Tensor> {
  return runToLogits(model, planOf(model, readInput(model, input, options), options));
}

/** See `HookedTransformer.runWithCache`. */
export async function runWithCache(
  model: Model,
  input: ModelInput,
  { names, pos, ...options }: CacheOptions = {},
): Promise<CachedRun> {
  let cache: ActivationCache | null = null;
  const rows = readInput(model, input, options);
  const put = (name: string, t: Tensor, batch: Batch) => {
    const seen = { rows: batch.rows, equal: batch.equal, nHeads: model.config.nHeads };
    const kept = pos === undefined ? { t, seen } : keepPositions(name, t, seen, pos);
    cache ??= new ActivationCache(model, kept.seen);
    cache.put(name, kept.t);
  };
  try {
    const logits = await runToLogits(model, { ...planOf(model, rows, options), capture: { names, put } });
    return owning({ logits, cache: cache!, tokens: rows.tokens }, logits, cache);
  } catch (e) {
    (cache as ActivationCache | null)?.dispose();
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
  const { logits, cache, tokens } = await runWithCache(model, input, { ...options, stopAtLayer: nLayers });
  logits.dispose();
  return owning({ cache, tokens }, cache);
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
  let cache: ActivationCache | null = null;
  const put = (name: string, t: Tensor, { rows, equal }: Batch) => {
    cache ??= new ActivationCache(model, { rows, equal, nHeads: model.config.nHeads });
    cache.put(name, t);
  };
  try {
    const final = await run(
      model,
      { inputs, capture: { names, put }, hooks: stopping(model.gpu, signal) },
      ({ x }) => x.alias(),
    );
    return { cache: cache!, final };
  } catch (e) {
    (cache as ActivationCache | null)?.dispose();
    throw e;
  }
}
