/** Parts of tensors by name and by position, also of packed rows; tensors put together and taken apart along an axis. */

import { boolean, isList, shownValue } from '../../weights/checks/kinds.js';
import { check, options } from '../../weights/checks/options.js';
import { inScope, Scope } from '../gpu/storage.js';
import {
  type Axes,
  type AxisName,
  axesOf,
  checkNames,
  listAxes,
  type NamedIndex,
  positional,
  showNamed,
} from '../shape/axes.js';
import {
  axisOf,
  broadcastShape,
  type Index,
  type Region,
  resolveIndex,
  sameShape,
  showShape,
  stridesOf,
} from '../shape/shape.js';
import {
  type Axis,
  acrossRows,
  allRows,
  axisNumber,
  concatAt,
  copyOf,
  handOver,
  insideOf,
  perRow,
  rowNumbers,
  rowOf,
  rowRegion,
} from './along.js';
import { fillPart, writePart } from './launches.js';
import { takeAxis } from './select.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { partsBackward } from './tensor-backward.js';

/** A part of a tensor: by position, one entry an axis, or by name. */
export type AnyIndex = Index | NamedIndex;

const isNamed = (index: AnyIndex): index is NamedIndex => !Array.isArray(index);

/** @throws what is wrong with something given for a part. */
function checkIndex(index: unknown, what: string): asserts index is AnyIndex {
  if (Array.isArray(index) || (typeof index === 'object' && index !== null && !ArrayBuffer.isView(index)))
    return;
  const shown = typeof index === 'number' ? index : 'of';
  throw new Error(
    `${what}(${typeof index === 'number' ? shown : typeof index}): a list with an entry for each axis, ${what}([0, -1]), or names, ${what}({ pos: -1 }), are needed`,
  );
}

/** A part by position of what may be packed. @throws when its meaning depends on the rows. */
function checkPositions(t: Tensor, index: Index, what: string): void {
  if (t.named?.packed && index.some((i) => i !== null && i !== undefined))
    throw new Error(
      `${what} on ${t.label}: its rows differ in length, so that positions would mean other axes than with equal rows. Name them: ${what}(${showNamed(t.named, index)}). The axes are ${listAxes(t.named)}`,
    );
}

/** A part that lies within every row: along axes that the rows do not share out. */
function withinRows(index: NamedIndex, { names, packed }: Axes): Index | null {
  const across = ['batch', ...packed!.axes].some((name) => (index[name] ?? null) !== null);
  return across ? null : names.map((n) => (n === null ? null : (index[n] ?? null)));
}

/** A copy of a part. See `Tensor.slice`. */
export function slicePart(t: Tensor, index: AnyIndex, what = 'slice'): Tensor {
  checkIndex(index, what);
  if (!isNamed(index)) {
    checkPositions(t, index, what);
    return copyOf(t, (own) => own.window(index, `${what} on ${t.label}`));
  }
  checkNames(Object.keys(index), t.named, `${what} on ${t.label}`);
  const within = t.named!.packed
    ? withinRows(index, t.named!)
    : positional(index, t.named, `${what} on ${t.label}`);
  if (within) return copyOf(t, (own) => own.window(within, `${what} on ${t.label}`));
  const { batch = null, ...rest } = index;
  const rows = rowNumbers(t.named!.packed!, batch, what);
  const one = (row: Tensor) => row.window(positional(rest, row.named, `${what} on ${t.label}`));
  if (typeof batch === 'number') return copyOf(t, (own) => one(rowOf(own, rows[0])));
  return perRow(t, rows, one, what);
}

/** A copy with a part replaced. See `Tensor.set`. */
export function setPart(t: Tensor, index: AnyIndex, value: Tensor | number): Tensor {
  const what = `set on ${t.label}`;
  checkIndex(index, 'set');
  if (!isNamed(index)) checkPositions(t, index, 'set');
  else checkNames(Object.keys(index), t.named, what);
  if (typeof value !== 'number' && !(typeof value === 'object' && value && 'storage' in value))
    throw new Error(
      `${what}: the value must be a number or a tensor: model.tensor([...]) makes one of a list`,
    );
  const within = !isNamed(index)
    ? index
    : t.named!.packed
      ? withinRows(index, t.named!)
      : positional(index, t.named, what);
  if (within) {
    const part = resolveIndex(t.shape, stridesOf(t.shape), 0, within, what);
    return write(t, [{ part, value }], what);
  }
  const { batch = null, ...rest } = index as NamedIndex;
  const packed = t.named!.packed!;
  const rows = rowNumbers(packed, batch, 'set');
  const parts = rows.map((i) => rowRegion(t, packed, i, rest, what));
  if (typeof value === 'number')
    return write(
      t,
      parts.map((part) => ({ part, value })),
      what,
    );
  return inScope((own) => {
    const values = valuesByRow(value.alias(own), parts, typeof batch === 'number', what);
    const out = write(
      t,
      parts.map((part, i) => ({ part, value: values[i] })),
      what,
    );
    return out;
  });
}

/** What each row of a packed tensor is given of a value: all the same, or a row of the value each. */
function valuesByRow(value: Tensor, parts: readonly Region[], one: boolean, what: string): Tensor[] {
  const { packed } = value.named ?? {};
  if (packed && !one) {
    if (packed.rows.length !== parts.length)
      throw new Error(`${what}: a value of ${packed.rows.length} rows for ${parts.length}`);
    return parts.map((_, i) => rowOf(value, i));
  }
  const rank = Math.max(...parts.map((p) => p.shape.length));
  if (one || value.shape.length <= rank) return parts.map(() => value);
  if (value.shape.length !== rank + 1 || (value.shape[0] !== 1 && value.shape[0] !== parts.length))
    throw new Error(
      `${what}: a value of shape ${showShape(value.shape)} does not fit ${parts.length} rows of ${parts
        .slice(0, 3)
        .map((p) => showShape(p.shape))
        .join(', ')}${parts.length > 3 ? ', …' : ''}`,
    );
  return parts.map((_, i) => value.window([value.shape[0] === 1 ? 0 : i]));
}

/** A copy with parts replaced, each by a number or what broadcasts to its shape. */
function write(t: Tensor, parts: readonly { part: Region; value: Tensor | number }[], what: string): Tensor {
  for (const { part, value } of parts)
    if (typeof value !== 'number' && !fits(value.shape, part.shape, what))
      throw new Error(
        `${what}: a value of shape ${showShape(value.shape)} does not fit the part ${showShape(part.shape)}`,
      );
  const out = t.copy();
  out.node = null;
  out.storage.guarded = null; // what is put in may be infinite
  for (const { value } of parts) if (typeof value !== 'number') out.storage.flag(value.storage.flags);
  for (const { part, value } of parts)
    if (typeof value === 'number') fillPart(out, part, value);
    else writePart(out, part, value);
  const values = parts.flatMap(({ value }) => (typeof value === 'number' ? [] : [value]));
  return taped(
    out,
    [t, ...values],
    partsBackward(parts.map(({ part, value }) => [part, typeof value === 'number' ? null : value.shape])),
  );
}

const fits = (value: readonly number[], part: readonly number[], what: string): boolean =>
  value.length <= part.length && sameShape(broadcastShape(part, value, what), part);

// ---- together, and apart -----------------------------------------------------------------------------------------

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
  return inScope((own) => {
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
  });
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
