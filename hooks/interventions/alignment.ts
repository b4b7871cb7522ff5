/**
 * Which positions of two prompts correspond. Prompts of unequal length have no common positions; an alignment
 * says which position of the source goes with which of the run that is changed. The others have no partner:
 * nothing is put in there.
 */

import { isList, shownValue } from '../../weights/checks/kinds.js';
import { shown } from '../../weights/checks/shown.js';

/** A position of the prompt that values come from, and that of the prompt that is changed. */
export type PositionPair = readonly [from: number, to: number];

/**
 * `'diff'`: the longest common subsequence of tokens, and the last position with the last. Or pairs of
 * positions, negative ones from the end; for several prompts a list of pairs each.
 */
export type Align = 'diff' | readonly PositionPair[] | readonly (readonly PositionPair[])[];

/** Of each position of a changed prompt the position of its partner, −1 where it has none. */
export type Partners = readonly (readonly number[])[];

/**
 * The partners of all positions.
 * @param what names the two in messages: `clean` and `corrupted`
 * @throws when it is no alignment: a position that a prompt does not have, one that is there twice, no pairs
 * at all.
 */
export function partnersOf(
  align: Align,
  from: readonly (readonly number[])[],
  to: readonly (readonly number[])[],
  what: readonly [from: string, to: string] = ['source', 'base'],
): Partners {
  if (from.length !== to.length)
    throw new Error(
      `align: ${from.length} ${what[0]} prompts and ${to.length} ${what[1]} ones: pairs are needed`,
    );
  if (align === 'diff') return to.map((row, i) => diff(from[i], row));
  if (!isList(align) || !align.length)
    throw new Error(
      `align is ${shownValue(align)}: 'diff', or a list of [${what.join(', ')}] positions is needed`,
    );
  const one = isPair(align[0]);
  const lists = (one ? [align] : align) as readonly (readonly PositionPair[])[];
  if (lists.length !== to.length)
    throw new Error(
      one
        ? `align: one list of pairs, and there are ${to.length} prompts: give a list for each, or 'diff'`
        : `align: ${lists.length} lists of pairs for ${to.length} prompts`,
    );
  return to.map((row, i) => {
    const name = lists.length > 1 ? `align[${i}]` : 'align';
    return partnersIn(lists[i], from[i].length, row.length, name, what);
  });
}

const isPair = (x: unknown): x is PositionPair =>
  isList(x) && x.length === 2 && typeof x[0] === 'number' && typeof x[1] === 'number';

function partnersIn(
  pairs: readonly PositionPair[],
  fromLength: number,
  toLength: number,
  name: string,
  what: readonly [string, string],
): number[] {
  if (!isList(pairs) || !pairs.length)
    throw new Error(`${name} is ${shownValue(pairs)}: a list of pairs [${what.join(', ')}] is needed`);
  const partners: number[] = Array(toLength).fill(-1);
  const taken = new Set<number>();
  const position = (i: number, length: number, whose: string) => {
    const at = i < 0 ? i + length : i;
    if (!Number.isInteger(i) || at < 0 || at >= length)
      throw new Error(
        `${name}: position ${shown(i, 20)}: the ${whose} prompt has ${length} (0–${length - 1})`,
      );
    return at;
  };
  for (const pair of pairs) {
    if (!isPair(pair))
      throw new Error(`${name} has ${shownValue(pair)}: pairs [${what.join(', ')}] of positions are needed`);
    const [f, t] = [position(pair[0], fromLength, what[0]), position(pair[1], toLength, what[1])];
    if (taken.has(f)) throw new Error(`${name}: position ${f} of the ${what[0]} prompt is there twice`);
    if (partners[t] >= 0) throw new Error(`${name}: position ${t} of the ${what[1]} prompt is there twice`);
    taken.add(f);
    partners[t] = f;
  }
  return partners;
}

/**
 * The longest common subsequence, of several the one that matches earliest in `to`; the last position goes
 * with the last.
 */
function diff(from: readonly number[], to: readonly number[]): number[] {
  const [n, m] = [from.length - 1, to.length - 1];
  const width = m + 1;
  const best = new Uint32Array((n + 1) * width); // of what follows i and j
  for (let i = n - 1; i >= 0; i--)
    for (let j = m - 1; j >= 0; j--)
      best[i * width + j] =
        from[i] === to[j]
          ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
  const partners: number[] = Array(to.length).fill(-1);
  for (let i = 0, j = 0; i < n && j < m; )
    if (from[i] === to[j]) partners[j++] = i++;
    else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++;
    else j++;
  partners[m] = n;
  return partners;
}
