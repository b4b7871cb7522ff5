/** What a request to the worker is made of. A handler is one file in handlers/, and one line in its index. */

import type { Engine } from './engine.js';

/** What a handler gets besides its parameters. */
export interface Context<Event = never> {
  readonly engine: Engine;
  /** Aborted when the page does not want the answer any more. */
  readonly signal: AbortSignal;
  /** Tells the page something before the answer is there. */
  emit(event: Event): void;
}

/** Answers one kind of request; parameters, events and answers are plain data (structured clones). */
export type Handler<Params, Result, Event = never> = (
  params: Params,
  context: Context<Event>,
) => Promise<Result>;

/** How far an answer is. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

/** From the page: a request, or that its answer is not wanted any more. */
export type ToWorker =
  | { readonly id: number; readonly method: string; readonly params: unknown }
  | { readonly id: number; readonly cancel: true };

/** From the worker, about the request `id`. */
export type FromWorker =
  | { readonly id: number; readonly event: unknown }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly name: string; readonly message: string } };
