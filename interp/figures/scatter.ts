/**
 * Two results of the same axes against each other, e.g. two methods, or two models: a point a cell, and the
 * line y = x.
 */

import { is, needed, options, signatures } from '../../hooks/input/check.js';
import { pearson } from '../results/correlation.js';
import { cellName, type LabelledData } from '../results/result.js';
import { displayWidth, exact, fit, modelName, shorten, visibleLabel } from '../results/text.js';
import { drawnFigure, type Figure } from './draw/drawing.js';
import { scatterSvg } from './draw/scatter-svg.js';
import { paint, type TerminalOptions } from './draw/terminal.js';

/** A file of about 5 MB. */
const MAX_CELLS = 40_000;

/** Options of `scatterFigure`. */
export interface ScatterOptions {
  readonly title: string;
  /** How many of the cells farthest from y = x are named. Default 8. */
  readonly outliers?: number;
  /**
   * What x and y are, e.g. `['path patching', 'attribution']`. Default: the methods of the results, where
   * they differ.
   */
  readonly captions?: readonly [x: string, y: string];
  /** How to read it, a sentence or two. */
  readonly about?: string;
}

/** A cell that has a value in both results. */
export interface Point {
  readonly name: string;
  readonly x: number;
  readonly y: number;
}

/** Points by their distance from y = x, the farthest first. */
export interface Scatter {
  readonly points: readonly Point[];
  /** How many points, from the first, are named. */
  readonly named: number;
  readonly captions: readonly [x: string, y: string];
  /** Below the plot: how many cells, their correlation. */
  readonly note: string;
}

const SCATTER = options<ScatterOptions>({
  title: needed(is.text),
  outliers: is.whole,
  captions: is.listOf(is.text, 'a pair of texts, [x, y]'),
  about: is.text,
});

const takes = signatures({
  scatterFigure: { x: is.labelled, y: is.labelled, options: SCATTER },
});

/**
 * A point a cell, x from one result and y from the other, on the same scale; those farthest from y = x have
 * their names (`L9H9`). The note tells Pearson's correlation. Cells without a finite value in both are left
 * out, and counted.
 * @throws when the axes differ, when no cell has two values, or when there are more than 40 000.
 */
export const scatterFigure = takes.scatterFigure(function scatterFigure(
  x: LabelledData,
  y: LabelledData,
  options: ScatterOptions,
): Figure {
  const { title, about, outliers = 8 } = options;
  checkAxes(x, y);
  if (x.values.length > MAX_CELLS)
    throw new Error(`scatterFigure: ${x.values.length} cells, but ${MAX_CELLS} at most: draw some slices()`);
  const points = pointsOf(x, y).sort((a, b) => Math.abs(b.y - b.x) - Math.abs(a.y - a.x));
  if (!points.length) throw new Error('scatterFigure: no cell has a finite value in both results');
  const apart = points.findIndex((p) => p.x === p.y);
  const named = Math.min(Math.max(0, outliers), apart < 0 ? points.length : apart);
  const r = pearson(
    points.map((p) => p.x),
    points.map((p) => p.y),
  );
  const missing = x.values.length - points.length;
  const note = [
    `${points.length} cells`,
    Number.isFinite(r) ? `correlation r = ${exact(r)}` : 'no correlation: one side is constant',
    ...(missing ? [`${missing} without a value left out`] : []),
    ...(named ? [`named: the ${named} farthest from y = x`] : []),
  ].join(' · ');
  const plot = { points, named, captions: options.captions ?? captionsOf(x, y), note };
  return drawnFigure({
    title,
    about,
    meta: sources(x.meta, y.meta),
    svg: (frame) => scatterSvg(plot, { ...frame, heading: title }),
    lines: (terminal) => scatterLines(plot, terminal),
  });
});

function checkAxes(x: LabelledData, y: LabelledData): void {
  const shape = ({ axes }: LabelledData) => axes.map((a) => `${a.name} (${a.labels.length})`).join(' × ');
  const remedy = 'give two results of the same axes';
  if (shape(x) !== shape(y)) throw new Error(`scatterFigure: x is ${shape(x)}, y is ${shape(y)}: ${remedy}`);
  for (const [a, { name, labels }] of x.axes.entries())
    for (const [i, label] of labels.entries())
      if (label !== y.axes[a].labels[i])
        throw new Error(
          `scatterFigure: ${name} ${i} is "${label}" in x, "${y.axes[a].labels[i]}" in y: ${remedy}`,
        );
}

function pointsOf(x: LabelledData, y: LabelledData): Point[] {
  const out: Point[] = [];
  for (let i = 0; i < x.values.length; i++)
    if (Number.isFinite(x.values[i]) && Number.isFinite(y.values[i]))
      out.push({ name: cellName(x.axes, i, visibleLabel), x: x.values[i], y: y.values[i] });
  return out;
}

function captionsOf(x: LabelledData, y: LabelledData): [string, string] {
  const [a, b] = [x, y].map(({ meta }) => (typeof meta.method === 'string' ? meta.method : ''));
  return a && b && a !== b ? [a, b] : ['x', 'y'];
}

/** The provenance of both: once where they agree, else of each. */
function sources(x: LabelledData['meta'], y: LabelledData['meta']): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const name of new Set([...Object.keys(x), ...Object.keys(y)])) {
    if (JSON.stringify(x[name]) === JSON.stringify(y[name])) out[name] = x[name];
    else
      for (const [side, value] of Object.entries({ x: x[name], y: y[name] }))
        out[`${name} (${side})`] = name === 'model' && typeof value === 'string' ? modelName(value) : value;
  }
  return out;
}

/** The named cells with their numbers, and the note. */
function scatterLines({ points, named, captions, note }: Scatter, options: TerminalOptions): string[] {
  const { width = 80, depth = 1 } = options;
  const shown = points.slice(0, named);
  const side = Math.min(width - 36, Math.max(4, ...shown.map((p) => displayWidth(p.name))));
  const row = (name: string, numbers: readonly string[]) =>
    fit(name, side) + numbers.map((text) => `  ${fit(text, 10, 'right')}`).join('');
  return [
    ...(named ? [paint(row('', [...captions, 'y − x']), { dim: true }, depth)] : []),
    ...shown.map((p) => row(p.name, [exact(p.x), exact(p.y), exact(p.y - p.x, { sign: true })])),
    paint(shorten(note, width), { dim: true }, depth),
  ];
}
