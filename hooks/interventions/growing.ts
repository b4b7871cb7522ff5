/** Interventions while a text grows: which positions they mean when `total` tokens are there at the end. */

import type { Selection } from '../input/selection.js';
import { type Edit, editsOf } from './edits.js';
import type { Counterfactual, Intervention, Value } from './interventions.js';
import type { RunInfo, Setting } from './places.js';

/**
 * The edits of a prompt that is continued, by position; positions count in the prompt, which is the base
 * run's only row.
 * @param total most tokens of the whole text
 * @throws as `editsOf` does, and when a value would come from a place that new tokens do not have
 */
export function growingEdits(
  list: Counterfactual,
  setting: Setting,
  what: string,
  total: number,
): readonly (readonly Edit[])[] {
  const [length] = setting.base.lengths;
  const edits = editsOf(list, setting, what, (given) => {
    const { intervention, open } = inText(given, length, total);
    return [intervention, within(setting, open ? total : length)];
  });
  const byPosition: Edit[][] = [];
  for (const edit of edits) {
    // A pattern may weigh later keys of the prompt; of tokens that come one by one there are none.
    const keys = edit.point.pattern ? Math.max(length, edit.pos + 1) : Infinity;
    if (edit.start >= keys) continue;
    const width = Math.min(edit.width, keys - edit.start);
    (byPosition[edit.pos] ??= []).push({ ...edit, width });
  }
  return byPosition;
}

/** The setting of a text of some length. */
function within(setting: Setting, length: number): Setting {
  const base: RunInfo = { ...setting.base, lengths: [length] };
  return { ...setting, base };
}

/**
 * Positions as they are in the text when it is `total` tokens long; `open`: new tokens are among them.
 * @param length tokens of the prompt, in which positions count
 * @throws when a value would come from the same position of another run for a new token, or a position is
 * behind the prompt.
 */
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

/**
 * A selection of the prompt, counted from its beginning. What is not one is left to those who check
 * selections.
 */
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
