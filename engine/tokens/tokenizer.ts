/**
 * Text to token ids and back, by the rules of the checkpoint's own `tokenizer.json` (`tokens/`), as Hugging Face's Rust
 * library follows them; and what tools need besides: the exact bytes of every token, and where in the text it stands.
 */

import { countedMethods } from '../../weights/checks/options.js';
import { parseJson } from '../../weights/checks/text.js';
import { bytesOfEntry, entryOfText, fromUtf8, joinBytes, showBytes, utf8 } from './bytes.js';
import { quoted, record } from './file.js';
import { type AddedToken, addedTokensOf } from './pipeline/added.js';
import { byteOf, type Decoder, decoderOf } from './pipeline/decoders.js';
import { Encoding, type PlacedToken } from './pipeline/encoding.js';
import { tokenInFront } from './pipeline/front.js';

export type { PlacedToken } from './pipeline/encoding.js';

/** A special token in a configuration: its text, or an object that holds it. */
type ConfiguredToken = string | { readonly content: string } | null | undefined;

/** What a tokenizer is told besides tokenizer.json. */
export interface TokenizerSettings {
  /** Names of special tokens; null: the tokenizer has none. Undefined: the ids below, else what is well known. */
  readonly bos_token?: ConfiguredToken;
  readonly eos_token?: ConfiguredToken;
  /** Their ids, for files that name none. */
  readonly bos_token_id?: number | null;
  readonly eos_token_id?: number | null;
  /** Whether the model wants the beginning-of-text token before a text; see `Tokenizer.defaultPrependBos`. */
  readonly default_prepend_bos?: boolean;
  /** Tokens of the model's vocabulary; those beyond the tokenizer's have no name. */
  readonly dVocab?: number;
  readonly [key: string]: unknown;
}

/** Where no file names the special tokens: [beginning, end], the first pair whose beginning is in the vocabulary. */
const WELL_KNOWN = [
  ['<|endoftext|>', '<|endoftext|>'],
  ['<s>', '</s>'],
] as const;

const contentOf = (token: unknown): string | null => {
  const content = typeof token === 'string' ? token : (token as { content?: unknown } | null)?.content;
  return typeof content === 'string' && content !== '' ? content : null;
};

const hasStep = (decoder: unknown, type: string): boolean => {
  const { type: own, decoders } = (decoder ?? {}) as { type?: unknown; decoders?: unknown };
  return own === type || (Array.isArray(decoders) && decoders.some((step) => hasStep(step, type)));
};

function parse(json: object | string): Record<string, unknown> {
  let parsed: unknown = json;
  if (typeof json === 'string') parsed = parseJson(json, 'tokenizer.json');
  const { model } = (parsed ?? {}) as { model?: { vocab?: unknown } };
  if (!model?.vocab)
    throw new Error(
      'tokenizer.json has no model.vocab: give the file that Hugging Face\'s "fast" tokenizers write (AutoTokenizer.save_pretrained writes one)',
    );
  return record(parsed, 'the whole');
}

/** Special tokens that the vocabulary holds but `added_tokens` does not are added: they are recognised inside a text. */
function withSpecial(added: AddedToken[], vocab: unknown, names: readonly (string | null)[]): AddedToken[] {
  const ids = Array.isArray(vocab)
    ? new Map(vocab.map((entry, id) => [Array.isArray(entry) ? entry[0] : null, id]))
    : vocab;
  const idOf = (content: string): unknown =>
    ids instanceof Map
      ? ids.get(content)
      : Object.hasOwn(ids as object, content)
        ? (ids as Record<string, unknown>)[content]
        : undefined;
  const all = [...added];
  for (const content of names) {
    if (!content || all.some((token) => token.content === content)) continue;
    const id = idOf(content);
    if (typeof id !== 'number') continue;
    const plain = { singleWord: false, lstrip: false, rstrip: false, normalized: false };
    all.push({ id, content, special: true, ...plain });
  }
  return all;
}

