/**
 * From logits to the next token, step by step, as a reader follows it: divided by the temperature, cut, made
 * to sum to one.
 */

import type { Guess } from '../worker/predictions.js';

/** How a token is chosen. */
export interface Sampling {
  /** 0: the most probable one. */
  readonly temperature: number;
  /** Null: no cut. */
  readonly topK: number | null;
  readonly topP: number | null;
}

/** A token on its way. */
export interface Candidate extends Guess {
  /** Its logit, divided by the temperature. */
  readonly scaled: number;
  /** The probability with which it is drawn: 0 where it was cut. */
  readonly drawn: number;
}

/** The candidates with their chances; numbers are those of `model.generate` with the same options. */
export function candidates(
  logits: Float32Array,
  top: readonly Guess[],
  { temperature, topK, topP }: Sampling,
): Candidate[] {
  if (temperature === 0) return top.map((g) => ({ ...g, scaled: g.logit, drawn: g.rank === 0 ? 1 : 0 }));
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  const some = topK === null ? order : order.slice(0, topK);
  const most = logits[order[0]];
  const weights = some.map((t) => Math.exp((logits[t] - most) / temperature));
  let kept = weights.length;
  if (topP !== null && topP < 1) {
    const total = weights.reduce((a, b) => a + b, 0);
    kept = 0;
    for (let sum = 0; kept < weights.length && sum < topP * total; kept++) sum += weights[kept];
    kept = Math.max(1, kept);
  }
  const total = weights.slice(0, kept).reduce((a, b) => a + b, 0);
  const place = new Map(some.slice(0, kept).map((t, i) => [t, i]));
  return top.map((g) => {
    const at = place.get(g.token);
    return { ...g, scaled: g.logit / temperature, drawn: at === undefined ? 0 : weights[at] / total };
  });
}
