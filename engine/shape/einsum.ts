/**
 * Patterns of Einstein sums: `'bphd,hdm->bphm'`, or with words, `'batch pos head d_head, head d_head d_model
 * -> batch pos d_model'`.
 */

import { shown } from '../../weights/checks/shown.js';
import type { AxisName } from './axes.js';

/** Indices of each input, and of the result. */
export interface Einsum {
  readonly inputs: readonly (readonly string[])[];
  readonly output: readonly string[];
}

const ELLIPSIS = '...';

/**
 * Reads a pattern. Letters are an index each where no operand has blanks inside, else words are. `...` stands
 * for the axes in front that no index names. Without `->` the result has the indices that occur once, in
 * alphabetical order.
 * @param ranks how many axes each tensor has
 * @throws when the pattern does not fit the tensors.
 */
export function parseEinsum(pattern: string, ranks: readonly number[]): Einsum {
  const refuse = (why: string): never => {
    throw new Error(`einsum "${shown(String(pattern), 60)}": ${why}`);
  };
  if (typeof pattern !== 'string') refuse("a pattern is needed, as in 'ij,jk->ik'");
  const sides = pattern.split('->');
  if (sides.length > 2) refuse('more than one ->');
  const terms = sides[0].split(',').map((t) => t.trim());
  if (terms.length !== ranks.length) refuse(`${terms.length} terms for ${ranks.length} tensors`);
  const all = [...terms, ...(sides[1] === undefined ? [] : [sides[1].trim()])];
  const words = all.some((t) => /\s/.test(t));
  const read = (t: string): string[] => {
    const found = words ? t.split(/\s+/).filter((w) => w !== '') : (t.match(/\.\.\.|./gu) ?? []);
    const odd = found.find((w) => w !== ELLIPSIS && !/^[\p{L}_][\p{L}\p{N}_]*$/u.test(w));
    if (odd !== undefined) refuse(`"${shown(odd, 20)}" is no index: letters or words are`);
    if (found.filter((w) => w === ELLIPSIS).length > 1) refuse('... stands once in a term');
    return found;
  };
  const given = terms.map(read);
  const widths = given.map((term, i) => {
    const named = term.filter((w) => w !== ELLIPSIS).length;
    const free = ranks[i] - named;
    if (free < 0 || (free > 0 && !term.includes(ELLIPSIS)))
      refuse(`"${shown(terms[i], 40)}" names ${named} axes of a tensor with ${ranks[i]}`);
    return term.includes(ELLIPSIS) ? free : 0;
  });
  const most = Math.max(0, ...widths);
  const dots = (n: number) => Array.from({ length: n }, (_, i) => `...${most - n + i}`);
  const spell = (term: readonly string[], n: number) => term.flatMap((w) => (w === ELLIPSIS ? dots(n) : [w]));
  const inputs = given.map((term, i) => spell(term, widths[i]));
  const known = inputs.flat();
  const once = [...new Set(known)].filter(
    (w) => !w.startsWith(ELLIPSIS) && known.filter((x) => x === w).length === 1,
  );
  const output =
    sides[1] === undefined ? [...dots(most), ...once.sort()] : spell(read(sides[1].trim()), most);
  if (new Set(output).size < output.length) refuse('an index stands twice in the result');
  const odd = output.find((w) => !known.includes(w));
  if (odd !== undefined) refuse(`"${shown(odd, 20)}" of the result is in no tensor`);
  return { inputs, output };
}

/**
 * The names that the tensors give to the indices; where two are the same, or rows need one, the index is the
 * name.
 */
export function namesOfResult(
  output: readonly string[],
  names: ReadonlyMap<string, AxisName>,
  rows: boolean,
): AxisName[] {
  const given = output.map((i) => names.get(i) ?? null);
  return given.map((n, i) =>
    n !== null && given.indexOf(n) === given.lastIndexOf(n)
      ? n
      : rows || n !== null || output[i].length > 1
        ? output[i]
        : null,
  );
}
