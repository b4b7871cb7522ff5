/** The report of `npm start` in a terminal. */

import { hues, sequential } from '../../interp/figures/draw/colour.js';
import {
  bar,
  columnsThatFit,
  gridLines,
  heatmapLines,
  type Look,
  legendLine,
  paint,
  type TerminalOptions,
  tokenLines,
} from '../../interp/figures/draw/terminal.js';
import { columnsFrom, type Extreme, extremes, heatmap } from '../../interp/figures/heatmap.js';
import { displayWidth, exact, fit, percent, shorten, visible } from '../../interp/results/text.js';
import { doubt, type Guess, type Report } from './compute.js';

/** Lines of at most `width` columns. */
export function reportLines(report: Report, terminal: Required<TerminalOptions>): string[] {
  const { depth, width } = terminal;
  const bold = (text: string) => paint(text, { bold: true }, depth);
  const dim = (text: string) => wrap(text, width).map((line) => paint(line, { dim: true }, depth));
  const { layer, head, why } = report.attention;
  const { answer, wrong } = report.options;
  return [
    '',
    ...promptLines(report, terminal),
    '',
    bold('1  The next token'),
    ...guessLines(report.guesses, terminal),
    '',
    bold('2  Logit lens'),
    ...dim(
      `The top token if the model stopped at that layer; ${depth > 1 ? 'its colour is its probability' : 'behind it its probability in percent'}.`,
    ),
    ...lensLines(report, terminal),
    '',
    bold(`3  Attention of head ${layer}.${head}`),
    ...dim(why),
    ...attentionLines(report, terminal),
    '',
    bold('4  Patching the residual stream'),
    ...dim(
      `The corrupted prompt is run with one activation from the clean run (at the start of a layer, at one token). Metric: logit(${visible(answer)}) − logit(${visible(wrong)}).`,
    ),
    ...patchingLines(report, terminal),
  ];
}

/** Breaks a sentence into lines. */
export function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines[lines.length - 1];
    if (line && displayWidth(line) + 1 + displayWidth(word) > width) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}

/** Both prompts, with the tokens that differ in colour. */
function promptLines({ tokens, options }: Report, terminal: Required<TerminalOptions>): string[] {
  const { depth, width, theme } = terminal;
  const strip = (name: string, own: string[], other: string[], answer: string, hue: number) => {
    const fill = sequential(hue, theme)(0.75);
    const look = (i: number): Look => (own[i] !== other[i] ? { fill, bold: true } : {});
    const lines = tokenLines(own, look, { width: width - 12 - displayWidth(answer) - 3, depth });
    lines[lines.length - 1] += paint(` → ${visible(answer)}`, { ink: fill, bold: true }, depth);
    return lines.map(
      (line, i) => `${i ? ' '.repeat(11) : paint(fit(name, 11), { dim: true }, depth)}${line}`,
    );
  };
  return [
    ...strip('clean', tokens.clean, tokens.corrupted, options.answer, hues.positive),
    ...strip('corrupted', tokens.corrupted, tokens.clean, options.wrong, hues.negative),
  ];
}

function guessLines(guesses: readonly Guess[], { depth, width, theme }: Required<TerminalOptions>): string[] {
  const label = Math.min(width >> 2, Math.max(...guesses.map((g) => displayWidth(g.text))));
  const logits = width >= 60;
  const room = Math.max(4, width - label - (logits ? 39 : 24));
  const longest = Math.max(...guesses.map((g) => g.prob));
  return guesses.map((g) => {
    const hue = g.role === 'answer' ? hues.positive : g.role === 'wrong' ? hues.negative : hues.probability;
    const ink = sequential(hue, theme)(0.85);
    const text = paint(fit(shorten(g.text, label), label), g.role ? { ink, bold: true } : {}, depth);
    const chart = paint(fit(bar(g.prob / longest, room), room), { ink }, depth);
    const role = g.role === 'answer' ? ' answer' : g.role === 'wrong' ? ' wrong' : '';
    return `${String(g.rank).padStart(5)}  ${text}  ${chart} ${percent(g.prob).padStart(6)}${logits ? `  logit ${g.logit.toFixed(2).padStart(6)}` : ''}${role}`;
  });
}

