/** Axes of tensors by number or by name, and tensors one after another along one. */

import { Scope } from '../gpu/storage.js';
import { checkNames, joined, listAxes, logicalAxes } from '../shape/axes.js';
import { axisOf, resolveIndex, sameShape, showShape, sizeOf, stridesOf } from '../shape/shape.js';
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
  const own = new Scope();
  try {
    return handOver(f(t.alias(own)), t.scope);
  } finally {
    own.close();
  }
}
