/** Stopping a long run on the way. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import type { HookEntry } from '../input/hook.js';

/**
 * Hooks that end a run within a layer once a signal is aborted, with its reason: before each block the GPU is
 * waited for. None without a signal. For runs of many rows, which otherwise are encoded as a whole and waited
 * for at their end.
 */
export const stopping = (gpu: Gpu, signal: AbortSignal | undefined): HookEntry[] => {
  if (!signal) return [];
  signal.throwIfAborted();
  const look = async () => {
    signal.throwIfAborted();
    await gpu.finish();
    signal.throwIfAborted();
  };
  return [['hook_resid_pre', look]];
};
