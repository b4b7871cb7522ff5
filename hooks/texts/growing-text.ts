/** A text as it grows, token by token: pieces that joined are what the whole text adds to the prompt's. */

import type { Tokenizer } from '../../engine/tokens/tokenizer.js';

/** What each new token adds to a text that is shown as it grows. */
export class GrowingText {
  readonly #tokenizer: Tokenizer;
  readonly #tokens: number[];
  /** What has been shown, the prompt included. */
  #shown: string;

  /** @param prompt tokens of the prompt's text, without a beginning-of-text token that was prepended */
  constructor(tokenizer: Tokenizer, prompt: readonly number[]) {
    this.#tokenizer = tokenizer;
    this.#tokens = [...prompt];
    this.#shown = tokenizer.decodeSettled(this.#tokens);
  }

  /**
   * What a token adds. Empty while it is only a part of a character; the text's last token gives all that is
   * left, and the token that ends a text (`ends`) is not part of it.
   */
  add(token: number, { last, ends }: { last: boolean; ends: boolean }): string {
    if (!ends) this.#tokens.push(token);
    const text =
      last || ends ? this.#tokenizer.decode(this.#tokens) : this.#tokenizer.decodeSettled(this.#tokens);
    if (!text.startsWith(this.#shown)) return '';
    const piece = text.slice(this.#shown.length);
    this.#shown = text;
    return piece;
  }
}
