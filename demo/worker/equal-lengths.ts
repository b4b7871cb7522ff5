/**
 * Help with a pair of prompts of unequal length: which words differ, and texts of equal length to choose
 * from.
 */

import type { HookedTransformer } from '../../hooks/transformer/model.js';
import type { PromptTexts } from './handlers/prompts.js';

/** A text that would make the two prompts equally long. */
export interface LengthHelp {
  readonly name: 'clean' | 'corrupted';
  readonly text: string;
  /** What it does to the prompt, in words. */
  readonly what: string;
}

/** Words that are put in, where the model has them as one token. */
const FILLERS = [' very', ' really', ' the', ' old', ' good', ' big', ' and', ' then', ','];
const MOST = 3;

/**
 * Texts of equal length, made by putting words into the shorter prompt or taking words out of the longer one.
 */
export function equalLengths(model: HookedTransformer, of: PromptTexts): LengthHelp[] {
  const tokens = (text: string) => model.toTokens(text, { prependBos: false })[0];
  const [clean, corrupted] = [tokens(of.clean), tokens(of.corrupted)];
  const [start, end] = common(clean, corrupted);
  const found: LengthHelp[] = [];
  const offer = (name: LengthHelp['name'], ids: readonly number[], what: string) => {
    const other = name === 'clean' ? of.corrupted : of.clean;
    const text = model.toString(ids);
    if (text === other || found.some((f) => f.name === name && f.text === text)) return;
    if (tokens(text).length === tokens(other).length) found.push({ name, text, what });
  };
  for (const [name, long, short] of [
    ['corrupted', corrupted, clean],
    ['clean', clean, corrupted],
  ] as const) {
    const extra = long.length - short.length;
    if (extra > 0) {
      const middle = long.slice(start, long.length - end);
      const gone = (ids: readonly number[]) => `leave out “${model.toString(ids).trim()}”`;
      // Words of the part that differs, from its front or its end; at least one stays.
      if (middle.length > extra) {
        offer(
          name,
          [...long.slice(0, start + middle.length - extra), ...long.slice(long.length - end)],
          gone(middle.slice(-extra)),
        );
        offer(name, [...long.slice(0, start), ...long.slice(start + extra)], gone(middle.slice(0, extra)));
      }
    } else if (extra < 0) {
      for (const filler of FILLERS) {
        const id = tokens(filler);
        if (id.length !== 1 || found.filter((f) => f.name === name).length) continue;
        const put = Array.from({ length: -extra }, () => id[0]);
        offer(
          name,
          [...long.slice(0, start), ...put, ...long.slice(start)],
          `put in “${model.toString(put).trim()}”`,
        );
      }
    }
  }
  return found.slice(0, MOST);
}

/** How many tokens two prompts share at their beginning, and at their end. */
function common(a: readonly number[], b: readonly number[]): [start: number, end: number] {
  const most = Math.min(a.length, b.length);
  let start = 0;
  while (start < most && a[start] === b[start]) start++;
  let end = 0;
  while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return [start, end];
}
