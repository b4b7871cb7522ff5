/** What browser libraries look for, where there is no browser: `navigator.gpu`, with adapters chosen as ours are. */

import { gpuProvider } from '../../../engine/adapter.js';

/** Provides `navigator.gpu` unless there is one. */
export function provideNavigator(): void {
  if ((globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu) return;
  const gpu = { requestAdapter: () => gpuProvider().requestAdapter('auto') };
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu, userAgent: 'node', hardwareConcurrency: 2, platform: 'node', language: 'en' },
    configurable: true,
  });
}
