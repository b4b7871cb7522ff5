/**
 * Interventions during generation: the same edits at every step, whether a step runs one new token after stored keys and
 * values or the whole text again.
 */

import type { HookEntry } from '../input/hook.js';
import type { Model } from '../input/model.js';
import { editHooks } from '../interventions/apply.js';
import { type Edit, editsOf } from '../interventions/edits.js';
import type {
  Counterfactual,
  Intervention,
  Selection,
  Source,
  Value,
} from '../interventions/interventions.js';
import type { RunInfo, Setting } from '../interventions/places.js';
import { Runs } from '../sweep/runs.js';

/** What happens while a text grows. */
export interface SteerOptions {
  /**
   * Changes at every step: a steering vector, an ablated head. Without `pos` of every token, new ones too; `pos` counts in the
   * prompt (negative: from its end), but a range without end, `{ start: 3 }`, or with one behind the prompt goes on into
   * the new tokens. So does `key`.
   */
  readonly interventions?: Counterfactual;
  /** Runs that values come from, by name; `'base'` is the prompt as it is. */
  readonly sources?: Readonly<Record<string, Source>>;
}

/** Interventions that are ready: values are on the GPU. */
export interface Steering {
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
    const edits = editsOf(interventions, runs.setting, 'interventions', (i) => {
      const { intervention, open } = inText(i, prompt.length, total);
      return [intervention, within(runs.setting, open ? total : prompt.length)];
    });
    const byPosition: Edit[][] = [];
    for (const edit of edits) {
      // A pattern may weigh later keys of the prompt; of tokens that come one by one there are none.
      const keys = edit.point.pattern ? Math.max(prompt.length, edit.pos + 1) : Infinity;
      if (edit.start >= keys) continue;
      const width = Math.min(edit.width, keys - edit.start);
      (byPosition[edit.pos] ??= []).push({ ...edit, width });
    }
    runs.need(edits);
    runs.plan(new Set());
    await runs.start({ signal, forks: false });
    return {
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

/** The setting of a text of some length. */
function within(setting: Setting, length: number): Setting {
  const base: RunInfo = { ...setting.base, lengths: [length] };
  return { ...setting, base };
}

/** Positions as they are in the text when it is `total` tokens long; `open`: new tokens are among them. */
function inText(
  intervention: Intervention,
  length: number,
  total: number,
): { intervention: Intervention; open: boolean } {
  const pos = fromPrompt(intervention.pos, length, total);
  const open = reach(pos, length, total) > length;
  const key = fromPrompt(intervention.key, length, open ? total : length);
  if (open && needsPosition(intervention))
    throw new Error(
      'new tokens have no counterpart in another run: say with `pos` of the value which position to take, or with `pos` of the intervention which tokens of the prompt to change',
    );
  const placed = { ...intervention, ...(pos !== undefined && { pos }), ...(key !== undefined && { key }) };
  return { intervention: placed, open };
}

/** A selection of the prompt, counted from its beginning. What is not one is left to those who check selections. */
function fromPrompt(selection: Selection | undefined, length: number, total: number): Selection | undefined {
  const at = (i: number) => (i < 0 && i >= -length ? i + length : i);
  if (typeof selection === 'number') return inPrompt(at(selection), length);
  if (Array.isArray(selection)) return selection.map((i) => inPrompt(at(i), length));
  if (typeof selection !== 'object' || selection === null) return selection;
  const { start, end, ...rest } = selection as { start?: number; end?: number };
  return { ...rest, start: at(start ?? 0), end: Math.min(end === undefined ? total : at(end), total) };
}

function inPrompt(i: number, length: number): number {
  if (i >= length)
    throw new Error(
      `position ${i}: the prompt has ${length} tokens; new ones are in ranges, { start: ${length} }`,
    );
  return i;
}

/** The position behind the last one selected. */
function reach(pos: Selection | undefined, length: number, total: number): number {
  if (pos === undefined) return total;
  return typeof pos === 'object' && pos !== null && 'end' in pos ? pos.end! : length;
}

/** Does the value come from the same position of another run? */
function needsPosition({ set, add, projectOut, interpolate, freeze }: Intervention): boolean {
  const value = [set, add, projectOut, interpolate?.to].find((v): v is Value => v !== undefined);
  if (freeze) return true;
  return typeof value === 'object' && value !== null && 'from' in value && value.pos === undefined;
}
