/** The page's end of the worker: typed calls with events on the way, which an AbortSignal cancels. */

import type { FromWorker, Handler, ToWorker } from '../worker/handler.js';
import type { Api } from '../worker/handlers/index.js';

/** Names of the requests. */
export type Method = keyof Api;
/** What a request takes. */
export type ParamsOf<M extends Method> = Parameters<Api[M]>[0];
/** What it answers. */
export type ResultOf<M extends Method> = Awaited<ReturnType<Api[M]>>;
/** What it tells on the way. */
export type EventOf<M extends Method> = Api[M] extends Handler<never, unknown, infer E> ? E : never;

/** Options of a call. */
export interface CallOptions<M extends Method> {
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: EventOf<M>) => void;
}

/** Somebody who is waiting for an answer. */
interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  event(event: unknown): void;
}

/** Calls the worker. */
export class Client {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 1;

  /** @param failed hears of every error that the worker answers with */
  constructor(failed: (error: Error) => void = () => {}) {
    this.#worker = new Worker(new URL('../worker/worker.ts', import.meta.url), {
      type: 'module',
      name: 'glassbox',
    });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      const pending = this.#pending.get(data.id);
      if (!pending) return;
      if ('event' in data) return pending.event(data.event);
      this.#pending.delete(data.id);
      if ('result' in data) pending.resolve(data.result);
      else {
        const error = Object.assign(new Error(data.error.message), { name: data.error.name });
        failed(error);
        pending.reject(error);
      }
    };
    this.#worker.onerror = (event) => {
      const error = new Error(`the worker stopped: ${event.message || 'it could not be loaded'}`);
      for (const pending of this.#pending.values()) pending.reject(error);
      this.#pending.clear();
    };
  }

  /** Asks the worker. A call that is cancelled rejects with an AbortError. */
  call<M extends Method>(
    method: M,
    params: ParamsOf<M>,
    { signal, onEvent }: CallOptions<M> = {},
  ): Promise<ResultOf<M>> {
    const id = this.#next++;
    const post = (message: ToWorker) => this.#worker.postMessage(message);
    return new Promise<ResultOf<M>>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        post({ id, cancel: true });
        this.#pending.delete(id);
        reject(signal!.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
      const settled = () => signal?.removeEventListener('abort', abort);
      this.#pending.set(id, {
        resolve: (result) => {
          settled();
          resolve(result as ResultOf<M>);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
        event: (event) => onEvent?.(event as EventOf<M>),
      });
      post({ id, method, params });
    });
  }
}
