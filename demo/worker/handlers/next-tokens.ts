/** What comes next after both prompts. */

import type { Edits } from '../../app/changes.js';
import type { Handler } from '../handler.js';
import { type Guess, guesses, largest, lastLogits } from '../predictions.js';

/** Prompts as tokens, and tokens that are shown in any case. */
export interface NextTokensParams {
  readonly clean: readonly number[];
  /** Null: only the clean prompt. */
  readonly corrupted: readonly number[] | null;
  readonly also: readonly number[];
  readonly k: number;
  readonly edits: Edits;
}

/** The same tokens after both prompts, in the order of the clean one. */
export interface NextTokens {
  readonly clean: readonly Guess[];
  readonly corrupted: readonly Guess[] | null;
  /** After the clean prompt in the model as it was loaded; null where nothing is changed. */
  readonly plain: readonly Guess[] | null;
}

/** The k most probable tokens after each prompt, those of both in one list. */
export const nextTokens: Handler<NextTokensParams, NextTokens> = (
  { clean, corrupted, also, k, edits },
  { engine, signal },
) =>
  engine.turn(async () => {
    signal.throwIfAborted();
    const model = engine.changed(edits);
    const first = await lastLogits(await model.forward(clean));
    const second = corrupted && (await lastLogits(await model.forward(corrupted)));
    const plain = edits.interventions.length ? await lastLogits(await engine.model.forward(clean)) : null;
    const most = [...(second ? largest(second, 3) : []), ...(plain ? largest(plain, 3) : [])];
    const tokens = new Set([...largest(first, k), ...most, ...also]);
    const list = [...tokens].sort((a, b) => first[b] - first[a]);
    return {
      clean: guesses(model, first, list),
      corrupted: second && guesses(model, second, list),
      plain: plain && guesses(model, plain, list),
    };
  });
