/** Errors that come before any work. */
import * as assert from 'uvu/assert';
import type { Gpu } from '../../index.js';
import { throws } from '../helpers.js';
import { givenBack } from '../memory.js';

/**
 * Asserts that `run` fails with such a message, that nothing has run on the GPU, and that no memory is held.
 */
export async function refused(gpu: Gpu, run: () => Promise<unknown>, message: RegExp): Promise<void> {
  const { dispatches } = gpu.stats;
  const { bytes } = gpu.memory();
  await throws(run, message);
  assert.is(gpu.stats.dispatches, dispatches, 'something ran');
  givenBack(gpu, bytes);
}
