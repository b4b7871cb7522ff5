/** Up to which position two prompts, run with their edits, are the same run. */

import { Tensor } from '../../engine/tensor/tensor.js';
import type { Edit } from '../interventions/edits.js';
import type { HostNumbers } from '../interventions/places.js';

/** A prompt, and what changes its run. */
export interface EditedPrompt {
  readonly tokens: readonly number[];
  readonly edits: readonly Edit[];
}

/**
 * The first position at which tokens or edits of two prompts differ; at most the length of the shorter one.
 */
export function firstDifference(a: EditedPrompt, b: EditedPrompt): number {
  const length = Math.min(a.tokens.length, b.tokens.length);
  let same = 0;
  while (same < length && a.tokens[same] === b.tokens[same]) same++;
  if (!same || (!a.edits.length && !b.edits.length)) return same;
  const [mine, others] = [byPosition(a.edits), byPosition(b.edits)];
  for (let p = 0; p < same; p++) if (mine.get(p)?.join() !== others.get(p)?.join()) return p;
  return same;
}

function byPosition(edits: readonly Edit[]): Map<number, string[]> {
  const found = new Map<number, string[]>();
  for (const edit of edits) {
    const list = found.get(edit.pos);
    if (list) list.push(keyOf(edit));
    else found.set(edit.pos, [keyOf(edit)]);
  }
  return found;
}

function keyOf({ point, head, start, width, keep, add, projectOut, place }: Edit): string {
  const value =
    place === null
      ? ''
      : place.kind === 'host'
        ? `${idOf(place.numbers)}+${place.offset}${place.broadcast}`
        : `${JSON.stringify(place)}`;
  return [point.order, head, start, width, keep, add, projectOut, value].join(':');
}

const ids = new WeakMap<object, number>();
let next = 0;

/** Numbers that lie in one tensor are the same numbers. */
function idOf(numbers: HostNumbers): number {
  const key = numbers.data instanceof Tensor ? numbers.data : numbers;
  let id = ids.get(key);
  if (id === undefined) ids.set(key, (id = next++));
  return id;
}
