/**
 * What a heat map shows, before anybody draws it: rows, columns, values, and a colour scale pinned at zero.
 */

import { is, type Spec } from '../../hooks/input/check.js';
import type { LabelledData } from '../results/result.js';
import { visibleLabel } from '../results/text.js';
import { diverging, hues, type Rgb, type Scale, sequential, type Theme } from './draw/colour.js';

/** How values become colours. */
export interface HeatmapOptions {
  /**
   * `diverging`: blue above zero, red below; `sequential`: paper at the floor, one hue above. Default
   * 'diverging'.
   */
  readonly scale?: 'diverging' | 'sequential';
  /** Of a sequential scale, in degrees; one of `hues`. */
  readonly hue?: number;
  /** Floor of a sequential scale: the value, and all below, with the colour of paper. Default 0. */
  readonly min?: number;
  /**
   * The value with the strongest colour. Default: the largest; on a diverging scale, which is symmetric, the
   * largest |value|.
   */
  readonly max?: number;
}

/** What they may be. */
export const HEATMAP = {
  scale: is.oneOf('diverging', 'sequential'),
  hue: is.number,
  min: is.number,
  max: is.number,
} satisfies Spec<HeatmapOptions>;

/** A matrix with labels and colours. */
export interface Heatmap {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** What the axes are called, e.g. `layer` and `pos`. */
  readonly names: readonly [rows: string, columns: string];
  readonly scale: 'diverging' | 'sequential';
  /** The ends of the scale; values beyond have the colours of the ends. */
  readonly min: number;
  readonly max: number;
  value(row: number, column: number): number;
  colour(value: number, theme: Theme): Rgb;
}

/** A cell of a map, in words. */
export interface Extreme {
  readonly row: string;
  readonly column: string;
  readonly value: number;
}

/**
 * The largest value of several arrays, or with `signed` the largest |value|: a common end for their scales.
 */
export function largest(maps: readonly LabelledData[], signed = false): number {
  let max = -Infinity;
  for (const { values } of maps)
    for (const v of values) if (Number.isFinite(v)) max = Math.max(max, signed ? Math.abs(v) : v);
  return max;
}

/** A labelled array of two axes as a heat map. @throws when it has another number of axes. */
export function heatmap(map: LabelledData, options: HeatmapOptions = {}): Heatmap {
  const { scale = 'diverging', hue = hues.probability } = options;
  if (map.shape.length !== 2)
    throw new Error(
      `a heat map has two axes, this result ${map.shape.length} (${map.axes.map((a) => a.name).join(' × ')}): take a slice of it`,
    );
  const signed = scale === 'diverging';
  const floor = signed ? 0 : (options.min ?? 0);
  const ceiling = options.max ?? largest([map], signed);
  const max = ceiling > floor ? ceiling : floor + (Math.abs(floor) || 1);
  const min = signed ? -max : floor;
  const make = (theme: Theme): Scale => (signed ? diverging(theme) : sequential(hue, theme));
  const scales = { light: make('light'), dark: make('dark') };
  const [rows, columns] = map.axes.map((axis) => axis.labels.map(visibleLabel));
  return {
    rows,
    columns,
    names: [map.axes[0].name, map.axes[1].name],
    scale,
    min,
    max,
    value: (row, column) => map.values[row * columns.length + column],
    colour: (value, theme) => scales[theme](Number.isNaN(value) ? 0 : (value - floor) / (max - floor)),
  };
}

/** Several with one scale, so that a colour means the same in all. @throws when one has not two axes. */
export function heatmaps(maps: readonly LabelledData[], options: HeatmapOptions = {}): Heatmap[] {
  const max = options.max ?? largest(maps, options.scale !== 'sequential');
  return maps.map((map) => heatmap(map, { ...options, max }));
}

/** The columns from `first` on. */
export const columnsFrom = (map: Heatmap, first: number): Heatmap => ({
  ...map,
  columns: map.columns.slice(first),
  value: (row, column) => map.value(row, column + first),
});

/** The n cells with the largest values, and with the smallest, as far as they are above (below) zero. */
export function extremes(map: Heatmap, n = 3): { highest: Extreme[]; lowest: Extreme[] } {
  const cells = map.rows.flatMap((row, r) =>
    map.columns.map((column, c) => ({ row, column, value: map.value(r, c) })),
  );
  const sorted = cells.filter((c) => Number.isFinite(c.value)).sort((a, b) => b.value - a.value);
  return {
    highest: sorted.slice(0, n).filter((c) => c.value > 0),
    lowest: sorted
      .slice(-n)
      .reverse()
      .filter((c) => c.value < 0),
  };
}
