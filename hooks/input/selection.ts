/** Which indices a selection names: pure arithmetic, with errors that say what the axis has. */

import { isList, shownValue } from '../../weights/checks/kinds.js';

/** One index, a list of them, or the range [start, end). Negative numbers count from the end. */
export type Selection = number | ArrayLike<number> | { readonly start?: number; readonly end?: number };

/** Every index of an axis. */
export const all = (length: number): number[] => Array.from({ length }, (_, i) => i);

/**
 * The indices that a selection names, in its order; all of them where it is left out.
 * @param axis for messages: `pos`, `head` …
 * @throws when an index is not on the axis, named twice, or nothing is selected.
 */
export function indices(selection: Selection | undefined, length: number, axis: string): number[] {
  if (selection === undefined) return all(length);
  if (typeof selection === 'number') return [indexOf(selection, length, axis)];
  if (isList(selection)) {
    if (!selection.length) throw new Error(`${axis}: an empty list selects nothing`);
    const found = Array.from(selection as ArrayLike<number>, (i) => indexOf(i, length, axis));
    if (new Set(found).size < found.length)
      throw new Error(`${axis}: ${shownValue(selection)} names an index twice`);
    return found;
  }
  if (typeof selection !== 'object' || selection === null)
    throw new Error(`${axis}: ${shownValue(selection)}: a number, a list or { start, end } is needed`);
  const { start = 0, end = length, ...rest } = selection as { start?: number; end?: number };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new Error(`${axis}: unknown field "${unknown}" in a range { start, end }`);
  const from = indexOf(start, length, `${axis}.start`);
  const to = end === length ? length : indexOf(end, length, `${axis}.end`);
  if (to <= from) throw new Error(`${axis}: { start: ${start}, end: ${end} } selects nothing of ${length}`);
  return all(to - from).map((i) => from + i);
}

/** One index counted from either end. @throws when the axis does not have it. */
export function indexOf(index: number, length: number, axis: string): number {
  const i = index < 0 ? index + length : index;
  if (!Number.isInteger(index) || i < 0 || i >= length)
    throw new Error(
      `${axis} ${shownValue(index)}: ${length === 1 ? 'there is only 0' : `there are ${length} (0–${length - 1}, or negative from the end)`}`,
    );
  return i;
}
