/**
 * Maps with one column a head, where heads share keys and values: heads that read the same key or value have
 * the same number for it, that of the shared one.
 */

import type { Model } from '../../hooks/input/model.js';
import { pointIn } from '../../hooks/input/names.js';

/**
 * How many heads read one head of a hook point of every block: 1, but for keys and values that are shared.
 */
export function readersOf({ config, points }: Pick<Model, 'config' | 'points'>, at: string): number {
  return pointIn(at, 0, points).row.keyValue ? config.nHeads / config.nKeyValueHeads : 1;
}

/** Each run of `inner` entries, of one head, as often as there are heads that read it. */
export function forReaders<T>(list: ArrayLike<T>, readers: number, inner = 1): T[] {
  const all = Array.from(list);
  if (readers === 1) return all;
  return Array.from({ length: all.length / inner }, (_, i) => all.slice(i * inner, (i + 1) * inner)).flatMap(
    (run) => Array.from({ length: readers }, () => run).flat(),
  );
}
