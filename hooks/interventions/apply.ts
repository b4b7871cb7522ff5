/** Edits, applied to the activations of a batch: a few dispatches for all rows of it. */

import { type Blend, blendInto, projectOutOf } from '../../engine/activations/edit.js';
import { taped } from '../../engine/tensor/tape.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Row } from '../../engine/transformer/batch.js';
import type { Hook } from '../input/hook.js';
import type { Edit } from './edits.js';
import type { Place } from './places.js';

/** A value on the GPU: elements of a tensor from `offset` on. */
export interface Located {
  readonly tensor: Tensor;
  readonly offset: number;
  /** One number for the whole stretch. */
  readonly broadcast: boolean;
}

/** Who knows where values are. */
export interface Values {
  /** Null: no value is needed (some number is given all the same). */
  locate(place: Place | null): Located;
}

/** An edit, and the row of the batch that it is for. */
export interface RowEdit {
  readonly edit: Edit;
  readonly row: number;
}

/** One hook for each hook point that is edited. */
export function editHooks(edits: readonly RowEdit[], values: Values): [string, Hook][] {
  const byName = new Map<string, RowEdit[]>();
  for (const e of edits) {
    const { name } = e.edit.point;
    const list = byName.get(name);
    if (list) list.push(e);
    else byName.set(name, [e]);
  }
  return [...byName].map(([name, list]) => [name, (t, { rows }) => applyEdits(t, rows, list, values)]);
}

interface Group {
  readonly tensor: Tensor;
  readonly broadcast: boolean;
  readonly width: number;
  readonly projectOut: boolean;
  readonly segments: Blend[];
}

/**
 * A copy of an activation with edits applied, in their order; positions that a row does not own are left out.
 */
function applyEdits(t: Tensor, rows: readonly Row[], edits: readonly RowEdit[], values: Values): Tensor {
  const tokens = rows.reduce((n, r) => n + r.length, 0);
  // Edits of the same numbers happen one after another, all others together.
  const rounds: Map<string, Group>[] = [];
  const covered = new Map<number, { start: number; end: number; round: number }[]>();
  for (const { edit: given, row } of edits) {
    const edit = withinKeys(given, rows[row]);
    if (!edit) continue;
    const target = elementIn(t, rows[row], tokens, edit);
    if (target === null) continue;
    const { tensor, offset, broadcast } = values.locate(edit.place);
    const round = roundOf(covered, target - edit.start, edit);
    const groups = (rounds[round] ??= new Map());
    const key = `${edit.width},${broadcast},${edit.projectOut},${idOf(tensor)}`;
    let group = groups.get(key);
    if (!group) {
      const { width, projectOut } = edit;
      groups.set(key, (group = { tensor, broadcast, width, projectOut, segments: [] }));
    }
    group.segments.push({ target, value: offset, keep: edit.keep, add: edit.add });
  }
  const steps = rounds.flatMap((groups) => [...groups.values()]);
  const out = t.detach(t.scope).slice([]); // a copy, freed with the other tensors of the run
  for (const { tensor, broadcast, width, projectOut, segments } of steps) {
    if (projectOut) projectOutOf(out, segments, tensor, width);
    else blendInto(out, segments, tensor, width, broadcast);
  }
  return taped(out, [t], (save) => {
    const saved = steps.map((step) => ({ ...step, tensor: save(step.tensor) }));
    return (dy) => [gradientOf(saved, dy)];
  });
}

/**
 * Back through edits, the last first: what is kept passes by its factor, what is taken out along a direction
 * does not.
 */
function gradientOf(steps: readonly Group[], dy: Tensor): Tensor {
  const out = dy.slice([]);
  for (const { tensor, width, projectOut, segments } of [...steps].reverse()) {
    const kept = segments.map((s) => ({ ...s, value: 0, add: 0 }));
    if (projectOut) projectOutOf(out, segments, tensor, width);
    else blendInto(out, kept, tensor, width, true);
  }
  return out;
}

/**
 * An edit of scores or a pattern as far as the row has keys: a row that is generated has not all yet. Null:
 * none of it.
 */
function withinKeys(edit: Edit, { position, length }: Row): Edit | null {
  const { point, start, width } = edit;
  if (!point.pattern || start + width <= position + length) return edit;
  return start < position + length ? { ...edit, width: position + length - start } : null;
}

/** Where an edit begins in a packed activation, or null: the row does not own the position. */
function elementIn(t: Tensor, row: Row, tokens: number, edit: Edit): number | null {
  const { point, pos, head, start } = edit;
  const query = pos - row.position;
  if (query < 0 || query >= row.length) return null;
  if (point.pattern) return row.block + (head * row.length + query) * (row.position + row.length) + start;
  const width = t.size / tokens;
  if (width !== point.width * (point.heads ?? 1))
    throw new Error(
      `"${point.name}" has a layer norm for every head in this run, since another intervention gives single heads inputs of their own: run them apart`,
    );
  return (row.start + query) * width + start;
}

/**
 * Into which round an edit goes: behind every earlier one that it overlaps. `at`: where its position's
 * numbers begin.
 */
function roundOf(
  covered: Map<number, { start: number; end: number; round: number }[]>,
  at: number,
  { start, width }: Edit,
): number {
  const end = start + width;
  const before = covered.get(at);
  if (!before) {
    covered.set(at, [{ start, end, round: 0 }]);
    return 0;
  }
  const round = before.reduce((r, b) => (b.start < end && start < b.end ? Math.max(r, b.round + 1) : r), 0);
  before.push({ start, end, round });
  return round;
}

const ids = new WeakMap<Tensor, number>();
let nextId = 0;
function idOf(t: Tensor): number {
  let id = ids.get(t);
  if (id === undefined) ids.set(t, (id = nextId++));
  return id;
}
