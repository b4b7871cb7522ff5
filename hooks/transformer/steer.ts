/**
 * Interventions during generation: the same edits at every step, whether a step runs one new token after
 * stored keys and values or the whole text again.
 */

import type { HookEntry } from '../input/hook.js';
import type { Model } from '../input/model.js';
import { editHooks } from '../interventions/apply.js';
import { growingEdits } from '../interventions/growing.js';
import type { Counterfactual, Source } from '../interventions/interventions.js';
import { Runs } from '../sweep/runs.js';

/** What happens while a text grows. */
export interface SteerOptions {
  /**
   * Changes at every step: a steering vector, an ablated head. Without `pos` of every token, new ones too;
   * `pos` counts in the prompt (negative: from its end), but a range without end, `{ start: 3 }`, or with one
   * behind the prompt goes on into the new tokens. So does `key`.
   */
  readonly interventions?: Counterfactual;
  /** Runs that values come from, by name; `'base'` is the prompt as it is. */
  readonly sources?: Readonly<Record<string, Source>>;
}

/** Interventions that are ready: values are on the GPU. */
export interface Steering {
  /** The hook points that are changed. */
  readonly names: ReadonlySet<string>;
  /** Hooks of a run of the positions [from, to). */
  hooks(from: number, to: number): HookEntry[];
  /** Frees the values. */
  dispose(): void;
}

/**
 * Checks interventions, and runs what their values come from.
 * @param total most tokens of the whole text
 * @throws before anything runs, when an intervention or a source does not fit the model or the prompt.
 */
export async function steer(
  model: Model,
  prompt: readonly number[],
  total: number,
  options: SteerOptions & { readonly prependBos?: boolean; readonly signal?: AbortSignal },
): Promise<Steering> {
  const { interventions = [], sources, prependBos, signal } = options;
  const runs = new Runs(model, { input: [prompt], sources, prependBos }, 'last');
  try {
    const byPosition = growingEdits(interventions, runs.setting, 'interventions', total);
    const edits = byPosition.flat();
    runs.need(edits);
    runs.plan(new Set());
    await runs.start({ signal, forks: false });
    return {
      names: new Set(edits.map(({ point }) => point.name)),
      hooks: (from, to) =>
        editHooks(
          byPosition.slice(from, to).flatMap((own) => own.map((edit) => ({ edit, row: 0 }))),
          runs,
        ),
      dispose: () => runs.dispose(),
    };
  } catch (e) {
    runs.dispose();
    throw e;
  }
}
