/**
 * Byte-pair encoding (Sennrich et al. 2016), by characters of the piece, with the fallbacks of SentencePiece.
 */

import { list, optionalText, quoted, vocabularyOf } from '../file.js';
import { MinHeap } from './heap.js';
import { byteTokens, type Model, type Token } from './model.js';

/** Positions in a word and ranks of merges fit one double: rank · 2²⁶ + position, left · 2²⁴ + right. */
const POSITIONS = 2 ** 26;
const IDS = 2 ** 24;

interface Merge {
  readonly rank: number;
  readonly id: number;
}

function mergesOf(
  json: Record<string, unknown>,
  vocab: ReadonlyMap<string, number>,
  prefix: string,
): Map<number, Merge> {
  const merges = new Map<number, Merge>();
  for (const [rank, merge] of list(json.merges, 'model.merges').entries()) {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge;
    const where = () => `model.merges, entry ${rank}, is ${quoted(merge, 40)}`;
    if (
      !Array.isArray(pair) ||
      pair.length !== 2 ||
      pair.some((part) => typeof part !== 'string' || part === '')
    )
      throw new Error(`tokenizer.json: ${where()}; it must be two tokens, "a b" or ["a", "b"]`);
    const [left, right] = (pair as string[]).map((part) => vocab.get(part));
    const id = vocab.get(pair[0] + pair[1].slice(prefix.length));
    if (left === undefined || right === undefined || id === undefined)
      throw new Error(`tokenizer.json: ${where()}: its parts and what they make must be in the vocabulary`);
    merges.set(left * IDS + right, { rank, id });
  }
  return merges;
}

/** A model of the type BPE. */
export function bpe(json: Record<string, unknown>): Model {
  const vocab = vocabularyOf(json.vocab);
  const prefix = optionalText(json.continuing_subword_prefix, 'model.continuing_subword_prefix') ?? '';
  const suffix = optionalText(json.end_of_word_suffix, 'model.end_of_word_suffix') ?? '';
  const unknownText = optionalText(json.unk_token, 'model.unk_token');
  const unknown = unknownText === undefined ? undefined : vocab.get(unknownText);
  const merges = mergesOf(json, vocab, prefix);
  const bytes = json.byte_fallback === true ? byteTokens(vocab) : null;
  const cache = new Map<string, readonly Token[]>();

  /** The characters of a word: ids and the units that each stands for. */
  const characters = (word: string): Token[] => {
    const found: Token[] = [];
    let start = 0;
    let after = false; // behind an unknown one
    for (const char of word) {
      const end = start + char.length;
      const entry = (start ? prefix : '') + char + (end === word.length ? suffix : '');
      const id = vocab.get(entry);
      const fallback = id === undefined ? bytes?.(entry) : undefined;
      if (id !== undefined) found.push({ id, start, end });
      else if (fallback) found.push(...fallback.map((byte) => ({ id: byte, start, end })));
      else if (after && json.fuse_unk === true) found[found.length - 1] = { ...found[found.length - 1], end };
      else found.push({ id: unknown, start, end });
      after = id === undefined && !fallback;
      start = end;
    }
    return found;
  };

  const mergeAll = (parts: Token[]): Token[] => {
    const n = parts.length;
    const [next, previous] = [new Int32Array(n), new Int32Array(n)];
    const queue = new MinHeap();
    const at = (i: number): Merge | undefined => {
      const [left, right] = [parts[i]?.id, parts[next[i]]?.id];
      return left === undefined || right === undefined ? undefined : merges.get(left * IDS + right);
    };
    const look = (i: number) => {
      const merge = i >= 0 && next[i] < n ? at(i) : undefined;
      if (merge) queue.push(merge.rank * POSITIONS + i);
    };
    for (let i = 0; i < n; i++) [next[i], previous[i]] = [i + 1, i - 1];
    for (let i = 0; i < n; i++) look(i);
    for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
      const i = top % POSITIONS;
      if (next[i] < 0 || next[i] >= n) continue; // taken by another, or the last
      const merge = at(i);
      if (!merge || merge.rank !== Math.floor(top / POSITIONS)) continue; // its neighbour has changed
      const gone = next[i];
      parts[i] = { id: merge.id, start: parts[i].start, end: parts[gone].end };
      next[i] = next[gone];
      if (next[i] < n) previous[next[i]] = i;
      next[gone] = -1;
      look(previous[i]);
      look(i);
    }
    return parts.filter((_, i) => next[i] >= 0);
  };

  const encode = (word: string): readonly Token[] => {
    const known = cache.get(word);
    if (known) return known;
    const whole = json.ignore_merges === true ? vocab.get(word) : undefined;
    const tokens =
      whole !== undefined ? [{ id: whole, start: 0, end: word.length }] : mergeAll(characters(word));
    if (word.length < 256) {
      if (cache.size >= 10000) cache.clear();
      cache.set(word, tokens);
    }
    return tokens;
  };
  return { vocab, unknown, encode };
}
