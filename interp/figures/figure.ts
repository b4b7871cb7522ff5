/**
 * A picture of a result, whatever its axes: layer × pos, layer × head and pos × layer are heat maps, further axes make
 * facets; layers alone, steps of a training and circuits of growing size are curves; a causal trace is ROME's figure. For
 * other pictures there are the functions beside this file.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import { endNames, endsOf, endsProblem, fullScale, leastOf, shownMetric } from '../results/ends.js';
import type { LabelledData } from '../results/result.js';
import { displayWidth, exact, fit, visibleLabel } from '../results/text.js';
import { curveFigure } from './curves.js';
import { hues } from './draw/colour.js';
import { drawnFigure, type Figure } from './draw/drawing.js';
import { asColumn, fitted, oriented, slices } from './draw/layout.js';
import { facetsSvg } from './draw/svg.js';
import { textWidth } from './draw/svg-parts.js';
import { denseLines, legendLine, paint, type TerminalOptions } from './draw/terminal.js';
import { HEATMAP, type Heatmap, type HeatmapOptions, heatmaps, largest } from './heatmap.js';
import { asTrace, traceFigure } from './trace.js';

/** A file of about 10 MB. */
const MAX_CELLS = 40_000;

/** Axes of results that are curves. */
const CURVES = new Set(['layer', 'kept,edges']);

/** More series over steps of a training than this are a heat map. */
const MOST_CURVES = 8;

/** What a figure may be told; all has a default that depends on the result. */
export interface FigureOptions extends HeatmapOptions {
  /** Above the figure. Default: made of the result. */
  readonly title?: string;
  /** What the values mean, beside the colour bar. */
  readonly meaning?: string;
  /** Small text below the picture in a file of its own: prompts, model, adapter. */
  readonly notes?: readonly string[];
}

const FIGURE = options<FigureOptions>({
  ...{ ...HEATMAP, title: is.text, meaning: is.text },
  notes: is.listOf(is.text, 'a list of texts'),
});

const takes = signatures({
  figure: { result: is.labelled, options: FIGURE },
});

/**
 * A figure of a result. Axes beyond two make facets, of the prompts or else of what comes first. Shares, whose `meta.range` is
 * [0, 1], have one hue from 0 to 1; other results two, up to ± their largest value.
 * @throws when it has no values, or so many that nobody could see them: take a slice.
 */
export const figure = takes.figure(function figure(given: LabelledData, options: FigureOptions = {}): Figure {
  const trace = asTrace(given);
  if (trace) return traceFigure(trace, { notes: options.notes });
  const { result, full, told } = shown(given);
  const { axes, shape, values, meta } = result;
  if (!values.length || !shape.length)
    throw new Error(`a figure of nothing: the result is ${shape.join(' × ') || 'empty'}`);
  if (values.length > MAX_CELLS)
    throw new Error(
      `a figure of ${values.length} cells cannot be read: draw some of its slices(), of ${MAX_CELLS} at most`,
    );
  const names = axes.map((a) => a.name);
  const method = String(meta.method || 'result');
  const named = typeof meta.head === 'string' ? `: head ${meta.head}` : `: ${names.join(' × ')}`;
  const title = options.title ?? `${method[0].toUpperCase()}${method.slice(1)}${named}`;
  const meaning = options.meaning ?? told ?? meaningOf(meta);
  const overSteps = names.at(-1) === 'step' && axes.length <= 2 && axes.flatMap((a) => a.labels).length > 1;
  const few = axes.length === 1 || axes[0].labels.length <= MOST_CURVES;
  if (CURVES.has(names.join()) || (overSteps && few)) return curveFigure(result, { title, y: meaning });
  const parts = axes.length === 1 ? [{ heading: '', map: asColumn(result) }] : facets(result);
  const range = Array.isArray(meta.range) ? (meta.range as readonly number[]) : null;
  const how = { ...(range && ({ scale: 'sequential', hue: hues.attention } as const)), ...options };
  const signed = how.scale !== 'sequential';
  const least = (signed ? 0 : (how.min ?? 0)) + leastOf(result);
  const max = how.max ?? full ?? range?.[1] ?? Math.max(largest([result], signed), least);
  const maps = heatmaps(
    parts.map(({ map }) => oriented(map)),
    { ...how, max },
  );
  const each = parts.map(({ heading }) => ({ heading }));
  const { rows, columns } = maps[0];
  const beside = Math.min(maps.length, 3);
  const side = Math.min(260, Math.max(...rows.map((label) => textWidth(label))) + 40);
  const cell = [
    fitted(beside > 1 ? ((1000 - side) / beside - 22) / columns.length : 1080 / columns.length - 6, 8, 44),
    fitted((beside === 1 ? 760 : maps.length > 6 ? 260 : 380) / rows.length, 12, 24),
  ] as const;
  const skip = maps.every(isCausal) ? (query: number, key: number) => key > query : undefined;
  return drawnFigure({
    title,
    meta,
    notes: options.notes,
    svg: (frame) => facetsSvg(maps, { ...frame, title, meaning, cell, each, skip }),
    lines: (terminal) => [
      ...(axes.length === 1
        ? list(maps[0], terminal)
        : maps.flatMap((map, i) => [
            ...(each[i].heading ? [paint(each[i].heading, { bold: true }, terminal.depth ?? 1)] : []),
            ...denseLines(map, terminal),
          ])),
      legendLine(maps[0], meaning, terminal),
    ],
  });
});

