/** What every method returns: numbers that know their axes. */

import { is, optional, options, signatures } from '../../hooks/input/check.js';
import { notFinite } from '../../weights/checks/finite.js';
import { floatsOf, isList, shownValue } from '../../weights/checks/kinds.js';

const takes = signatures({
  labelled: {
    values: {
      what: 'a list of numbers',
      is: (v) => isList(v) && Array.prototype.every.call(v, (x: unknown) => typeof x === 'number'),
    },
    axes: is.listOf(is.having('an axis, { name, labels }', 'name', 'labels'), 'axes, [{ name, labels }]'),
    meta: is.plainObject,
    missing: optional(is.oneOf('refused', 'allowed')),
  },
});

/** One axis of a result. */
export interface Axis<Name extends string = string> {
  /** `layer`, `pos`, `head`, ... */
  readonly name: Name;
  /** One label an entry, e.g. `L3`, `4:␣Mary`. */
  readonly labels: readonly string[];
}

/** What a labelled array holds, row-major: also what is left of one that came from a worker or a file. */
export interface LabelledData<Names extends string = string> {
  readonly values: Float32Array;
  readonly shape: readonly number[];
  readonly axes: readonly Axis<Names>[];
  /** Where it comes from: model, prompts, metric, adapter, work done. */
  readonly meta: Readonly<Record<string, unknown>>;
}

/** An entry of an axis: its number, negative ones counted from the end, or its label. */
export type At = number | string;

/** A cell of a labelled array. */
export interface LabelledCell<Names extends string = string> {
  readonly value: number;
  /** The number of its entry along each axis, for `at`. */
  readonly at: Readonly<Record<Names, number>>;
  /** Its labels, as figures name it: `L9H6`. */
  readonly name: string;
}

/**
 * A labelled array, row-major. Its methods leave it as it is; what is only data (JSON, a worker's message)
 * lacks them.
 */
export interface Labelled<Names extends string = string> extends LabelledData<Names> {
  /** One number: `map.at({ layer: 3, pos: -1 })`. @throws when an axis is missing, or has no such entry. */
  at(where: Readonly<Record<Names, At>>): number;
  /**
   * A part: an axis with a number or label is dropped, one with two numbers is cut to [start, end), others
   * stay.
   */
  slice(where: { readonly [N in Names]?: At | readonly [start: number, end: number] }): Labelled<Names>;
  /** The cell with the largest value (the first of equal ones, NaN left out). @throws when there is none. */
  argmax(): LabelledCell<Names>;
  /** The k cells with the largest values, `largest: false`: the smallest, in order. NaN is left out. */
  topk(k: number, options?: { readonly largest?: boolean }): LabelledCell<Names>[];
  /** The same axes with other values: f is called with each value and its cell. */
  map(f: (value: number, at: Readonly<Record<Names, number>>) => number): Labelled<Names>;
}

/**
 * A labelled array; the shape is that of the axes. A method of your own gives one, too: figures, exports and
 * records take it.
 * @param values any list of numbers, row-major
 * @param missing `'allowed'`: some cells have no number, which is NaN
 * @throws when the values do not fill it, or one is NaN or infinite: the error names the cell
 * @example labelled(await scores.data(), [layerAxis(model), headAxis(model)], provenance(model, { method: 'my
 * scores' }))
 */
export const labelled = takes.labelled(function labelled<const Names extends string = string>(
  values: ArrayLike<number>,
  axes: readonly Axis<Names>[],
  meta: Readonly<Record<string, unknown>>,
  missing: 'refused' | 'allowed' = 'refused',
): Labelled<Names> {
  const own = floatsOf(values);
  const shape = axes.map((a) => a.labels.length);
  const size = shape.reduce((n, d) => n * d, 1);
  const bad = own.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0 && missing === 'refused') throw notFinite(cellOf(axes, bad, meta), own[bad]);
  if (own.length !== size) throw new Error(`${own.length} values for axes of ${shape.join(' × ')}`);
  return withMethods({ values: own, shape, axes, meta }) as unknown as Labelled<Names>;
});

/** Internal: a labelled array with more fields, of its own kind. */
export const labelledWith = <L extends Labelled, More extends object>(of: L, more: More): L & More =>
  withMethods({ ...of, ...more }) as unknown as L & More;

/** The methods stand on a prototype, where copies, comparisons and messages do not see them. */
function withMethods<T extends LabelledData>(data: T): T & Labelled {
  return Object.setPrototypeOf(data, methods) as T & Labelled;
}

const takesAt = signatures({
  at: { where: is.plainObject },
  slice: { where: is.plainObject },
  topk: { k: is.count, options: options<{ largest?: boolean }>({ largest: is.boolean }) },
  map: { f: is.callback },
});

/** The number of an entry. @throws when the axis does not have it. */
function entryOf({ name, labels }: Axis, at: unknown, what: string): number {
  const n = labels.length;
  const i = typeof at === 'string' ? labels.indexOf(at) : (at as number) < 0 ? (at as number) + n : at;
  if (!Number.isInteger(i) || (i as number) < 0 || (i as number) >= n)
    throw new Error(
      `${what}: ${name} ${shownValue(at)}: there are ${n} entries, 0–${n - 1} or by label, ${shownValue(labels[0])}`,
    );
  return i as number;
}

