/** Something that gives its results one by one, and all of them at the end. */

import { DeviceLostError } from '../../engine/gpu/error-scopes.js';
import type { Gpu } from '../../engine/gpu/gpu.js';

/**
 * `await` gives the whole result, `for await` the cells as they come; leaving the loop early cancels the
 * rest.
 */
export type Sweep<Cell, Result> = Promise<Result> & AsyncIterable<Cell>;

/** Starts a generator that yields cells and returns the result. */
export function startSweep<Cell, Result>(cells: AsyncGenerator<Cell, Result>): Sweep<Cell, Result> {
  const seen: Cell[] = [];
  let ended = false;
  let wake = () => {};
  let news = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const announce = () => {
    wake();
    news = new Promise((resolve) => {
      wake = resolve;
    });
  };
  const result = (async () => {
    try {
      for (;;) {
        const step = await cells.next();
        if (step.done) {
          if (step.value === undefined) throw new Error('the sweep was stopped before its end');
          return step.value as Result;
        }
        seen.push(step.value);
        announce();
      }
    } finally {
      ended = true;
      announce();
    }
  })();
  async function* iterate(): AsyncGenerator<Cell, void> {
    result.catch(() => {}); // the loop itself throws
    try {
      for (let i = 0; ; i++) {
        while (i >= seen.length && !ended) await news;
        if (i >= seen.length) break;
        yield seen[i];
      }
      await result;
    } finally {
      if (!ended) {
        await cells.return(undefined as Result);
        await result.catch(() => {});
      }
    }
  }
  return Object.assign(result, { [Symbol.asyncIterator]: iterate });
}

// ---- losses of the device
// ------------------------------------------------------------------------------------------

/** Losses in a row without a new result, after which the device is held to be broken. */
const IN_VAIN = 3;

/** A part of an experiment, by its number. */
interface Part {
  readonly index: number;
}

/**
 * Runs an experiment part by part. After a loss of the device it is begun again, and told what is done; parts
 * that it gives once more are not given twice.
 * @throws the loss, where no other device can be opened or nothing is done between losses; whatever else
 * `begin` throws.
 */
export async function* outlasting<P extends Part, R>(
  gpu: Gpu,
  begin: (done: ReadonlyMap<number, P>, losses: number) => AsyncGenerator<P, R>,
): AsyncGenerator<P, R> {
  const done = new Map<number, P>();
  let vain = 0;
  for (let losses = 0; ; losses++) {
    const before = done.size;
    const attempt = begin(done, losses);
    try {
      for (;;) {
        const next = await attempt.next();
        if (next.done) return next.value;
        if (done.has(next.value.index)) continue;
        done.set(next.value.index, next.value);
        yield next.value;
      }
    } catch (e) {
      if (!(e instanceof DeviceLostError)) throw e;
      vain = done.size > before ? 0 : vain + 1;
      if (vain > IN_VAIN) throw e;
      await gpu.ready();
    } finally {
      await attempt.return(undefined as R);
    }
  }
}
