/** The rows of packed tensors, one by one. */

import { Scope } from '../gpu/storage.js';
import { axesOf, type NamedIndex, type Packed, positional } from '../shape/axes.js';
import {
  type Part,
  type Region,
  resolveIndex,
  sameShape,
  showShape,
  sizeOf,
  stridesOf,
} from '../shape/shape.js';
import { concatAt, handOver } from './along.js';
import type { Tensor } from './tensor.js';

/** The rows that an entry for `batch` names. */
export function rowNumbers({ rows }: Packed, batch: Part | undefined, what: string): number[] {
  const all = rows.map((_, i) => i);
  if (batch === null || batch === undefined) return all;
  const { offset, shape } = resolveIndex([rows.length], [1], 0, [batch], `${what}: batch`);
  return all.slice(offset, offset + (shape[0] ?? 1));
}

/** Row i of a packed tensor as an ordinary one, a view in its scope: [pos, ...] or [head, query, key]. */
export function rowOf(t: Tensor, i: number): Tensor {
  const { names, packed } = t.named!;
  const { start, lengths } = packed!.rows[i];
  const block = t.window([[start, start + sizeOf(lengths)]]);
  const row = lengths.length === 1 ? block : block.reshape([...lengths, ...t.shape.slice(1)]);
  row.named = axesOf([...packed!.axes, ...names.slice(1)]);
  return row;
}

/** Where a part of row i lies in a dense packed tensor. */
export function rowRegion(t: Tensor, packed: Packed, i: number, index: NamedIndex, what: string): Region {
  const { start, lengths } = packed.rows[i];
  const shape = [...lengths, ...t.shape.slice(1)];
  const axes = axesOf([...packed.axes, ...t.named!.names.slice(1)]);
  const at = start * sizeOf(t.shape.slice(1));
  return resolveIndex(shape, stridesOf(shape), at, positional(index, axes, what), `${what}, row ${i}`);
}

/**
 * An operation on each of some rows of a packed tensor, put together: [batch, ...] where all results are of one shape,
 * packed again where they are not.
 */
export function perRow(t: Tensor, rows: readonly number[], f: (row: Tensor) => Tensor, what: string): Tensor {
  const { packed } = t.named!;
  const own = new Scope();
  try {
    const base = t.alias(own);
    const parts = rows.map((i) => {
      try {
        return f(rowOf(base, i));
      } catch (e) {
        throw new Error(`row ${i}: ${(e as Error).message}`, { cause: e });
      }
    });
    const [first] = parts;
    const names = first.named?.names ?? first.shape.map(() => null);
    const same = parts.every((p) => sameShape(p.shape, first.shape));
    const axes = names.filter((n): n is string => n !== null && packed!.axes.includes(n));
    const across = axes.length;
    if (!same && !parts.every((p) => sameShape(p.shape.slice(across), first.shape.slice(across))))
      throw new Error(`${what}: the rows give ${showShape(parts[0].shape)}, ${showShape(parts[1].shape)}, …`);
    const flat = parts.map((p) =>
      p.reshape(same ? [1, ...p.shape] : [sizeOf(p.shape.slice(0, across)), ...p.shape.slice(across)]),
    );
    const out =
      flat.length === 1
        ? flat[0].copy()
        : concatAt(
            flat.map((p) => p.renamed(null)),
            0,
          );
    let start = 0;
    out.named = same
      ? axesOf(['batch', ...names])
      : {
          names: [null, ...names.slice(across)],
          packed: {
            axes,
            rows: parts.map((p) => {
              const lengths = p.shape.slice(0, across);
              const row = { start, lengths };
              start += sizeOf(lengths);
              return row;
            }),
          },
        };
    return handOver(out, t.scope);
  } finally {
    own.close();
  }
}

/** A copy of a view that f makes of t; what f makes besides is freed. In the scope of t. */
export function copyOf(t: Tensor, f: (own: Tensor) => Tensor): Tensor {
  const own = new Scope();
  try {
    return handOver(f(t.alias(own)).copy(), t.scope);
  } finally {
    own.close();
  }
}

/** The numbers of all rows of a packed tensor. */
export const allRows = (t: Tensor): number[] => t.named!.packed!.rows.map((_, i) => i);
