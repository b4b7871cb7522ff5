/**
 * Files of the web: URLs read with range requests. Works in Node too.
 */

import { safePath } from '../checks/paths.js';
import { shownUrl } from '../checks/shown.js';
import { checkRange, type FileSource, memoryFile, type RandomAccess } from './files.js';
import {
  type Answer,
  bareEtag,
  bodyLength,
  parseUrl,
  type RequestOptions,
  refusal,
  request,
} from './request.js';
import { HttpError, type RetryOptions, ShortBodyError, withRetries } from './retry.js';

/** How to ask a web server. */
export interface UrlOptions extends Omit<RequestOptions, 'method' | 'redirect'> {
  /** Patience with an unreliable network. Default 3 attempts over 1.5 seconds. */
  retry?: Pick<RetryOptions, 'attempts' | 'delay'>;
}

/**
 * A folder on a web server. `url` may or may not end in `/`; its query (a signed address) goes to every file.
 */
export function urlFolder(url: string, options: UrlOptions = {}): FileSource {
  const base = parseUrl(url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return {
    name: base.href,
    async open(path) {
      const file = new URL(encodePath(safePath(path, shownUrl(url))), base);
      file.search = base.search;
      return openUrl(file.href, options);
    },
  };
}

/** Characters that would end the path of an address. */
const encodePath = (path: string): string => path.replace(/[%#?]/g, encodeURIComponent);

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
/** Bytes of a body whose length nobody tells. */
const MAX_UNSTATED_BYTES = 100_000_000;

/**
 * A file on a web server, or null when there is none (404, 410, or a web page in its place, as servers of
 * single-page applications answer). A server that ignores `Range` sends the whole file, which is then kept.
 * @throws HttpError for other answers, NetworkError when the server is not reached or silent in three
 * attempts.
 */
export async function openUrl(url: string, options: UrlOptions = {}): Promise<RandomAccess | null> {
  const name = shownUrl(url);
  const first = await fetchRange(url, 0, FIRST_BYTES, options);
  if (first === null || looksLikeHtml(first.type, first.bytes)) return null;
  if (first.whole) return memoryFile(name, first.bytes);
  const { size, etag } = first;
  /** What has been read and is kept: the beginning, or all once the server has sent it. */
  let start = first.bytes;
  const file: RandomAccess = {
    name,
    size,
    async read(offset, length) {
      checkRange(file, offset, length);
      if (offset + length <= start.length) return start.subarray(offset, offset + length);
      if (length === 0) return new Uint8Array(0);
      const part = await fetchRange(url, offset, length, options);
      if (part === null) throw new HttpError(404, `${name}: gone since it was opened`);
      if (part.size !== size)
        throw new Error(
          `${name}: changed while it was read (${size} bytes, now ${part.size}); load it again`,
        );
      if (etag && part.etag && part.etag !== etag)
        throw new Error(`${name}: changed while it was read (its ETag is another); load it again`);
      if (!part.whole) return part.bytes;
      start = part.bytes;
      return start.subarray(offset, offset + length);
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
  /** '' where the server sends none, or does not show it to other origins. */
  readonly etag: string;
}

/**
 * Bytes `[offset, offset + length)` of a URL, less where the file ends; null when the server has no such
 * file.
 */
function fetchRange(
  url: string,
  offset: number,
  length: number,
  { retry, ...how }: UrlOptions,
): Promise<Part | null> {
  const name = shownUrl(url);
  return withRetries(
    async () => {
      const range = `bytes=${offset}-${offset + length - 1}`;
      const answer = await request(url, { ...how, headers: { ...how.headers, range } });
      const { status, headers } = answer;
      if (status === 404 || status === 410) {
        answer.cancel();
        return null;
      }
      const [type, etag] = [headers.get('content-type') ?? '', bareEtag(headers.get('etag'))];
      if (status === 416 && offset === 0) {
        answer.cancel();
        return { bytes: new Uint8Array(0), whole: true, size: 0, type, etag };
      }
      if (status !== 200 && status !== 206) throw refusal(answer, `${name}: the server answered ${status}`);
      if (status === 200) {
        const bytes = await wholeBody(answer, name);
        return { bytes, whole: true, size: bytes.length, type, etag };
      }
      const [, start, last, total] =
        /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
      if (start !== undefined && Number(start) !== offset) {
        answer.cancel();
        throw new Error(`${name}: asked for bytes from ${offset}, the server sent bytes from ${start}`);
      }
      const bytes = await answer.bytes(length);
      // Hidden from scripts unless the server exposes it to other origins.
      const size = total === undefined ? await headSize(url, how) : Number(total);
      const wanted = Math.min(offset + length, size) - offset;
      const promised = last === undefined ? wanted : Number(last) + 1 - offset;
      if (bytes.length !== promised || bytes.length !== wanted)
        throw new ShortBodyError(`${name}: asked for ${wanted} bytes from ${offset}, got ${bytes.length}`);
      return { bytes, whole: false, size, type, etag };
    },
    { ...retry, signal: how.signal },
  );
}

/** A body that was not asked for in parts. @throws when it has no stated length and does not end */
async function wholeBody(answer: Answer, name: string): Promise<Uint8Array> {
  const length = bodyLength(answer);
  const bytes = await answer.bytes(length ?? MAX_UNSTATED_BYTES);
  if (length !== null && bytes.length !== length)
    throw new ShortBodyError(`${name}: the connection ended after ${bytes.length} of ${length} bytes`);
  return bytes;
}

async function headSize(url: string, how: UrlOptions): Promise<number> {
  const answer = await request(url, { ...how, method: 'HEAD' });
  const size = bodyLength(answer);
  if (answer.status !== 200 || size === null)
    throw refusal(answer, `${shownUrl(url)}: the server does not tell the file's size`);
  return size;
}

function looksLikeHtml(type: string, bytes: Uint8Array): boolean {
  if (/^text\/html\b/i.test(type)) return true;
  return /^\s*<(!doctype|html)/i.test(new TextDecoder('latin1').decode(bytes.subarray(0, 64)));
}
