/** Texts of any length to token ids, a piece at a time, with the ids that the whole text would have. */

import type { Tokenizer } from '../../engine/tokens/tokenizer.js';

/** A text, or its pieces one after another, as a file is read. */
export type TextStream = string | Iterable<string> | AsyncIterable<string>;

/** Characters that are tokenized at once, about. */
const PIECE = 2 ** 16;
/** Characters without a place to cut, after which the text is cut anywhere: the tokens there may differ. */
const LONGEST = 2 ** 20;
/** Characters on each side of a cut that are tokenized to see whether it changes anything. */
const AROUND = 64;
/**
 * Where GPT-2's rule for words always begins a new one: before a blank, and between a word and a punctuation
 * mark.
 */
const SEAM = /\S(?=\s)|[\p{L}\p{N}](?=[^\s\p{L}\p{N}])/gu;

/** A part of a text. */
export interface EncodedPiece {
  readonly tokens: readonly number[];
  /** UTF-16 characters that they stand for. */
  readonly characters: number;
}

/**
 * Token ids of a text in lists of bounded length. Pieces may end anywhere, within a word or between the
 * halves of a surrogate pair: they are joined, and cut where the tokenizer begins a new word anyway, which is
 * tried for every cut.
 */
export async function* encodeStream(tokenizer: Tokenizer, text: TextStream): AsyncGenerator<EncodedPiece> {
  let buffer = '';
  const encoded = (part: string): EncodedPiece => ({
    tokens: tokenizer.encode(part),
    characters: part.length,
  });
  for await (const piece of typeof text === 'string' ? inPieces(text) : text) {
    if (typeof piece !== 'string')
      throw new TypeError(`a piece of the text is ${typeof piece}: decode the stream to strings`);
    buffer += piece;
    while (buffer.length >= 2 * PIECE) {
      const at = cutOf(tokenizer, buffer);
      if (!at) break;
      yield encoded(buffer.slice(0, at));
      buffer = buffer.slice(at);
    }
  }
  if (buffer) yield encoded(buffer);
}

function* inPieces(text: string): Generator<string> {
  for (let at = 0; at < text.length; at += PIECE) yield text.slice(at, at + PIECE);
}

/**
 * Where a text can be cut without changing its tokens: near the end of its first piece, else further on; 0:
 * nowhere yet.
 */
function cutOf(tokenizer: Tokenizer, text: string): number {
  for (let to = PIECE; to <= text.length - AROUND; to += PIECE) {
    const seams = [...text.slice(to - PIECE, to + 1).matchAll(SEAM)];
    for (const found of seams.slice(-20).reverse()) {
      const at = to - PIECE + found.index + found[0].length;
      if (changesNothing(tokenizer, text, at)) return at;
    }
  }
  return text.length < LONGEST ? 0 : LONGEST - (isLowSurrogate(text, LONGEST) ? 1 : 0);
}

function changesNothing(tokenizer: Tokenizer, text: string, at: number): boolean {
  const [from, to] = [Math.max(0, at - AROUND), Math.min(text.length, at + AROUND)];
  // half a surrogate pair is no text
  const before = text.slice(from + (isLowSurrogate(text, from) ? 1 : 0), at);
  const after = text.slice(at, to - (isLowSurrogate(text, to) ? 1 : 0));
  const parts = [...tokenizer.encode(before), ...tokenizer.encode(after)];
  const whole = tokenizer.encode(before + after);
  return whole.length === parts.length && whole.every((t, i) => t === parts[i]);
}

const isLowSurrogate = (text: string, at: number): boolean => /[\uDC00-\uDFFF]/.test(text[at] ?? '');
