/** The tokenizer in a GGUF file, as the files of a Hugging Face tokenizer. */

import { fileError, quoted } from '../checks/messages.js';
import { addedOf, type Piece, piecesTokenizer, templateOf } from '../pieces/pieces.js';
import type { Gguf, GgufValue } from './file.js';

/** Files of a tokenizer by name, parsed. */
type Files = Record<string, object>;

const byteLevel = (words: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: words,
});
const split = (Regex: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
    byteLevel(false),
  ],
});
/** Words of Llama 3 and Qwen 2: they differ in how many digits go together. */
const words = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const digitsApart = {
  type: 'Sequence',
  pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
};
const llama3 = { pre: split(words('\\p{N}{1,3}')), whole: true, bos: true };
const qwen2 = { pre: split(words('\\p{N}')), nfc: true };

interface Words {
  readonly pre: object;
  readonly nfc?: boolean;
  /** A word that is a token is not cut. */
  readonly whole?: boolean;
  /** The tokenizer puts its beginning-of-text token in front unless the file says otherwise. */
  readonly bos?: boolean;
}

/** How texts are cut into words, by `tokenizer.ggml.pre`. */
const WORDS: Readonly<Record<string, Words>> = {
  default: { pre: byteLevel(true) },
  'gpt-2': { pre: byteLevel(true) },
  'phi-2': { pre: byteLevel(true) },
  olmo: { pre: byteLevel(true), nfc: true },
  smollm: { pre: digitsApart },
  starcoder: { pre: digitsApart },
  'llama-bpe': llama3,
  llama3,
  dbrx: { pre: split(words('\\p{N}{1,3}')) },
  qwen2,
  'deepseek-r1-qwen': qwen2,
};

/**
 * `tokenizer.json` and `tokenizer_config.json` of a file; none where it has no tokenizer.
 * @throws for kinds of tokenizers and words that are not known
 */
export function ggufTokenizer({ metadata, tensors }: Gguf): Files {
  const key = (name: string): GgufValue | undefined => metadata.get(`tokenizer.ggml.${name}`);
  const kind = key('model');
  const texts = key('tokens');
  if (kind === undefined || kind === 'none' || !Array.isArray(texts)) return {};
  const [scores, types] = [key('scores') as ArrayLike<number>, key('token_type') as ArrayLike<number>];
  const pieces = texts.map(
    (text, id): Piece => ({
      text: String(text),
      score: Number(scores?.[id] ?? 0),
      type: Number(types?.[id] ?? 1),
    }),
  );
  const idOf = (name: string): number | null => {
    const id = key(name);
    return typeof id === 'number' && id >= 0 && id < pieces.length ? id : null;
  };
  const bos = idOf('bos_token_id');
  const pre = key('pre') ?? 'default';
  const adds = (usual: boolean) =>
    typeof key('add_bos_token') === 'boolean' ? key('add_bos_token') === true : usual;
  let tokenizer: object;
  let addsBos: boolean;
  if (kind === 'llama') {
    addsBos = adds(true);
    tokenizer = piecesTokenizer(pieces, {
      kind: 'BPE',
      addPrefix: key('add_space_prefix') !== false,
      byteFallback: pieces.some(({ type }) => type === 6),
      unknownId:
        idOf('unknown_token_id') ??
        Math.max(
          0,
          pieces.findIndex(({ type }) => type === 2),
        ),
      bosId: addsBos ? bos : null,
    });
  } else if (kind === 'gpt2') {
    if (typeof pre !== 'string' || !Object.hasOwn(WORDS, pre))
      throw fileError(
        tensors.name,
        `tokenizer.ggml.pre is ${quoted(String(pre), 30)}; known are ${Object.keys(WORDS).join(', ')}. ` +
          'Give the tokenizer of the model it was made from: { tokenizer: folder }',
      );
    const how = WORDS[pre];
    addsBos = adds(how.bos === true);
    tokenizer = byteTokenizer(pieces, key('merges'), how, addsBos ? bos : null);
  } else
    throw fileError(
      tensors.name,
      `tokenizer.ggml.model is ${quoted(String(kind), 30)}; "gpt2" and "llama" are read. Load it with { tokenizer: null } or { tokenizer: folder }`,
    );
  const name = (id: number | null) => (id === null ? null : pieces[id].text);
  const template = metadata.get('tokenizer.chat_template');
  return {
    'tokenizer.json': tokenizer,
    'tokenizer_config.json': {
      bos_token: name(bos),
      eos_token: name(idOf('eos_token_id')),
      add_bos_token: addsBos && bos !== null,
      ...(typeof template === 'string' && { chat_template: template }),
    },
  };
}

/** Byte-level BPE. */
function byteTokenizer(
  pieces: readonly Piece[],
  merges: GgufValue | undefined,
  { pre, nfc, whole }: Words,
  bosId: number | null,
): object {
  return {
    version: '1.0',
    added_tokens: addedOf(pieces),
    normalizer: nfc ? { type: 'NFC' } : null,
    pre_tokenizer: pre,
    post_processor: templateOf(pieces, bosId),
    decoder: byteLevel(true),
    model: {
      type: 'BPE',
      unk_token: null,
      vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
      merges: Array.isArray(merges) ? merges : [],
      ignore_merges: whole === true,
    },
  };
}
