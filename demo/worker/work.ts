/** The work of sweeps that run in batches. */

import type { SweepWork } from '../../hooks/counterfactuals.js';

/** Both together. */
export const addedWork = (a: SweepWork, b: SweepWork): SweepWork => ({
  tokenLayers: a.tokenLayers + b.tokenLayers,
  naiveTokenLayers: a.naiveTokenLayers + b.naiveTokenLayers,
  dispatches: a.dispatches + b.dispatches,
  bytes: Math.max(a.bytes, b.bytes),
  chunks: a.chunks + b.chunks,
  ms: a.ms + b.ms,
});
