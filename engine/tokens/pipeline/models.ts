/** Models of tokenizer.json: from a piece of text to tokens. As in Hugging Face's Rust library. */

import { optionalText, quoted, record, text, vocabularyOf } from '../file.js';
import { bpe } from './bpe.js';
import type { Model, Token } from './model.js';
import { unigram } from './unigram.js';

/**
 * WordPiece (Schuster & Nakajima 2012; BERT): the longest entry first, `##` in front of all but the first.
 */
function wordPiece(json: Record<string, unknown>): Model {
  const vocab = vocabularyOf(json.vocab);
  const unknown = vocab.get(optionalText(json.unk_token, 'model.unk_token') ?? '[UNK]');
  const prefix = optionalText(json.continuing_subword_prefix, 'model.continuing_subword_prefix') ?? '##';
  const limit = json.max_input_chars_per_word ?? 100;
  if (!Number.isSafeInteger(limit))
    throw new Error(
      `tokenizer.json: model.max_input_chars_per_word is ${quoted(limit)}; it must be an integer`,
    );
  const encode = (word: string): Token[] => {
    const whole = [{ id: unknown, start: 0, end: word.length }];
    if ([...word].length > (limit as number)) return whole;
    const found: Token[] = [];
    for (let start = 0; start < word.length; ) {
      let end = word.length;
      let id: number | undefined;
      for (; end > start; end--) {
        id = vocab.get((start ? prefix : '') + word.slice(start, end));
        if (id !== undefined) break;
      }
      if (id === undefined) return whole;
      found.push({ id, start, end });
      start = end;
    }
    return found;
  };
  return { vocab, unknown, encode };
}

/** Whole words. */
function wordLevel(json: Record<string, unknown>): Model {
  const vocab = vocabularyOf(json.vocab);
  const unknown = vocab.get(optionalText(json.unk_token, 'model.unk_token') ?? '<unk>');
  return {
    vocab,
    unknown,
    encode: (word) => [{ id: vocab.get(word) ?? unknown, start: 0, end: word.length }],
  };
}

const KINDS: Readonly<Record<string, (json: Record<string, unknown>) => Model>> = {
  BPE: bpe,
  WordPiece: wordPiece,
  WordLevel: wordLevel,
  Unigram: unigram,
};

/** The type of a model whose file does not say it, as old ones do not. */
function typeOf(json: Record<string, unknown>): string {
  if (json.type != null) return text(json.type, 'model.type');
  if (Array.isArray(json.vocab)) return 'Unigram';
  if (json.merges != null) return 'BPE';
  return json.continuing_subword_prefix != null ? 'WordPiece' : 'WordLevel';
}

/** The model that tokenizer.json describes. */
export function modelOf(value: unknown): Model {
  const json = record(value, 'model');
  const type = typeOf(json);
  if (!Object.hasOwn(KINDS, type))
    throw new Error(
      `tokenizer.json: model is of type ${quoted(type)}; it must be one of ${Object.keys(KINDS).join(', ')}`,
    );
  return KINDS[type](json);
}
