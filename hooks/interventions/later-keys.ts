/**
 * Weights of a pattern on keys behind the query. The model masks them, but a pattern that somebody sets may
 * have them, and they count, as in TransformerLens: the query then reads later positions. (Scores are masked
 * again after a hook.) Here is told which interventions and runs may have such weights; the planner lets
 * their queries see the whole row.
 */

import type { Points } from '../../engine/transformer/model-points.js';
import { findPoints } from '../input/names.js';
import type { Edit } from './edits.js';
import type { Intervention, Value } from './interventions.js';

/** Does an edit weigh keys behind its query? */
export const weighsLater = ({ point, pos, start, width }: Edit): boolean =>
  point.row.weighsKeys === true && start + width > pos + 1;

/**
 * May interventions put weight on later keys? What keeps zeros zero (zero, scale, values of runs without such
 * weights) does not.
 * @param open runs whose patterns may have such weights
 */
export const opensPatterns = (
  list: readonly Intervention[],
  open: ReadonlySet<string>,
  points: Points,
): boolean => list.some((i) => isPattern(i?.at, points) && values(i).some((v) => isOpen(v, open, points)));

const isPattern = (at: unknown, points: Points): boolean =>
  typeof at === 'string' && findPoints(at, points).some(({ row }) => row.weighsKeys);

function values({ set, add, mean, interpolate, freeze }: Intervention): Value[] {
  const own = [set, add, interpolate?.to].filter((v): v is Value => v !== undefined);
  if (freeze) return [{ from: 'base' }];
  if (mean === undefined) return own;
  return [typeof mean === 'string' ? { mean } : mean];
}

function isOpen(value: Value, open: ReadonlySet<string>, points: Points): boolean {
  if (typeof value === 'number') return value !== 0;
  if (typeof value !== 'object' || value === null) return false;
  // Scores are −∞ there.
  if ('from' in value)
    return open.has(value.from) || (value.at !== undefined && !isPattern(value.at, points));
  return 'mean' in value && typeof value.mean === 'string' ? open.has(value.mean) : true;
}
