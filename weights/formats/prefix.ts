/**
 * Where a model's tensors begin: behind `transformer.`, behind what a wrapper put before it (`module.`), or
 * nowhere.
 */

import { fileError, quoted } from '../checks/messages.js';
import type { TensorSource } from './tensors.js';

/**
 * What stands before a tensor that every model of a kind has, by the model nearest the top of the names.
 * @param anchors the tensor's possible names: `wpe.weight`
 * @returns `''`, `'transformer.'`, `'module.transformer.'`; null when there is no such tensor
 * @throws when two models lie equally deep: the error names both
 */
export function nearestPrefix(source: TensorSource, anchors: readonly string[]): string | null {
  let nearest: string[] = [];
  let depth = Number.POSITIVE_INFINITY;
  for (const name of source.names())
    for (const anchor of anchors) {
      const prefix = prefixOf(name, anchor);
      if (prefix === null || nearest.includes(prefix)) continue;
      const deep = prefix.split('.').length;
      if (deep < depth) nearest = [prefix];
      else if (deep === depth) nearest.push(prefix);
      depth = Math.min(depth, deep);
    }
  if (nearest.length < 2) return nearest[0] ?? null;
  const [a, b] = nearest.sort();
  throw fileError(
    source.name,
    `it holds two models, under ${quoted(a)} and ${quoted(b)}: save the one that is meant`,
  );
}

/**
 * What stands before `anchor` in a name: nothing, or something that ends in a dot; null where the name is
 * another.
 */
function prefixOf(name: string, anchor: string): string | null {
  if (!name.endsWith(anchor)) return null;
  const prefix = name.slice(0, -anchor.length);
  return prefix === '' || prefix.endsWith('.') ? prefix : null;
}

/**
 * The name of a tensor that lies beside a model or above it, such as its head `lm_head.weight`: under the
 * model's prefix, or under any beginning of it.
 * @returns null when there is none
 * @throws when there are two, or the only one lies elsewhere
 */
export function findBeside(source: TensorSource, prefix: string, key: string): string | null {
  const all = source.names().filter((name) => prefixOf(name, key) !== null);
  const beside = all.filter((name) => prefix.startsWith(prefixOf(name, key)!));
  if (beside.length === 1 || !all.length) return beside[0] ?? null;
  if (beside.length)
    throw fileError(
      source.name,
      `it holds two heads, ${quoted(beside[0])} and ${quoted(beside[1])}: save one`,
    );
  const where = prefix === '' ? 'the top' : quoted(prefix);
  throw fileError(
    source.file(all[0]),
    `tensor ${quoted(all[0])} is a head, but the model's other tensors are under ${where}: save them together`,
  );
}

/**
 * One more than the largest layer number in the names of tensors.
 * @param pattern finds the number, as its first group
 * @throws when a number is larger than the number of tensors: the file cannot hold so many layers
 */
export function countLayers(source: TensorSource, prefix: string, pattern: RegExp): number {
  const names = source.names();
  let layers = 0;
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const found = pattern.exec(name.slice(prefix.length));
    if (!found) continue;
    const layer = Number(found[1]);
    if (layer >= names.length)
      throw fileError(
        source.file(name),
        `tensor ${quoted(name)}: there cannot be so many layers, the file has ${names.length} tensors`,
      );
    layers = Math.max(layers, layer + 1);
  }
  return layers;
}
