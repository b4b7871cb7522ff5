/** SentencePiece's unigram model (Kudo 2018): the most probable way to cut a piece. */

import { list, quoted, tokenId } from '../file.js';
import { byteTokens, type Model, type Token } from './model.js';

/** An unknown character counts as so much less probable than the least probable token. */
const UNKNOWN_PENALTY = 10;

/** A model of the type Unigram: `vocab` is a list of [token, score]. */
export function unigram(json: Record<string, unknown>): Model {
  const vocab = new Map<string, number>();
  const scores: number[] = [];
  let longest = 0;
  let least = 0;
  for (const [id, entry] of list(json.vocab, 'model.vocab').entries()) {
    const [token, score] = Array.isArray(entry) ? entry : [];
    if (typeof token !== 'string' || typeof score !== 'number')
      throw new Error(
        `tokenizer.json: model.vocab, entry ${id}, is ${quoted(entry)}; it must be [token, score]`,
      );
    vocab.set(token, id);
    scores.push(score);
    longest = Math.max(longest, token.length);
    least = id ? Math.min(least, score) : score;
  }
  const unknown = json.unk_id == null ? undefined : tokenId(json.unk_id, 'model.unk_id');
  if (unknown !== undefined && unknown >= scores.length)
    throw new Error(`tokenizer.json: model.unk_id is ${unknown}; the vocabulary has ${scores.length} tokens`);
  const bytes = json.byte_fallback === true ? byteTokens(vocab) : null;
  const cache = new Map<string, readonly Token[]>();

  /** Where the best cut of each beginning of the text comes from (Viterbi). */
  const bestPath = (text: string): [start: number, end: number, known: boolean][] => {
    const n = text.length;
    const total = new Float64Array(n + 1);
    const from = new Int32Array(n + 1).fill(-1);
    const known = new Uint8Array(n + 1);
    const offer = (start: number, end: number, score: number, inVocabulary: boolean) => {
      const sum = score + total[start];
      if (from[end] >= 0 && sum <= total[end]) return;
      total[end] = sum;
      from[end] = start;
      known[end] = inVocabulary ? 1 : 0;
    };
    for (let start = 0; start < n; ) {
      const size = text.codePointAt(start)! > 0xffff ? 2 : 1;
      let alone = false;
      for (let end = start + 1; end <= Math.min(n, start + longest); end++) {
        const id = vocab.get(text.slice(start, end));
        if (id === undefined) continue;
        offer(start, end, scores[id], true);
        alone ||= end === start + size;
      }
      if (!alone) offer(start, start + size, least - UNKNOWN_PENALTY, false);
      start += size;
    }
    const path: [number, number, boolean][] = [];
    for (let end = n; end > 0; end = from[end]) path.push([from[end], end, known[end] === 1]);
    return path.reverse();
  };

  const encode = (text: string): readonly Token[] => {
    const seen = cache.get(text);
    if (seen) return seen;
    const tokens: Token[] = [];
    const path = bestPath(text);
    for (let i = 0; i < path.length; i++) {
      let [start, end, isKnown] = path[i];
      // unknown characters that follow one another are one unknown token
      if (!isKnown && unknown !== undefined)
        while (i + 1 < path.length && !path[i + 1][2]) end = path[++i][1];
      const part = text.slice(start, end);
      const id = vocab.get(part);
      const fallback = id === undefined ? bytes?.(part) : undefined;
      if (fallback) tokens.push(...fallback.map((byte) => ({ id: byte, start, end })));
      else tokens.push({ id: id ?? unknown, start, end });
    }
    if (text.length < 256) {
      if (cache.size >= 10000) cache.clear();
      cache.set(text, tokens);
    }
    return tokens;
  };
  return { vocab, unknown, encode };
}
