/** One counterfactual, looked at closely: what it makes of the next token. */

import { describeIntervention } from '../../../hooks/interventions/describe.js';
import type { Intervention } from '../../../hooks/interventions/interventions.js';
import type { Edits } from '../../app/changes.js';
import type { Handler } from '../handler.js';
import { type Look, lastPatterns, moved, type Reading, readings } from '../last-position.js';
import { type Guess, guesses, largest, lastLogits } from '../predictions.js';

/** What is done at the place. */
export type How = 'clean' | 'zero' | 'mean';

/** A place and what happens there. */
export interface CounterfactualParams {
  readonly clean: readonly number[];
  readonly corrupted: readonly number[];
  /** Short name of a hook point: `resid_pre`, `z` … */
  readonly at: string;
  readonly layer: number;
  /** Null: all positions. */
  readonly pos: number | null;
  /** Null: all heads. */
  readonly head: number | null;
  /** The clean run's value, zero, or the mean over the positions of the clean prompt. */
  readonly how: How;
  /** Tokens that are told in any case: the answers. */
  readonly also: readonly number[];
  readonly k: number;
  readonly edits: Edits;
}

/** The same tokens in three runs. */
export interface CounterfactualResult {
  readonly clean: readonly Guess[];
  readonly corrupted: readonly Guess[];
  readonly patched: readonly Guess[];
  /** The intervention, in words. */
  readonly what: string;
  /** The intervention as data. */
  readonly intervention: Intervention;
  /** It cannot change anything. */
  readonly idle: boolean;
  /** By layer, the top token of the logit lens at the last position. */
  readonly lens: readonly { readonly before: Reading; readonly after: Reading }[];
  /** The heads that look elsewhere from the last position than before, the most changed first. */
  readonly looks: readonly Look[];
}

/** The intervention that a cell of a map stands for. */
export function interventionOf({
  at,
  layer,
  pos,
  head,
  how,
}: Pick<CounterfactualParams, 'at' | 'layer' | 'pos' | 'head' | 'how'>): Intervention {
  const action =
    how === 'clean'
      ? { set: { from: 'clean' } }
      : how === 'zero'
        ? ({ zero: true } as const)
        : { mean: { mean: 'clean', over: 'all' } as const };
  return { at, layer, ...(pos !== null && { pos }), ...(head !== null && { head }), ...action };
}

/** Runs the corrupted prompt with and without one change, and the clean one. */
export const counterfactual: Handler<CounterfactualParams, CounterfactualResult> = (params, context) =>
  context.engine.turn(async () => {
    context.signal.throwIfAborted();
    const model = context.engine.changed(params.edits);
    const { clean, corrupted, also, k } = params;
    const intervention = interventionOf(params);
    const kept = { names: ['resid_post', 'pattern'], pos: -1 };
    const run = await model.runWithInterventions(corrupted, [intervention], { sources: { clean }, ...kept });
    const plain = await model.runWithCache(corrupted, kept);
    const [patched, before] = [await lastLogits(run.logits), await lastLogits(plain.logits)];
    const lens = [await readings(model, plain.cache), await readings(model, run.cache!)];
    const looks = [await lastPatterns(model, plain.cache), await lastPatterns(model, run.cache!)];
    for (const { cache } of [plain, run]) cache!.dispose();
    const good = await lastLogits(await model.forward(clean));
    const tokens = [...new Set([...also, ...largest(before, k), ...largest(patched, k)])];
    const order = tokens.sort((a, b) => patched[b] - patched[a]);
    return {
      clean: guesses(model, good, order),
      corrupted: guesses(model, before, order),
      patched: guesses(model, patched, order),
      what: describeIntervention([intervention]),
      intervention,
      idle: run.unchanged.length > 0,
      lens: lens[0].map((one, l) => ({ before: one, after: lens[1][l] })),
      looks: moved(looks[0], looks[1], model.config.nHeads),
    };
  });
