/** The worker: Glassbox runs here, so that the page answers while it computes. */

import { registerWebGpu } from '../../engine/gpu/adapter-web.js';
import { Engine } from './engine.js';
import type { Context, FromWorker, ToWorker } from './handler.js';
import { handlers } from './handlers/index.js';

registerWebGpu();

const scope = globalThis as unknown as {
  postMessage(message: FromWorker): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
};
const engine = new Engine();
const running = new Map<number, AbortController>();

scope.onmessage = async ({ data }) => {
  if ('cancel' in data) {
    running.get(data.id)?.abort();
    return;
  }
  const { id, method, params } = data;
  const controller = new AbortController();
  running.set(id, controller);
  const context: Context<unknown> = {
    engine,
    signal: controller.signal,
    emit: (event) => scope.postMessage({ id, event }),
  };
  try {
    const handler = handlers[method as keyof typeof handlers] as (
      params: unknown,
      context: Context<unknown>,
    ) => Promise<unknown>;
    const result = await handler(params, context);
    scope.postMessage({ id, result });
  } catch (e) {
    const { name, message } = e instanceof Error ? e : { name: 'Error', message: String(e) };
    scope.postMessage({ id, error: { name, message } });
  } finally {
    running.delete(id);
  }
};
