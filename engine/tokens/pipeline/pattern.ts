/**
 * Patterns of tokenizer.json: a text, or a regular expression in Oniguruma's syntax, which Hugging Face's
 * `@huggingface/tokenizers` rewrites to JavaScript's. Character classes are Rust's: `\s` is Unicode's
 * White_Space, which holds U+0085 and not U+FEFF (JavaScript's is the other way round).
 */

import * as library from '@huggingface/tokenizers';
import { quoted, record } from '../file.js';
import type { Match } from './piece.js';
import { LinearRegExp, mayNeverEnd } from './regexp.js';

/** The library's class, of which only the rewriting of its expression is used; its types leave it out. */
const { SplitPreTokenizer } = library as unknown as {
  SplitPreTokenizer: new (json: object) => { pattern: RegExp };
};

/** Finds the matches of a pattern in a text, one after another, without overlap. */
export type Pattern = (text: string) => Match[];

/** Rust's `char::is_whitespace`, as the inside of a character class. */
export const SPACE = '\\p{White_Space}';

/** The matches of a JavaScript expression with the flags `gu`. */
export const matchesOf =
  (expression: RegExp | LinearRegExp): Pattern =>
  (text) => {
    const found: Match[] = [];
    for (const match of expression instanceof RegExp ? text.matchAll(expression) : expression.matchAll(text))
      found.push([match.index, match.index + match[0].length]);
    return found;
  };

/** A pattern as tokenizer.json writes it: `{ "String": " " }` or `{ "Regex": "\\s+" }`. */
export function patternOf(json: unknown, where: string): Pattern {
  const { String: text, Regex: regex } = record(json, where);
  if (typeof text === 'string')
    return text === '' ? () => [] : matchesOf(new RegExp(text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'), 'gu'));
  if (typeof regex !== 'string')
    throw new Error(
      `tokenizer.json: ${where} is ${quoted(json)}; it must be { "String": … } or { "Regex": … }`,
    );
  return matchesOf(compile(regex, where));
}

function compile(regex: string, where: string): RegExp | LinearRegExp {
  try {
    const { pattern } = new SplitPreTokenizer({ type: 'Split', pattern: { Regex: regex }, invert: false });
    return mayNeverEnd(pattern.source) ? new LinearRegExp(pattern.source) : pattern;
  } catch (e) {
    // Engines repeat the expression before they say what is wrong with it.
    const why = (e as Error).message.split(': ').at(-1)!.slice(0, 80);
    throw new Error(`tokenizer.json: ${where}, the expression ${quoted(regex)} cannot be used: ${why}`);
  }
}
