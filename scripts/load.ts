/** What the command line programs share of loading a model: its options, and a bar while it comes. */

import type { AdapterChoice } from '../engine/gpu/adapter.js';
import { HookedTransformer, type LoadOptions } from '../index.js';
import { modelName } from '../interp/results/text.js';
import { progress, UsageError } from './cli.js';

const ADAPTERS: readonly string[] = ['auto', 'hardware', 'software', 'opengles'] satisfies AdapterChoice[];

/** The value of `--adapter`. @throws UsageError when there is no such class of adapters. */
export function readAdapter(name = 'auto'): AdapterChoice {
  if (!ADAPTERS.includes(name))
    throw new UsageError(`--adapter ${name}: one of ${ADAPTERS.join(', ')} is needed`);
  return name as AdapterChoice;
}

/** Loads a model, with a bar on stderr. */
export async function loadModel(name: string, options: LoadOptions): Promise<HookedTransformer> {
  const bar = progress(`loading ${modelName(name)}`);
  const onProgress: LoadOptions['onProgress'] = ({ loaded, total }) => {
    if (loaded !== undefined && total) bar.update(loaded, total);
  };
  try {
    return await HookedTransformer.fromPretrained(name, { ...options, onProgress });
  } catch (e) {
    const { message } = e as Error;
    if (!/was not reached/.test(message)) throw e;
    const folder = 'a folder that has its config.json, tokenizer.json and model.safetensors';
    throw new Error(`${message}. Without a network, give --model ${folder}`, { cause: e });
  } finally {
    bar.end();
  }
}
