/**
 * Byte-level byte-pair encoding in GPT-2's manner (Sennrich et al. 2016; Radford et al. 2019): learns the
 * merges, writes them as a Hugging Face `tokenizer.json`.
 *
 * The alphabet is the 256 bytes, a text is cut by GPT-2's pattern into words which keep their leading blank,
 * and the most frequent pair of neighbours is merged, again and again. The tiny corpus is a closed language
 * of some eight hundred words, so merging goes on until every word is one token.
 */
import { Tokenizer } from '@huggingface/tokenizers';
import type { Vocabulary } from './corpus.js';

export const END_OF_TEXT = '<|endoftext|>';

/** GPT-2's pattern: contractions, words, numbers and runs of other signs, each with its leading blank. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/**
 * GPT-2's printable stand-in for each byte; a blank becomes `Ġ`. In the order of GPT-2's first 256 token ids.
 */
function byteAlphabet(): Map<number, string> {
  const printable = (b: number): boolean => (b > 32 && b < 127) || (b > 160 && b < 173) || b > 173;
  const bytes = Array.from({ length: 256 }, (_, b) => b);
  const hidden = bytes.filter((b) => !printable(b));
  return new Map([
    ...bytes.filter(printable).map((b) => [b, String.fromCharCode(b)] as const),
    ...hidden.map((b, i) => [b, String.fromCharCode(256 + i)] as const),
  ]);
}

const alphabet = byteAlphabet();
/** Each byte of the text as its stand-in. */
export const toSymbols = (text: string): string[] =>
  [...new TextEncoder().encode(text)].map((b) => alphabet.get(b)!);

export type Merge = readonly [left: string, right: string];

/**
 * How often each word (with its leading blank) occurs. A `|` in a text ends a word without being part of it.
 */
export function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const part of text.split('|')) {
      for (const [word] of part.matchAll(WORDS)) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return counts;
}

/**
 * Learns merges until every counted word is one token. Of equally frequent pairs the alphabetically first is
 * taken.
 */
export function learnMerges(counts: ReadonlyMap<string, number>): Merge[] {
  const words = [...counts].map(([word, count]) => ({ pieces: toSymbols(word), count }));
  const merges: Merge[] = [];
  while (true) {
    const pairs = new Map<string, number>();
    for (const { pieces, count } of words) {
      for (let i = 1; i < pieces.length; i++) {
        const key = `${pieces[i - 1]} ${pieces[i]}`;
        pairs.set(key, (pairs.get(key) ?? 0) + count);
      }
    }
    if (pairs.size === 0) return merges;
    let best = '';
    for (const [key, count] of pairs) {
      const lead = count - (pairs.get(best) ?? 0);
      if (lead > 0 || (lead === 0 && key < best)) best = key;
    }
    const [left, right] = best.split(' ') as [string, string];
    merges.push([left, right]);
    for (const word of words) word.pieces = mergePair(word.pieces, left, right);
  }
}

function mergePair(pieces: string[], left: string, right: string): string[] {
  const merged: string[] = [];
  for (let i = 0; i < pieces.length; i++) {
    if (pieces[i] === left && pieces[i + 1] === right) {
      merged.push(left + right);
      i++;
    } else merged.push(pieces[i]!);
  }
  return merged;
}

/**
 * The `tokenizer.json` of a byte-level BPE with these merges: 256 bytes, then a token a merge, then
 * `<|endoftext|>`.
 */
export function tokenizerJson(merges: readonly Merge[]): object {
  const tokens = [...new Set([...alphabet.values(), ...merges.map(([left, right]) => left + right)])];
  const special = {
    id: tokens.length,
    content: END_OF_TEXT,
    single_word: false,
    lstrip: false,
    rstrip: false,
  };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [{ ...special, normalized: false, special: true }],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries([...tokens, END_OF_TEXT].map((token, id) => [token, id])),
      merges: merges.map((pair) => pair.join(' ')),
    },
  };
}

/** What the corpus needs of a tokenizer, from its parsed `tokenizer.json`. */
export function vocabularyOf(json: object): Vocabulary {
  const tokenizer = new Tokenizer(json, { clean_up_tokenization_spaces: false });
  const bos = tokenizer.token_to_id(END_OF_TEXT);
  if (bos === undefined)
    throw new Error(`tokenizer.json: no token ${END_OF_TEXT}; write it again with make-tokenizer.ts`);
  const size = tokenizer.get_vocab().size;
  const texts = Array.from({ length: size }, (_, id) =>
    tokenizer.decode([id], { clean_up_tokenization_spaces: false }),
  );
  return {
    size,
    bos,
    encode: (text) => tokenizer.encode(text, { add_special_tokens: false }).ids,
    text: (id) => texts[id]!,
  };
}
