/** Checkpoints that are split over several files, by the index that names the file of each tensor. */

import { fileError, quoted, shownJson } from '../checks/messages.js';
import { isSafePath } from '../checks/paths.js';
import { duplicateKey, parseJson } from '../checks/text.js';
import { type FileSource, type RandomAccess, readText } from '../files/files.js';
import { openSafetensors } from './safetensors.js';
import type { TensorSource } from './tensors.js';
import { openTorch } from './torch/torch.js';

/**
 * Open a checkpoint by its `model.safetensors.index.json` or `pytorch_model.bin.index.json`.
 * Tensors of its shards that the index does not name are there too.
 * @throws when the index is malformed, a shard is missing, a shard lacks a tensor that the index promises, or
 * two hold one that
 *   it does not name.
 */
export async function openSharded(folder: FileSource, index: RandomAccess): Promise<TensorSource> {
  const text = await readText(index);
  const map = (parseJson(text, index.name) as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw fileError(index.name, 'no "weight_map" object; not an index of shards');
  const twice = duplicateKey(text, 2);
  if (twice !== undefined) throw fileError(index.name, `tensor ${quoted(twice)} is there twice`);
  const places = new Map<string, string>();
  const shards = new Map<string, TensorSource>();
  for (const [tensor, path] of Object.entries(map)) {
    if (!isSafePath(path) || !/^[\w.-]+\.(safetensors|bin)$/.test(path))
      throw fileError(
        index.name,
        `tensor ${quoted(tensor)}: ${shownJson(path)} is not the name of a .safetensors or .bin file`,
      );
    places.set(tensor, path);
    if (shards.has(path)) continue;
    const file = await folder.open(path);
    if (!file)
      throw fileError(folder.name, `shard ${quoted(path)} is missing (the index ${index.name} names it)`);
    shards.set(path, path.endsWith('.bin') ? await openTorch(file) : await openSafetensors(file));
  }
  const named = new Set(places.keys());
  // What the index does not name counts too: it may be a head, without which the embedding would be used.
  for (const [path, shard] of shards)
    for (const tensor of shard.names()) {
      const other = places.get(tensor) ?? path;
      if (other !== path && !named.has(tensor))
        throw fileError(
          index.name,
          `tensor ${quoted(tensor)} is in ${other} and in ${path}, and the index names neither`,
        );
      places.set(tensor, other);
    }
  const shardOf = (name: string) => shards.get(places.get(name) ?? '');
  for (const tensor of named)
    if (!shardOf(tensor)!.shape(tensor))
      throw fileError(shardOf(tensor)!.name, `no tensor ${quoted(tensor)}, which ${index.name} says is here`);
  return {
    name: index.name,
    names: () => [...places.keys()],
    shape: (name) => shardOf(name)?.shape(name),
    file: (name) => shardOf(name)?.name ?? index.name,
    async read(name) {
      const shard = shardOf(name);
      if (!shard) throw fileError(index.name, `no tensor ${quoted(name)}`);
      return shard.read(name);
    },
  };
}
