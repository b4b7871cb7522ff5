/** Long experiments go on when the GPU's device is lost: what is done stays, and the rest is begun again on another one. */

import { DeviceLostError } from '../../engine/gpu/error-scopes.js';
import type { Gpu } from '../../engine/gpu/gpu.js';

/** Losses in a row without a new result, after which the device is held to be broken. */
const IN_VAIN = 3;

/** A part of an experiment, by its number. */
interface Part {
  readonly index: number;
}

/**
 * Runs an experiment part by part. After a loss of the device it is begun again, and told what is done; parts that it gives
 * once more are not given twice.
 * @throws the loss, where no other device can be opened or nothing is done between losses; whatever else `begin` throws.
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
