/** The next token of a run, read on the host. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';

/** A guess for the next token. */
export interface Guess {
  readonly token: number;
  readonly text: string;
  /** 0 is the most probable. */
  readonly rank: number;
  readonly prob: number;
  readonly logit: number;
}

/** Logits of the last position, on the host: all logits are disposed of. */
export async function lastLogits(logits: Tensor): Promise<Float32Array> {
  const last = logits.slice({ batch: 0, pos: -1 });
  try {
    return await last.data();
  } finally {
    last.dispose();
    logits.dispose();
  }
}

/** Guesses for the tokens that are asked for, in that order. */
export function guesses(model: HookedTransformer, logits: Float32Array, tokens: readonly number[]): Guess[] {
  const max = logits.reduce((m, x) => Math.max(m, x), -Infinity);
  const sum = logits.reduce((s, x) => s + Math.exp(x - max), 0);
  return tokens.map((token) => {
    const logit = logits[token];
    let rank = 0;
    for (let i = 0; i < logits.length; i++)
      if (logits[i] > logit || (logits[i] === logit && i < token)) rank++;
    const text = model.tokenizer?.pieces([token])[0] ?? `#${token}`;
    return { token, text, rank, logit, prob: Math.exp(logit - max) / sum };
  });
}

/** The k tokens with the largest logits. */
export function largest(logits: Float32Array, k: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < logits.length; i++) {
    if (best.length === k && logits[i] <= logits[best[k - 1]]) continue;
    let at = best.length;
    while (at > 0 && logits[best[at - 1]] < logits[i]) at--;
    best.splice(at, 0, i);
    if (best.length > k) best.pop();
  }
  return best;
}
