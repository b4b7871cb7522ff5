/** Saving in Node: models and caches as safetensors files, which Python reads. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathOf, writeAtomically } from '../../weights/files/disk-node.js';
import { saveSafetensors } from '../../weights/node/files-node.js';
import type { ActivationCache } from '../cache/cache.js';
import { is, options, signatures } from '../input/check.js';
import type { HookedTransformer } from './model.js';

const SAVING = options<{ metadata?: Readonly<Record<string, string>> }>({ metadata: is.plainObject });

const takes = signatures({
  saveModel: { model: is.model, to: is.path, options: SAVING },
  saveCache: { cache: is.cache, path: is.path },
});

/**
 * Writes a folder that `fromPretrained('./folder')` and Python's `from_pretrained` load: `config.json`,
 * `model.safetensors`, and the tokenizer's files where the model has one. `metadata`: further texts for its
 * header.
 * @throws when the folder cannot be written; no half-written file is left.
 */
export const saveModel = takes.saveModel(async function saveModel(
  model: HookedTransformer,
  to: string | URL,
  { metadata: more = {} }: { metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const folder = pathOf(to);
  await model.settled;
  const { tensors, metadata, config } = model.checkpoint();
  await mkdir(folder, { recursive: true });
  for (const [name, json] of Object.entries({ 'config.json': config, ...model.tokenizerFiles })) {
    const text = new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`);
    await writeAtomically(join(folder, name), (write) => write(text));
  }
  await saveSafetensors(join(folder, 'model.safetensors'), tensors, { metadata: { ...metadata, ...more } });
});

/** Writes all activations of a cache to one safetensors file, under their full names. */
export const saveCache = takes.saveCache(async function saveCache(
  cache: ActivationCache,
  path: string | URL,
): Promise<void> {
  await saveSafetensors(pathOf(path), await cache.tensors(), { metadata: { model: cache.config.name } });
});
