/** Direct logit attribution of one prompt, by layer and by head. */

import { type DlaResult, directLogitAttribution } from '../../../interp/logits/dla.js';
import type { Edits } from '../../app/changes.js';
import type { Handler } from '../handler.js';

/** What is attributed. */
export interface AttributionParams {
  readonly prompt: readonly number[];
  /** As text, because results name them. */
  readonly answer: string;
  /** Null: the logit of the answer alone. */
  readonly wrong: string | null;
  readonly edits: Edits;
}

/** The same logit, or difference of logits, twice taken apart. */
export interface Attribution {
  readonly layers: DlaResult;
  readonly heads: DlaResult;
}

/** `directLogitAttribution` of logit(answer), or of logit(answer) − logit(wrong). */
export const attribution: Handler<AttributionParams, Attribution> = (
  { prompt, answer, wrong, edits },
  { engine, signal },
) =>
  engine.turn(async () => {
    signal.throwIfAborted();
    const by = (by: 'layer' | 'head') =>
      directLogitAttribution(engine.changed(edits), prompt, {
        ...(wrong === null ? { token: answer } : { tokens: [answer, wrong] as const }),
        ...{ by, signal },
      });
    return { layers: await by('layer'), heads: await by('head') };
  });
