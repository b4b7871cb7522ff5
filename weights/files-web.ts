/**
 * Files of the web: URLs read with range requests. Works in Node too.
 */

import { checkRange, type FileSource, memoryFile, type RandomAccess } from './files.js';
import { HttpError, ShortBodyError, withRetries } from './retry.js';

/** How to ask a web server. */
export interface UrlOptions {
  /** Default the global `fetch`. */
  fetch?: typeof fetch;
  /** Sent with every request. */
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
  /** Patience with an unreliable network. Default 5 attempts over 7.5 seconds. */
  retry?: { attempts?: number; delay?: number };
}

/** A folder on a web server. `url` may or may not end in `/`; its query (a signed address) goes to every file. */
export function urlFolder(url: string, options: UrlOptions = {}): FileSource {
  const base = new URL(url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return {
    name: base.href,
    open(path) {
      const file = new URL(path, base);
      file.search = base.search;
      return openUrl(file.href, options);
    },
  };
}

/** A few files, each at its own URL. */
export function urlFiles(
  name: string,
  urls: Readonly<Record<string, string>>,
  options: UrlOptions = {},
): FileSource {
  return { name, open: async (path) => (Object.hasOwn(urls, path) ? openUrl(urls[path], options) : null) };
}

/** The first request asks for this much: a safetensors header, or all of a config.json. */
const FIRST_BYTES = 2 ** 16;

/**
 * A file on a web server, or null when there is none (404, 410, or a web page in its place, as servers of single-page
 * applications answer). A server that ignores `Range` sends the whole file, which is then kept.
 * @throws HttpError for other answers, TypeError when the server is not reached after five attempts.
 */
export async function openUrl(url: string, options: UrlOptions = {}): Promise<RandomAccess | null> {
  const shown = url.startsWith('data:') ? 'data: URL' : url.replace(/\?.*/, '');
  const first = await fetchRange(url, 0, FIRST_BYTES, options);
  if (first === null || looksLikeHtml(first.type, first.bytes)) return null;
  if (first.whole) return memoryFile(shown, first.bytes);
  const { bytes: start, size } = first;
  const file: RandomAccess = {
    name: shown,
    size,
    async read(offset, length) {
      checkRange(file, offset, length);
      if (offset + length <= start.length) return start.subarray(offset, offset + length);
      if (length === 0) return new Uint8Array(0);
      const part = await fetchRange(url, offset, length, options);
      if (part === null) throw new HttpError(404, `${shown}: gone since it was opened`);
      if (part.size !== size)
        throw new Error(
          `${shown}: changed while it was read (${size} bytes, now ${part.size}); load it again`,
        );
      return part.whole ? part.bytes.subarray(offset, offset + length) : part.bytes;
    },
  };
  return file;
}

interface Part {
  /** The wanted range, or all of the file when `whole`. */
  readonly bytes: Uint8Array;
  readonly whole: boolean;
  /** Of the file. */
  readonly size: number;
  readonly type: string;
}

/** Bytes `[offset, offset + length)` of a URL, less where the file ends; null when the server has no such file. */
function fetchRange(
  url: string,
  offset: number,
  length: number,
  { fetch: get = fetch, headers, signal, retry }: UrlOptions,
): Promise<Part | null> {
  return withRetries(
    async () => {
      const range = `bytes=${offset}-${offset + length - 1}`;
      const response = await get(url, { headers: { ...headers, range }, signal });
      if (response.status === 404 || response.status === 410) {
        await response.body?.cancel();
        return null;
      }
      const type = response.headers.get('content-type') ?? '';
      if (response.status === 416 && offset === 0) {
        await response.body?.cancel();
        return { bytes: new Uint8Array(0), whole: true, size: 0, type };
      }
      if (!response.ok) {
        await response.body?.cancel();
        throw new HttpError(
          response.status,
          `${url}: the server answered ${response.status} ${response.statusText}`,
        );
      }
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status !== 206) return { bytes, whole: true, size: bytes.length, type };

      const [, start, last, total] =
        /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? [];
      // Hidden from scripts unless the server exposes it to other origins.
      const size = total === undefined ? await headSize(url, { fetch: get, headers, signal }) : Number(total);
      if (start !== undefined && Number(start) !== offset)
        throw new Error(`${url}: asked for bytes from ${offset}, the server sent bytes from ${start}`);
      const wanted = Math.min(offset + length, size) - offset;
      const promised = last === undefined ? wanted : Number(last) + 1 - offset;
      if (bytes.length !== promised || bytes.length !== wanted)
        throw new ShortBodyError(`${url}: asked for ${wanted} bytes from ${offset}, got ${bytes.length}`);
      return { bytes, whole: false, size, type };
    },
    { ...retry, signal },
  );
}

async function headSize(url: string, { fetch: get = fetch, headers, signal }: UrlOptions): Promise<number> {
  const response = await get(url, { method: 'HEAD', headers, signal });
  const size = response.headers.get('content-length');
  if (!response.ok || size === null)
    throw new HttpError(response.status, `${url}: the server does not tell the file's size`);
  return Number(size);
}

function looksLikeHtml(type: string, bytes: Uint8Array): boolean {
  if (/^text\/html\b/i.test(type)) return true;
  return /^\s*<(!doctype|html)/i.test(new TextDecoder('latin1').decode(bytes.subarray(0, 64)));
}