function checkAxes({ axes }: LabelledData, where: object, what: string): void {
  for (const name of Object.keys(where))
    if (!axes.some((a) => a.name === name))
      throw new Error(
        `${what}: there is no axis "${name}". The axes are ${axes.map((a) => a.name).join(', ')}`,
      );
}

/** The entries of cell i along each axis. */
function placeOf({ axes }: LabelledData, i: number): Record<string, number> {
  const at: Record<string, number> = {};
  let rest = i;
  for (const { name, labels } of [...axes].reverse()) {
    at[name] = rest % labels.length;
    rest = Math.floor(rest / labels.length);
  }
  return at;
}

const cellAt = (of: LabelledData, i: number): LabelledCell => ({
  value: of.values[i],
  at: placeOf(of, i),
  name: cellName(of.axes, i),
});

const methods = Object.create(Object.prototype, {
  at: {
    value: takesAt.at(function at(this: LabelledData, where: Readonly<Record<string, At>>): number {
      checkAxes(this, where, 'at');
      const missing = this.axes.find((a) => where[a.name] === undefined);
      if (missing) throw new Error(`at: which ${missing.name}? slice({ … }) takes a part`);
      const i = this.axes.reduce((n, a) => n * a.labels.length + entryOf(a, where[a.name], 'at'), 0);
      return this.values[i];
    }),
  },
  slice: {
    value: takesAt.slice(function slice(this: LabelledData, where: Readonly<Record<string, unknown>>) {
      checkAxes(this, where, 'slice');
      const parts = this.axes.map((a) => {
        const given = where[a.name];
        if (given === undefined) return { from: 0, to: a.labels.length, axis: a };
        if (isList(given)) {
          const [from, to] = Array.from(given as ArrayLike<number>, (i) => (i < 0 ? i + a.labels.length : i));
          if (given.length !== 2 || !(from < to && from >= 0 && to <= a.labels.length))
            throw new Error(
              `slice: ${a.name} ${shownValue(given)}: [start, end) within ${a.labels.length} entries is needed`,
            );
          return { from, to, axis: { ...a, labels: a.labels.slice(from, to) } };
        }
        const from = entryOf(a, given, 'slice');
        return { from, to: from + 1, axis: null };
      });
      const axes = parts.flatMap(({ axis }) => axis ?? []);
      const kept = Array.from(this.values.keys()).filter((i) => {
        const at = placeOf(this, i);
        return parts.every(({ from, to }, k) => at[this.axes[k].name] >= from && at[this.axes[k].name] < to);
      });
      const values = Float32Array.from(kept, (i) => this.values[i]);
      return labelled(values, axes, this.meta as Record<string, unknown>, 'allowed');
    }),
  },
  argmax: {
    value: function argmax(this: Labelled, ...more: unknown[]): LabelledCell {
      if (more.length) throw new Error('argmax: it takes no argument: slice({ … }).argmax() looks at a part');
      const [first] = this.topk(1);
      if (!first) throw new Error('argmax: no cell has a number');
      return first;
    },
  },
  topk: {
    value: takesAt.topk(function topk(
      this: LabelledData,
      k: number,
      { largest = true }: { largest?: boolean } = {},
    ): LabelledCell[] {
      const order = Array.from(this.values.keys()).filter((i) => !Number.isNaN(this.values[i]));
      order.sort((a, b) => (largest ? 1 : -1) * (this.values[b] - this.values[a]) || a - b);
      return order.slice(0, k).map((i) => cellAt(this, i));
    }),
  },
  map: {
    value: takesAt.map(function map(
      this: LabelledData,
      f: (value: number, at: Readonly<Record<string, number>>) => number,
    ) {
      const values = this.values.map((v, i) => f(v, placeOf(this, i)));
      return labelled(values, this.axes, this.meta as Record<string, unknown>, 'allowed');
    }),
  },
});

/**
 * What a cell is called: `L9H9`, `L0 · 10:␣Mary`.
 * @param index in row-major order
 * @param show how labels are shown
 */
export function cellName(axes: readonly Axis[], index: number, show = (label: string) => label): string {
  const parts: string[] = [];
  let rest = index;
  for (const { labels } of [...axes].reverse()) {
    parts.unshift(labels[rest % labels.length]);
    rest = Math.floor(rest / labels.length);
  }
  const short = parts.every((label) => /^[A-Z]+\d+$/.test(label));
  return parts.map(show).join(short ? '' : ' · ');
}

/** A cell, for messages: the method, and a label of each axis. */
function cellOf(axes: readonly Axis[], index: number, { method }: Record<string, unknown>): string {
  const parts: string[] = [];
  let rest = index;
  for (const { name, labels } of [...axes].reverse()) {
    parts.unshift(`${name} ${labels[rest % labels.length]}`);
    rest = Math.floor(rest / labels.length);
  }
  return `${typeof method === 'string' ? `${method}: ` : ''}${parts.join(', ')}`;
}
