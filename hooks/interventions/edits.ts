/**
 * From interventions to edits: everything is checked and spelled out here, before anything runs. An edit
 * changes one stretch of numbers of one activation, at one position of one prompt:
 *
 *     x ← keep · x + add · value        or        x ← x minus its component along value
 */

import type { Point, Points } from '../../engine/transformer/model-points.js';
import { shownValue } from '../../weights/checks/kinds.js';
import { brief } from '../../weights/checks/messages.js';
import { shown } from '../../weights/checks/shown.js';
import { checkChangeable, checkNoCopy, isWhole, matchPoints, pointIn } from '../input/names.js';
import type { Selection } from '../input/selection.js';
import { indices } from '../input/selection.js';
import { describeIntervention } from './describe.js';
import type { Counterfactual, Intervention } from './interventions.js';
import { opensPatterns } from './later-keys.js';
import type { Place, Places, Setting } from './places.js';
import { partnersFor, placesOf } from './values.js';

/** One change of one stretch of numbers. */
export interface Edit {
  readonly point: Point;
  /** Prompt of the base run. */
  readonly row: number;
  /** Position; of scores and patterns, the query. */
  readonly pos: number;
  /** Of scores and patterns. */
  readonly head: number;
  /** First number: within the position's [(head,) width]; of scores and patterns the first key. */
  readonly start: number;
  readonly width: number;
  readonly keep: number;
  readonly add: number;
  readonly projectOut: boolean;
  /** Where the value is; null where none is needed (scale, zero). */
  readonly place: Place | null;
  /** Which step of an edited model it belongs to; left out: it is the run's own, and comes after those. */
  readonly step?: number;
}

const ACTIONS = ['set', 'add', 'scale', 'zero', 'mean', 'interpolate', 'projectOut', 'freeze'] as const;
const FIELDS = new Set(['at', 'layer', 'row', 'pos', 'head', 'neuron', 'key', 'times', ...ACTIONS]);

/**
 * The edits of a counterfactual, in order of execution (those of one hook point in the order of the list).
 * @param what names the counterfactual in messages
 * @param read what an intervention stands for, and the setting that it is read against, where that is not
 * just so
 * @throws an Error that says which intervention is wrong, what with it, and what would be right.
 */
export function editsOf(
  list: Counterfactual,
  setting: Setting,
  what: string,
  read: (given: Intervention) => [Intervention, Setting] = (given) => [given, setting],
): Edit[] {
  if (!Array.isArray(list))
    throw new Error(`${what}: a list of interventions is needed, [{ at, … }], not ${shownValue(list)}`);
  const later = setting.open.has('base') || opensPatterns(list, setting.open, setting.points);
  const edits = list.flatMap((intervention, i) => {
    try {
      checkFields(intervention);
      const [own, within] = read(intervention);
      return pointsAt(own, setting.points).flatMap((point) => editsAt(point, own, within, later));
    } catch (e) {
      const told = typeof intervention?.at === 'string' ? describeIntervention(intervention) : '';
      const which = told && ` (${shown(told, 100)})`;
      throw new Error(brief(`${what}, intervention ${i}${which}: ${(e as Error).message}`));
    }
  });
  edits.sort((a, b) => a.point.order - b.point.order);
  checkNorms(edits, what);
  return edits;
}

/** @throws when it is no intervention, has unknown fields, or not exactly one action. */
export function checkFields(intervention: Intervention): void {
  if (typeof intervention !== 'object' || intervention === null || Array.isArray(intervention))
    throw new Error(`an object { at: hook point, … } is needed, not ${shownValue(intervention)}`);
  if (typeof intervention.at !== 'string')
    throw new Error(`\`at\` names the hook point; it is ${shownValue(intervention.at)}`);
  for (const field of Object.keys(intervention))
    if (!FIELDS.has(field))
      throw new Error(`there is no field "${field}"; these are: ${[...FIELDS].join(', ')}`);
  const given = ACTIONS.filter((a) => intervention[a] !== undefined);
  if (given.length !== 1)
    throw new Error(
      `${given.length ? `it has ${given.length} actions (${given.join(', ')})` : 'it does not say what to do'}: exactly one of ${ACTIONS.join(', ')} is needed`,
    );
  const { times, scale, zero, freeze } = intervention;
  if (times !== undefined && given[0] !== 'add') throw new Error('`times` goes with `add` only');
  for (const [name, x] of [
    ['times', times],
    ['scale', scale],
  ] as const)
    if (x !== undefined && !Number.isFinite(x))
      throw new Error(`\`${name}\` is ${x}: a finite number is needed`);
  for (const [name, x] of [
    ['zero', zero],
    ['freeze', freeze],
  ] as const)
    if (x !== undefined && x !== true) throw new Error(`\`${name}\` is ${x}: write true, or leave it out`);
}

/** The hook points that `at` and `layer` name. */
export function pointsAt({ at, layer }: Intervention, points: Points): readonly Point[] {
  const named = layersAt({ at, layer }, points);
  checkNoCopy(at, points);
  for (const point of named) checkChangeable(point);
  return named;
}

function layersAt({ at, layer }: Pick<Intervention, 'at' | 'layer'>, points: Points): readonly Point[] {
  if (layer === undefined) return matchPoints(at, points);
  if (isWhole(at, points))
    throw new Error(`"${at}" says its layer already (or has none): leave \`layer\` out`);
  return indices(layer, points.config.nLayers, 'layer').map((l) => pointIn(at, l, points));
}

