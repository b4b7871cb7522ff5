/** The tokenizer of a model: which files it has, and which tokens begin and end a text. */

import { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { shown } from '../../weights/checks/shown.js';
import { textLines } from '../../weights/checks/text.js';
import type { Config } from '../../weights/config.js';
import { type FileSource, readJson, readText } from '../../weights/files/files.js';
import type { LoadOptions as FileOptions } from '../../weights/files/platform.js';
import { hubRepo } from '../../weights/hub/hub.js';
import { resolveModel } from '../../weights/load/resolve.js';
import { sentencePieceTokenizer } from '../../weights/pieces/sentencepiece.js';

/** Files that say something about the tokenizer besides its rules. */
const BESIDE = ['tokenizer_config.json', 'special_tokens_map.json'];
/** Classes of tokenizers that `vocab.json` and `merges.txt` describe completely: byte-level BPE with GPT-2's words. */
const BYTE_LEVEL = /^(GPT2|Roberta|CodeGen|Bart|Longformer|PreTrained)/;

/** No `tokenizer.model` is larger (Gemma's has 4 MB). */
const MOST_BYTES = 100_000_000;

/** Nor a template of conversations. */
const MOST_TEMPLATE = 1_000_000;

/** Files by name, parsed. */
export type TokenizerFiles = Readonly<Record<string, object>>;

/** What finding a tokenizer depends on. */
export interface TokenizerOptions extends FileOptions {
  /** See `LoadOptions.tokenizer`. */
  readonly tokenizer?: string | URL | null;
}

/**
 * The files of a model's tokenizer; none where it has none. `vocab.json` with `merges.txt` (as GPT-2's first tokenizers
 * were saved) becomes a `tokenizer.json`.
 * @param named what config.json calls `tokenizer_name`
 * @param inside the tokenizer that stands in the weights' own file (GGUF)
 */
export async function readTokenizer(
  files: FileSource,
  named: unknown,
  { tokenizer, ...options }: TokenizerOptions,
  inside: () => TokenizerFiles = () => ({}),
): Promise<TokenizerFiles> {
  if (tokenizer === null) return {};
  let own: TokenizerFiles = tokenizer === undefined ? await readFolder(files) : {};
  if (tokenizer === undefined && !own['tokenizer.json']) own = { ...own, ...inside() };
  const elsewhere = tokenizer === undefined ? named : String(tokenizer); // a URL object is its text
  if (own['tokenizer.json'] || typeof elsewhere !== 'string') return own;
  // A revision is the model's; a folder is not a reason to ask the Hub.
  const local = tokenizer === undefined && !files.hub;
  const how = { ...options, revision: undefined, ...(local && { localFilesOnly: true }) };
  try {
    // A file may name a repository of the Hub. Other addresses and paths are the user's to give.
    if (tokenizer === undefined && !hubRepo(elsewhere))
      throw new Error('config.json names it as tokenizer_name, and it is no repository of the Hub');
    const folder = await resolveModel(elsewhere, how);
    const found = await readFolder(folder);
    if (found['tokenizer.json']) {
      await folder.finished?.();
      return found;
    }
    throw new Error('there is no tokenizer.json');
  } catch (cause) {
    options.signal?.throwIfAborted();
    if (local) return own;
    throw new Error(
      `tokenizer ${shown(elsewhere)}: ${(cause as Error).message} (the model can be loaded with another one, or without: { tokenizer: null })`,
      { cause },
    );
  }
}

async function readFolder(folder: FileSource): Promise<Record<string, object>> {
  const found: Record<string, object> = {};
  const read = async (name: string) => {
    const file = await folder.open(name);
    if (!file) return null;
    const json = await readJson(file);
    if (typeof json !== 'object' || json === null) throw new Error(`${file.name}: not an object of settings`);
    return json;
  };
  for (const name of ['tokenizer.json', ...BESIDE]) {
    const json = await read(name);
    if (json) found[name] = json;
  }
  const template = await folder.open('chat_template.jinja');
  if (template && template.size <= MOST_TEMPLATE) {
    const config = found['tokenizer_config.json'] ?? {};
    found['tokenizer_config.json'] = { ...config, chat_template: await readText(template) };
  }
  if (found['tokenizer.json']) return found;
  const pieces = await folder.open('tokenizer.model');
  if (pieces && pieces.size <= MOST_BYTES) {
    const given = (found['tokenizer_config.json'] ?? {}) as Record<string, unknown>;
    const bytes = await pieces.read(0, pieces.size);
    const made = sentencePieceTokenizer(bytes, pieces.name, given.add_bos_token !== false);
    found['tokenizer.json'] = made.tokenizer;
    found['tokenizer_config.json'] = { ...made.config, ...given };
    return found;
  }
  const [vocab, merges] = [await read('vocab.json'), await folder.open('merges.txt')];
  if (!vocab || !merges) return found;
  const config = (found['tokenizer_config.json'] ?? {}) as Record<string, unknown>;
  const kind = config.tokenizer_class ?? 'GPT2Tokenizer';
  if (typeof kind !== 'string' || !BYTE_LEVEL.test(kind))
    throw new Error(
      `${merges.name}: vocab.json and merges.txt are read for byte-level tokenizers (GPT-2's), not for ${String(kind).slice(0, 60)}: save tokenizer.json (AutoTokenizer.save_pretrained does)`,
    );
  const added = ((await read('added_tokens.json')) ?? {}) as Record<string, unknown>;
  found['tokenizer.json'] = byteLevelTokenizer(vocab, await readText(merges), added, config);
  return found;
}

/** A `tokenizer.json` of `vocab.json` (`{ token: id }`), `merges.txt` (a pair a line) and `added_tokens.json`. */
function byteLevelTokenizer(
  vocab: object,
  merges: string,
  added: Record<string, unknown>,
  { add_prefix_space }: Record<string, unknown>,
): object {
  const lines = textLines(merges);
  if (lines[0]?.startsWith('#version')) lines.shift();
  const byteLevel = { type: 'ByteLevel', add_prefix_space: add_prefix_space === true, trim_offsets: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: Object.entries(added).map(([content, id]) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
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
      vocab,
      merges: lines.filter((line) => line !== ''),
    },
  };
}

/** What `generation_config.json` says, or nothing where the model has none. */
export async function readGeneration(files: FileSource): Promise<Record<string, unknown>> {
  const file = await files.open('generation_config.json');
  const json = file ? await readJson(file) : {};
  return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
}

/** One id or a list of them, without those that the vocabulary has not (−1: none). */
const idsOf = (value: unknown, { dVocab }: Config): number[] =>
  [value]
    .flat()
    .filter((id): id is number => Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) < dVocab);

