/**
 * How activations are seen. The engine packs the rows of a batch one after another, [tokens, ...]; rows of equal
 * length are shown as [batch, pos, ...], ragged ones as they are, and `takeRow` takes one row out of either.
 */

import { type Axes, type AxisName, axesOf } from '../../engine/shape/axes.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Row } from '../../engine/transformer/batch.js';
import { isPattern } from '../input/names.js';

/** What is needed to see an activation row by row. */
export interface Rows {
  readonly rows: readonly Row[];
  readonly equal: boolean;
  readonly nHeads: number;
}

/** [tokens, ...] as the user sees it: [batch, pos, ...] when the rows are equal, its axes named. A view. */
export function present(name: string, t: Tensor, seen: Rows): Tensor {
  const { rows, equal, nHeads } = seen;
  if (isPattern(name)) {
    if (equal) return t.renamed(axesOf(PATTERN));
    const lengths = (r: Row) => [nHeads, r.length, r.position + r.length];
    const packed = {
      axes: PATTERN.slice(1),
      rows: rows.map((r) => ({ start: r.block, lengths: lengths(r) })),
    };
    return t.renamed({ names: [null], packed });
  }
  return asRows(t, innerAxes(name, t.shape.length), seen);
}

/** The rows of a packed tensor [tokens, ...inner] as the user sees them, as `present` does. */
export function asRows(t: Tensor, inner: readonly AxisName[], { rows, equal }: Omit<Rows, 'nHeads'>): Tensor {
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

/** The axes behind the tokens of an activation that has `rank` axes when packed. */
function innerAxes(name: string, rank: number): AxisName[] {
  const last = /\.hook_scale$/.test(name)
    ? null
    : name === 'logits'
      ? 'd_vocab'
      : /\.mlp\.(ln\.)?hook_/.test(name)
        ? 'd_mlp'
        : /\.attn\.hook_[qkvz]$/.test(name)
          ? 'd_head'
          : 'd_model';
  return rank > 2 ? ['head', last] : [last];
}

/** The way back: [tokens, ...], without names. A view. */
export function pack(name: string, t: Tensor, { rows, equal }: Rows): Tensor {
  const plain = t.renamed(null);
  if (isPattern(name) || !equal) return plain;
  const packed = plain.reshape([rows.length * rows[0].length, ...t.shape.slice(2)]);
  plain.dispose();
  return packed;
}

/** Row i of an activation as it was presented, as a batch of one: [1, pos, ...] or [1, head, query, key]. A view. */
export function takeRow(name: string, t: Tensor, { rows, equal, nHeads }: Rows, i: number): Tensor {
  const row = rows[i];
  if (!row) throw new Error(`row ${i}: this batch has ${rows.length} rows (0–${rows.length - 1})`);
  if (equal) return t.window([[i, i + 1]]);
  const [start, count, shape] = isPattern(name)
    ? patternBlock(row, nHeads)
    : [row.start, row.length, [row.length, ...t.shape.slice(1)]];
  const part = t.window([[start, start + count]]);
  const view = part.reshape([1, ...shape]);
  part.dispose();
  view.named = axesOf(isPattern(name) ? PATTERN : ['batch', 'pos', ...innerAxes(name, t.shape.length)]);
  return view;
}

/**
 * Where the numbers of one position lie in a presented activation, in elements from its first: `start` counts within
 * the position's numbers; of a pattern it is the key, and `pos` the query.
 */
export function elementOf(
  name: string,
  t: Tensor,
  { rows, equal, nHeads }: Rows,
  at: { row: number; pos: number; head: number; start: number },
): number {
  const row = rows[at.row];
  const query = at.pos - row.position;
  if (!isPattern(name)) {
    const tokens = rows.reduce((n, r) => n + r.length, 0);
    return (row.start + query) * (t.size / tokens) + at.start;
  }
  const keys = equal ? t.shape.at(-1)! : row.position + row.length;
  const block = equal ? at.row * nHeads * row.length * keys : row.block;
  return block + (at.head * row.length + query) * keys + at.start;
}

/** A copy of an activation in which row i is `value` (same shape as `takeRow` gives). */
export function putRow(
  name: string,
  t: Tensor,
  { rows, equal, nHeads }: Rows,
  i: number,
  value: Tensor,
): Tensor {
  if (equal) return t.set([[i, i + 1]], value);
  const row = rows[i];
  const [start, count] = isPattern(name) ? patternBlock(row, nHeads) : [row.start, row.length];
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
  nHeads: number,
): [start: number, count: number, shape: number[]] {
  const shape = [nHeads, length, position + length];
  return [block, nHeads * length * (position + length), shape];
}