/** `{ id: token }`, as tokenizer_config.json has it, as a list. */
const tokensById = (value: unknown): unknown =>
  value == null
    ? []
    : Object.entries(value).map(([id, token]) => ({
        normalized: false,
        ...(token as object),
        id: /^\d+$/.test(id) ? Number(id) : id,
      }));

/** The names of all special tokens that a configuration lists (`pad_token`, `additional_special_tokens`, …). */
function specialNames(config: TokenizerSettings): (string | null)[] {
  const names = Object.entries(config).flatMap(([key, value]) =>
    /^[a-z]+_token$/.test(key) ? [contentOf(value)] : [],
  );
  const more = config.additional_special_tokens;
  return [...names, ...(Array.isArray(more) ? more.map(contentOf) : [])];
}

/** A checkpoint's tokenizer, for instance GPT-2's byte-pair encoding: text, token ids, and the bytes of each token. */
export class Tokenizer {
  /** The token that begins a text, e.g. `<|endoftext|>`; null when the tokenizer has none. */
  readonly bosToken: string | null;
  readonly bosTokenId: number | null;
  /** The token that ends a text; for GPT-2 the same one. */
  readonly eosToken: string | null;
  readonly eosTokenId: number | null;
  /**
   * Whether the checkpoint's tokenizer itself prepends the beginning-of-text token when it is called in Python: no for GPT-2,
   * GPT-J and Pythia, yes for Llama and Gemma. From `add_bos_token` in tokenizer_config.json, else from the post-processor.
   */
  readonly addsBos: boolean;
  /**
   * Whether the beginning-of-text token is put before a text where no option says (`prependBos`): as TransformerLens does for
   * the model (`default_prepend_bos`: not for Pythia, Qwen and Phi).
   */
  readonly defaultPrependBos: boolean;
  /** One more than the highest id that has a name. A model's `dVocab` may be larger, when its embedding was padded. */
  readonly size: number;
  readonly #encoding: Encoding;
  readonly #decode: Decoder;
  /** Ids from 0 to this are tokens; those without an entry have no name. */
  readonly #limit: number;
  readonly #entries = new Map<number, string>();
  readonly #added = new Map<number, AddedToken>();
  readonly #bytes = new Map<number, Uint8Array>();
  readonly #byteLevel: boolean;
  readonly #byteFallback: boolean;

