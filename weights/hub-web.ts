/**
 * The Hub from a page. Files are kept in the browser's Cache storage under their commit, so that the second visit needs no
 * download and works offline; where that is not to be had (insecure pages, a full disk), they are read with range requests.
 *
 * The page cannot see the Hub's answer before its redirection, where hashes are; sizes come from the Hub's API and are
 * checked.
 */

import type { FileSource, RandomAccess } from './files.js';
import { blobFile } from './files-blob.js';
import { openUrl, type UrlOptions } from './files-web.js';
import { HUB_ENDPOINT, hubRefusal, resolveUrl } from './hub.js';
import type { HubStore, LoadOptions } from './platform.js';
import { progressCounter } from './progress.js';
import { HttpError, isNetworkError, withRetries } from './retry.js';

/** Of the browser's Cache storage. */
export const CACHE_NAME = 'glassbox-hub';
/** What one request asks for, and what is fetched again when a connection breaks. */
const CHUNK_BYTES = 2 ** 24;

/** What this needs of the browser's `caches`. */
export interface CacheStore {
  match(key: string): Promise<Response | undefined>;
  put(key: string, response: Response): Promise<void>;
}

/** The Hub with the browser's Cache storage. */
export const webHub: HubStore = {
  async open(repo, _aliases, options) {
    const storage = (globalThis as { caches?: { open(name: string): Promise<CacheStore> } }).caches;
    // A page without a secure context, or in a private window, may have no storage, or one that refuses.
    const cache = (await storage?.open(CACHE_NAME).catch(() => undefined)) ?? null;
    return openRepo(repo, cache, options);
  },
};

interface Snapshot {
  readonly commit: string;
  /** Size by path; null when the Hub was not asked. */
  readonly sizes: ReadonlyMap<string, number | undefined> | null;
}

/**
 * A repository through `cache`; without one, through range requests alone.
 * @throws when the Hub refuses, or is not reached and the cache does not know the revision.
 */
export async function openRepo(
  repo: string,
  cache: CacheStore | null,
  options: LoadOptions,
): Promise<FileSource> {
  const { endpoint = HUB_ENDPOINT, token, onProgress, signal } = options;
  const request: UrlOptions = { signal, headers: token ? { authorization: `Bearer ${token}` } : {} };
  const { commit, sizes } = await findSnapshot(repo, cache, endpoint, options);

  const open = async (file: string): Promise<RandomAccess | null> => {
    if (sizes && !sizes.has(file)) return null;
    const url = resolveUrl(endpoint, repo, commit, file);
    const kept = await readCache(cache, url);
    if (kept || !sizes) return kept;
    const remote = await openUrl(url, request);
    if (!remote) return null;
    const size = sizes.get(file) ?? remote.size;
    if (remote.size !== size)
      throw new Error(`${repo}/${file}: ${remote.size} bytes are there, but the Hub says ${size}; try again`);
    if (!cache) return remote;
    try {
      await cache.put(url, new Response(download(remote, repo, file, options)));
    } catch (error) {
      if ((error as Error).name !== 'QuotaExceededError') throw error;
      return remote;
    }
    return readCache(cache, url);
  };

  return {
    name: repo,
    hub: true,
    list: async () => sizes && [...sizes.keys()],
    async open(file) {
      const event = { name: repo, file };
      onProgress?.({ status: 'initiate', ...event });
      const opened = await open(file);
      if (opened)
        onProgress?.({ status: 'done', ...event, progress: 100, loaded: opened.size, total: opened.size });
      return opened;
    },
  };
}

/** What a revision means now; when the Hub is not reached, what it meant when it was last asked. */
async function findSnapshot(
  repo: string,
  cache: CacheStore | null,
  endpoint: string,
  { revision = 'main', token, localFilesOnly = false, signal }: LoadOptions,
): Promise<Snapshot> {
  const url = `${endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const remembered = await cache?.match(url).then((response) => response?.text());
  let why = 'localFilesOnly is set';
  if (!localFilesOnly) {
    try {
      const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
      const answer = await withRetries(
        async () => {
          const response = await fetch(url, { headers, signal });
          if (!response.ok)
            throw new HttpError(
              response.status,
              hubRefusal(response.status, response.headers, repo, !!token),
            );
          return (await response.json()) as {
            sha?: unknown;
            siblings?: { rfilename: string; size?: number }[];
          };
        },
        { attempts: remembered ? 1 : 5, signal },
      );
      if (typeof answer.sha !== 'string' || !Array.isArray(answer.siblings))
        throw new Error(`${url}: the answer has no sha and siblings; this is not a Hugging Face Hub`);
      await cache?.put(url, new Response(answer.sha));
      const sizes = new Map(answer.siblings.map(({ rfilename, size }) => [rfilename, size]));
      return { commit: answer.sha, sizes };
    } catch (error) {
      if (!isNetworkError(error) && !(error instanceof HttpError && error.status >= 500)) throw error;
      why = `${endpoint} was not reached: ${(error as Error).message}`;
    }
  }
  if (remembered) return { commit: remembered, sizes: null };
  throw new Error(`${repo} (${revision}) is not in this browser's cache, and ${why}`);
}

async function readCache(cache: CacheStore | null, url: string): Promise<RandomAccess | null> {
  const response = await cache?.match(url);
  return response ? blobFile(url, await response.blob()) : null;
}

/** The whole file as a stream of chunks, each of which is asked for again when its connection breaks. */
function download(
  file: RandomAccess,
  name: string,
  path: string,
  { onProgress }: LoadOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const event = { name, file: path, total: file.size };
  onProgress?.({ status: 'download', ...event, loaded: 0 });
  const counter = progressCounter(onProgress, event);
  let offset = 0;
  return new ReadableStream({
    async pull(controller) {
      const bytes = await file.read(offset, Math.min(CHUNK_BYTES, file.size - offset));
      controller.enqueue(new Uint8Array(bytes));
      counter.add(bytes.length);
      offset += bytes.length;
      if (offset === file.size) controller.close();
    },
  });
}
