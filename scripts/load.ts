/** What the command line programs share of loading a model: its options, and a bar while it comes. */

import { ADAPTER_WORDS, type AdapterChoice, readChoice } from '../engine/gpu/adapter.js';
import { HookedTransformer, type LoadOptions } from '../index.js';
import { modelName } from '../interp/results/text.js';
import { printable } from '../weights/checks/shown.js';
import { progress, UsageError } from './cli.js';

/** The value of `--adapter`: a word, an index or a part of a name. @throws UsageError when it is empty. */
export function readAdapter(name = 'auto'): AdapterChoice {
  if (!name.trim())
    throw new UsageError(`--adapter: ${ADAPTER_WORDS.join(', ')}, an index or a part of a name is needed`);
  return readChoice(name);
}

/** Loads a model, with a bar on stderr, and a line there for each warning. */
export async function loadModel(name: string, options: LoadOptions): Promise<HookedTransformer> {
  const bar = progress(`loading ${modelName(name)}`);
  const warnings: string[] = [];
  const onProgress: LoadOptions['onProgress'] = ({ status, message, loaded, total }) => {
    if (status === 'warning' && message) warnings.push(message);
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
    for (const warning of warnings) process.stderr.write(`${printable(`warning: ${warning}`)}\n`);
  }
}
