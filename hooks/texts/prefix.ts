/** Stored beginnings: the keys and values of a text, which rows of later runs continue. */

import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { extendPrefix, KvStore, type Prefix } from '../../engine/transformer/kv.js';
import { type InputOptions, needLanguageModel, readInput } from '../input/input.js';
import type { Runnable } from '../input/model.js';
import { type Holder, owning } from '../input/owning.js';
import { run } from '../run/run.js';

/** Options of `model.prefix`. */
export interface PrefixOptions extends InputOptions {
  /** Tokens that continuations may add to the same store. Default 0. */
  readonly room?: number;
}

/**
 * A stored beginning. Its memory belongs to the first one of a store: giving back one that continues it
 * changes nothing.
 */
export type StoredPrefix = Prefix & Holder;

/** See `HookedTransformer.prefix`. */
export async function storePrefix(
  model: Runnable & { tokenizer: Tokenizer | null },
  input: string | readonly number[],
  options: PrefixOptions,
): Promise<StoredPrefix> {
  const { config, gpu } = model;
  if (config.attentionDir === 'bidirectional') needLanguageModel(config, 'prefix');
  const { inputs, tokens } = readInput(model, input, options);
  const [own] = tokens;
  const before = options.prefix ?? null;
  const store = before?.store ?? new KvStore(gpu, config, own.length + (options.room ?? 0));
  try {
    const slots = store.take(own.length);
    const layers = { from: 0, to: config.nLayers };
    // How long the prompts will be that continue it is not known yet.
    const prompts = [{ length: config.nCtx, total: config.nCtx, open: true }];
    await run(model, { inputs: [{ ...inputs[0], slots }], layers, keepIn: store, prompts }, () => {});
    const madeBy = { weights: model.gpuWeights, edits: model.edits ?? null };
    return owning({ ...extendPrefix(before, store, own, slots), madeBy }, before ? null : store);
  } catch (e) {
    if (!before) store.dispose();
    throw e;
  }
}
