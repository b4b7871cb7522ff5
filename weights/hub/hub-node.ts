/**
 * The Hub from Node, through the cache that Python's huggingface_hub keeps (`cache-node.ts`).
 *
 * For each file that is opened the Hub is asked what it is (HEAD), and the file is downloaded unless the
 * cache has it. When the Hub cannot be reached, what the cache holds is used. A file is null only where the
 * repository is known to have none: what the cache merely lacks is an error, because a model without its
 * tokenizer is another model.
 */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isCommit, safePath, safeRevision } from '../checks/paths.js';
import { shown, shownUrl } from '../checks/shown.js';
import { nodeFile } from '../files/disk-node.js';
import type { FileSource, RandomAccess } from '../files/files.js';
import type { HubStore, LoadOptions } from '../files/platform.js';
import { type Answer, parseUrl, type RequestOptions, refusal, request } from '../files/request.js';
import { HttpError, isPassing, type RetryOptions, withRetries } from '../files/retry.js';
import { blobName, hubCacheDir, isReadOnly, RepoCache } from './cache-node.js';
import { downloadBlob } from './download-node.js';
import { HUB_ENDPOINT, type HubFile, hubFile, hubListing, hubRefusal, resolveUrl } from './hub.js';
import { accessToken, isSet } from './login-node.js';

/** The Hub with Python's cache folder. */
export const nodeHub: HubStore = {
  async open(repo, aliases, options) {
    const endpoint = options.endpoint ?? (process.env.HF_ENDPOINT || HUB_ENDPOINT);
    const { origin } = parseUrl(endpoint);
    const value = await accessToken(options.token);
    const how: RequestOptions & RetryOptions = {
      delay: options.delay,
      token: value === undefined ? undefined : { value, origin },
      timeoutMs: options.timeoutMs,
      signal: options.signal,
    };
    return new CachedRepo(
      repo,
      new RepoCache(hubCacheDir(options.cacheDir), repo, aliases),
      endpoint,
      how,
      options,
    );
  },
};

/** Redirections of one HEAD request. */
const MAX_HOPS = 5;

class CachedRepo implements FileSource {
  readonly name: string;
  readonly hub = true;
  readonly #repo: string;
  readonly #cache: RepoCache;
  readonly #endpoint: string;
  readonly #how: RequestOptions & RetryOptions;
  readonly #options: LoadOptions;
  readonly #revision: string;
  /** Fixed by the first file, so that all files are of one commit. */
  #commit: string | undefined;
  /** The Hub has answered: what it says from now on is of this load. */
  #reached = false;
  /** Why the Hub is not asked (again). */
  #offline: string | undefined;
  #offlineCause: unknown;

