/**
 * What a platform adds to reading weights: Node has a file system and a Hub cache, a browser has neither. Node registers its
 * files from outside (`registerNodeFiles` of `files-node.ts`), so that nothing here imports a `node:` module.
 */

import { boolean, callback, either, oneOf, path, positive, signal, text } from '../checks/kinds.js';
import type { Spec } from '../checks/options.js';
import type { FileSource } from './files.js';
import type { OnLoadProgress } from './progress.js';

/** Options of everything that loads a model. */
export interface LoadOptions {
  /** Branch, tag or commit of a Hub repository. Default 'main'. */
  revision?: string;
  /** Node: the cache folder. Default as in Python's huggingface_hub: `$HF_HUB_CACHE`, ..., `~/.cache/huggingface/hub`. */
  cacheDir?: string;
  /**
   * Access token for gated or private repositories; false sends none. Default in Node `$HF_TOKEN`, else the login that
   * Python's `hf auth login` keeps. It is sent to the Hub's own origin only.
   */
  token?: string | false;
  /** Address of the Hub or a mirror. Default `$HF_ENDPOINT` in Node, else https://huggingface.co. */
  endpoint?: string;
  /** Use only what the cache holds. Default: whether `$HF_HUB_OFFLINE` is set. */
  localFilesOnly?: boolean;
  /** Milliseconds of silence after which a request is given up. A file is given up after three tries. Default 20,000. */
  timeoutMs?: number;
  onProgress?: OnLoadProgress;
  signal?: AbortSignal;
}

/** What these options may be. */
export const FILE_OPTIONS = {
  revision: text,
  cacheDir: path,
  token: either(text, oneOf(false)),
  endpoint: path,
  localFilesOnly: boolean,
  timeoutMs: positive,
  onProgress: callback,
  signal,
} satisfies Spec<LoadOptions>;

/** What a store takes besides what its users may give. */
export interface StoreOptions extends LoadOptions {
  /** Milliseconds before a second try, doubling. Default 500; tests wait less. */
  readonly delay?: number;
}

/** A local copy of Hub repositories. */
export interface HubStore {
  /**
   * A repository as a folder; its files are downloaded when they are opened, unless the store already has them.
   * `repo` is `owner/name`, `aliases` are older names under which the store may hold the same model.
   */
  open(repo: string, aliases: readonly string[], options: StoreOptions): Promise<FileSource>;
}

/** What `setFilePlatform` registers. */
export interface FilePlatform {
  /** A folder by its path or file: URL. @throws when it does not exist. */
  folder(path: string): Promise<FileSource>;
  readonly hub: HubStore;
  /** Asks web servers, through a proxy where the environment names one. Default the global `fetch`. */
  readonly fetch?: typeof fetch;
  /** Bytes of memory that this process may still take. */
  freeMemory?(): number;
  /** A model of another program on this machine: Ollama, LM Studio. Null: the name is none of theirs. */
  installed?(name: string): Promise<FileSource | null>;
}

let current: FilePlatform | undefined;

/** Registers (or with undefined removes) the platform's files. */
export function setFilePlatform(platform: FilePlatform | undefined): void {
  current = platform;
}

/** The registered platform; undefined in a browser. */
export function filePlatform(): FilePlatform | undefined {
  return current;
}