/** The lens as a table: the top token of each cell, tinted by its probability. */
export function lensLines({ lens }: Pick<Report, 'lens'>, terminal: Required<TerminalOptions>): string[] {
  const map = heatmap(lens, { scale: 'sequential', hue: hues.probability, max: 1 });
  const cellWidth = terminal.depth === 1 ? ([10, 14] as const) : ([7, 12] as const);
  const most = 3 * columnsThatFit(map.rows, { ...terminal, cellWidth }); // in three tables below each other
  const first = Math.max(0, map.columns.length - most);
  const grid = gridLines({
    ...terminal,
    rows: map.rows,
    columns: map.columns.slice(first),
    cellWidth,
    align: 'left',
    cell: (row, column) => {
      const { text, prob } = lens.top[row][first + column][0];
      const token = visible(text);
      if (terminal.depth > 1) return { text: token, look: { fill: map.colour(prob, terminal.theme) } };
      return { text: `${fit(token, 6)}${String(Math.min(99, Math.round(100 * prob))).padStart(3)}` };
    },
  });
  const last = lens.top.map((row, r) => ({ layer: map.rows[r], best: row[row.length - 1][0] }));
  const final = last[last.length - 1].best;
  const since = last.findIndex((_, r) => last.slice(r).every(({ best }) => best.token === final.token));
  return [
    ...grid,
    ...(first > 0
      ? wrap(`The last ${most} tokens; the page has all ${map.columns.length}.`, terminal.width)
      : []),
    legendLine(map, 'probability of the top token', terminal),
    ...wrap(
      `At the last token, ${visible(final.text)} is on top from ${last[since].layer} on (${percent(last[since].best.prob)}), and ends at ${percent(final.prob)}.`,
      terminal.width,
    ),
  ];
}

function attentionLines({ attention, tokens }: Report, terminal: Required<TerminalOptions>): string[] {
  const { depth, theme, width } = terminal;
  const map = heatmap(attention.pattern, { scale: 'sequential', hue: hues.attention, max: 1 });
  const n = map.rows.length;
  const lastRow = Array.from({ length: n }, (_, key) => map.value(n - 1, key));
  const most = lastRow
    .map((weight, key) => ({ weight, label: map.columns[key] }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, 4);
  const strip = tokenLines(tokens.clean, (i) => ({ fill: map.colour(lastRow[i], theme) }), { width, depth });
  const cellWidth = [4, 6] as const;
  const fits = n <= columnsThatFit(map.rows, { width, cellWidth });
  const grid = heatmapLines(map, { ...terminal, cellWidth, skip: (query, key) => key > query });
  return [
    ...(depth === 1 ? [] : ['From the last token:', ...strip]),
    ...wrap(
      `${map.rows[n - 1]} attends to ${most.map(({ weight, label }) => `${label} ${percent(weight)}`).join(', ')}`,
      width,
    ),
    ...(fits
      ? ['', ...grid, legendLine(map, 'from the row’s token to the column’s', terminal)]
      : wrap('The whole pattern is wider than the terminal: see the page.', width)),
  ];
}

function patchingLines(report: Report, terminal: Required<TerminalOptions>): string[] {
  const { patching } = report;
  const largest = patching.values.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
  const map = heatmap(patching, { max: largest });
  const { highest, lowest } = extremes(map, 3);
  const say = (cells: readonly Extreme[]) =>
    cells.map((c) => `${c.row} ${c.column} ${exact(c.value, { sign: true })}`).join(', ');
  const { clean, corrupted, unchanged } = patching.meta as Record<
    'clean' | 'corrupted' | 'unchanged',
    number
  >;
  const first = map.columns.length > columnsThatFit(map.rows, terminal) ? unchanged : 0;
  return [
    ...(first > 0
      ? wrap(
          `The first ${first} tokens are the same in both prompts, where a patch changes nothing.`,
          terminal.width,
        )
      : []),
    ...heatmapLines(columnsFrom(map, first), terminal),
    legendLine(map, '0 (or ·) = corrupted run, 1 = clean run', terminal),
    ...wrap(
      `Metric: clean ${exact(clean, { sign: true })}, corrupted ${exact(corrupted, { sign: true })}.`,
      terminal.width,
    ),
    ...(doubt(report) ? wrap(doubt(report), terminal.width) : []),
    ...(highest.length ? wrap(`Highest: ${say(highest)}.`, terminal.width) : []),
    ...(lowest.length ? wrap(`Lowest: ${say(lowest)}.`, terminal.width) : []),
  ];
}
