/**
 * What interventions that hold for every input may say, and what is known of them before there is a prompt.
 */

import { sizeOf } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { Points } from '../../engine/transformer/model-points.js';
import { isList, shownValue } from '../../weights/checks/kinds.js';
import { brief } from '../../weights/checks/messages.js';
import { shown } from '../../weights/checks/shown.js';
import type { Selection } from '../input/selection.js';
import { indices } from '../input/selection.js';
import { describeIntervention } from './describe.js';
import { checkFields, pointsAt } from './edits.js';
import type { Intervention, Value } from './interventions.js';
import { opensPatterns } from './later-keys.js';
import { otherPoint, valueIn } from './values.js';

/** @throws when an intervention is wrong whatever the prompt, or means something only in one run. */
export function checkForEvery(
  one: Intervention,
  i: number,
  points: Points,
  sources: ReadonlySet<string>,
): void {
  try {
    checkFields(one);
    if (one.row !== undefined)
      throw new Error(
        '`row` names a prompt of one run; an edit that holds for every input has none: leave it out',
      );
    for (const { name, heads, width } of pointsAt(one, points)) {
      if (heads) indices(one.head, heads, 'head');
      else if (one.head !== undefined) throw new Error(`"${name}" has no head axis`);
      if (width && one.neuron !== undefined) indices(one.neuron, width, 'neuron');
    }
    const run = runIn(one);
    const value = needsValue(one) ? valueIn(one) : null;
    if (one.freeze || run === 'base')
      throw new Error(
        'every input has a base run of its own: a value comes from a tensor, or from a source that is named, { from: name }',
      );
    if (run !== null && !sources.has(run))
      throw new Error(
        `there is no source "${shown(run, 40)}"; these are: ${[...sources].join(', ') || 'none (give `sources`)'}`,
      );
    if (typeof value === 'object' && value !== null && 'noise' in value && value.noise?.sample === undefined)
      throw new Error(
        'every prompt takes the same draw of the noise: say which with `sample`, 0 for the first',
      );
  } catch (e) {
    const told = typeof one?.at === 'string' ? ` (${shown(describeIntervention(one), 100)})` : '';
    throw new Error(brief(`with: intervention ${i}${told}: ${(e as Error).message}`));
  }
}

/** The run that a value is taken from, or null. */
export function runIn(one: Intervention): string | null {
  if (!needsValue(one)) return null;
  const value = valueIn(one);
  if (typeof value !== 'object' || value === null) return null;
  if ('from' in value) return value.from;
  return 'mean' in value && typeof value.mean === 'string' ? value.mean : null;
}

/** Of each source the hook points whose activations are needed. */
export function needsOf(list: readonly Intervention[], points: Points): Map<string, Set<string>> {
  const needs = new Map<string, Set<string>>();
  for (const one of list) {
    const run = runIn(one);
    if (run === null) continue;
    const value = valueIn(one) as Exclude<Value, number>;
    const names = needs.get(run) ?? new Set();
    needs.set(run, names);
    for (const point of pointsAt(one, points))
      names.add('from' in value ? otherPoint(value, point, points).name : point.name);
  }
  return needs;
}

/**
 * Is what happens at a position the same whatever comes behind it? Then prompts that begin alike can share
 * the run of their beginning.
 */
export function isLocal(one: Intervention, points: Points): boolean {
  if (!fromTheStart(one.pos) || !fromTheStart(one.key) || opensPatterns([one], new Set(), points))
    return false;
  if (!needsValue(one)) return true;
  const value = valueIn(one);
  if (typeof value === 'number') return true;
  const fixed = typeof one.pos === 'number' || isList(one.pos);
  const [{ heads, width, pattern }] = pointsAt(one, points);
  if (isList(value) || value instanceof Tensor || 'data' in value) {
    if (pattern) return false;
    const size =
      value instanceof Tensor
        ? value.size
        : isList(value)
          ? lengthOf(value)
          : sizeOf(value.shape as readonly number[]);
    return fixed || size <= width * (heads && one.head === undefined ? heads : 1);
  }
  if ('from' in value) return value.pos !== undefined && !pattern;
  return 'mean' in value && !pattern && (value.over === 'all' || fixed);
}

const lengthOf = (list: unknown): number =>
  isList(list) ? (Array.prototype.reduce.call(list, (n, x) => (n as number) + lengthOf(x), 0) as number) : 1;

const needsValue = ({ zero, scale }: Intervention): boolean => !zero && scale === undefined;

/** Does a selection count from the beginning only? */
function fromTheStart(selection: Selection | undefined): boolean {
  if (selection === undefined) return true;
  if (typeof selection === 'number') return selection >= 0;
  if (isList(selection)) return Array.prototype.every.call(selection, (i: number) => i >= 0);
  if (typeof selection !== 'object' || selection === null)
    throw new Error(`${shownValue(selection)} is no selection: a number, a list or { start, end } is needed`);
  const { start = 0, end = 0 } = selection as { start?: number; end?: number };
  return start >= 0 && end >= 0;
}
