/** Metrics: one number from the logits at the last position. They name the logits they read; only those are computed. */

import type { HookedTransformer } from '../hooks/model.js';

/** A token: its text (`' Mary'`) or its id. */
export type TokenLike = string | number;

/** A number made from a few logits of the last position. */
export interface Metric {
  /** For titles and provenance. */
  readonly name: string;
  /** The tokens whose logits it reads. @throws when a text is not a single token. */
  tokens(model: HookedTransformer): number[];
  /** The value, from those logits in that order. */
  value(logits: ArrayLike<number>): number;
}

/** Logit of the correct token minus logit of the wrong one: zero when the model does not prefer either. */
export function logitDiff(correct: TokenLike, wrong: TokenLike): Metric {
  return {
    name: `logit(${show(correct)}) − logit(${show(wrong)})`,
    tokens: (model) => [correct, wrong].map((t) => (typeof t === 'number' ? t : model.toSingleToken(t))),
    value: (logits) => logits[0] - logits[1],
  };
}

const show = (t: TokenLike): string => (typeof t === 'number' ? `#${t}` : JSON.stringify(t));
