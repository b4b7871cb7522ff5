/**
 * Maps over the axes of a hook point: which part of it each cell is about. The methods say what happens
 * there.
 */

import type { Model } from '../../hooks/input/model.js';
import { isWhole, pointIn } from '../../hooks/input/names.js';
import type { Selection } from '../../hooks/input/selection.js';
import { indices } from '../../hooks/input/selection.js';
import type { Partners } from '../../hooks/interventions/alignment.js';
import type { Intervention } from '../../hooks/interventions/interventions.js';
import { positionLabels } from '../results/provenance.js';
import type { Axis } from '../results/result.js';

/** An axis of a map. `query` and `key` are those of scores and patterns, `pos` that of everything else. */
export type PatchAxis = 'layer' | 'pos' | 'head' | 'neuron' | 'query' | 'key';

/** Only these entries of an axis: `{ layer: [0, 5], pos: { start: 4 } }`. */
export type PartOf = Readonly<Partial<Record<PatchAxis, Selection>>>;

/**
 * Parts of one map: for each combination of the axes' entries where an intervention happens, without what it
 * does.
 */
export interface Cells {
  readonly axes: Axis[];
  /** Of each axis, the indices that the map has, in its order. */
  readonly entries: readonly (readonly number[])[];
  /** Row-major; `at` is a hook point of every block unless `layer` says one. */
  readonly parts: Pick<Intervention, 'at' | 'layer' | 'pos' | 'head' | 'neuron' | 'key'>[];
}

/**
 * The cells of a map over the axes `by`; what is not named is taken as a whole.
 * @param only leaves entries out, of axes of the map and of others
 * @param what the method, for messages
 * @param clean the prompts that values come from, for labels of positions
 * @param partners of each position its partner in `clean`: a map has the positions that have one in all
 * prompts
 * @throws when the hook point does not have an axis, or prompts of different lengths no common positions.
 */
export function cellsOf(
  model: Model,
  at: string,
  by: readonly PatchAxis[],
  only: PartOf,
  prompts: readonly (readonly number[])[],
  what: string,
  clean: readonly (readonly number[])[] = prompts,
  partners: Partners | null = null,
): Cells {
  const { config } = model;
  const { pattern, heads, width } = siteOf(model, at, what);
  const length = Math.min(...prompts.map((p) => p.length));
  const lengths: Partial<Record<PatchAxis, number>> = {
    layer: config.nLayers,
    ...(pattern ? { query: length, key: length } : { pos: length, neuron: width }),
    ...(heads && { head: heads }),
  };
  for (const axis of [...by, ...(Object.keys(only) as PatchAxis[])])
    if (lengths[axis] === undefined)
      throw new Error(`${what}: "${at}" has no axis "${axis}"; it has ${Object.keys(lengths).join(', ')}`);
  if (new Set(by).size < by.length || !by.length)
    throw new Error(`${what}: by [${by.join(', ')}]: name each axis once`);
  const ragged = prompts.some((p) => p.length !== length);
  const position = pattern ? 'query' : 'pos';
  if (ragged && (by.includes(position) || by.includes('key')))
    throw new Error(
      `${what}: prompts of different lengths have no common positions: take prompts of one length`,
    );
  const labels = (axis: PatchAxis, entries: readonly number[]): string[] => {
    if (axis === 'layer') return entries.map((l) => `L${l}`);
    if (axis === 'head') return entries.map((h) => `H${h}`);
    if (axis === 'neuron') return entries.map((n) => `N${n}`);
    const all = positionLabels(model, prompts[0], clean[0], partners?.[0]);
    return entries.map((p) => all[p]);
  };
  const entries = by.map((axis) => {
    const all = indices(only[axis], lengths[axis]!, axis);
    if (!partners || !['pos', 'query', 'key'].includes(axis)) return all;
    const paired = all.filter((p) => partners.every((row) => row[p] >= 0));
    if (!paired.length) throw new Error(`${what}: none of these positions has a partner in the other prompt`);
    return paired;
  });
  const rest = Object.fromEntries(
    Object.entries(only).flatMap(([axis, s]) =>
      by.includes(axis as PatchAxis) ? [] : [[field(axis as PatchAxis), s]],
    ),
  );
  let list: Partial<Intervention>[] = [rest];
  by.forEach((axis, i) => {
    list = list.flatMap((cell) => entries[i].map((entry) => ({ ...cell, [field(axis)]: entry })));
  });
  const axes = by.map((axis, i) => ({ name: axis, labels: labels(axis, entries[i]) }));
  return { axes, entries, parts: list.map((cell) => ({ at, ...cell })) };
}

/** What an intervention calls the axis. */
const field = (axis: PatchAxis): string => (axis === 'query' ? 'pos' : axis);

function siteOf({ points }: Model, at: string, what: string) {
  if (isWhole(at, points))
    throw new Error(
      `${what}: "${at}" is not a hook point of every block; take one like "resid_pre", "z" or "mlp.hook_post"`,
    );
  return pointIn(at, 0, points);
}

/** Layer × pos, or layer × head for what heads have of their own. */
export function usualAxes(model: Model, at: string, what: string): PatchAxis[] {
  const { heads } = siteOf(model, at, what);
  return heads ? ['layer', 'head'] : ['layer', 'pos'];
}
