/** The logit lens of one prompt. */

import { type LensResult, logitLens } from '../../../interp/logits/lens.js';
import type { Edits } from '../../app/changes.js';
import type { Handler, Progress } from '../handler.js';

/** What is read. */
export interface LensParams {
  readonly prompt: readonly number[];
  /** Half layers, too. */
  readonly inclMid: boolean;
  /** Tokens a cell. */
  readonly k: number;
  /** Tokens whose way through the layers is wanted, as ids. */
  readonly chosen: readonly number[];
  readonly edits: Edits;
}

/** `logitLens`. */
export const lens: Handler<LensParams, LensResult, Progress> = (
  { prompt, inclMid, k, chosen, edits },
  { engine, signal, emit },
) =>
  engine.turn(async () => {
    signal.throwIfAborted();
    const onProgress = (done: number, total: number) => emit({ done, total });
    return logitLens(engine.changed(edits), prompt, { inclMid, k, tokens: chosen, onProgress, signal });
  });
