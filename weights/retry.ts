/**
 * Requests over an unreliable network.
 */

/** An answer that says no, so that asking again is pointless. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** How often and how patiently: 5 attempts, 0.5 s before the second, doubling. */
export interface RetryOptions {
  attempts?: number;
  /** Milliseconds before the second attempt. */
  delay?: number;
  signal?: AbortSignal;
}

/**
 * Calls `attempt` until it succeeds. Network errors and 408, 429 and 5xx answers are tried again; an abort and any other
 * `HttpError` are not. Call with `progress()` inside an attempt when bytes arrived: the count of attempts starts again.
 */
export async function withRetries<T>(
  attempt: (progress: () => void) => Promise<T>,
  { attempts = 5, delay = 500, signal }: RetryOptions = {},
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
      if (failures >= attempts || !isTemporary(error)) throw error;
      await sleep(delay * 2 ** (failures - 1), signal);
    }
  }
}

/** Whether asking again may help: anything that `fetch` or a body throws, or a busy server. */
function isTemporary(error: unknown): boolean {
  if (error instanceof HttpError) return [408, 425, 429].includes(error.status) || error.status >= 500;
  return isNetworkError(error);
}

/** Whether an error means that the server was not reached or the connection broke (and not a bug or a full disk). */
export function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof HttpError) return false;
  // fetch: TypeError with a cause in Node; AbortSignal.timeout: TimeoutError; a cut body: TypeError "terminated".
  return error instanceof TypeError || error.name === 'TimeoutError' || error instanceof ShortBodyError;
}

/** The connection ended before the promised number of bytes. */
export class ShortBodyError extends Error {
  override readonly name = 'ShortBodyError';
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
