/** Axes of tensors by number or by name, and tensors one after another along one. */

import { isList, shownValue } from '../../weights/checks/kinds.js';
import { Scope } from '../gpu/storage.js';
import { checkNames, joined, listAxes, logicalAxes } from '../shape/axes.js';
import { axisOf, sameShape, showShape } from '../shape/shape.js';
import { copyInto } from './launches.js';
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

/** Tensors one after another along an axis. See `Tensor.concat`. */
export function concatAlong(tensors: readonly Tensor[], along: Axis = 0): Tensor {
  if (!isList(tensors)) throw new Error(`concat: a list of tensors is needed, not ${shownValue(tensors)}`);
  const [first] = tensors;
  if (!first) throw new Error('concat: an empty list: at least one tensor is needed');
  const axis = along === 'batch' && first.named?.packed ? 0 : axisNumber(first, along, 'concat');
  return concatAt(tensors, axis);
}

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
  if (axis > 0) {
    // With the axis in front, and back.
    const own = new Scope();
    try {
      const order = [axis, ...first.shape.map((_, i) => i).filter((i) => i !== axis)];
      const moved = tensors.map((t) => t.alias(own).renamed(null).transpose(order));
      const back = order.map((_, i) => order.indexOf(i));
      const out = concatAt(moved, 0).transpose(back).copy();
      out.named = joined(
        tensors.map((t) => t.named),
        [],
        axis,
      );
      return handOver(out, tensors.find((t) => t.scope?.open)?.scope ?? null);
    } finally {
      own.close();
    }
  }
  const lengths = tensors.map((t) => t.shape[0]);
  const shape = [lengths.reduce((n, k) => n + k, 0), ...first.shape.slice(1)];
  if (tensors.some((t) => t.dtype !== first.dtype))
    throw new Error('concat: f32 and u32 tensors do not go together');
  const out = (tensors.find((t) => t.scope?.open) ?? first).empty(shape, first.label, first.dtype);
  out.named = joined(
    tensors.map((t) => t.named),
    lengths,
    0,
  );
  let at = 0;
  for (const t of tensors) {
    copyInto(t, out, at);
    at += t.size;
  }
  return taped(out, tensors, concatBackward(lengths));
}

/** Takes a result out of the scope it was made in, into another. */
export function handOver(t: Tensor, scope: Scope | null): Tensor {
  t.keep();
  t.storage.unread = true;
  if (scope?.open) scope.add(t);
  return t;
}
