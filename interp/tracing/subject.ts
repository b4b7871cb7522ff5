/** Subjects of factual prompts, as ROME (Meng et al. 2022) finds them and names their tokens. */

import { is, signatures } from '../../hooks/input/check.js';
import { shownJson } from '../../weights/checks/messages.js';

/** What a token is to the subject. */
export const tokenRoleNames = [
  'First subject token',
  'Middle subject tokens',
  'Last subject token',
  'First subsequent token',
  'Further tokens',
  'Last token',
] as const;

const takes = signatures({
  guessSubject: { prompt: is.text },
  tokenRoles: { subject: is.range, length: is.count },
});

/**
 * The subject of a prompt, by ROME's rule: the first run of capitalised words that does not begin with `Who
 * `, `What `, `Where `, `When `, `Which ` or `Why `. Its first word goes up to the next blank, punctuation
 * included; further words are a capital with small letters and apostrophes.
 * @example guessSubject('Martha Stewart, the well-known') // 'Martha Stewart'
 * @throws when no word is capitalised.
 */
export const guessSubject = takes.guessSubject(function guessSubject(prompt: string): string {
  const found = /(?!Wh(?:o|at|ere|en|ich|y) )[A-Z]\S*(?:\s[A-Z][a-z']*)*/.exec(prompt);
  if (!found)
    throw new Error(
      `no capitalised word in ${shownJson(prompt)}: say what the subject is, as text or [start, end)`,
    );
  return found[0].trim();
});

/**
 * The positions of each role, in the order of `tokenRoleNames`, as ROME's averages take them: a subject of
 * one token is both its first and its last, a single token after the subject is the first subsequent and the
 * last. Tokens before the subject have no role.
 * @param subject the subject's tokens [start, end)
 * @param length tokens of the prompt
 */
export const tokenRoles = takes.tokenRoles(function tokenRoles(
  [start, end]: readonly [start: number, end: number],
  length: number,
): number[][] {
  if (!(0 <= start && start < end && end <= length))
    throw new Error(
      `subject [${start}, ${end}): a range within the ${length} tokens of the prompt is needed`,
    );
  const range = (from: number, to: number) =>
    Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
  const last = length - 1;
  return [
    [start],
    range(start + 1, end - 1),
    [end - 1],
    range(end, Math.min(end + 1, length)),
    range(end + 1, last),
    [last],
  ];
});