/**
 * The tokenizer, and the configuration with the tokens that begin and end a text: the same for both. The tokenizer's own
 * files name them first (`tokenizer_config.json`, then `special_tokens_map.json`), then `generation_config.json`, then
 * `config.json`. Whatever one of them calls an end of text ends a generation.
 */
export function withTokenizer(
  config: Config,
  files: TokenizerFiles,
  generation: Record<string, unknown>,
): { config: Config; tokenizer: Tokenizer | null } {
  const bos = [...idsOf(generation.bos_token_id, config), ...idsOf(config.bosTokenId, config)];
  const ends = [...idsOf(generation.eos_token_id, config), ...config.eosTokenIds];
  const json = files['tokenizer.json'];
  const tokenizer = json
    ? Tokenizer.fromJson(json, {
        ...files['special_tokens_map.json'],
        ...files['tokenizer_config.json'],
        bos_token_id: bos[0] ?? null,
        eos_token_id: ends[0] ?? null,
        default_prepend_bos: config.defaultPrependBos,
        dVocab: Math.max(config.dVocab, config.dVocabOut),
      })
    : null;
  const eosTokenIds = [...new Set([...idsOf(tokenizer?.eosTokenId, config), ...ends])];
  return {
    tokenizer,
    config: {
      ...config,
      bosTokenId: idsOf(tokenizer?.bosTokenId, config)[0] ?? bos[0] ?? null,
      eosTokenId: eosTokenIds[0] ?? null,
      eosTokenIds,
    },
  };
}
