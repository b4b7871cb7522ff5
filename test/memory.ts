import * as assert from 'uvu/assert';
import { turns } from '../engine/gpu/collector.js';
import type { Gpu } from '../engine/gpu/gpu.js';

/**
 * GPU memory in use is what it was, `bytes`: nothing is left behind, and nothing was given back that somebody
 * else held. What earlier tests dropped without disposing of it is collected before each test of a file that
 * imports this (test/run.ts).
 */
export function givenBack(gpu: Gpu, bytes: number): void {
  const left = gpu.memory().bytes - bytes;
  // A page cannot collect on request: what others dropped may be given back meanwhile.
  const asIs = 'process' in globalThis ? left === 0 : left <= 0;
  assert.ok(asIs, `${left} bytes of GPU memory ${left > 0 ? 'are left behind' : 'too many were given back'}`);
}

/** Frees what was dropped until now, such as what functions in hooks made: before memory in use is noted. */
export async function freeDropped(): Promise<void> {
  (globalThis as { gc?: () => void }).gc?.(); // test/files.ts gives it; a page has none
  await turns();
}
