/**
 * Tensors that were dropped without `dispose()` give their memory back when the garbage collector finds them,
 * which knows nothing of the GPU. Before a run that is short of memory it is asked, and the event loop turns,
 * so that what it finds is freed.
 */

import { GROWTH_BYTES } from '../budgets.js';

/** Asks the garbage collector, if the platform lets us, and waits until what it found was freed. */
export type Collect = () => Promise<void>;

/** Turns of the event loop: the collector's registry speaks in between. */
export async function turns(n = 3): Promise<void> {
  for (let i = 0; i < n; i++) await new Promise((done) => setTimeout(done));
}

let collector: Collect = () => turns();

/** Registers the platform's collector. @returns the one before */
export function setCollector(collect: Collect): Collect {
  const before = collector;
  collector = collect;
  return before;
}

/** Tells when so much memory has been taken that some of it may have been dropped. */
export class Pressure {
  #settled = 0;

  /**
   * Waits for the collector where memory in use has grown much since the last time; null where it has not.
   */
  relieve(inUse: () => number): Promise<void> | null {
    const bytes = inUse();
    this.#settled = Math.min(this.#settled, bytes);
    if (bytes - this.#settled <= Math.max(GROWTH_BYTES, this.#settled / 4)) return null;
    return collector().then(() => {
      this.#settled = inUse();
    });
  }
}
