import * as assert from 'uvu/assert';
import type { Gpu } from '../engine/gpu.js';

/**
 * GPU memory in use is back at `bytes`, so nothing is left behind. It may be below: what other tests dropped
 * without disposing of it goes back whenever the garbage collector finds it.
 */
export function givenBack(gpu: Gpu, bytes: number): void {
  const left = gpu.memory().bytes - bytes;
  assert.ok(left <= 0, `${left} bytes of GPU memory are left behind`);
}
