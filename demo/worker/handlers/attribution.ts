/** Direct logit attribution of one prompt, by layer and by head. */

import { type DlaResult, directLogitAttribution } from '../../../interp/logits/dla.js';
import type { Handler } from '../handler.js';

/** What is attributed. */
export interface AttributionParams {
  readonly prompt: readonly number[];
  /** As text, because results name them. */
  readonly answer: string;
  readonly wrong: string;
}

/** The same difference of logits, twice taken apart. */
export interface Attribution {
  readonly layers: DlaResult;
  readonly heads: DlaResult;
}

/** `directLogitAttribution` of logit(answer) − logit(wrong). */
export const attribution: Handler<AttributionParams, Attribution> = (
  { prompt, answer, wrong },
  { engine, signal },
) =>
  engine.turn(async () => {
    signal.throwIfAborted();
    const by = (by: 'layer' | 'head') =>
      directLogitAttribution(engine.model, prompt, { tokens: [answer, wrong], by, signal });
    return { layers: await by('layer'), heads: await by('head') };
  });