  constructor(
    repo: string,
    cache: RepoCache,
    endpoint: string,
    how: RequestOptions & RetryOptions,
    options: LoadOptions,
  ) {
    this.name = repo;
    this.#repo = repo;
    this.#cache = cache;
    this.#endpoint = endpoint;
    this.#how = how;
    this.#options = options;
    this.#revision = safeRevision(options.revision ?? 'main', repo);
    if (isCommit(this.#revision)) this.#commit = this.#revision;
    if (options.localFilesOnly) this.#offline = 'localFilesOnly is set';
    else if (options.localFilesOnly === undefined && isSet(process.env.HF_HUB_OFFLINE))
      this.#offline = 'HF_HUB_OFFLINE is set';
  }

  async open(file: string): Promise<RandomAccess | null> {
    safePath(file, this.name);
    const { onProgress } = this.#options;
    const event = { name: this.name, file };
    onProgress?.({ status: 'initiate', ...event });
    const path = this.#offline === undefined ? await this.#download(file) : await this.#local(file);
    const opened = path && (await nodeFile(path));
    if (!opened) return null;
    onProgress?.({ status: 'done', ...event, progress: 100, loaded: opened.size, total: opened.size });
    return opened;
  }

  /**
   * The repository's files as the Hub lists them; those in the cache when it is not reached. Null: it has no
   * such list.
   */
  async list(): Promise<readonly string[] | null> {
    if (this.#offline === undefined)
      try {
        const { commit, files } = await hubListing(
          this.#endpoint,
          this.#repo,
          this.#commit ?? this.#revision,
          this.#how,
        );
        this.#isOf(commit, 'its list of files');
        return [...files.keys()];
      } catch (error) {
        if (!isPassing(error)) {
          if (error instanceof HttpError) return null; // a mirror may have files and no API
          throw error;
        }
        if (this.#reached) throw error;
        this.#goOffline(error);
      }
    const commit = this.#commit ?? (await this.#cache.commitOf(this.#revision));
    return commit ? this.#cache.files(commit) : null;
  }

  /** Every file that was wanted is here: from now on the revision means this commit, without the Hub too. */
  async finished(): Promise<void> {
    if (this.#offline === undefined && this.#commit)
      await this.#cache.rememberCommit(this.#revision, this.#commit);
  }

  /** The file's path in the cache after asking the Hub; null when it has no such file. */
  async #download(file: string): Promise<string | null> {
    let about: HubFile | null;
    try {
      about = await withRetries(() => this.#ask(file), this.#how);
    } catch (error) {
      if (!isPassing(error)) throw error;
      this.#goOffline(error);
      return this.#local(file);
    }
    if (about === null) {
      if (this.#commit) await this.#cache.rememberMissing(this.#commit, file);
      return null;
    }
    try {
      return await this.#store(file, about);
    } catch (error) {
      throw this.#explained(error, file);
    }
  }

  #goOffline(error: unknown): void {
    const { message } = error as Error;
    this.#offline =
      error instanceof HttpError ? message : `${shownUrl(this.#endpoint)} was not reached: ${message}`;
    this.#offlineCause = error;
  }

  /** Asks for commit, hash and size; null when the commit has no such file. */
  async #ask(file: string): Promise<HubFile | null> {
    let url = resolveUrl(this.#endpoint, this.#repo, this.#commit ?? this.#revision, file);
    const hub = parseUrl(url);
    let { token } = this.#how;
    for (let hops = 0; hops <= MAX_HOPS; hops++) {
      const answer = await request(url, {
        ...this.#how,
        token,
        method: 'HEAD',
        redirect: 'manual',
        headers: { 'accept-encoding': 'identity' }, // compressed answers have another length and ETag
      });
      const { status, headers } = answer;
      // The way to the storage has X-Linked-ETag; a redirection without it is a renamed repository.
      const moved = status >= 300 && status < 400 && !headers.get('x-linked-etag');
      if (!moved) return this.#read(answer, url, file);
      const next = nextUrl(headers.get('location'), url);
      const [, renamed] = /\/((?:datasets\/)?[\w][\w.-]*\/[\w][\w.-]*)\/resolve\//.exec(next.pathname) ?? [];
      if (next.origin === hub.origin && renamed) this.#cache.alsoNamed(renamed);
      // Another server has seen the request by then; the token stays away from whatever it leads to.
      if (next.origin !== hub.origin) token = undefined;
      url = next.href;
    }
    throw new Error(`${shownUrl(hub.href)}: more than ${MAX_HOPS} redirections`);
  }

  /** What an answer to HEAD says. */
  #read(answer: Answer, url: string, file: string): HubFile | null {
    const { status, headers } = answer;
    const commit = headers.get('x-repo-commit');
    // A missing file's 404 says so. Any other 404 may be a proxy's, or a passing fault.
    if (
      status === 404 &&
      (headers.get('x-error-code') === 'EntryNotFound' || (commit && !headers.get('x-error-code')))
    ) {
      if (commit) this.#isOf(commit, 'an answer');
      this.#reached = true;
      return null;
    }
    if (status >= 400 || status < 200)
      throw refusal(
        answer,
        `${file}: ${hubRefusal(status, headers, this.#repo, this.#how.token !== undefined)}`,
      );
    const about = hubFile(headers, url);
    this.#isOf(about.commit, 'an answer');
    this.#reached = true;
    return about;
  }

  /** All files are of one commit. @throws when the Hub names another one, or something that is none */
  #isOf(commit: string, what: string): void {
    if (!isCommit(commit))
      throw new Error(`${this.#repo}: ${what} of the Hub names the commit "${shown(commit)}", which is none`);
    this.#commit ??= commit;
    if (commit !== this.#commit)
      throw new Error(
        `${this.#repo}: ${what} of the Hub is of commit ${commit}, not of ${this.#commit}; load again`,
      );
  }

  /** Brings the file into the cache, unless it is there, and gives its path. */
  async #store(file: string, { commit, etag, size }: HubFile): Promise<string> {
    const there = await this.#cache.find(commit, file, size);
    if (there) return there;
    const name = blobName(etag, file);
    let blob = await this.#cache.findBlob(name, size);
    if (blob === null) {
      const folder = join(this.#cache.folder, 'blobs');
      await mkdir(folder, { recursive: true });
      blob = join(folder, name);
      const url = resolveUrl(this.#endpoint, this.#repo, commit, file);
      const { onProgress } = this.#options;
      await downloadBlob({ url, how: this.#how, blob, etag, size, name: this.name, file, onProgress });
    }
    return this.#cache.link(commit, file, blob);
  }

  /** The file's path in the cache without asking the Hub; null when it is known that there is none. */
  async #local(file: string): Promise<string | null> {
    const commit = this.#commit ?? (await this.#cache.commitOf(this.#revision));
    const { folder } = this.#cache;
    const fail = (what: string) => new Error(`${what}, and ${this.#offline}`, { cause: this.#offlineCause });
    if (commit) {
      const path = await this.#cache.find(commit, file);
      if (path) return path;
      if (await this.#cache.isMissing(commit, file)) return null;
      if (this.#reached || (await this.#cache.isByFile(commit)))
        throw fail(
          `${this.#repo}/${file} is not in the cache ${folder}, which does not know whether the repository has it`,
        );
      if (await this.#cache.hasSnapshot(commit)) return null; // Python's, filled all at once
    }
    throw fail(`${this.#repo} (${shown(this.#revision)}) is not in the cache ${folder}`);
  }

  #explained(error: unknown, file: string): unknown {
    const { code, message } = error as NodeJS.ErrnoException;
    if (isPassing(error) || error instanceof HttpError)
      return new Error(`${this.#repo}/${file}: the download failed (${message}); load again`, {
        cause: error,
      });
    if (code !== 'ENOSPC' && code !== 'EDQUOT' && !isReadOnly(error)) return error;
    const remedy = isReadOnly(error)
      ? 'set HF_HOME or cacheDir to a folder that can be written'
      : 'make room there, and load again to resume';
    return new Error(
      `${this.#repo}/${file}: cannot write to the cache ${this.#cache.folder} (${code}): ${remedy}`,
      {
        cause: error,
      },
    );
  }
}

/** Where a redirection leads. @throws when it leads nowhere, or away from encryption */
function nextUrl(location: string | null, from: string): URL {
  if (location === null) throw new Error(`${shownUrl(from)}: a redirection without an address`);
  const next = parseUrl(location, from);
  if (!/^https?:$/.test(next.protocol) || (from.startsWith('https:') && next.protocol !== 'https:'))
    throw new Error(`${shownUrl(from)}: it redirects to ${shownUrl(next.href)}, which is not followed`);
  return next;
}
