/**
 * One request, and its answer. Everything that is asked of a server goes through `request`: it sends the
 * access token to its own origin only, gives up after a stated time of silence, and bounds what is read.
 */

import { shown, shownUrl } from '../checks/shown.js';
import { filePlatform } from './platform.js';
import { HttpError, NetworkError, retryAfterMs } from './retry.js';

/** An access token, and the only origin that may see it. */
export interface Token {
  readonly value: string;
  /** `https://huggingface.co` */
  readonly origin: string;
}

/** How to ask. */
export interface RequestOptions {
  method?: 'GET' | 'HEAD';
  headers?: Readonly<Record<string, string>>;
  token?: Token;
  /** `'manual'` (Node) gives the answer that redirects. Default `'follow'`. */
  redirect?: 'follow' | 'manual';
  /** Milliseconds of silence after which the request is given up. Default 20,000. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Default the platform's, which in Node knows about proxies. */
  fetch?: typeof fetch;
}

/** An answer whose body is still to be read, or cancelled. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The answer is of another address than the one that was asked. */
  readonly redirected: boolean;
  /** The body, as it arrives. @throws NetworkError when the connection breaks or falls silent */
  chunks(): AsyncGenerator<Uint8Array>;
  /** All of the body. @throws when it is longer than `limit` */
  bytes(limit: number): Promise<Uint8Array>;
  /** Ends the request without reading the body. */
  cancel(): void;
}

/** Default of `timeoutMs`. */
export const SILENCE_MS = 20_000;
/** Fewer bytes than this in `timeoutMs` count as silence. */
const TRICKLE_BYTES = 1024;

/**
 * Asks, and gives the answer, whatever its status, once its headers are here.
 * @throws NetworkError when the server is not reached or silent, and the signal's reason after an abort
 */
export async function request(url: string, options: RequestOptions = {}): Promise<Answer> {
  const { method = 'GET', token, redirect = 'follow', timeoutMs = SILENCE_MS, signal } = options;
  const get = options.fetch ?? filePlatform()?.fetch ?? fetch;
  const { origin, protocol, username } = parseUrl(url);
  if (username) throw new Error(`${shownUrl(url)}: an address with a user name is not asked; leave it out`);
  const headers: Record<string, string> = { ...options.headers };
  if (token && token.origin === origin) headers.authorization = `Bearer ${token.value}`;

  const stop = new AbortController();
  const watch = watchSilence(timeoutMs, (what) => stop.abort(new NetworkError(`${shownUrl(url)}: ${what}`)));
  const abort = () => stop.abort(signal!.reason);
  signal?.throwIfAborted();
  signal?.addEventListener('abort', abort, { once: true });
  const end = () => {
    watch.end();
    signal?.removeEventListener('abort', abort);
  };
  const failure = (error: unknown): unknown => {
    end();
    if (stop.signal.aborted) return stop.signal.reason;
    return new NetworkError(`${shownUrl(url)}: ${reasonOf(error)}`, { cause: error });
  };

  let response: Response;
  try {
    response = await get(url, { method, headers, redirect, signal: stop.signal });
  } catch (error) {
    throw failure(error);
  }
  const cancel = () => {
    end();
    response.body?.cancel().catch(() => {});
  };
  if (protocol === 'https:' && response.redirected && response.url.startsWith('http:')) {
    cancel();
    throw new Error(`${shownUrl(url)}: it redirects to ${shownUrl(response.url)}, which is not encrypted`);
  }
  if (method === 'HEAD' || !response.body) end();
  else watch.arrived(TRICKLE_BYTES);

  async function* chunks(): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    if (!reader) return;
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((error) => {
          throw failure(error);
        });
        if (done) return;
        watch.arrived(value.length);
        yield value;
      }
    } finally {
      end();
      reader.cancel().catch(() => {}); // does nothing after the end
    }
  }
  return {
    status: response.status,
    headers: response.headers,
    redirected: response.redirected,
    chunks,
    cancel,
    async bytes(limit) {
      const parts: Uint8Array[] = [];
      let length = 0;
      for await (const part of chunks()) {
        length += part.length;
        if (length > limit) throw new Error(`${shownUrl(url)}: the answer is longer than ${limit} bytes`);
        parts.push(part);
      }
      return concatenated(parts, length);
    },
  };
}

/** An answer's refusal as an error; the body is not read. */
export function refusal(answer: Answer, message: string): HttpError {
  answer.cancel();
  return new HttpError(answer.status, message, retryAfterMs(answer.headers));
}

/** A Content-Length that counts the bytes of the body as it is read; null when there is none. */
export function bodyLength({ headers }: Pick<Answer, 'headers'>): number | null {
  const encoding = headers.get('content-encoding');
  if (encoding && encoding !== 'identity') return null; // it counts compressed bytes
  const text = headers.get('content-length') ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** An address that can be asked. @throws an error that shows it */
export function parseUrl(url: string | URL, base?: string): URL {
  let parsed: URL | null = null;
  try {
    parsed = new URL(url, base);
  } catch {
    // told below
  }
  if (!parsed || !/^(https?|data|blob|file):$/.test(parsed.protocol))
    throw new Error(`"${shownUrl(String(url))}" is not the address of a web server`);
  return parsed;
}

/** Calls `tell` when fewer than 1 KiB have arrived for `timeoutMs`. */
function watchSilence(timeoutMs: number, tell: (what: string) => void) {
  const seconds = timeoutMs / 1000;
  let since = performance.now();
  let bytes = 0;
  let begun = false;
  const look = () => {
    const left = since + timeoutMs - performance.now();
    if (left > 0) timer = setTimeout(look, left);
    else
      tell(begun ? `fewer than ${TRICKLE_BYTES} bytes arrived in ${seconds} s` : `no answer in ${seconds} s`);
  };
  let timer = setTimeout(look, timeoutMs);
  return {
    arrived(count: number) {
      begun = true;
      bytes += count;
      if (bytes < TRICKLE_BYTES) return;
      bytes = 0;
      since = performance.now();
    },
    end: () => clearTimeout(timer),
  };
}

/** `fetch failed` says nothing; its cause does. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (!(cause instanceof Error)) return shown(message);
  return shown(cause.message || (cause as NodeJS.ErrnoException).code || message);
}

function concatenated(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** An ETag without quotes and without the sign that it is weak. */
export function bareEtag(etag: string | null): string {
  return etag?.replace(/^W\//, '').replace(/"/g, '') ?? '';
}
