/** Loading a model, and how it is. */

import type { MemoryReport } from '../../../engine/gpu/pool.js';
import { HookedTransformer } from '../../../hooks/transformer/model.js';
import type { LoadProgress } from '../../../weights/files/progress.js';
import { isShipped } from '../../../weights/hub/hub.js';
import type { Handler } from '../handler.js';

/** A model that is ready. */
export interface ModelInfo {
  readonly name: string;
  /** Of its weights, 16 hexadecimal digits. */
  readonly hash: string;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly dModel: number;
  readonly dMlp: number;
  readonly nCtx: number;
  readonly dVocab: number;
  readonly adapter: string;
  /** One short name for the adapter. */
  readonly device: string;
  readonly memory: MemoryReport;
  readonly hasTokenizer: boolean;
  /** The tokenizer itself prepends the beginning-of-text token, in Python. */
  readonly addsBos: boolean;
}

/** What to load. */
export interface LoadParams {
  /** A name that `fromPretrained` knows, or files by path. */
  readonly source: string | ReadonlyMap<string, Blob>;
  /** Keep weights on the host, too; GPT-2 large and XL would not fit twice. */
  readonly hostWeights: boolean;
  /** Of the weights on the GPU. */
  readonly dtype: 'f32' | 'f16' | 'q8' | 'q4';
}

/** Loads a model in place of the one that is there. */
export const load: Handler<LoadParams, ModelInfo, LoadProgress> = async (
  { source, hostWeights, dtype },
  { engine, signal, emit },
) => {
  // The shipped models are small; anything else gives its memory back before the next one takes as much.
  if (engine.current && !isShipped(engine.current.config.name)) engine.replace(null);
  const model = await HookedTransformer.fromPretrained(source, {
    hostWeights,
    // Without a choice, blocks of quantised files stay as they are.
    ...(dtype !== 'f32' && { dtype }),
    onProgress: emit,
    signal,
  });
  if (signal.aborted) {
    model.dispose();
    signal.throwIfAborted();
  }
  await engine.turn(async () => engine.replace(model));
  return describe(model);
};

function describe({ config, hash, gpu, tokenizer }: HookedTransformer): ModelInfo {
  const { name, nLayers, nHeads, dModel, dMlp, nCtx, dVocab } = config;
  return {
    ...{ name, hash, nLayers, nHeads, dModel, dMlp, nCtx, dVocab },
    adapter: gpu.adapter.text,
    device: gpu.adapter.name,
    memory: gpu.memory(),
    hasTokenizer: tokenizer !== null,
    addsBos: tokenizer?.addsBos ?? false,
  };
}

/** Memory of the GPU now. @throws when its device was lost. */
export const status: Handler<null, MemoryReport> = (_, { engine }) =>
  engine.turn(async () => {
    const { gpu } = engine.model;
    await gpu.finish();
    return gpu.memory();
  });

/** Gives the whole GPU device back; a model must be loaded again after it. */
export const release: Handler<null, null> = (_, { engine }) =>
  engine.turn(async () => {
    engine.model.gpu.destroy();
    return null;
  });
