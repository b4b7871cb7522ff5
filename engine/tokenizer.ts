/**
 * Text to token ids and back. The work is done by Hugging Face's `@huggingface/tokenizers` on the checkpoint's own
 * `tokenizer.json`; this class hides its traps (decoding that tidies up blanks, unknown ids that vanish, lists that
 * are taken for words) and adds what tools need: the exact bytes of every token.
 */

import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { bytesOfEntry, entryOfText, fromUtf8, joinBytes, showBytes, utf8 } from './bytes.js';

/** What of `tokenizer.json` is read here; the rest is the library's. */
interface TokenizerJson {
  readonly model: {
    readonly vocab: object;
    readonly unk_token?: string | null;
    readonly byte_fallback?: boolean;
  };
  readonly decoder?: Decoder | null;
  readonly added_tokens?: readonly AddedToken[];
  readonly post_processor?: PostProcessor | null;
}

/** What is put around a text. */
interface PostProcessor {
  readonly type: string;
  readonly processors?: readonly PostProcessor[];
  /** Of `TemplateProcessing`. */
  readonly single?: readonly { readonly SpecialToken?: { readonly id: string } }[];
  /** Of `RobertaProcessing` and `BertProcessing`: text and id. */
  readonly cls?: readonly [string, number];
}

interface Decoder {
  readonly type: string;
  readonly decoders?: readonly Decoder[];
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** A special token in `tokenizer_config.json`: its text, or an object that holds it. */
type ConfiguredToken = string | { readonly content: string } | null | undefined;

interface Backend {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  get_vocab(): Map<string, number>;
}

/** Where neither file names the special tokens: [beginning, end], the first pair whose beginning is in the vocabulary. */
const WELL_KNOWN = [
  ['<|endoftext|>', '<|endoftext|>'],
  ['<s>', '</s>'],
] as const;

const contentOf = (token: ConfiguredToken): string | null =>
  (typeof token === 'string' ? token : token?.content) || null;

const isByteLevel = (decoder: Decoder | null | undefined): boolean =>
  decoder?.type === 'ByteLevel' || (decoder?.decoders ?? []).some(isByteLevel);

/** The text of the special token that a post-processor puts in front; null: none. */
function tokenInFront(processor: PostProcessor | null | undefined): string | null {
  if (!processor) return null;
  const { processors = [], single, cls } = processor;
  for (const one of processors) {
    const found = tokenInFront(one);
    if (found !== null) return found;
  }
  return single?.[0]?.SpecialToken?.id ?? cls?.[0] ?? null;
}

function parse(json: object | string): TokenizerJson {
  let parsed: unknown = json;
  if (typeof json === 'string')
    try {
      parsed = JSON.parse(json);
    } catch (e) {
      throw new Error(`tokenizer.json is not JSON: ${(e as Error).message}`);
    }
  const { model } = (parsed ?? {}) as Partial<TokenizerJson>;
  if (!model?.vocab)
    throw new Error(
      'tokenizer.json has no model.vocab: give the file that Hugging Face\'s "fast" tokenizers write (AutoTokenizer.save_pretrained writes one)',
    );
  return parsed as TokenizerJson;
}

/** Special tokens that are in the vocabulary but not marked are marked, so that they are recognised inside a text. */
function addedTokens(json: TokenizerJson, names: readonly (string | null)[]): AddedToken[] {
  const added = [...(json.added_tokens ?? [])];
  const vocab = json.model.vocab as Record<string, number>;
  for (const content of names)
    if (content && Object.hasOwn(vocab, content) && !added.some((token) => token.content === content))
      added.push({ id: vocab[content], content, special: true });
  return added;
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
  /** One more than the highest id. A model's `dVocab` may be larger, when its embedding was padded. */
  readonly size: number;
  readonly #backend: Backend;
  readonly #vocab: Map<string, number>;
  readonly #entries: (string | undefined)[] = [];
  readonly #added = new Map<number, AddedToken>();
  readonly #bytes: (Uint8Array | undefined)[] = [];
  readonly #byteLevel: boolean;
  readonly #byteFallback: boolean;

  private constructor(json: TokenizerJson, config: Record<string, ConfiguredToken>) {
    const configured = [contentOf(config.bos_token), contentOf(config.eos_token)];
    const added = addedTokens(json, [...configured, ...WELL_KNOWN.flat()]);
    const whole = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...json };
    // Without a token for "unknown" the library drops what it does not know; with an impossible one it says so.
    const model = { ...json.model, unk_token: json.model.unk_token ?? '' };
    this.#backend = new HuggingFaceTokenizer({ ...whole, model, added_tokens: added }, config) as Backend;
    this.#byteLevel = isByteLevel(json.decoder);
    this.#byteFallback = json.model.byte_fallback === true;
    this.#vocab = this.#backend.get_vocab();
    for (const [entry, id] of this.#vocab) this.#entries[id] = entry;
    for (const token of added) this.#added.set(token.id, token);
    this.size = this.#entries.length;

    const known = (content: string | null) => (content !== null && this.#vocab.has(content) ? content : null);
    const [bos, eos] = WELL_KNOWN.find(([first]) => known(first)) ?? [null, null];
    this.bosToken = known(config.bos_token === undefined ? bos : configured[0]);
    this.eosToken = known(config.eos_token === undefined ? eos : configured[1]);
    this.bosTokenId = this.bosToken === null ? null : this.#vocab.get(this.bosToken)!;
    this.eosTokenId = this.eosToken === null ? null : this.#vocab.get(this.eosToken)!;
    const { add_bos_token: told } = config as { add_bos_token?: unknown };
    const adds = typeof told === 'boolean' ? told : tokenInFront(json.post_processor) === this.bosToken;
    this.addsBos = this.bosToken !== null && adds;
  }

  /**
   * A tokenizer from a checkpoint's `tokenizer.json` (parsed or not) and, where there is one, `tokenizer_config.json`,
   * which names the special tokens (`bos_token`, `eos_token`; null: it has none).
   *
   * @throws when it is not a tokenizer.json, or of a kind the library does not know.
   */
  static fromJson(tokenizerJson: object | string, config: object = {}): Tokenizer {
    return new Tokenizer(parse(tokenizerJson), config as Record<string, ConfiguredToken>);
  }

  /**
   * The token ids of a text. Special tokens written inside it (`<|endoftext|>`) become their one id; nothing is
   * prepended or appended. An empty text gives an empty array.
   */
  encode(text: string): number[] {
    if (typeof text !== 'string')
      throw new TypeError(`encode() takes one string, not ${Array.isArray(text) ? 'an array' : typeof text}`);
    if (text === '') return [];
    const ids = this.#ids(text);
    if (ids.includes(undefined)) {
      const lost = [...text].find((char) => this.#ids(char).includes(undefined)) ?? text;
      throw new Error(
        `${JSON.stringify(text)}: this vocabulary of ${this.size} has no token for ${JSON.stringify(lost)}, and none for "unknown"`,
      );
    }
    return ids as number[];
  }

  /**
   * The exact text of token ids: no blanks are tidied up, special tokens are kept, an empty array gives ''. Bytes that
   * are not whole characters become U+FFFD.
   */
  decode(ids: ArrayLike<number>): string {
    if (this.#byteLevel) return fromUtf8(joinBytes(Array.from(ids, (id) => this.bytes(id))));
    const list = Array.from(ids, (id) => this.#check(id));
    return list.length ? this.#backend.decode(list, { clean_up_tokenization_spaces: false }) : '';
  }

  /**
   * One string a token, to be shown: their concatenation is the text, except that bytes of a character which is split
   * over several tokens are written `\xE2`.
   */
  pieces(ids: ArrayLike<number>): string[] {
    return Array.from(ids, (id) => showBytes(this.bytes(id)));
  }

  /**
   * The bytes that a token stands for (in the middle of a text, where a tokenizer treats the beginning differently).
   * The array is the tokenizer's own: do not write to it.
   */
  bytes(id: number): Uint8Array {
    this.#bytes[this.#check(id)] ??= this.#bytesOf(id);
    return this.#bytes[id]!;
  }

  /** The id of the token that stands for exactly this text, blank included (`' Mary'`), or null when there is none. */
  idOf(piece: string): number | null {
    for (const token of this.#added.values()) if (token.content === piece) return token.id;
    return this.#vocab.get(this.#byteLevel ? entryOfText(piece) : piece) ?? null;
  }

  /** True for a special token, such as `<|endoftext|>`. */
  isSpecial(id: number): boolean {
    return this.#added.get(this.#check(id))?.special ?? false;
  }

  #ids(text: string): (number | undefined)[] {
    return this.#backend.encode(text, { add_special_tokens: false }).ids;
  }

  #check(id: number): number {
    if (this.#entries[id] === undefined)
      throw new RangeError(
        `token id ${id}: the vocabulary has ${this.size} tokens, ids 0–${this.size - 1}${id >= 0 && id < this.size ? ', and this one is not used' : ''}`,
      );
    return id;
  }

  #bytesOf(id: number): Uint8Array {
    const entry = this.#entries[id]!;
    if (this.#added.has(id)) return utf8(entry);
    if (this.#byteLevel) return bytesOfEntry(entry) ?? utf8(entry);
    const byte = this.#byteFallback && /^<0x([0-9A-F]{2})>$/.exec(entry);
    if (byte) return Uint8Array.of(Number.parseInt(byte[1], 16));
    // Decoders drop the blank in front of a text's first word: look at the token's second copy.
    return utf8(this.decode([id, id]).slice(this.decode([id]).length));
  }
}
