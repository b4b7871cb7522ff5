/** The attention patterns of one prompt, of all heads. */

import { attentionPatterns } from '../../../interp/heads/attention.js';
import type { LabelledData } from '../../../interp/results/result.js';
import type { Edits } from '../../app/changes.js';
import type { Handler, Progress } from '../handler.js';

/** What is looked at. */
export interface AttentionParams {
  readonly prompt: readonly number[];
  /** Attention as it is, or times the length of what would be written. */
  readonly weight: 'pattern' | 'value';
  readonly edits: Edits;
}

/** All patterns together; they are held twice for a moment, here and in the page. */
const MOST_BYTES = 2 ** 28;

/** `attentionPatterns`. @throws when they would take too much memory. */
export const attention: Handler<AttentionParams, LabelledData, Progress> = (
  { prompt, weight, edits },
  { engine, signal, emit },
) =>
  engine.turn(async () => {
    signal.throwIfAborted();
    const { nLayers, nHeads } = engine.model.config;
    const most = Math.floor(Math.sqrt(MOST_BYTES / 4 / nLayers / nHeads));
    if (prompt.length > most)
      throw new Error(
        `The patterns of ${nLayers * nHeads} heads are shown for up to ${most} tokens; this prompt has ${prompt.length}. Shorten it.`,
      );
    const onProgress = (done: number, total: number) => emit({ done, total });
    return attentionPatterns(engine.changed(edits), prompt, { weight, onProgress, signal });
  });
