/** How results are turned and cut for drawing. */

import { is, optional, signatures } from '../../../hooks/input/check.js';
import { type Labelled, type LabelledData, labelled } from '../../results/result.js';

/** A number within bounds, whole: sizes of cells in pixels. */
export const fitted = (x: number, least: number, most: number): number =>
  Math.floor(Math.min(most, Math.max(least, x)));

const takes = signatures({
  slices: { result: is.labelled, axis: optional(is.whole) },
});

/** The entries along an axis, each without it. */
export const slices = takes.slices(function slices(
  { values, axes, shape, meta }: LabelledData,
  axis = 0,
): Labelled[] {
  const rest = axes.filter((_, a) => a !== axis);
  const n = shape[axis];
  const inner = shape.slice(axis + 1).reduce((product, d) => product * d, 1);
  return Array.from({ length: n }, (_, i) => {
    const part = new Float32Array(values.length / n);
    const source = (k: number) => (Math.floor(k / inner) * n + i) * inner + (k % inner);
    return labelled(
      part.map((_, k) => values[source(k)]),
      rest,
      meta,
      'allowed',
    );
  });
});

/** A result of two axes with rows and columns exchanged. */
export function transposed({ values, axes, meta }: LabelledData): LabelledData {
  const [rows, columns] = axes.map((a) => a.labels.length);
  const turned = values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
  return labelled(turned, [axes[1], axes[0]], meta, 'allowed');
}

/** A single axis as rows under one column. */
export const asColumn = ({ values, axes, meta }: LabelledData): LabelledData =>
  labelled(values, [axes[0], { name: '', labels: ['value'] }], meta, 'allowed');

/**
 * Tokens run from left to right, as text does, unless the columns are layers (as in traces) or tokens too.
 */
export function oriented(map: LabelledData): LabelledData {
  const [rows, columns] = map.axes.map((a) => a.name);
  return rows === 'pos' && !['layer', 'pos', 'key'].includes(columns) ? transposed(map) : map;
}
