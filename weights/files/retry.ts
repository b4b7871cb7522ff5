/**
 * Requests over an unreliable network: which failures may pass, and how often and when to ask again.
 */

/** An answer that says no. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  /** Milliseconds that the server asks to wait (`Retry-After`); undefined when it does not say. */
  readonly retryAfterMs: number | undefined;
  constructor(status: number, message: string, retryAfterMs?: number) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The server was not reached, the connection broke, nothing came for too long, or something else came than
 * was promised.
 */
export class NetworkError extends Error {
  override readonly name: string = 'NetworkError';
}

/** The connection ended before the promised number of bytes. */
export class ShortBodyError extends NetworkError {
  override readonly name = 'ShortBodyError';
}

/** How often and how patiently: 3 attempts, 0.5 s before the second, doubling. */
export interface RetryOptions {
  attempts?: number;
  /** Milliseconds before the second attempt. */
  delay?: number;
  signal?: AbortSignal;
}

/** The longest wait that a server may ask for, in milliseconds. */
const MAX_RETRY_AFTER_MS = 60_000;

/**
 * Calls `attempt` until it succeeds, three times by default. What may pass (`isPassing`) is tried again,
 * after the time that the server asks for with `Retry-After`; everything else, and an abort, is thrown at
 * once. Call `progress()` inside an attempt when it has come nearer to the end than all before: the count of
 * attempts starts again.
 * @throws the last attempt's error; an error that says so when the server asks to wait longer than 60 s
 */
export async function withRetries<T>(
  attempt: (progress: () => void) => Promise<T>,
  { attempts = 3, delay = 500, signal }: RetryOptions = {},
): Promise<T> {
  let failures = 0;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await attempt(() => {
        failures = 0;
      });
    } catch (error) {
      signal?.throwIfAborted();
      failures++;
      if (failures >= attempts || !isPassing(error)) throw error;
      const asked = error instanceof HttpError ? (error.retryAfterMs ?? 0) : 0;
      if (asked > MAX_RETRY_AFTER_MS) {
        const { status, message } = error as HttpError;
        const seconds = Math.ceil(asked / 1000);
        throw new HttpError(
          status,
          `${message}; the server asks to wait ${seconds} s, and ${MAX_RETRY_AFTER_MS / 1000} s is the limit`,
          asked,
        );
      }
      await sleep(Math.max(asked, delay * 2 ** (failures - 1)), signal);
    }
  }
}

/** Whether a failure may pass, so that asking again may help: the network, or a busy or broken server. */
export function isPassing(error: unknown): boolean {
  if (error instanceof HttpError) return [408, 425, 429].includes(error.status) || error.status >= 500;
  return error instanceof NetworkError;
}

/**
 * `Retry-After`, seconds or a date, in milliseconds from now; undefined when there is none that can be read.
 */
export function retryAfterMs(headers: Headers, now = Date.now()): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return 1000 * Number(text);
  const date = /[a-z]/i.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    const stop = () => {
      clearTimeout(timer);
      fail(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      done();
    }, milliseconds);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
