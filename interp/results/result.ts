/** What every method returns: numbers that know their axes. */

import { is, optional, signatures } from '../../hooks/input/check.js';
import { notFinite } from '../../weights/checks/finite.js';

const takes = signatures({
  labelled: {
    values: {
      what: 'a Float32Array',
      is: (v) => Object.prototype.toString.call(v) === '[object Float32Array]',
    },
    axes: is.listOf(is.having('an axis, { name, labels }', 'name', 'labels'), 'axes, [{ name, labels }]'),
    meta: is.plainObject,
    missing: optional(is.oneOf('refused', 'allowed')),
  },
});

/** One axis of a result. */
export interface Axis {
  /** `layer`, `pos`, `head`, ... */
  readonly name: string;
  /** One label an entry, e.g. `L3`, `4:␣Mary`. */
  readonly labels: readonly string[];
}

/** A labelled array, row-major. */
export interface Labelled {
  readonly values: Float32Array;
  readonly shape: readonly number[];
  readonly axes: readonly Axis[];
  /** Where it comes from: model, prompts, metric, adapter, work done. */
  readonly meta: Readonly<Record<string, unknown>>;
}

/**
 * A labelled array; the shape is that of the axes.
 * @param missing `'allowed'`: some cells have no number, which is NaN
 * @throws when the values do not fill it, or one is NaN or infinite: the error names the cell
 */
export const labelled = takes.labelled(function labelled(
  values: Float32Array,
  axes: readonly Axis[],
  meta: Record<string, unknown>,
  missing: 'refused' | 'allowed' = 'refused',
): Labelled {
  const shape = axes.map((a) => a.labels.length);
  const size = shape.reduce((n, d) => n * d, 1);
  const bad = values.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0 && missing === 'refused') throw notFinite(cellOf(axes, bad, meta), values[bad]);
  if (values.length !== size) throw new Error(`${values.length} values for axes of ${shape.join(' × ')}`);
  return { values, shape, axes, meta };
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
