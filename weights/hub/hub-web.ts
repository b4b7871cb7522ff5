/**
 * The Hub from a page. Files are kept in the browser's Cache storage under their commit, so that the second
 * visit needs no download and works offline; where that is not to be had (insecure pages, a full disk), they
 * are read with range requests.
 *
 * The page cannot see the Hub's answer before its redirection, where hashes are; sizes and hashes come from
 * the Hub's API. Sizes are checked always, hashes of files up to 64 MiB. A copy in the cache that does not
 * agree is fetched again.
 */

import { isCommit, isContentHash, isSafePath, safePath, safeRevision } from '../checks/paths.js';
import { shown, shownUrl } from '../checks/shown.js';
import type { FileSource, RandomAccess } from '../files/files.js';
import { blobFile } from '../files/files-blob.js';
import { openUrl, type UrlOptions } from '../files/files-web.js';
import type { HubStore, LoadOptions, StoreOptions } from '../files/platform.js';
import { progressCounter } from '../files/progress.js';
import { parseUrl } from '../files/request.js';
import { isPassing } from '../files/retry.js';
import { HUB_ENDPOINT, type HubListing, hubListing, resolveUrl } from './hub.js';

/** Of the browser's Cache storage. */
export const CACHE_NAME = 'glassbox-hub';
/** What one request asks for, and what is fetched again when a connection breaks. */
const CHUNK_BYTES = 2 ** 24;
/** Larger files are not hashed: it needs all of them in memory. */
const MAX_HASHED_BYTES = 2 ** 26;

/** What this needs of the browser's `caches`. */
export interface CacheStore {
  match(key: string): Promise<Response | undefined>;
  put(key: string, response: Response): Promise<void>;
  delete(key: string): Promise<unknown>;
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

interface Snapshot extends HubListing {
  /** Why the Hub is not asked; undefined when it answered. */
  readonly offline?: string;
}

/**
 * A repository through `cache`; without one, through range requests alone. Which files it has is what the Hub
 * says, or said when it was last reached: a file that it has and that cannot be had is an error.
 * @throws when the Hub refuses, or is not reached and the cache does not know the revision.
 */
export async function openRepo(
  repo: string,
  cache: CacheStore | null,
  options: StoreOptions,
): Promise<FileSource> {
  const { endpoint = HUB_ENDPOINT, token, onProgress, signal, timeoutMs, delay } = options;
  const { origin } = parseUrl(endpoint);
  const how: UrlOptions = {
    signal,
    timeoutMs,
    token: token ? { value: token, origin } : undefined,
    retry: delay === undefined ? undefined : { delay },
  };
  const { commit, files, offline } = await findSnapshot(repo, cache, endpoint, how, options);

  const open = async (file: string): Promise<RandomAccess | null> => {
    const listed = files.get(safePath(file, repo));
    if (!listed) return null;
    const url = resolveUrl(endpoint, repo, commit, file);
    const kept = await readCache(cache, url, listed);
    if (kept) return kept;
    if (offline !== undefined)
      throw new Error(`${repo}/${file} is not whole in this browser's cache, and ${offline}`);
    const remote = await openUrl(url, how);
    if (!remote) throw new Error(`${repo}/${file}: the Hub lists it and does not give it; try again`);
    const { size = remote.size } = listed;
    if (remote.size !== size)
      throw new Error(`${repo}/${file}: ${remote.size} bytes are there, but the Hub says ${size}; try again`);
    if (!cache) return remote;
    try {
      await cache.put(url, new Response(download(remote, repo, file, options)));
    } catch (error) {
      signal?.throwIfAborted();
      // The storage is full, or refuses. What the download throws is no DOMException.
      if (!(error instanceof DOMException)) throw error;
      return remote;
    }
    const whole = await readCache(cache, url, listed);
    if (!whole) throw new Error(`${repo}/${file}: what came is not what the Hub says it has; try again`);
    return whole;
  };

  return {
    name: repo,
    hub: true,
    list: async () => [...files.keys()],
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
  how: UrlOptions,
  { revision = 'main', localFilesOnly = false }: LoadOptions,
): Promise<Snapshot> {
  const key = `${endpoint}/api/models/${repo}/revision/${encodeURIComponent(safeRevision(revision, repo))}`;
  let offline = 'localFilesOnly is set';
  if (!localFilesOnly) {
    try {
      const listing = await hubListing(endpoint, repo, revision, { ...how, ...how.retry });
      const entry = { commit: listing.commit, files: [...listing.files] };
      await cache?.put(key, new Response(JSON.stringify(entry))).catch(() => {}); // a full storage keeps nothing
      return listing;
    } catch (error) {
      if (!isPassing(error)) throw error;
      offline = `${shownUrl(endpoint)} was not reached: ${(error as Error).message}`;
    }
  }
  const remembered = await rememberedListing(cache, key);
  if (remembered) return { ...remembered, offline };
  throw new Error(`${repo} (${shown(revision)}) is not in this browser's cache, and ${offline}`);
}

/** The list of files as it was kept; null when there is none that can be read. */
async function rememberedListing(cache: CacheStore | null, key: string): Promise<HubListing | null> {
  try {
    const response = await cache?.match(key);
    const entry = (await response?.json()) as { commit: unknown; files: [string, { size?: number }][] };
    const files = new Map<string, { size?: number; hash?: string }>(entry.files);
    return isCommit(entry.commit) && [...files.keys()].every(isSafePath)
      ? { commit: entry.commit, files }
      : null;
  } catch {
    return null;
  }
}

/** A file of the cache; null when it has none, or a damaged one, which is then deleted. */
async function readCache(
  cache: CacheStore | null,
  url: string,
  { size, hash }: { readonly size?: number; readonly hash?: string },
): Promise<RandomAccess | null> {
  if (!cache) return null;
  try {
    const blob = await (await cache.match(url))?.blob();
    if (!blob) return null;
    const whole = size === undefined || blob.size === size;
    if (whole && (hash === undefined || (await hasHash(blob, hash)))) return blobFile(url, blob);
  } catch {
    // a storage that cannot be read
  }
  await cache.delete(url).catch(() => {});
  return null;
}

/** Whether contents have a hash: SHA-256, or git's SHA-1. True where that cannot be found out. */
async function hasHash(blob: Blob, hash: string): Promise<boolean> {
  const { subtle } = crypto; // undefined in insecure pages
  if (!subtle || blob.size > MAX_HASHED_BYTES || !isContentHash(hash)) return true;
  const git = hash.length === 40;
  const bytes = git ? await new Blob([`blob ${blob.size}\0`, blob]).arrayBuffer() : await blob.arrayBuffer();
  const digest = new Uint8Array(await subtle.digest(git ? 'SHA-1' : 'SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('') === hash;
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
