/** Next tokens of one or several runs as a picture: a row a token, a column of bars a run. */

import { is, needed, options, signatures } from '../../hooks/input/check.js';
import { type LabelledData, labelled } from '../results/result.js';
import { percent, visible } from '../results/text.js';
import { arranged, type TextLine, textPanel } from './draw/arrange.js';
import { type BarTone, barsPanel } from './draw/bars-svg.js';
import { drawnFigure, type Figure } from './draw/drawing.js';

/** Options of `guessFigure`. */
export interface GuessFigureOptions {
  readonly title: string;
  /** The token that is drawn in blue. */
  readonly answer?: string;
  /** The token that is drawn in red. */
  readonly wrong?: string;
  /** Lines above the bars: what was done, what came of it. */
  readonly lines?: readonly TextLine[];
  /** Tables beside the bars; columns of a line are parted by tabs. */
  readonly tables?: readonly { readonly heading: string; readonly lines: readonly string[] }[];
  /** Small text below the picture in a file of its own. */
  readonly notes?: readonly string[];
}

const takes = signatures({
  guessFigure: {
    result: is.labelled,
    options: options<GuessFigureOptions>({
      title: needed(is.text),
      answer: is.text,
      wrong: is.text,
      lines: is.listOf(is.having('a line, { text }', 'text'), 'a list of lines'),
      tables: is.listOf(is.having('a table, { heading, lines }', 'heading', 'lines'), 'a list of tables'),
      notes: is.listOf(is.text, 'a list of texts'),
    }),
  },
});

/** Bars of probabilities, [run, token] or [token]. @throws when it has other axes */
export const guessFigure = takes.guessFigure(function guessFigure(
  result: LabelledData,
  { title, answer, wrong, lines = [], tables = [], notes }: GuessFigureOptions,
): Figure {
  const runs =
    result.shape.length === 1
      ? labelled(result.values, [{ name: 'run', labels: [''] }, result.axes[0]], { ...result.meta })
      : result;
  const [names, tokens] = runs.axes.map((a) => a.labels);
  if (runs.shape.length !== 2)
    throw new Error('guessFigure: probabilities by [token] or [run, token] are needed');
  const tone = (r: number): BarTone =>
    tokens[r] === answer ? 'plus' : tokens[r] === wrong ? 'minus' : 'plain';
  const columns = names.map((heading, i) => {
    const values = runs.values.subarray(i * tokens.length, (i + 1) * tokens.length);
    return { heading, values, texts: Array.from(values, (p) => percent(p)) };
  });
  return drawnFigure({
    ...{ title, notes, meta: result.meta },
    svg: (frame) =>
      arranged(
        title,
        lines,
        [
          [
            barsPanel(
              { rows: tokens.map(visible), columns, tone, least: 1 },
              { room: 150, theme: frame.theme },
            ),
          ],
          tables.map((t) => textPanel(t.lines, t.heading)),
        ],
        frame,
      ),
    lines: () => {
      const width = Math.max(...tokens.map((t) => visible(t).length));
      return [
        ...lines.map((l) => l.text),
        ...tokens.map((t, r) =>
          [visible(t).padEnd(width), ...columns.map((c) => c.texts[r].padStart(7))].join('  '),
        ),
      ];
    },
  });
});
