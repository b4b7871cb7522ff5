/** Values of interventions that lie in a run which is there, on the GPU. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { ActivationCache } from '../cache/cache.js';
import { elementOf } from '../run/view.js';
import type { Located } from './apply.js';
import type { Place } from './places.js';

/** Where a value is in an activation of a run. */
export function locateInRun(cache: ActivationCache, place: Place & { kind: 'run' }): Located {
  const tensor = cache.get(place.name);
  return { tensor, offset: elementOf(place.name, tensor, cache.layout, place), broadcast: false };
}

/**
 * The mean of an activation over the prompts of a run, or over all its positions. The caller disposes of it.
 */
export function meanOfRun(cache: ActivationCache, { name, over }: Place & { kind: 'mean' }): Tensor {
  const t = cache.get(name);
  const rows = over === 'all' ? cache.layout.rows.reduce((n, r) => n + r.length, 0) : cache.batch;
  const flat = t.reshape([-1, t.size / rows]);
  const mean = flat.mean(0);
  flat.dispose();
  return mean;
}

/** Where a value is in such a mean. */
export function locateInMean(
  mean: Tensor,
  cache: ActivationCache,
  { name, over, pos, head, start }: Place & { kind: 'mean' },
): Located {
  const at = { row: 0, pos, head, start };
  const offset = over === 'all' ? start : elementOf(name, cache.get(name), cache.layout, at);
  return { tensor: mean, offset, broadcast: false };
}

/** @throws when a cache that is a source lacks a hook point or a position. */
export function checkCached(place: Place & { kind: 'run' | 'mean' }, cache: ActivationCache): void {
  try {
    cache.get(place.name);
  } catch (e) {
    throw new Error(`source "${place.run}": ${(e as Error).message}`);
  }
  if (place.kind === 'mean' && place.over === 'all') return;
  const { position, length } = cache.layout.rows[place.kind === 'mean' ? 0 : place.row];
  if (place.pos < position || place.pos >= position + length)
    throw new Error(
      `source "${place.run}": the cache holds positions ${position}–${position + length - 1}, not ${place.pos}: keep it too (\`pos\` of runWithCache), or take another`,
    );
}
