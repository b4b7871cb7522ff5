/** The cache of models on this machine, to look into and to tidy up (Node). */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoots } from '../../engine/gpu/swiftshader-node.js';
import { hubCacheDir } from '../../weights/hub/cache-node.js';
import {
  type CachedModel,
  cachedModels,
  filesUnder,
  findCached,
  type RemovedModel,
  removeCachedModel,
} from '../../weights/hub/cached-models-node.js';
import { is, options, type Spec, signatures } from '../input/check.js';

/** Options of `listCache` and `removeFromCache`. */
export interface CacheFolderOptions {
  /**
   * The cache folder. Default as in Python's huggingface_hub: `$HF_HUB_CACHE`, …, `~/.cache/huggingface/hub`.
   */
  cacheDir?: string;
}

/** A folder that Glassbox unpacked out of an npm package; it is made again when it is needed. */
export interface UnpackedFolder {
  readonly folder: string;
  readonly bytes: number;
}

/** What `listCache` gives. */
export interface ModelCache {
  readonly folder: string;
  /** Of all programs that use the Hub's cache; the one used last comes first. */
  readonly models: readonly CachedModel[];
  /** Glassbox's own: SwiftShader, and in a clone the Chromium of the tests. */
  readonly unpacked: readonly UnpackedFolder[];
}

const OPTIONS = options<CacheFolderOptions>({ cacheDir: is.path } satisfies Spec<CacheFolderOptions>);
const takes = signatures({
  listCache: { options: OPTIONS },
  removeFromCache: { name: is.text, options: OPTIONS },
});

/**
 * The models in the Hub's cache, with revisions, size on disk and last use, and what Glassbox itself
 * unpacked. Data sets and spaces are not listed.
 * @example for (const { name, bytes, lastUsed } of (await listCache()).models) console.log(name, bytes,
 * lastUsed)
 */
export const listCache = takes.listCache(async function listCache({
  cacheDir,
}: CacheFolderOptions = {}): Promise<ModelCache> {
  const unpacked: UnpackedFolder[] = [];
  for (const root of cacheRoots())
    for (const name of statSync(root, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(root) : []) {
      const folder = join(root, name);
      const files = statSync(folder, { throwIfNoEntry: false })?.isDirectory() && (await filesUnder(folder));
      if (files) unpacked.push({ folder, bytes: files.reduce((n, f) => n + f.bytes, 0) });
    }
  return { folder: hubCacheDir(cacheDir), models: await cachedModels(cacheDir), unpacked };
});

/**
 * Takes a model out of the Hub's cache, with all its revisions, and says how many bytes that freed. Python's
 * programs lose it too: the cache is theirs as well.
 * @param name `owner/name`, or a short name: `gpt2`
 * @throws when the cache has no such model, and while somebody downloads it.
 */
export const removeFromCache = takes.removeFromCache(async function removeFromCache(
  name: string,
  { cacheDir }: CacheFolderOptions = {},
): Promise<RemovedModel> {
  return removeCachedModel(findCached(await cachedModels(cacheDir), name));
});
