/** A prompt as text, each token tinted by a number: what attribution says of the input. */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { LabelledData } from '../results/result.js';
import { displayWidth, escapeHtml, exact, splitLabel } from '../results/text.js';
import { inkOn } from './draw/colour.js';
import { colourBar } from './draw/colour-bar.js';
import { drawnFigure, type Figure } from './draw/drawing.js';
import { asColumn } from './draw/layout.js';
import { scaleSvg } from './draw/svg.js';
import { type FrameOptions, frame, round, textWidth, tint } from './draw/svg-parts.js';
import { legendLine, paint, type TerminalOptions } from './draw/terminal.js';
import { HEATMAP, type Heatmap, type HeatmapOptions, heatmap } from './heatmap.js';
import { cellStyle, tokenStrip } from './page/html.js';

/** Options of `tokenFigure`. */
export interface TokenFigureOptions extends HeatmapOptions {
  /** Above the text. Default: made of the result. */
  readonly title?: string;
  /** What the numbers mean, beside the colour bar. Default: the metric. */
  readonly meaning?: string;
  /** How to read it, a sentence or two. */
  readonly about?: string;
}

const TOKENS = options<TokenFigureOptions>({
  ...HEATMAP,
  title: is.text,
  meaning: is.text,
  about: is.text,
});

const takes = signatures({
  tokenFigure: { result: is.labelled, options: TOKENS },
});

/**
 * The tokens of a result with the one axis `pos`, one after another, blue above zero and red below.
 * @throws when it has other axes: take one of its slices.
 */
export const tokenFigure = takes.tokenFigure(function tokenFigure(
  result: LabelledData,
  options: TokenFigureOptions = {},
): Figure {
  const { axes, meta } = result;
  if (axes.length !== 1)
    throw new Error(
      `tokenFigure: a result with one axis, a number a token, is needed; this one has ${axes.map((a) => a.name).join(' × ')}: draw one of its slices()`,
    );
  const map = heatmap(asColumn(result), options);
  const method = String(meta.method || 'tokens');
  const title = options.title ?? method[0].toUpperCase() + method.slice(1);
  const meaning = options.meaning ?? (typeof meta.metric === 'string' ? meta.metric : '');
  const tokens = map.rows.map((label) => splitLabel(label)[1]);
  const drawn = drawnFigure({
    title,
    about: options.about,
    meta,
    svg: (frame) => stripSvg(map, tokens, meaning, title, frame),
    lines: (terminal) => [...stripLines(map, tokens, terminal), legendLine(map, meaning, terminal)],
  });
  const html = () => {
    const style = (i: number) => {
      const value = map.value(i, 0);
      const text = `${map.rows[i]}: ${exact(value, { sign: true })}`;
      return `style="${cellStyle(map.colour(value, 'light'), map.colour(value, 'dark'))}" data-tip="${escapeHtml(text)}"`;
    };
    return `<div class="scroll">${tokenStrip(tokens, () => 'cell', style)}</div>${scaleSvg(map, meaning)}`;
  };
  return { ...drawn, section: () => ({ ...drawn.section(), figure: html() }) };
});

const LINE = 26;
const BOX = 20;

/** Lines of boxes, broken where the room ends. */
function stripSvg(
  map: Heatmap,
  tokens: readonly string[],
  meaning: string,
  title: string,
  options: FrameOptions,
): string {
  const { width: most = 760, theme } = options;
  const out: string[] = [];
  let [x, y, right] = [6, 6, 0];
  for (const [i, token] of tokens.entries()) {
    const width = textWidth(token, 13) + 8;
    if (x > 6 && x + width > most - 6) [x, y] = [6, y + LINE];
    const value = map.value(i, 0);
    const ink = (light: boolean) => (inkOn(map.colour(value, light ? 'light' : 'dark'))[0] > 128 ? 'w' : 'k');
    const dark = ink(false) === 'w' ? ' dw' : ' dk';
    const classes = theme === 'dark' ? ink(false) : `${ink(true)}${theme === 'light' ? '' : dark}`;
    const tip = `<title>${escapeHtml(`${map.rows[i]}: ${exact(value, { sign: true })}`)}</title>`;
    out.push(
      `<rect class="c" x="${round(x)}" y="${y}" width="${round(width)}" height="${BOX}" rx="3" ${tint('fill', (t) => map.colour(value, t), theme)}>${tip}</rect>`,
      `<text class="n ${classes}" style="font-size:13px" x="${round(x + width / 2)}" y="${y + 14.5}" text-anchor="middle">${escapeHtml(token)}</text>`,
    );
    x += width + 2;
    right = Math.max(right, x);
  }
  const bar = colourBar([map], meaning, theme);
  const below = y + LINE + 4;
  out.push(`<g transform="translate(6 ${below})">${bar.body}</g>`);
  return frame(out.join(''), [Math.max(right, 6 + bar.width) + 6, below + bar.height + 4], title, options);
}

/** Tinted text; without colours a number behind each token. */
function stripLines(
  map: Heatmap,
  tokens: readonly string[],
  { width = 80, depth = 1, theme = 'dark' }: TerminalOptions,
): string[] {
  const lines: string[] = [];
  let [line, used] = ['', 0];
  for (const [i, token] of tokens.entries()) {
    const value = map.value(i, 0);
    const text = depth === 1 ? `${token} (${exact(value, { sign: true })})` : token;
    const room = displayWidth(text) + 1;
    if (used && used + room > width) {
      lines.push(line);
      [line, used] = ['', 0];
    }
    line += `${paint(text, { fill: map.colour(value, theme) }, depth)} `;
    used += room;
  }
  return [...lines, line].map((l) => l.trimEnd());
}