/**
 * What is drawn of a result. Shares of a difference that is none, or that goes the wrong way, mean nothing: what is drawn
 * then is the change of the metric, on the full scale.
 */
function shown(result: LabelledData): { result: LabelledData; full?: number; told?: string } {
  const ends = endsOf(result.meta);
  if (!ends || !endsProblem(ends)) return { result };
  const way = ends.one - ends.zero;
  const metric = shownMetric(ends.metric);
  return {
    result: { ...result, values: result.values.map((v) => v * way) },
    full: fullScale(ends),
    told: `change of ${metric} from the ${ends.names?.[0]} run (${exact(ends.zero)})`,
  };
}

/** Whether a map is attention of which no token looks at a later one: what is above the diagonal is not drawn. */
function isCausal({ names, rows, columns, value }: Heatmap): boolean {
  if (names.join() !== 'query,key' || rows.length !== columns.length || rows.length < 2) return false;
  return rows.every((_, r) => columns.every((_, c) => c <= r || value(r, c) === 0));
}

/** The maps of a result, each with what it is called. */
function facets(result: LabelledData): { heading: string; map: LabelledData }[] {
  const { axes } = result;
  if (axes.length === 2) return [{ heading: '', map: result }];
  const at = Math.max(
    0,
    axes.findIndex((a) => a.name === 'prompt'),
  );
  const prefix = axes[at].name === 'prompt' ? 'prompt ' : '';
  return slices(result, at).flatMap((part, i) =>
    facets(part).map(({ heading, map }) => ({
      heading: [prefix + visibleLabel(axes[at].labels[i]), heading].filter(Boolean).join(' · '),
      map,
    })),
  );
}

/** The values of a single column, with room for long labels. */
function list(map: Heatmap, { width = 80, depth = 1, theme = 'dark' }: TerminalOptions): string[] {
  const side = Math.min(width - 12, Math.max(...map.rows.map(displayWidth)));
  return map.rows.map((row, r) => {
    const value = map.value(r, 0);
    const text = fit(exact(value), 10, 'right');
    return `${fit(row, side)}  ${paint(text, { fill: map.colour(value, theme) }, depth)}`;
  });
}

/** Between which runs a normalised result lies, or its metric. */
function meaningOf(meta: LabelledData['meta']): string {
  const ends = endNames.find((names) => names.every((name) => meta[name] !== undefined));
  if (ends && meta.normalize !== false) return `0 = ${ends[0]} run, 1 = ${ends[1]} run`;
  if (typeof meta.largest === 'number') return `share of the largest, ${exact(meta.largest)}`;
  return typeof meta.metric === 'string' ? meta.metric : '';
}
