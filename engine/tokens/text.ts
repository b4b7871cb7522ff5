/**
 * What users say in text and the engine needs in numbers: prompts, single tokens, positions, ranges of
 * tokens. The beginning-of-text token is a typed argument of every call and true by default, as in
 * TransformerLens: a first token takes most of the attention, so results with and without it differ.
 */

import { isList, shownValue } from '../../weights/checks/kinds.js';
import { indexOfBytes, joinBytes, utf8 } from './bytes.js';
import type { Tokenizer } from './tokenizer.js';

/** A prompt or several, as text or as token ids. Rows may differ in length; nothing is padded. */
export type TextInput = string | readonly string[] | readonly number[] | readonly (readonly number[])[];

/** How text becomes token ids. */
export interface ToTokensOptions {
  /**
   * Prepend the beginning-of-text token (`<|endoftext|>`) to each text. Default true, also when the text
   * already begins with it: then there are two, as TransformerLens does. Token ids are taken as they are.
   */
  prependBos?: boolean;
}

/** Options of `tokenPosition`. */
export interface TokenPositionOptions extends ToTokensOptions {
  /** Which occurrence counts. Default 'first'. */
  mode?: 'first' | 'last';
}

const quote = (text: string) => JSON.stringify(text);

/** Token strings for an error message: `" Mary" + " Ann"`, at most `limit` of them. */
function listed(pieces: readonly string[], limit = 12): string {
  const shown = pieces.slice(0, limit).map(quote).join(' + ');
  return pieces.length > limit ? `${shown} + ${pieces.length - limit} more` : shown;
}

/** The tokenizer, or an Error that names the remedy when the model came without one. */
export function needTokenizer(tokenizer: Tokenizer | null): Tokenizer {
  if (!tokenizer)
    throw new Error(
      "this model has no tokenizer.json: give token ids (number[]), add the checkpoint's tokenizer.json beside its weights, or say where one is: { tokenizer: 'owner/name' }",
    );
  return tokenizer;
}

function textToTokens(tokenizer: Tokenizer | null, text: string, prependBos: boolean): number[] {
  const known = needTokenizer(tokenizer);
  const tokens = known.encode(text);
  if (!prependBos) {
    if (!tokens.length) throw new Error('empty prompt: give at least one token, or leave prependBos true');
    return tokens;
  }
  if (known.bosTokenId === null)
    throw new Error('prependBos: this tokenizer has no beginning-of-text token; pass { prependBos: false }');
  return [known.bosTokenId, ...tokens];
}

function checkedTokens(given: ArrayLike<number>): number[] {
  if (!given.length) throw new Error('empty prompt: give at least one token');
  const tokens = Array.from(given, (id) => (typeof id === 'bigint' ? Number(id) : id));
  const bad = tokens.findIndex((id) => !Number.isInteger(id) || id < 0);
  if (bad >= 0)
    throw new Error(`token ids are integers from 0: position ${bad} holds ${shownValue(tokens[bad])}`);
  return tokens;
}

const isTokens = (input: TextInput): input is readonly number[] =>
  typeof input[0] === 'number' || typeof input[0] === 'bigint';

/**
 * Token ids, one array a row, of lengths of their own: `toTokens(t, 'a')` is `[[50256, 64]]`. Ids are passed
 * through.
 *
 * @throws without a tokenizer when there is text; for an empty prompt; when a tokenizer without a
 * beginning-of-text
 *   token is asked to prepend it.
 */
export function toTokens(
  tokenizer: Tokenizer | null,
  input: TextInput,
  { prependBos = tokenizer?.defaultPrependBos ?? true }: ToTokensOptions = {},
): number[][] {
  const rows = typeof input === 'string' || isTokens(input) ? [input] : (input as (string | number[])[]);
  if (!rows.length) throw new Error('empty prompt: the list holds no text');
  return rows.map((row, i) => {
    if (typeof row === 'string') return textToTokens(tokenizer, row, prependBos);
    if (!isList(row))
      throw new Error(`row ${i} of the input is ${shownValue(row)}: a text or token ids are needed`);
    return checkedTokens(row);
  });
}

/**
 * One string a token, to be shown: `['<|endoftext|>', 'When', ' Mary']`; bytes of a split character are
 * written `\xE2`. One text or one row of ids gives one list, several give a list each.
 */
export function toStrTokens(
  tokenizer: Tokenizer | null,
  input: string | readonly number[],
  options?: ToTokensOptions,
): string[];
export function toStrTokens(
  tokenizer: Tokenizer | null,
  input: readonly string[] | readonly (readonly number[])[],
  options?: ToTokensOptions,
): string[][];
export function toStrTokens(
  tokenizer: Tokenizer | null,
  input: TextInput,
  options: ToTokensOptions = {},
): string[] | string[][] {
  const rows = toTokens(needTokenizer(tokenizer), input, options).map((row) => tokenizer!.pieces(row));
  return typeof input === 'string' || isTokens(input) ? rows[0] : rows;
}

/** The exact text of token ids, special tokens included; of several rows, one text each. */
export function toText(tokenizer: Tokenizer | null, tokens: ArrayLike<number>): string;
export function toText(tokenizer: Tokenizer | null, tokens: readonly ArrayLike<number>[]): string[];
export function toText(
  tokenizer: Tokenizer | null,
  tokens: ArrayLike<number> | readonly ArrayLike<number>[],
): string | string[] {
  const known = needTokenizer(tokenizer);
  if (tokens.length > 0 && typeof tokens[0] !== 'number')
    return (tokens as readonly ArrayLike<number>[]).map((row) => known.decode(row));
  return known.decode(tokens as ArrayLike<number>);
}

