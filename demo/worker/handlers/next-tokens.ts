/** What comes next after both prompts. */

import type { Handler } from '../handler.js';
import { type Guess, guesses, largest, lastLogits } from '../predictions.js';

/** Prompts as tokens, and tokens that are shown in any case. */
export interface NextTokensParams {
  readonly clean: readonly number[];
  /** Null: only the clean prompt. */
  readonly corrupted: readonly number[] | null;
  readonly also: readonly number[];
  readonly k: number;
}

/** The same tokens after both prompts, in the order of the clean one. */
export interface NextTokens {
  readonly clean: readonly Guess[];
  readonly corrupted: readonly Guess[] | null;
}

/** The k most probable tokens after each prompt, those of both in one list. */
export const nextTokens: Handler<NextTokensParams, NextTokens> = (
  { clean, corrupted, also, k },
  { engine, signal },
) =>
  engine.turn(async () => {
    signal.throwIfAborted();
    const { model } = engine;
    const first = await lastLogits(await model.forward(clean));
    const second = corrupted && (await lastLogits(await model.forward(corrupted)));
    const tokens = new Set([...largest(first, k), ...(second ? largest(second, 3) : []), ...also]);
    const list = [...tokens].sort((a, b) => first[b] - first[a]);
    return {
      clean: guesses(model, first, list),
      corrupted: second && guesses(model, second, list),
    };
  });