/** @param later whether patterns of this run may have weight on keys behind the query */
function editsAt(point: Point, intervention: Intervention, setting: Setting, later: boolean): Edit[] {
  const { base, places } = setting;
  const { name, pattern, heads, width } = point;
  const { row, pos, head, neuron, key, scale, zero, times = 1 } = intervention;
  if (key !== undefined && !pattern)
    throw new Error(`"${name}" has no \`key\` axis: scores and patterns have`);
  if (neuron !== undefined && pattern)
    throw new Error(`"${name}" is [head, query, key]: it has no \`neuron\` axis`);
  if (head !== undefined && !heads) throw new Error(`"${name}" has no head axis`);

  const rows = indices(row, base.lengths.length, 'row');
  const allHeads = heads ? indices(head, heads, 'head') : [0];
  const partners = partnersFor(intervention, setting);
  const paired = (list: readonly number[], r: number, axis: string) => {
    const found = partners ? list.filter((p) => partners[r][p] >= 0) : list;
    if (!found.length)
      throw new Error(`${axis} ${list.slice(0, 5).join(', ')}: no partner in the aligned source`);
    return found;
  };
  const positions = rows.map((r) =>
    paired(indices(pos, base.lengths[r], base.lengths.length > 1 ? `row ${r}: pos` : 'pos'), r, 'pos'),
  );
  const keys = pattern ? rows.map((r) => paired(indices(key, base.lengths[r], 'key'), r, 'key')) : null;
  const runs = pattern ? [] : stretches(neuron, width);
  const last = pattern ? null : runs.reduce((n, r) => n + r.count, 0);
  const placeOf = placesOf(intervention, setting, point, {
    rows,
    positions,
    heads: heads ? allHeads : null,
    last: keys ?? rows.map(() => last!),
  });
  const by = intervention.interpolate?.by;
  const keep = zero ? 0 : (scale ?? (intervention.add !== undefined ? 1 : by === undefined ? 0 : 1 - by));
  const add = zero || scale !== undefined ? 0 : (by ?? times);
  const projectOut = intervention.projectOut !== undefined;
  const edits: Edit[] = [];
  const put = (edit: Edit) => {
    const before = edits.at(-1);
    const merged = before && joined(before, edit, places);
    if (merged) edits[edits.length - 1] = merged;
    else edits.push(edit);
  };
  rows.forEach((r, ri) => {
    for (const [pi, p] of positions[ri].entries())
      for (const [hi, h] of allHeads.entries()) {
        // Scores behind the query are masked again, and most patterns have no weight there.
        const sees = (k: number) => k <= p || (later && point.row.weighsKeys);
        const parts = pattern ? stretchesOf(keys![ri].filter(sees), keys![ri], partners?.[r]) : runs;
        for (const { start, count, index } of parts) {
          const at = { row: r, pos: p, head: pattern ? h : 0, start: pattern ? start : h * width + start };
          const place = placeOf?.({ ri, pi, hi, index, row: r, pos: p, head: h, start }) ?? null;
          put({ point, ...at, width: count, keep: projectOut ? 1 : keep, add, projectOut, place });
        }
      }
  });
  return edits;
}

/**
 * Two neighbouring stretches as one, or null. A direction to project out stays whole: one stretch a
 * direction.
 */
function joined(a: Edit, b: Edit, places: Places): Edit | null {
  if (a.projectOut || a.row !== b.row || a.pos !== b.pos || a.head !== b.head) return null;
  if (b.start !== a.start + a.width || !places.follows(a.place, b.place, a.width)) return null;
  return { ...a, width: a.width + b.width };
}

interface Stretch {
  /** First entry of the axis. */
  readonly start: number;
  readonly count: number;
  /** Of the first entry, within the selection. */
  readonly index: number;
}

function stretches(selection: Selection | undefined, length: number): Stretch[] {
  if (selection === undefined) return [{ start: 0, count: length, index: 0 }];
  const chosen = indices(selection, length, 'neuron');
  return stretchesOf(chosen, chosen);
}

/** Runs of neighbouring entries, whose partners are neighbours too; `index` counts in `within`. */
function stretchesOf(
  chosen: readonly number[],
  within: readonly number[],
  partners?: readonly number[],
): Stretch[] {
  const out: { start: number; count: number; index: number }[] = [];
  const same = chosen === within || chosen.length === within.length;
  for (const [i, entry] of chosen.entries()) {
    const last = out.at(-1);
    const index = same ? i : within.indexOf(entry);
    const follows = last && entry === last.start + last.count && index === last.index + last.count;
    if (follows && (!partners || partners[entry] === partners[entry - 1] + 1)) last.count++;
    else out.push({ start: entry, count: 1, index });
  }
  return out;
}

/**
 * TransformerLens runs ln1 once for each of q, k and v when their inputs differ: an edit of ln1 then has no
 * one meaning.
 * @throws when edits of one run change both in the same layer
 */
export function checkNorms(edits: readonly Edit[], what: string): void {
  const split = new Set(edits.filter((e) => e.point.row.headInput).map((e) => e.point.layer));
  const clash = edits.find(({ point }) => point.row.beforeHeads && split.has(point.layer));
  if (clash)
    throw new Error(
      `${what}: "${clash.point.name}" and an input of single heads (hook_attn_in, hook_q_input …) are changed in the same run, where every head has a layer norm of its own then: change one of them only`,
    );
}
