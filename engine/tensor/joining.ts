/** Tensors put together and taken apart along an axis: one after another, on top of each other, repeated, turned round. */

import { boolean, isList, shownValue } from '../../weights/checks/kinds.js';
import { check, options } from '../../weights/checks/options.js';
import { Scope } from '../gpu/storage.js';
import { type AxisName, axesOf } from '../shape/axes.js';
import { axisOf, sameShape, showShape } from '../shape/shape.js';
import { type Axis, acrossRows, axisNumber, concatAt, handOver, insideOf } from './along.js';
import { allRows, perRow, rowOf } from './rows.js';
import { takeAxis } from './select.js';
import type { Tensor } from './tensor.js';

/** Options of `repeat`. */
export interface RepeatOptions {
  /** True: each entry several times, one after another; by default the whole is. */
  readonly each?: boolean;
}
const repeatOptions = options<RepeatOptions>({ each: boolean });

function checkList(tensors: unknown, what: string): void {
  if (!isList(tensors)) throw new Error(`${what}: a list of tensors is needed, not ${shownValue(tensors)}`);
  if (!tensors.length) throw new Error(`${what}: an empty list: at least one tensor is needed`);
}

/**
 * Tensors one after another along an axis. See `Tensor.concat`. Along an axis in which packed rows differ, row i is made of
 * all rows i.
 */
export function concatAlong(tensors: readonly Tensor[], along: Axis = 0): Tensor {
  checkList(tensors, 'concat');
  const [first] = tensors;
  if (acrossRows(first, along)) {
    const rows = allRows(first);
    if (tensors.some((t) => t.named?.packed?.rows.length !== rows.length))
      throw new Error(
        `concat along "${along}": all tensors must have as many rows as the first, ${rows.length}`,
      );
    const own = new Scope();
    try {
      const others = tensors.slice(1).map((t) => t.alias(own));
      return perRow(
        first,
        rows,
        (row, i) => concatAlong([row, ...others.map((t) => rowOf(t, i))], along),
        'concat',
      );
    } finally {
      own.close();
    }
  }
  const ofRows = (along as Axis) === 'batch' && first.named?.packed;
  const axis = ofRows ? 0 : axisNumber(first, along, 'concat');
  return concatAt(tensors, axis);
}

/** Tensors of one shape along a new axis. See `Tensor.stack`. */
export function stackAlong(tensors: readonly Tensor[], axis = 0, name: AxisName = null): Tensor {
  checkList(tensors, 'stack');
  const [first] = tensors;
  const odd = tensors.find((t) => !sameShape(t.shape, first.shape));
  if (odd)
    throw new Error(
      `stack: shapes ${showShape(first.shape)} and ${showShape(odd.shape)}: all must be the same`,
    );
  if (first.named?.packed && axis === 0)
    throw new Error(
      'stack: rows of unequal length are packed along the first axis: stack behind it, stack(tensors, -1)',
    );
  const at = axisOf(axis, first.shape.length + 1, 'stack');
  const own = new Scope();
  try {
    const shape = [...first.shape.slice(0, at), 1, ...first.shape.slice(at)];
    const out = concatAt(
      tensors.map((t) => t.alias(own).renamed(null).reshape(shape)),
      at,
    );
    const names = [...(first.named?.names ?? first.shape.map(() => null))];
    names.splice(at, 0, name);
    const packed = first.named?.packed;
    out.named = packed ? { names, packed } : axesOf(names);
    return handOver(out, tensors.find((t) => t.scope?.open)?.scope ?? null);
  } finally {
    own.close();
  }
}

/** Copies of parts along an axis. See `Tensor.split`. */
export function splitAlong(t: Tensor, sizes: number | readonly number[], axis: Axis): Tensor[] {
  const a = axisNumber(t, axis, 'split');
  const n = t.shape[a];
  const lengths = isList(sizes)
    ? Array.from(sizes as ArrayLike<number>)
    : Array.from({ length: Math.ceil(n / sizes) || 0 }, (_, i) => Math.min(sizes, n - i * sizes));
  const whole = lengths.length > 0 && lengths.every((k) => Number.isInteger(k) && k > 0);
  if (!whole || lengths.reduce((s, k) => s + k, 0) !== n)
    throw new Error(`split: parts of ${shownValue(sizes)} do not make up an axis of length ${n}`);
  let at = 0;
  return lengths.map((k) => {
    const part = [...Array<null>(a).fill(null), [at, (at += k)] as const];
    return insideOf(t, (x) => x.window(part).copy());
  });
}

/** Several times along an axis. See `Tensor.repeat`. */
export function repeatAlong(t: Tensor, times: number, axis: Axis, given: RepeatOptions): Tensor {
  check('repeat', repeatOptions, given);
  if (!Number.isInteger(times) || times < 1)
    throw new Error(`repeat: ${times} times: a whole number, 1 or more, is needed`);
  if (acrossRows(t, axis))
    return perRow(t, allRows(t), (row) => repeatAlong(row, times, axis, given), 'repeat');
  const a = axisNumber(t, axis, 'repeat');
  const n = t.shape[a];
  return insideOf(t, (x) => {
    const [pre, post] = [t.shape.slice(0, a), t.shape.slice(a + 1)];
    const [one, all] = given.each
      ? [
          [n, 1],
          [n, times],
        ]
      : [
          [1, n],
          [times, n],
        ];
    const out = x
      .renamed(null)
      .reshape([...pre, ...one, ...post])
      .expand([...pre, ...all, ...post]);
    const made = out.reshape([...pre, n * times, ...post]).copy();
    made.named = t.named;
    return made;
  });
}

/** The other way round along an axis. See `Tensor.flip`. */
export function flipAlong(t: Tensor, axis: Axis): Tensor {
  if (acrossRows(t, axis)) return perRow(t, allRows(t), (row) => flipAlong(row, axis), 'flip');
  const a = axisNumber(t, axis, 'flip');
  const n = t.shape[a];
  return takeAxis(
    t,
    Array.from({ length: n }, (_, i) => n - 1 - i),
    a,
  );
}

/** Moved along an axis, what leaves it coming in at the other end. See `Tensor.roll`. */
export function rollAlong(t: Tensor, by: number, axis: Axis): Tensor {
  if (!Number.isInteger(by)) throw new Error(`roll: by ${shownValue(by)}: a whole number is needed`);
  if (acrossRows(t, axis)) return perRow(t, allRows(t), (row) => rollAlong(row, by, axis), 'roll');
  const a = axisNumber(t, axis, 'roll');
  const n = t.shape[a];
  return takeAxis(
    t,
    Array.from({ length: n }, (_, i) => (((i - by) % n) + n) % n),
    a,
  );
}