  private constructor(json: Record<string, unknown>, config: TokenizerSettings) {
    const names = [...specialNames(config), ...WELL_KNOWN.flat()];
    const listed = addedTokensOf(json.added_tokens);
    const further = addedTokensOf(
      tokensById(config.added_tokens_decoder),
      'added_tokens_decoder (tokenizer_config.json)',
    ).filter(({ id, content }) => !listed.some((token) => token.id === id || token.content === content));
    const added = withSpecial([...listed, ...further], (json.model as { vocab: unknown }).vocab, names);
    this.#encoding = new Encoding(json, added);
    this.#decode = decoderOf(json.decoder) ?? ((entries) => [entries.join(' ')]);
    this.#byteLevel = hasStep(json.decoder, 'ByteLevel');
    this.#byteFallback = hasStep(json.decoder, 'ByteFallback');
    let size = 0;
    for (const [entry, id] of this.#encoding.model.vocab) {
      this.#entries.set(id, entry);
      size = Math.max(size, id + 1);
    }
    for (const token of added) {
      this.#added.set(token.id, token);
      this.#entries.set(token.id, token.content);
      size = Math.max(size, token.id + 1);
    }
    this.size = size;
    this.#limit = Math.max(size, config.dVocab ?? 0);

    const known = (content: string | null) =>
      content !== null && this.#idOfEntry(content) !== null ? content : null;
    const [bos, eos] = WELL_KNOWN.find(([first]) => known(first)) ?? [null, null];
    const special = (which: 'bos' | 'eos', wellKnown: string | null): string | null => {
      const named = config[`${which}_token`] as ConfiguredToken;
      if (named !== undefined) return known(contentOf(named));
      const id = config[`${which}_token_id`];
      return (typeof id === 'number' ? this.#entries.get(id) : undefined) ?? known(wellKnown);
    };
    this.bosToken = special('bos', bos);
    this.eosToken = special('eos', eos);
    this.bosTokenId = this.bosToken === null ? null : this.#idOfEntry(this.bosToken);
    this.eosTokenId = this.eosToken === null ? null : this.#idOfEntry(this.eosToken);
    const { add_bos_token: told } = config;
    const adds = typeof told === 'boolean' ? told : tokenInFront(json.post_processor) === this.bosToken;
    this.addsBos = this.bosToken !== null && adds;
    this.defaultPrependBos = config.default_prepend_bos ?? true;
  }

  /**
   * A tokenizer from a checkpoint's `tokenizer.json` (parsed or not) and what names its special tokens: the contents of
   * `tokenizer_config.json`, `special_tokens_map.json`, or ids (see `TokenizerSettings`).
   *
   * @throws an error that names tokenizer.json, and the place in it, when it is none, or of a kind that is not known.
   */
  static fromJson(tokenizerJson: object | string, config: object = {}): Tokenizer {
    try {
      return new Tokenizer(parse(tokenizerJson), config as TokenizerSettings);
    } catch (e) {
      if (e instanceof RangeError) throw new Error('tokenizer.json: it is nested too deeply');
      throw e;
    }
  }

  /**
   * The token ids of a text. Special tokens written inside it (`<|endoftext|>`) become their one id; nothing is
   * prepended or appended. An empty text gives an empty array.
   *
   * @throws for a character without a token where the vocabulary has none for "unknown", and for half a surrogate pair.
   */
  encode(text: string): number[] {
    return this.#encode(text, false).map(({ id }) => id);
  }

  /** The tokens of a text, each with the part of the text, [start, end) in UTF-16 units, that it stands for. */
  encodeWithOffsets(text: string): PlacedToken[] {
    return this.#encode(text, true);
  }

  /**
   * The exact text of token ids: no blanks are tidied up, special tokens are kept, ids without a name give nothing, an
   * empty array gives ''. Bytes that are not whole characters become U+FFFD.
   */
  decode(ids: ArrayLike<number>): string {
    return this.#text(Array.from(ids, (id) => this.#check(id)));
  }

  /**
   * The beginning of `decode(ids)` that further tokens cannot change: without the bytes at the end that may become a
   * whole character. For texts that are shown as they grow.
   */
  decodeSettled(ids: ArrayLike<number>): string {
    const list = Array.from(ids, (id) => this.#check(id));
    if (this.#byteLevel) {
      const bytes = joinBytes(list.map((id) => this.bytes(id)));
      return fromUtf8(bytes.subarray(0, bytes.length - unfinishedBytes(bytes)));
    }
    let end = list.length;
    if (this.#byteFallback)
      while (end > 0 && byteOf(this.#entries.get(list[end - 1]) ?? '<0x00>') !== null) end--;
    return this.#text(list.slice(0, end));
  }

  /**
   * One string a token, to be shown: their concatenation is the text, except that bytes of a character which is split
   * over several tokens are written `\xE2`, and an id without a name `[262]`.
   */
  pieces(ids: ArrayLike<number>): string[] {
    return Array.from(ids, (id) =>
      this.#entries.has(this.#check(id)) ? showBytes(this.bytes(id)) : `[${id}]`,
    );
  }

  /**
   * The bytes that a token stands for (in the middle of a text, where a tokenizer treats the beginning differently);
   * none for an id without a name. The array is the tokenizer's own: do not write to it.
   */
  bytes(id: number): Uint8Array {
    let bytes = this.#bytes.get(this.#check(id));
    if (!bytes) {
      bytes = this.#bytesOf(id);
      this.#bytes.set(id, bytes);
    }
    return bytes;
  }

  /** The id of the token that stands for exactly this text, blank included (`' Mary'`), or null when there is none. */
  idOf(piece: string): number | null {
    for (const token of this.#added.values()) if (token.content === piece) return token.id;
    return this.#encoding.model.vocab.get(this.#byteLevel ? entryOfText(piece) : piece) ?? null;
  }

  /**
   * A text as the tokenizer sees it, in the writing of the vocabulary: normalized, and in one piece. `bytes` of tokens are
   * compared with it to find words in a prompt.
   */
  normalize(text: string): string {
    return this.#encoding.normalize(text);
  }

  /** True for a special token, such as `<|endoftext|>`. */
  isSpecial(id: number): boolean {
    return this.#added.get(this.#check(id))?.special ?? false;
  }

  #idOfEntry(entry: string): number | null {
    for (const token of this.#added.values()) if (token.content === entry) return token.id;
    return this.#encoding.model.vocab.get(entry) ?? null;
  }

  #encode(text: string, aligned: boolean): PlacedToken[] {
    if (typeof text !== 'string')
      throw new TypeError(`encode() takes one string, not ${Array.isArray(text) ? 'an array' : typeof text}`);
    try {
      return this.#encoding.encode(text, aligned);
    } catch (e) {
      throw new Error(`${quoted(text, 40)}: ${(e as Error).message}`);
    }
  }

  #text(ids: readonly number[]): string {
    if (this.#byteLevel) return fromUtf8(joinBytes(ids.map((id) => this.bytes(id))));
    const entries = ids.flatMap((id) => this.#entries.get(id) ?? []);
    return this.#decode(entries).join('');
  }

  #check(id: number): number {
    if (!Number.isInteger(id) || id < 0 || id >= this.#limit)
      throw new RangeError(
        `token id ${quoted(id)}: the vocabulary has ${this.#limit} tokens, ids 0–${this.#limit - 1}`,
      );
    return id;
  }

  #bytesOf(id: number): Uint8Array {
    const entry = this.#entries.get(id);
    if (entry === undefined) return new Uint8Array();
    if (this.#added.has(id)) return utf8(entry);
    if (this.#byteLevel) return bytesOfEntry(entry) ?? utf8(entry);
    const byte = this.#byteFallback ? byteOf(entry) : null;
    if (byte !== null) return Uint8Array.of(byte);
    // Decoders drop the blank in front of a text's first word: look at the token's second copy.
    return utf8(this.decode([id, id]).slice(this.decode([id]).length));
  }
}

/** How many bytes at the end are the beginning of a character whose other bytes are missing. */
function unfinishedBytes(bytes: Uint8Array): number {
  for (let n = 1; n <= Math.min(3, bytes.length); n++) {
    const lead = bytes[bytes.length - n];
    if (lead < 0x80) return 0;
    if (lead < 0xc0) continue;
    const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    // the first byte behind the lead is restricted: others can never become a character
    const whole = Uint8Array.from({ length }, (_, i) => (i < n ? bytes[bytes.length - n + i] : 0x80));
    const seconds = n > 1 ? [whole[1]] : [0x80, 0x90, 0xa0];
    return length > n && seconds.some((second) => isUtf8(withSecond(whole, second))) ? n : 0;
  }
  return 0;
}

const withSecond = (bytes: Uint8Array, second: number): Uint8Array =>
  Uint8Array.from(bytes, (b, i) => (i === 1 ? second : b));

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

countedMethods(Tokenizer.prototype, {
  encode: ['text'],
  encodeWithOffsets: ['text'],
  decode: ['ids'],
  decodeSettled: ['ids'],
  bytes: ['id'],
  idOf: ['piece'],
  normalize: ['text'],
});
