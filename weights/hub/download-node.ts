/**
 * One file from the Hub to disk: resumable, checked, bounded, and safe when several processes want it at
 * once.
 *
 * A download is written to `<etag>.<host>-<pid>-<n>.<server's ETag>.incomplete`, which belongs to one
 * download. When it breaks off, the file stays, and the next attempt takes it over by renaming it, which only
 * one process can do. The ETag in its name (in base64url) says what the bytes are of: the rest is asked for
 * with `If-Range`, so that no file is made of two. Python's `<etag>.incomplete` is taken over too, once
 * nobody has written to it for a minute, where the file's hash will tell.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isContentHash } from '../checks/paths.js';
import { shown, shownUrl } from '../checks/shown.js';
import { type OnLoadProgress, progressCounter } from '../files/progress.js';
import {
  type Answer,
  bareEtag,
  bodyLength,
  type RequestOptions,
  refusal,
  request,
} from '../files/request.js';
import { NetworkError, type RetryOptions, ShortBodyError, withRetries } from '../files/retry.js';

/** What to fetch, where to put it, and what it must be. */
export interface Download {
  url: string;
  how: RequestOptions & RetryOptions;
  /** Where the file shall be. */
  blob: string;
  /** SHA-256 or git blob SHA-1 of the contents, in hex; otherwise it is not checked. */
  etag: string;
  /** In bytes; null when unknown. */
  size: number | null;
  /** Model and file, for progress. */
  name?: string;
  file?: string;
  onProgress?: OnLoadProgress;
}

/** Partial files that this process is writing. */
const active = new Set<string>();
let count = 0;

const IDLE_MS = 60_000;
const HOST = hostname().replace(/[^\w]/g, '').slice(0, 40) || 'host';
/** Longer ETags do not fit into a file's name. */
const MAX_VALIDATOR_LENGTH = 80;
/** Bytes that must have come for the count of tries to start again. */
const PROGRESS_BYTES = 2 ** 20;
/** How often a download may begin anew. */
const MAX_STARTS = 3;
/** Bytes of a file whose size nobody tells: configurations and tokenizers are smaller. */
const MAX_UNSTATED_BYTES = 100_000_000;

/**
 * Downloads to `blob`. What may pass is tried again, three times without progress, going on where the
 * connection broke.
 * @throws what `withRetries` throws (what has arrived stays for the next attempt), and when size or hash
 * differ (then it is deleted).
 */
export async function downloadBlob(download: Download): Promise<void> {
  const { blob, size, name = '', file = '', onProgress, how } = download;
  const partial = new Partial(blob);
  try {
    const had = await partial.takeOver(size, isContentHash(download.etag));
    const total = size ?? undefined;
    onProgress?.({ status: 'download', name, file, loaded: had, total });
    const counter = progressCounter(onProgress, { name, file, total, loaded: had });
    const state = { furthest: had, starts: 0 };
    await withRetries(async (progress) => {
      await fetchInto(partial, download, counter, state, progress);
      await check(partial, download);
    }, how);
    await rename(partial.path, blob);
  } finally {
    partial.release();
  }
  await removeLeftovers(blob);
}

/** Fetches what the partial file lacks. */
async function fetchInto(
  partial: Partial,
  { url, etag, size, how }: Download,
  counter: { add(bytes: number): void; reset(): void },
  state: { furthest: number; starts: number },
  progress: () => void,
): Promise<void> {
  let start = await partial.size();
  // Without a hash and without an ETag nothing would tell that the rest is of another file.
  if (start > 0 && !partial.validator && !isContentHash(etag)) {
    await partial.remove();
    counter.reset();
    start = 0;
  }
  if (start > 0 && start === size) return;
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (start > 0) headers.range = `bytes=${start}-`;
  if (start > 0 && partial.validator) headers['if-range'] = partial.validator;
  const answer = await request(url, { ...how, headers });
  const discard = async (what: string) => {
    answer.cancel();
    await partial.remove();
    counter.reset();
    return new NetworkError(`${shownUrl(url)}: ${what}`);
  };
  if (answer.status === 416 && start > 0) throw await discard(`the server cannot resume at byte ${start}`);
  if (answer.status !== 200 && answer.status !== 206)
    throw refusal(answer, `${shownUrl(url)}: the server answered ${answer.status}`);
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.headers.get('content-range') ?? '') ?? [];
  const validator = answer.headers.get('etag');
  if (answer.status === 206) {
    if (start === 0) throw await discard('the server sent a part where the whole was asked for');
    if (Number(from) !== start) throw await discard(`the server cannot resume at byte ${start}`);
    if ((size !== null && total !== '*' && Number(total) !== size) || changed(partial.validator, validator))
      throw await discard('the file has changed on the server since its first part came');
  } else {
    if (start > 0) counter.reset(); // the server sends everything
    start = 0;
    if (++state.starts > MAX_STARTS) {
      answer.cancel();
      throw new Error(
        `${shownUrl(url)}: begun ${MAX_STARTS} times and never completed; the server cannot resume`,
      );
    }
    await partial.begin(validator);
  }
  if (!answer.redirected && !isContentHash(etag) && validator !== null && bareEtag(validator) !== etag)
    throw await discard(`its ETag is ${shown(validator)}, the Hub said ${shown(etag)}`);
  await receive(partial, answer, start, url, size, counter, state, progress);
}