/**
 * The id of a text that is exactly one token. In the middle of a sentence GPT-2's words carry their blank: `'
 * Mary'`.
 *
 * @throws when it is none or several: `" Mary Ann" is 2 tokens: " Mary" + " Ann"; ...`.
 */
export function toSingleToken(tokenizer: Tokenizer | null, text: string): number {
  const known = needTokenizer(tokenizer);
  const tokens = known.encode(text);
  if (tokens.length === 1) return tokens[0];
  if (!tokens.length) throw new Error('"" is no token: give the text of one');
  const withBlank = !text.startsWith(' ') && known.encode(` ${text}`).length === 1;
  const remedy = withBlank
    ? `with a blank in front, ${quote(` ${text}`)} is one token`
    : `give the text of one of them, or its id (${tokens[0]} for ${quote(known.pieces(tokens)[0])})`;
  throw new Error(`${quote(text)} is ${tokens.length} tokens: ${listed(known.pieces(tokens))}; ${remedy}`);
}

/**
 * The position of a token in a prompt. `needle` is the text of one token, or its id; `input` a text (with the
 * beginning-of-text token at position 0 unless `prependBos` is false) or token ids.
 *
 * @throws when the token is not one, or does not occur.
 */
export function tokenPosition(
  tokenizer: Tokenizer | null,
  needle: string | number,
  input: string | readonly number[],
  { mode = 'first', prependBos }: TokenPositionOptions = {},
): number {
  const [tokens] = toTokens(tokenizer, input, { prependBos });
  const id = typeof needle === 'number' ? needle : toSingleToken(tokenizer, needle);
  const position = mode === 'first' ? tokens.indexOf(id) : tokens.lastIndexOf(id);
  if (position >= 0) return position;
  const name = typeof needle === 'string' ? `${quote(needle)} (id ${id})` : `token ${id}`;
  const prompt = tokenizer ? listed(tokenizer.pieces(tokens)) : `${tokens.length} tokens`;
  throw new Error(`${name} does not occur in the prompt: ${prompt}`);
}

/**
 * The tokens `[start, end)` that hold the first occurrence of a text, which may begin or end inside a token:
 * "Stewart" is found in ` Stewart`. ROME's `find_token_range` (Meng et al. 2022), but over bytes, so that
 * characters split over several tokens are found too. A special token counts whole or not at all: "text" is
 * not in `<|endoftext|>`.
 *
 * Tokenizers with a normalizer change the text ("The Cat" is `the cat`). With `typed`, the prompt that the
 * tokens were made of (with or without a beginning-of-text token), the text is looked for there and found by
 * the tokens' places in it; without, it is normalized like the prompt and looked for in the tokens.
 *
 * @throws when the text is empty or does not occur.
 */
export function findTokenRange(
  tokenizer: Tokenizer | null,
  tokens: readonly number[],
  substring: string,
  typed?: string,
): [start: number, end: number] {
  const known = needTokenizer(tokenizer);
  if (!substring.length) throw new Error('an empty text has no tokens: give the words to look for');
  const seen = known.normalize(substring).replaceAll('▁', ' ').trimStart();
  const found =
    (typed === undefined ? null : rangeByPlace(known, tokens, substring, typed)) ??
    rangeOfBytes(known, tokens, utf8(substring)) ??
    (seen ? rangeOfBytes(known, tokens, utf8(seen)) : null);
  if (found) return found;
  throw new Error(`${quote(substring)} does not occur in the prompt: ${listed(known.pieces(tokens), 40)}`);
}

/**
 * Where the text stands in the prompt as typed, by the places of its tokens; null where that is not known.
 */
function rangeByPlace(
  tokenizer: Tokenizer,
  tokens: readonly number[],
  substring: string,
  typed: string,
): [start: number, end: number] | null {
  const places = tokenizer.encodeWithOffsets(typed);
  const before = tokens.length - places.length;
  if (before < 0 || before > 1 || places.some(({ id }, i) => id !== tokens[before + i])) return null;
  for (let at = typed.indexOf(substring); at >= 0; at = typed.indexOf(substring, at + 1)) {
    const stop = at + substring.length;
    const first = places.findIndex(({ start, end }) => start < stop && end > at);
    if (first < 0) return null;
    let last = first;
    while (last + 1 < places.length && places[last + 1].start < stop && places[last + 1].end > at) last++;
    const cut = places
      .slice(first, last + 1)
      .some(({ id, start, end }) => tokenizer.isSpecial(id) && (start < at || end > stop));
    if (!cut) return [before + first, before + last + 1];
  }
  return null;
}

function rangeOfBytes(
  known: Tokenizer,
  tokens: readonly number[],
  needle: Uint8Array,
): [start: number, end: number] | null {
  const parts = tokens.map((id) => known.bytes(id));
  const text = joinBytes(parts);
  const ends: number[] = []; // of each token, in bytes
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.length);

  const cut = (token: number, at: number) => known.isSpecial(tokens[token]) && at !== ends[token];
  for (let at = indexOfBytes(text, needle); at >= 0; at = indexOfBytes(text, needle, at + 1)) {
    const stop = at + needle.length;
    const first = ends.findIndex((end) => end > at);
    const last = ends.findIndex((end) => end >= stop);
    if (!cut(last, stop) && !(cut(first, at) && at !== ends[first] - parts[first].length))
      return [first, last + 1];
  }
  return null;
}
