/** How much of a sweep runs at once. */

import { SWEEP_CHUNK_BYTES } from '../../engine/budgets.js';
import type { Runnable } from '../input/model.js';
import type { Fork } from './plan.js';

/** A CPU gains nothing from more tokens at once, and shows its results sooner with fewer. */
const SOFTWARE_TOKENS = 1024;

/** Tokens of a chunk of forks that fit the adapter's bindings and a gigabyte of memory. At least one. */
export function tokensThatFit({ config, gpu }: Runnable, forks: readonly Fork[]): number {
  const { dModel, dMlp, dHead, nHeads } = config;
  // What is changed exists in memory, perhaps for every head or key; what is not may never.
  const keys = forks.reduce((most, f) => f.hi.reduce((a, b) => Math.max(a, b), most), 0);
  const changed = new Set(forks.flatMap((f) => f.edits.map((e) => e.point)));
  const asked = [...changed].map((g) => (g.pattern ? nHeads * keys : (g.heads ?? 1) * g.width));
  const most = asked.reduce((a, b) => Math.max(a, b), 0);
  const widest = 4 * Math.max(3 * nHeads * dHead, dMlp, dModel, most);
  const perToken = 4 * (4 * dModel + 4 * nHeads * dHead + 2 * dMlp + 4 * most);
  const fit = Math.floor(Math.min(gpu.adapter.maxBindingBytes / widest, SWEEP_CHUNK_BYTES / perToken));
  return Math.max(1, gpu.caps.adapterClass === 'software' ? Math.min(fit, SOFTWARE_TOKENS) : fit);
}
