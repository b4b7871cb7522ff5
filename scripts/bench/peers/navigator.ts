/**
 * What browser libraries look for, where there is no browser: `navigator.gpu`, with adapters chosen as ours
 * are.
 */

import { gpuProvider } from '../../../engine/gpu/adapter.js';

/** Provides `navigator.gpu` unless there is one. */
export function provideNavigator(): void {
  if ((globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu) return;
  const gpu = { requestAdapter: () => gpuProvider().requestAdapter('auto') };
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu, userAgent: 'node', hardwareConcurrency: 2, platform: 'node', language: 'en' },
    configurable: true,
  });
}

/**
 * Runs `open` so that adapters it asks for check bounds, as a browser's do; those of Node's software adapter
 * else do not.
 */
export async function withBoundsChecks<T>(open: () => Promise<T>): Promise<T> {
  const env: Record<string, string | undefined> = globalThis.process?.env ?? {};
  const before = env.GLASSBOX_ROBUSTNESS;
  env.GLASSBOX_ROBUSTNESS = 'on';
  try {
    return await open();
  } finally {
    if (before === undefined) delete env.GLASSBOX_ROBUSTNESS;
    else env.GLASSBOX_ROBUSTNESS = before;
  }
}
