/**
 * The logit lens as a picture: in each cell the token on top, tinted by its probability; below it the curves
 * of chosen tokens.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import { type Labelled, labelled } from '../results/result.js';
import { exact, percent, shorten, visible, visibleLabel } from '../results/text.js';
import { arranged } from './draw/arrange.js';
import { hues, lineColour } from './draw/colour.js';
import { colourBar } from './draw/colour-bar.js';
import { drawnFigure, type Figure } from './draw/drawing.js';
import { linesSvg } from './draw/lines-svg.js';
import { type Panel, panel } from './draw/panel.js';
import type { SvgTheme } from './draw/svg-parts.js';
import { legendLine } from './draw/terminal.js';
import { heatmap } from './heatmap.js';
import { lines } from './lines.js';
import { lensTable } from './page/html.js';

/** What of a lens is drawn; `logitLens` gives it. */
export interface DrawnLens extends Labelled {
  readonly top: readonly (readonly (readonly {
    readonly token: number;
    readonly text: string;
    readonly prob: number;
  }[])[])[];
}

/** A token that is followed through the layers at one position. */
export interface LensCurve {
  /** `␣Mary after 14:␣to` */
  readonly name: string;
  readonly token: number;
  readonly pos: number;
  /** A value a row of the lens. */
  readonly values: ArrayLike<number>;
  /** Which of the colours. Default: its place among the curves. */
  readonly colour?: number;
}

/** Options of `lensFigure`. */
export interface LensFigureOptions {
  /** Default 'Logit lens'. */
  readonly title?: string;
  /** Drawn below the cells; cells with such a token on top have a stripe of the curve's colour. */
  readonly curves?: readonly LensCurve[];
  /** What the curves show. Default 'probability'. */
  readonly measure?: string;
  /** Small text below the picture in a file of its own. */
  readonly notes?: readonly string[];
}

const takes = signatures({
  lensFigure: {
    lens: is.having('a lens, as logitLens gives it', 'values', 'axes', 'top'),
    options: options<LensFigureOptions>({
      title: is.text,
      curves: is.listOf(
        is.having('a curve, { name, token, pos, values }', 'name', 'values'),
        'a list of curves',
      ),
      measure: is.text,
      notes: is.listOf(is.text, 'a list of texts'),
    }),
  },
});

/** The picture of a lens of one prompt. @throws when it has other axes than layer × pos */
export const lensFigure = takes.lensFigure(function lensFigure(
  lens: DrawnLens,
  { title = 'Logit lens', curves = [], measure = 'probability', notes }: LensFigureOptions = {},
): Figure {
  const map = heatmap(lens, { scale: 'sequential', hue: hues.probability, max: 1 });
  const meaning = 'probability of the top token';
  const best = (r: number, c: number) => lens.top[r][c][0];
  const text = (r: number, c: number) => visible(best(r, c).text);
  const pinned = (r: number, c: number) =>
    curves.findIndex((p) => p.pos === c && p.token === best(r, c).token);
  const drawn = drawnFigure({
    ...{ title, notes, meta: lens.meta },
    svg: (frame) => {
      const { theme } = frame;
      const cells = panel(map, {
        ...{ cell: [64, 22] as const, text, theme },
        stripe: (r, c, t) =>
          pinned(r, c) < 0 ? null : lineColour(curves[pinned(r, c)].colour ?? pinned(r, c), t),
      });
      const bar = colourBar([map], meaning, theme);
      const scale: Panel = { ...bar, left: 0, right: 0, above: 0, below: 0 };
      return arranged(
        title,
        [],
        [[cells, scale, ...(curves.length ? [curvePanel(lens, curves, measure, theme)] : [])]],
        frame,
      );
    },
    lines: (terminal) => [
      ...lens.top.map(
        (row, r) => `${map.rows[r].padEnd(10)} ${row.map(([t]) => shorten(visible(t.text), 10)).join(' ')}`,
      ),
      legendLine(map, meaning, terminal),
    ],
  });
  const table = () =>
    lensTable(
      map,
      lens.top.map((row) => row.map((cell) => cell.map((t) => ({ ...t, text: visible(t.text) })))),
    );
  const below = () => (curves.length ? `<div class="scroll">${curveSvg(lens, curves, measure)}</div>` : '');
  return { ...drawn, section: () => ({ ...drawn.section(), figure: table() + below() }) };
});

function plotOf(lens: DrawnLens, curves: readonly LensCurve[], measure: string) {
  const values = Float32Array.from(curves.flatMap((c) => Array.from(c.values)));
  const names = curves.map((c) => visibleLabel(c.name));
  const axes = [{ name: 'token', labels: names }, lens.axes[0]];
  const show = measure === 'probability' ? percent : exact;
  const plot = lines(labelled(values, axes, lens.meta), { x: 'layer', y: measure });
  const last = curves.map((c) => show(Array.from(c.values).at(-1) ?? 0));
  return {
    ...plot,
    lines: plot.lines.map((l, i) => ({ ...l, name: `${l.name}: ${last[i]}`, colour: curves[i].colour })),
  };
}

const curveSvg = (lens: DrawnLens, curves: readonly LensCurve[], measure: string): string =>
  linesSvg(plotOf(lens, curves, measure), { size: [520, 150] });

/** The curves, as a part of the picture. */
function curvePanel(lens: DrawnLens, curves: readonly LensCurve[], measure: string, theme?: SvgTheme): Panel {
  const svg = linesSvg(plotOf(lens, curves, measure), { size: [520, 150], theme });
  const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!.map(Number);
  const body = svg.replace(/^<svg[^>]*>/, '').replace(/<\/svg>$/, '');
  return { body, width, height, left: 0, right: 0, above: 0, below: 0 };
}
