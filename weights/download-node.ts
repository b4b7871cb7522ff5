/**
 * One file from the Hub to disk: resumable, checked, and safe when several processes want it at once.
 *
 * A download is written to `<etag>.<host>-<pid>-<n>.incomplete`, which belongs to one download. When it breaks off, the
 * file stays, and the next attempt takes it over by renaming it, which only one process can do. Python's `<etag>.incomplete`
 * is taken over too, once nobody has written to it for a minute.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { type OnLoadProgress, progressCounter } from './progress.js';
import { HttpError, ShortBodyError, withRetries } from './retry.js';

/** What to fetch, where to put it, and what it must be. */
export interface Download {
  url: string;
  headers: Readonly<Record<string, string>>;
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
  signal?: AbortSignal;
}

/** Partial files that this process is writing. */
const active = new Set<string>();
let count = 0;

const IDLE_MS = 60_000;
const HOST = hostname().replace(/[^\w]/g, '') || 'host';

/**
 * Downloads to `blob`. Network errors are retried, resuming where the connection broke.
 * @throws when the network fails five times without a byte in between (what has arrived stays for the next attempt), and
 * when size or hash differ (then it is deleted).
 */
export async function downloadBlob(download: Download): Promise<void> {
  const { blob, etag, size, name = '', file = '', onProgress, signal } = download;
  const partial = `${blob}.${HOST}-${process.pid}-${count++}.incomplete`;
  active.add(partial);
  try {
    const had = await takeOver(blob, partial, size);
    const total = size ?? undefined;
    onProgress?.({ status: 'download', name, file, loaded: had, total });
    const counter = progressCounter(onProgress, { name, file, total, loaded: had });
    await withRetries(
      async (arrived) => {
        await fetchInto(partial, download, counter, arrived);
      },
      { signal },
    );
    await check(partial, etag, size, `${name}/${file}`);
    await rename(partial, blob);
  } finally {
    active.delete(partial);
  }
}

/** Fetches what the partial file lacks. */
async function fetchInto(
  partial: string,
  { url, headers, size, signal }: Download,
  counter: { add(bytes: number): void; reset(): void },
  arrived: () => void,
): Promise<void> {
  let start = await sizeOf(partial);
  if (start > 0 && start === size) return;
  const asked: Record<string, string> = { ...headers, 'accept-encoding': 'identity' };
  if (start > 0) asked.range = `bytes=${start}-`;
  const response = await fetch(url, { headers: asked, signal });
  const from = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  if (!response.ok || (response.status === 206 && Number(from) !== start)) {
    await response.body?.cancel();
    if (start > 0 && (response.ok || response.status === 416)) {
      await rm(partial, { force: true });
      counter.reset();
      throw new ShortBodyError(`${url}: the server cannot resume at byte ${start}`);
    }
    throw new HttpError(response.status, `${url}: the server answered ${response.status}`);
  }
  if (response.status === 200 && start > 0) {
    start = 0; // the server ignores Range and sends everything
    counter.reset();
  }
  const handle = await open(partial, start > 0 ? 'a' : 'w');
  try {
    for await (const chunk of response.body ?? []) {
      await handle.writeFile(chunk);
      arrived();
      counter.add(chunk.length);
    }
  } finally {
    await handle.close();
  }
  const length = await sizeOf(partial);
  if (size !== null && length < size)
    throw new ShortBodyError(`${url}: the connection ended after ${length} of ${size} bytes`);
}

/** Takes over what an earlier download left, the longest first; gives its length. */
async function takeOver(blob: string, partial: string, size: number | null): Promise<number> {
  const folder = dirname(blob);
  const left = (await readdir(folder)).filter(
    (file) => file.startsWith(`${basename(blob)}.`) && file.endsWith('.incomplete'),
  );
  const sized = await Promise.all(
    left.map(async (file) => ({ path: join(folder, file), size: await sizeOf(join(folder, file)) })),
  );
  for (const old of sized.sort((a, b) => b.size - a.size)) {
    if (!(await isAbandoned(old.path))) continue;
    if (size !== null && old.size > size) {
      await rm(old.path, { force: true });
      continue;
    }
    try {
      await rename(old.path, partial);
      return old.size;
    } catch {
      // Another process was faster.
    }
  }
  return 0;
}

/** Whether nobody writes to a partial file any more. */
async function isAbandoned(path: string): Promise<boolean> {
  if (active.has(path)) return false;
  const [, host, pid] = /\.(\w+)-(\d+)-\d+\.incomplete$/.exec(path) ?? [];
  if (host === HOST) return Number(pid) === process.pid || !isRunning(Number(pid));
  const info = await stat(path).catch(() => null);
  return info !== null && Date.now() - info.mtimeMs > IDLE_MS;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Compares size and hash with what the Hub said; deletes the file when they differ. */
async function check(path: string, etag: string, size: number | null, what: string): Promise<void> {
  const length = await sizeOf(path);
  const wrong = async (found: string, promised: string) => {
    await rm(path, { force: true });
    return new Error(`${what}: ${found}, but the Hub says ${promised}. The download was deleted; try again`);
  };
  if (size !== null && length !== size) throw await wrong(`${length} bytes arrived`, `${size}`);
  const kind = /^[0-9a-f]{64}$/.test(etag) ? 'sha256' : /^[0-9a-f]{40}$/.test(etag) ? 'sha1' : null;
  if (!kind) return;
  const hash = createHash(kind);
  if (kind === 'sha1') hash.update(`blob ${length}\0`); // git hashes contents behind this header
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk);
  const digest = hash.digest('hex');
  if (digest !== etag) throw await wrong(`its ${kind} is ${digest}`, etag);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}
