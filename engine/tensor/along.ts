/** Axes of tensors by number or by name, tensors one after another along one, and the rows of packed tensors one by one. */

import { inScope, type Scope } from '../gpu/storage.js';
import {
  axesOf,
  checkNames,
  joined,
  listAxes,
  logicalAxes,
  type NamedIndex,
  type Packed,
  positional,
} from '../shape/axes.js';
import {
  axisOf,
  type Part,
  type Region,
  resolveIndex,
  sameShape,
  showShape,
  sizeOf,
  stridesOf,
} from '../shape/shape.js';
import { copyInto, writePart } from './launches.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { concatBackward } from './tensor-backward.js';

/** An axis: its number (negative counts from the end) or its name. */
export type Axis = number | string;

/**
 * The number of an axis, counted from the front. Of a packed tensor only axes that the rows do not share out have one.
 * @throws when there is no such axis, or its number depends on the rows.
 */
export function axisNumber(t: Tensor, axis: Axis, what: string): number {
  const { named, shape } = t;
  if (typeof axis === 'string') {
    checkNames([axis], named, what);
    const at = named!.names.indexOf(axis);
    if (at >= 0) return at;
    throw new Error(
      `${what}: the rows differ in length along "${axis}": take one row, slice({ batch: 0 }), and go on with it`,
    );
  }
  if (named?.packed) {
    const within = named.names.length - 1;
    if (Number.isInteger(axis) && axis < 0 && -axis <= within) return shape.length + axis;
    const names = logicalAxes(named);
    const name = names.at(axis) ?? names.at(-1);
    throw new Error(
      `${what}: axis ${axis} of rows of unequal length would mean another axis than of equal ones: name it, ${what}('${name}'). The axes are ${listAxes(named)}`,
    );
  }
  return axisOf(axis, shape.length, what);
}

/** Whether an axis is one in which the packed rows differ, so that an operation along it goes row by row. */
export const acrossRows = (t: Tensor, axis: Axis | undefined): axis is string =>
  typeof axis === 'string' && (t.named?.packed?.axes.includes(axis) ?? false);

/** Tensors one after another along an axis in memory. */
export function concatAt(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  const others = (t: Tensor) => t.shape.filter((_, i) => i !== axis);
  for (const t of tensors)
    if (t.shape.length !== first.shape.length || !sameShape(others(t), others(first)))
      throw new Error(
        `concat: shapes ${tensors
          .slice(0, 4)
          .map((t) => showShape(t.shape))
          .join(', ')} differ beyond axis ${axis}`,
      );
  if (tensors.some((t) => t.dtype !== first.dtype))
    throw new Error("concat: f32 and u32 tensors do not go together: to('f32') makes numbers of integers");
  const lengths = tensors.map((t) => t.shape[axis]);
  const shape = first.shape.map((d, i) => (i === axis ? lengths.reduce((n, k) => n + k, 0) : d));
  const out = (tensors.find((t) => t.scope?.open) ?? first).empty(shape, first.label, first.dtype);
  const { guarded } = first.storage;
  if (tensors.every((t) => t.storage.guarded === guarded)) out.storage.guarded = guarded;
  for (const t of tensors) out.storage.flag(t.storage.flags);
  out.named = joined(
    tensors.map((t) => t.named),
    lengths,
    axis,
  );
  const lead = shape.slice(0, axis).map(() => null);
  let at = 0;
  tensors.forEach((t, i) => {
    if (axis === 0) copyInto(t, out, at * sizeOf(shape.slice(1)));
    else
      writePart(out, resolveIndex(shape, stridesOf(shape), 0, [...lead, [at, at + lengths[i]]], 'concat'), t);
    at += lengths[i];
  });
  return taped(out, tensors, concatBackward(lengths, axis));
}

/** Takes a result out of the scope it was made in, into another. */
export function handOver(t: Tensor, scope: Scope | null): Tensor {
  t.keep();
  t.storage.unread = true;
  if (scope?.open) scope.add(t);
  return t;
}

/** What f makes of a tensor; what it makes on the way is freed. In the scope of t. */
export function insideOf(t: Tensor, f: (own: Tensor) => Tensor): Tensor {
  return inScope((own) => {
    return handOver(f(t.alias(own)), t.scope);
  });
}

// ---- packed rows ------------------------------------------------------------------------------------------------

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
export function perRow(
  t: Tensor,
  rows: readonly number[],
  f: (row: Tensor, i: number) => Tensor,
  what: string,
): Tensor {
  const { packed } = t.named!;
  return inScope((own) => {
    const base = t.alias(own);
    const parts = rows.map((i) => {
      try {
        return f(rowOf(base, i), i);
      } catch (e) {
        throw new Error(`row ${i}: ${(e as Error).message}`, { cause: e });
      }
    });
    const [first] = parts;
    const names = first.named?.names ?? first.shape.map(() => null);
    const same = parts.every((p) => sameShape(p.shape, first.shape));
    // The axes in which the results differ, and those in front of them, are packed.
    const differs = first.shape.map((d, i) => parts.some((p) => p.shape[i] !== d)).lastIndexOf(true);
    const ragged = names.filter((n) => n !== null && packed!.axes.includes(n)).length;
    const across = Math.max(differs + 1, ragged);
    const axes = names.slice(0, across) as string[];
    if (!same && (axes.includes(null as never) || parts.some((p) => p.shape.length !== first.shape.length)))
      throw new Error(
        `${what}: the rows give ${showShape(first.shape)}, ${showShape(parts.find((p) => !sameShape(p.shape, first.shape))!.shape)}, …`,
      );
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
  });
}

/** A copy of a view that f makes of t; what f makes besides is freed. In the scope of t. */
export function copyOf(t: Tensor, f: (own: Tensor) => Tensor): Tensor {
  return inScope((own) => {
    return handOver(f(t.alias(own)).copy(), t.scope);
  });
}

/** The numbers of all rows of a packed tensor. */
export const allRows = (t: Tensor): number[] => t.named!.packed!.rows.map((_, i) => i);
