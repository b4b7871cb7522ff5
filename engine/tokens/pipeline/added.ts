/**
 * Tokens that stand beside a tokenizer's model (`added_tokens`): found in the text first, whole, before it is
 * cut.
 */

import { list, quoted, record, text, tokenId } from '../file.js';
import type { Normalizer } from './normalizers.js';
import { SPACE } from './pattern.js';
import { type Match, pieceOf } from './piece.js';

/** An entry of `added_tokens`. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Found in the normalized text, with its own content normalized, instead of in the text as typed. */
  readonly normalized: boolean;
  readonly singleWord: boolean;
  /** Takes the blanks before it, or behind it, along. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** The added tokens of a file, checked. */
export const addedTokensOf = (value: unknown, what = 'added_tokens'): AddedToken[] =>
  list(value, what).map((entry, i) => {
    const where = `${what}, entry ${i}`;
    const json = record(entry, where);
    const content = text(json.content, `${where}, content,`);
    if (content === '') throw new Error(`tokenizer.json: ${where}, content is empty`);
    const special = json.special === true;
    return {
      id: tokenId(json.id, `${where} (${quoted(content, 30)}), id,`),
      content,
      special,
      normalized: typeof json.normalized === 'boolean' ? json.normalized : !special,
      singleWord: json.single_word === true,
      lstrip: json.lstrip === true,
      rstrip: json.rstrip === true,
    };
  });

const BLANKS_BEHIND = new RegExp(`^[${SPACE}]+`, 'u');
const BLANK = new RegExp(`^[${SPACE}]$`, 'u');
const WORD_FIRST = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const WORD_LAST = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;

/** A part of a text: an added token, or what lies between two. */
export interface Section {
  readonly range: Match;
  readonly token: AddedToken | null;
}

/** Finds added tokens in texts: of two at one place, the longer. */
export class AddedTokens {
  readonly #byFirst = new Map<string, [content: string, token: AddedToken][]>();

  constructor(tokens: readonly AddedToken[], normalizer: Normalizer | null) {
    for (const token of tokens) {
      const { content } = token;
      const sought = normalizer ? normalizer(pieceOf(content, false)).text : content;
      if (sought === '') continue;
      const same = this.#byFirst.get(sought[0]) ?? [];
      same.push([sought, token]);
      this.#byFirst.set(sought[0], same);
    }
    for (const same of this.#byFirst.values()) same.sort(([a], [b]) => b.length - a.length);
  }

  split(text: string): Section[] {
    const sections: Section[] = [];
    let done = 0;
    const upTo = (end: number) => {
      if (end > done) sections.push({ range: [done, end], token: null });
    };
    for (let at = 0; at < text.length; ) {
      const found = this.#byFirst.get(text[at])?.find(([content]) => text.startsWith(content, at));
      if (!found) {
        at++;
        continue;
      }
      const [content, token] = found;
      let [start, end] = [at, at + content.length];
      at = end;
      if (
        token.singleWord &&
        (WORD_LAST.test(text.slice(Math.max(0, start - 2), start)) ||
          WORD_FIRST.test(text.slice(end, end + 2)))
      )
        continue;
      if (token.lstrip) while (start > done && BLANK.test(text[start - 1])) start--;
      if (token.rstrip) end += BLANKS_BEHIND.exec(text.slice(end))?.[0].length ?? 0;
      upTo(start);
      sections.push({ range: [start, end], token });
      done = end;
      at = Math.max(at, end);
    }
    upTo(text.length);
    return sections;
  }
}