/** Appends an answer's body, as many bytes as were promised. */
async function receive(
  partial: Partial,
  answer: Answer,
  start: number,
  url: string,
  size: number | null,
  counter: { add(bytes: number): void; reset(): void },
  state: { furthest: number },
  progress: () => void,
): Promise<void> {
  const length = bodyLength(answer);
  if (size !== null && length !== null && start + length !== size) {
    answer.cancel();
    throw new NetworkError(`${shownUrl(url)}: it has ${start + length} bytes, but the Hub says ${size}`);
  }
  const limit = size ?? (length === null ? MAX_UNSTATED_BYTES : start + length);
  let at = start;
  const handle = await open(partial.path, start > 0 ? 'a' : 'w');
  try {
    for await (const chunk of answer.chunks()) {
      if (at + chunk.length > limit) {
        await partial.remove();
        counter.reset();
        throw new NetworkError(
          `${shownUrl(url)}: more than ${limit} bytes came, ` +
            (size === null && length === null ? 'and the server tells no size' : 'which the Hub says it has'),
        );
      }
      await handle.writeFile(chunk);
      at += chunk.length;
      counter.add(chunk.length);
      if (at >= state.furthest + PROGRESS_BYTES) {
        state.furthest = at;
        progress();
      }
    }
    await handle.datasync();
  } finally {
    await handle.close();
  }
  const promised = size ?? (length === null ? null : start + length);
  if (promised !== null && at < promised)
    throw new ShortBodyError(`${shownUrl(url)}: the connection ended after ${at} of ${promised} bytes`);
}

/** Whether two ETags are of different contents. */
function changed(a: string | null, b: string | null): boolean {
  return a !== null && b !== null && bareEtag(a) !== bareEtag(b);
}

/** The file that one download writes. */
class Partial {
  readonly #blob: string;
  readonly #stem: string;
  /** Strong ETag of the contents so far, as the server sent it; null when it sent none. */
  validator: string | null = null;
  path: string;

  constructor(blob: string) {
    this.#blob = blob;
    this.#stem = `${blob}.${HOST}-${process.pid}-${count++}`;
    this.path = this.#named(null);
    active.add(this.path);
  }

  #named(validator: string | null): string {
    const code = validator === null ? '' : `.${Buffer.from(validator).toString('base64url')}`;
    return `${this.#stem}${code}.incomplete`;
  }

  #rename(validator: string | null): string {
    active.delete(this.path);
    this.validator = validator;
    this.path = this.#named(validator);
    active.add(this.path);
    return this.path;
  }

  size(): Promise<number> {
    return sizeOf(this.path);
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    this.#rename(null);
  }

  /** Drops what is there; what comes now is of contents with this ETag. */
  async begin(etag: string | null): Promise<void> {
    await rm(this.path, { force: true });
    const strong = etag !== null && /^"[\x21\x23-\x7e]+"$/.test(etag) && etag.length <= MAX_VALIDATOR_LENGTH;
    this.#rename(strong ? etag : null);
  }

  release(): void {
    active.delete(this.path);
  }

  /**
   * Takes over what an earlier download left, the longest first; gives its length. What could be of other
   * contents is deleted: without a hash (`checked` false) only the ETag tells.
   */
  async takeOver(size: number | null, checked: boolean): Promise<number> {
    for (const old of await leftovers(this.#blob)) {
      const validator = validatorOf(old.path);
      if ((size !== null && old.size > size) || (validator === null && !checked)) {
        await rm(old.path, { force: true });
        continue;
      }
      try {
        await rename(old.path, this.#rename(validator));
        return old.size;
      } catch {
        this.#rename(null); // another process was faster
      }
    }
    return 0;
  }
}

/** Partial files of `blob` that nobody writes to, the longest first. */
async function leftovers(blob: string): Promise<{ path: string; size: number }[]> {
  const folder = dirname(blob);
  const found: { path: string; size: number }[] = [];
  for (const file of await readdir(folder)) {
    if (!file.startsWith(`${basename(blob)}.`) || !file.endsWith('.incomplete')) continue;
    const path = join(folder, file);
    if (await isAbandoned(path)) found.push({ path, size: await sizeOf(path) });
  }
  return found.sort((a, b) => b.size - a.size);
}

async function removeLeftovers(blob: string): Promise<void> {
  for (const { path } of await leftovers(blob)) await rm(path, { force: true });
}

const NAME = /\.(\w+)-(\d+)-\d+(?:\.([\w-]+))?\.incomplete$/;

/** Whether nobody writes to a partial file any more. */
export async function isAbandoned(path: string): Promise<boolean> {
  if (active.has(path)) return false;
  const [, host, pid] = NAME.exec(path) ?? [];
  if (host === HOST) return Number(pid) === process.pid || !isRunning(Number(pid));
  const info = await stat(path).catch(() => null);
  return info !== null && Date.now() - info.mtimeMs > IDLE_MS;
}

function validatorOf(path: string): string | null {
  const code = NAME.exec(path)?.[3];
  return code === undefined ? null : Buffer.from(code, 'base64url').toString();
}

/** Whether a process of this machine is there. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Compares size and hash with what the Hub said; deletes the file when they differ. */
async function check(partial: Partial, { etag, size, name, file }: Download): Promise<void> {
  const length = await partial.size();
  const wrong = async (found: string, promised: string) => {
    await partial.remove();
    return new NetworkError(`${name}/${file}: ${found}, but the Hub says ${promised}; what came was deleted`);
  };
  if (size !== null && length !== size) throw await wrong(`${length} bytes arrived`, `${size}`);
  if (!isContentHash(etag)) return;
  const kind = etag.length === 64 ? 'sha256' : 'sha1';
  const hash = createHash(kind);
  if (kind === 'sha1') hash.update(`blob ${length}\0`); // git hashes contents behind this header
  for await (const chunk of createReadStream(partial.path, { highWaterMark: 2 ** 20 })) hash.update(chunk);
  const digest = hash.digest('hex');
  if (digest !== etag) throw await wrong(`its ${kind} is ${digest}`, etag);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}
