/**
 * How activations are seen. The engine packs the rows of a batch one after another, [tokens, ...]; rows of equal
 * length are shown as [batch, pos, ...], ragged ones as they are, and `takeRow` takes one row out of either.
 */

import { type Axes, type AxisName, axesOf } from '../../engine/shape/axes.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Row } from '../../engine/transformer/batch.js';
import type { Points } from '../../engine/transformer/model-points.js';

/** How the rows of a batch lie in its activations. */
export interface Layout {
  readonly rows: readonly Row[];
  readonly equal: boolean;
  /** One row whose activations have no batch axis: [pos, ...], [head, query, key]. Then it is not `equal`. */
  readonly bare?: boolean;
  /** The model's hook points, which know the axes of activations. */
  readonly points: Points;
}

/** The layout of a batch of a model with these hook points. */
export const layoutOf = ({ rows, equal }: Pick<Layout, 'rows' | 'equal'>, points: Points): Layout => ({
  rows,
  equal,
  points,
});

/** [tokens, ...] as the user sees it: [batch, pos, ...] when the rows are equal, its axes named. A view. */
export function present(name: string, t: Tensor, layout: Layout): Tensor {
  const { rows, equal } = layout;
  const heads = headsOfPattern(name, layout);
  if (heads === null) return asRows(t, innerAxes(name, t.shape.length, layout), layout);
  if (equal) return t.renamed(axesOf(PATTERN));
  const lengths = (r: Row) => [heads, r.length, r.position + r.length];
  const packed = {
    axes: PATTERN.slice(1),
    rows: rows.map((r) => ({ start: r.block, lengths: lengths(r) })),
  };
  return t.renamed({ names: [null], packed });
}

/** The rows of a packed tensor [tokens, ...inner] as the user sees them, as `present` does. */
export function asRows(
  t: Tensor,
  inner: readonly AxisName[],
  { rows, equal }: Omit<Layout, 'points'>,
): Tensor {
  if (!equal) return t.renamed(raggedAxes(inner, rows));
  const view = t.reshape([rows.length, rows[0].length, ...t.shape.slice(1)]);
  view.named = axesOf(['batch', 'pos', ...inner]);
  return view;
}

const PATTERN = ['batch', 'head', 'query', 'key'];

const raggedAxes = (inner: readonly AxisName[], rows: readonly Row[]): Axes => ({
  names: [null, ...inner],
  packed: { axes: ['pos'], rows: rows.map((r) => ({ start: r.start, lengths: [r.length] })) },
});

/** Heads of scores and patterns, [batch, head, query, key]; null for everything else. */
function headsOfPattern(name: string, { points }: Layout): number | null {
  const point = points.get(name);
  return point?.pattern ? point.heads : null;
}

/**
 * The axes behind the tokens of an activation that has `rank` axes when packed: a norm's has heads, too, where single heads
 * have inputs of their own. What is no hook point are logits.
 */
function innerAxes(name: string, rank: number, { points }: Layout): AxisName[] {
  const point = points.get(name);
  const last = point ? point.axes.at(-1)! : 'd_vocab';
  return rank > 2 ? ['head', last] : [last];
}

/** The way back: [tokens, ...], without names. A view. */
export function pack(name: string, t: Tensor, layout: Layout): Tensor {
  const { rows, equal } = layout;
  const plain = t.renamed(null);
  if (!equal || headsOfPattern(name, layout) !== null) return plain;
  const packed = plain.reshape([rows.length * rows[0].length, ...t.shape.slice(2)]);
  plain.dispose();
  return packed;
}

/** Row i of an activation as it was presented, as a batch of one: [1, pos, ...] or [1, head, query, key]. A view. */
export function takeRow(name: string, t: Tensor, layout: Layout, i: number): Tensor {
  const { rows, equal } = layout;
  const row = rows[i];
  if (!row) throw new Error(`row ${i}: this batch has ${rows.length} rows (0–${rows.length - 1})`);
  if (equal) return t.window([[i, i + 1]]);
  const heads = headsOfPattern(name, layout);
  const [start, count, shape] =
    heads === null ? [row.start, row.length, [row.length, ...t.shape.slice(1)]] : patternBlock(row, heads);
  const part = t.window([[start, start + count]]);
  const view = part.reshape([1, ...shape]);
  part.dispose();
  view.named = axesOf(
    heads === null ? ['batch', 'pos', ...innerAxes(name, t.shape.length, layout)] : PATTERN,
  );
  return view;
}

/**
 * Where the numbers of one position lie in a presented activation, in elements from its first: `start` counts within
 * the position's numbers; of a pattern it is the key, and `pos` the query.
 */
export function elementOf(
  name: string,
  t: Tensor,
  layout: Layout,
  at: { row: number; pos: number; head: number; start: number },
): number {
  const { rows, equal } = layout;
  const row = rows[at.row];
  const query = at.pos - row.position;
  const heads = headsOfPattern(name, layout);
  if (heads === null) {
    const tokens = rows.reduce((n, r) => n + r.length, 0);
    return (row.start + query) * (t.size / tokens) + at.start;
  }
  const keys = equal ? t.shape.at(-1)! : row.position + row.length;
  const block = equal ? at.row * heads * row.length * keys : row.block;
  return block + (at.head * row.length + query) * keys + at.start;
}

/** A copy of an activation in which row i is `value` (same shape as `takeRow` gives). */
export function putRow(name: string, t: Tensor, layout: Layout, i: number, value: Tensor): Tensor {
  const { rows, equal } = layout;
  if (equal) return t.set([[i, i + 1]], value);
  const row = rows[i];
  const heads = headsOfPattern(name, layout);
  const [start, count] = heads === null ? [row.start, row.length] : patternBlock(row, heads);
  const flat = value.reshape([count, ...t.shape.slice(1)]);
  const plain = t.renamed(null);
  const out = plain.set([[start, start + count]], flat);
  out.named = t.named;
  plain.dispose();
  flat.dispose();
  return out;
}

function patternBlock(
  { block, length, position }: Row,
  heads: number,
): [start: number, count: number, shape: number[]] {
  const shape = [heads, length, position + length];
  return [block, heads * length * (position + length), shape];
}
