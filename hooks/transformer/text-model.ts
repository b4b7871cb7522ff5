/** What a model does with inputs: texts to tokens and back, numbers to tensors. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import { type FactoredNumbers, isFactored, type NestedNumbers, numbersOf } from '../../engine/numbers.js';
import { sizeOf } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { type ChatMessage, type ChatOptions, chatTokens } from '../../engine/tokens/chat.js';
import {
  findTokenRange,
  type TextInput,
  type TokenPositionOptions,
  type ToTokensOptions,
  tokenPosition,
  toSingleToken,
  toStrTokens,
  toText,
  toTokens,
} from '../../engine/tokens/text.js';
import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import type { Config } from '../../weights/config.js';
import type { RunEdits } from '../input/model.js';

/** A model, as far as its tokenizer and device go. */
export abstract class TextModel {
  abstract readonly config: Config;
  abstract readonly gpu: Gpu;
  abstract readonly tokenizer: Tokenizer | null;
  abstract readonly edits: RunEdits | null;
  /** Internal: the tokenizer's files, for saving, and for templates of conversations. */
  abstract readonly tokenizerFiles: Readonly<Record<string, object>>;

  /**
   * Token ids, one array a row, never padded; text gets the beginning-of-text token unless `prependBos` is false. `truncate`: no
   * more than the context has, as TransformerLens does; default false, and a run of too many is an error.
   */
  toTokens(
    input: TextInput,
    { truncate = false, ...options }: ToTokensOptions & { readonly truncate?: boolean } = {},
  ): number[][] {
    const rows = toTokens(this.tokenizer, input, options);
    return truncate ? rows.map((row) => row.slice(0, this.config.nCtx)) : rows;
  }

  /** One string a token: of one text or row a list, of several a list each. */
  toStrTokens(input: string | readonly number[], options?: ToTokensOptions): string[];
  toStrTokens(
    input: readonly string[] | readonly (readonly number[])[],
    options?: ToTokensOptions,
  ): string[][];
  toStrTokens(input: TextInput, options?: ToTokensOptions): string[] | string[][] {
    return toStrTokens(this.tokenizer, input as readonly string[], options);
  }

  /** The exact text of tokens, or of one; of several rows, one text each. Without any: the model's name and its edits. */
  toString(tokens?: number | ArrayLike<number>): string;
  toString(tokens: readonly ArrayLike<number>[]): string[];
  toString(tokens?: number | ArrayLike<number> | readonly ArrayLike<number>[]): string | string[] {
    if (tokens === undefined)
      return [`HookedTransformer(${this.config.name})`, ...(this.edits?.lines ?? [])].join('\n  ');
    const list = typeof tokens === 'number' ? [tokens] : tokens;
    return toText(this.tokenizer, list as readonly ArrayLike<number>[]);
  }

  /**
   * The tokens of a conversation, as the model's own template writes it: `await model.chat([{ role: 'user', content: 'Hi!' }])`. Markers of
   * turns, and what begins the answer, are tokens like others: give them to any method.
   * @throws when the model has no template, or its template refuses the messages
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): Promise<number[]> {
    return chatTokens(this.tokenizer, this.tokenizerFiles, messages, options);
  }

  /** The id of a text that is exactly one token, like `' Mary'`. @throws when it is not. */
  toSingleToken(text: string): number {
    return toSingleToken(this.tokenizer, text);
  }

  /** Position of a token in a text (with the beginning-of-text token at 0) or in tokens. @throws when it does not occur. */
  tokenPosition(
    needle: string | number,
    input: string | readonly number[],
    options?: TokenPositionOptions,
  ): number {
    return tokenPosition(this.tokenizer, needle, input, options);
  }

  /** The tokens [start, end) that contain the first occurrence of a text; `typed`: their prompt. @throws when there is none. */
  tokenRange(text: string, tokens: readonly number[], typed?: string): [start: number, end: number] {
    return findTokenRange(this.tokenizer, tokens, text, typed);
  }

  /**
   * Uploads numbers: a list or typed array of any kind, lists of lists, `[[1, 2], [3, 4]]`, or a FactoredMatrix. The caller disposes of the tensor.
   * @param shape default: that of the lists, or one axis. @throws when lists differ in length, or do not fill the shape.
   */
  tensor(data: NestedNumbers | FactoredNumbers, shape?: readonly number[]): Tensor {
    const product = isFactored(data) ? data.AB : null;
    const { values, shape: lists } = numbersOf(product?.data ?? data, 'tensor');
    const own = product?.shape ?? lists;
    if (shape && sizeOf(shape) !== values.length)
      throw new Error(`tensor: ${values.length} numbers cannot fill shape [${shape.join(', ')}]`);
    return Tensor.from(this.gpu, values, shape ?? own);
  }
}
