/** The way of a text to its tokens: added tokens, normalizer, pre-tokenizer, model. */

import { quoted, record } from '../file.js';
import { type AddedToken, AddedTokens } from './added.js';
import type { Model } from './model.js';
import { modelOf } from './models.js';
import { type Normalizer, normalizerOf } from './normalizers.js';
import { type Piece, pieceOf, slicePiece } from './piece.js';
import { type PreTokenizer, preTokenizerOf } from './pre-tokenizers.js';

/** A token of a text, and the part [start, end) of the text as typed, in UTF-16 units, that it stands for. */
export interface PlacedToken {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

/** The first half of a surrogate pair without the second, or the second without the first. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Tokens of texts by the rules of a tokenizer.json. */
export class Encoding {
  readonly model: Model;
  readonly #normalizer: Normalizer | null;
  readonly #preTokenizer: PreTokenizer | null;
  readonly #typed: AddedTokens;
  readonly #normalized: AddedTokens;

  constructor(json: Record<string, unknown>, added: readonly AddedToken[]) {
    this.#normalizer = normalizerOf(json.normalizer);
    this.#preTokenizer = preTokenizerOf(json.pre_tokenizer);
    this.model = modelOf(record(json.model, 'model'));
    this.#typed = new AddedTokens(
      added.filter((token) => !token.normalized),
      null,
    );
    this.#normalized = new AddedTokens(
      added.filter((token) => token.normalized),
      this.#normalizer,
    );
  }

  /**
   * @throws for half a surrogate pair, and for a character without a token where there is none for "unknown".
   */
  encode(text: string, aligned: boolean): PlacedToken[] {
    const half = text.search(LONE_SURROGATE);
    if (half >= 0)
      throw new Error(
        `the text has half a surrogate pair at index ${half} (${quoted(text.slice(Math.max(0, half - 20), half))}…): it is no character`,
      );
    const tokens: PlacedToken[] = [];
    for (const { range, token } of this.#typed.split(text)) {
      const [start, end] = range;
      if (token) tokens.push({ id: token.id, start, end });
      else this.#encodePart(pieceOf(text.slice(start, end), aligned, start), tokens);
    }
    return tokens;
  }

  /** A text after the normalizer. */
  normalize(text: string): string {
    return this.#normalizer ? this.#normalizer(pieceOf(text, false)).text : text;
  }

  #encodePart(part: Piece, tokens: PlacedToken[]): void {
    const piece = this.#normalizer ? this.#normalizer(part) : part;
    for (const { range, token } of this.#normalized.split(piece.text)) {
      const section = slicePiece(piece, ...range);
      if (token) tokens.push({ id: token.id, ...place(section, 0, section.text.length) });
      else for (const word of this.#preTokenizer?.(section) ?? [section]) this.#encodeWord(word, tokens);
    }
  }

  #encodeWord(word: Piece, tokens: PlacedToken[]): void {
    if (!word.text) return;
    for (const { id, start, end } of this.model.encode(word.text)) {
      if (id === undefined)
        throw new Error(
          `this vocabulary of ${this.model.vocab.size} has no token for ${quoted(word.text.slice(start, end))}, and none for "unknown"`,
        );
      tokens.push({ id, ...place(word, start, end) });
    }
  }
}

/** The part of the typed text that a part of a piece stands for; 0 and 0 where nobody asked. */
function place({ starts, ends, at }: Piece, from: number, to: number): { start: number; end: number } {
  if (!starts || !ends) return { start: 0, end: 0 };
  let start = Infinity;
  let end = 0;
  for (let i = at + from; i < at + to; i++) {
    start = Math.min(start, starts[i]);
    end = Math.max(end, ends[i]);
  }
  return { start: Number.isFinite(start) ? start : 0, end };
}
