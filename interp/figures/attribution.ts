/**
 * Direct logit attribution as a picture: a bar a layer's part, a map of the heads, and the largest heads as
 * bars.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import { leastOf, shownMetric } from '../results/ends.js';
import type { LabelledData } from '../results/result.js';
import { alignedNumbers, exact, visibleLabel } from '../results/text.js';
import { arranged } from './draw/arrange.js';
import { barsPanel } from './draw/bars-svg.js';
import { colourBar } from './draw/colour-bar.js';
import { drawnFigure, type Figure } from './draw/drawing.js';
import { fitted } from './draw/layout.js';
import { panel } from './draw/panel.js';
import { paint } from './draw/terminal.js';
import { heatmap, largest } from './heatmap.js';

/** Bars of heads; the others are one bar. */
const MOST = 10;

/** Options of `attributionFigure`. */
export interface AttributionFigureOptions {
  /** Default: what is attributed. */
  readonly title?: string;
  /** Small text below the picture in a file of its own. */
  readonly notes?: readonly string[];
}

/** A result by head, as `directLogitAttribution` gives it. */
interface ByHead extends LabelledData {
  readonly heads?: LabelledData;
}

const takes = signatures({
  attributionFigure: {
    layers: is.labelled,
    heads: is.labelled,
    options: options<AttributionFigureOptions>({
      title: is.text,
      notes: is.listOf(is.text, 'a list of texts'),
    }),
  },
});

/** A row of bars: a part of the model, or several together. */
export interface PartRow {
  readonly label: string;
  readonly value: number;
}

/**
 * The heads with the largest |values|, largest first, then the other heads in one row, and the rows that are
 * no heads.
 */
export function largestHeads({ values, axes: [{ labels }] }: LabelledData, most = MOST): PartRow[] {
  const all = [...labels.keys()];
  const isHead = (i: number) => /^L\d+H\d+$/.test(labels[i]);
  const order = all.filter(isHead).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b);
  const rest = order.slice(most);
  const row = (i: number): PartRow => ({ label: labels[i], value: values[i] });
  return [
    ...order.slice(0, most).map(row),
    ...(rest.length
      ? [{ label: `${rest.length} other heads`, value: rest.reduce((s, i) => s + values[i], 0) }]
      : []),
    ...all
      .filter((i) => !isHead(i))
      .map((i) => ({ ...row(i), label: labels[i] === 'remainder' ? 'all that is no head' : labels[i] })),
  ];
}

/**
 * The picture of an attribution.
 * @param layers `directLogitAttribution(…, { by: 'layer' })` of one prompt and position
 * @param heads the same `by: 'head'`
 * @throws when they have other axes
 */
export const attributionFigure = takes.attributionFigure(function attributionFigure(
  layers: LabelledData,
  heads: ByHead,
  { title = 'Direct logit attribution', notes }: AttributionFigureOptions = {},
): Figure {
  const grid = heads.heads;
  if (layers.shape.length !== 1 || heads.shape.length !== 1 || grid?.shape.length !== 2)
    throw new Error(
      'attributionFigure: results of one prompt and position are needed, by layer and by head: directLogitAttribution(model, prompt, { by })',
    );
  const metric = shownMetric(String(layers.meta.metric));
  const { sum, logit, error } = layers.meta as Readonly<Record<string, unknown>>;
  const total =
    typeof logit === 'number' && typeof sum === 'number'
      ? `${metric} = ${exact(logit, { sign: true })}; the bars sum to ${exact(sum, { sign: true })}${typeof error === 'number' ? `, ${error.toExponential(0)} away` : ''}`
      : metric;
  const rows = largestHeads(heads);
  const bars = (list: readonly PartRow[], least: number) => ({
    rows: list.map((r) => visibleLabel(r.label)),
    columns: [
      {
        heading: '',
        values: list.map((r) => r.value),
        texts: alignedNumbers(
          list.map((r) => r.value),
          { sign: true },
        ),
      },
    ],
    least,
  });
  const parts = layers.axes[0].labels.map((label, i) => ({ label, value: layers.values[i] }));
  const map = heatmap(grid, { max: Math.max(largest([grid], true), leastOf(heads)) });
  return drawnFigure({
    ...{ title, notes, meta: layers.meta },
    svg: (frame) => {
      const cell = [fitted(420 / map.columns.length, 12, 44), fitted(420 / map.rows.length, 12, 24)] as const;
      const drawn = panel(map, { cell, heading: 'Heads', theme: frame.theme });
      const bar = colourBar([map], metric, frame.theme);
      const scale = {
        body: bar.body,
        width: bar.width,
        height: bar.height,
        left: 0,
        right: 0,
        above: 0,
        below: 0,
      };
      return arranged(
        title,
        [{ text: total }],
        [
          [barsPanel(bars(parts, leastOf(layers)), { heading: 'Layers', theme: frame.theme })],
          [
            drawn,
            scale,
            barsPanel(bars(rows, leastOf(heads)), {
              heading: 'Heads, the largest first',
              theme: frame.theme,
            }),
          ],
        ],
        frame,
      );
    },
    lines: ({ depth = 1 } = {}) => [
      ...barLines(parts),
      '',
      paint('Heads, the largest first', { bold: true }, depth),
      ...barLines(rows),
      total,
    ],
  });
});

function barLines(rows: readonly PartRow[]): string[] {
  const width = Math.max(...rows.map((r) => r.label.length));
  const texts = alignedNumbers(
    rows.map((r) => r.value),
    { sign: true },
  );
  const most = Math.max(...texts.map((t) => t.length));
  return rows.map(({ label }, i) => `${visibleLabel(label).padEnd(width)}  ${texts[i].padStart(most)}`);
}
