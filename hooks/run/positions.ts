/** Keeping only some positions of an activation. */

import { Tensor } from '../../engine/tensor/tensor.js';
import { shownJson } from '../../weights/checks/messages.js';
import { type Layout, takeRow } from './view.js';

/** One position (negative counts from each row's end), or [start, end). */
export type PosSlice = number | readonly [start: number, end: number];

/**
 * The chosen positions of a presented activation, which is freed: [batch, k, ...], or [batch, head, k, key].
 * Rows of different length are cut each by itself.
 * @throws when a row does not have the position.
 */
export function keepPositions(
  name: string,
  t: Tensor,
  seen: Layout,
  pos: PosSlice,
): { t: Tensor; seen: Layout } {
  const rows = seen.rows.map((row, i) => {
    const [start, end] = positionRange(pos, row.length, `pos of row ${i}`);
    return { start, length: end - start };
  });
  const { length } = rows[0];
  if (rows.some((r) => r.length !== length))
    throw new Error('pos: the rows give different numbers of positions');
  const pattern = seen.points.get(name)?.pattern ?? false;
  let start = 0;
  const cut = {
    rows: seen.rows.map((row, i) => ({
      start: (start += length) - length,
      length,
      position: row.position + rows[i].start,
      block: 0,
    })),
    equal: true,
    points: seen.points,
  };
  if (seen.equal) {
    const part: [number, number] = [rows[0].start, rows[0].start + length];
    const out = t.slice(pattern ? [null, null, part] : [null, part]);
    t.dispose();
    return { t: out.keep(), seen: cut };
  }
  if (pattern) throw new Error(`pos with "${name}" needs rows of one length: their keys differ`);
  // Ragged rows: cut each and put them together.
  const parts = rows.map((r, i) => {
    const row = takeRow(name, t, seen, i);
    const part = row.slice([null, [r.start, r.start + length]]);
    row.dispose();
    return part;
  });
  const out = Tensor.concat(parts);
  for (const p of parts) p.dispose();
  t.dispose();
  return { t: out.keep(), seen: cut };
}

/**
 * Positions [start, end) of a row of some length. `what`: for messages. @throws when it does not have them.
 */
export function positionRange(pos: PosSlice, length: number, what: string): [start: number, end: number] {
  const from = (p: number) => (p < 0 ? p + length : p);
  const [start, end] = typeof pos === 'number' ? [from(pos), from(pos) + 1] : [from(pos[0]), from(pos[1])];
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end > length || start >= end)
    throw new Error(`${what}: ${shownJson(pos)} of ${length} positions`);
  return [start, end];
}
