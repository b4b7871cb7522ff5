/**
 * Pictures made of characters: coloured cells where the terminal has colours, plain numbers where it does
 * not. All functions give lines of at most `width` columns; nothing is printed here.
 */

import { is, options, type Spec } from '../../../hooks/input/check.js';
import { compact, displayWidth, exact, fit, shorten, splitLabel, visible } from '../../results/text.js';
import type { Heatmap } from '../heatmap.js';
import { ansi256, type Theme as ColourTheme, fixedColour, inkOn, type Rgb } from './colour.js';

/**
 * Bits of colour: 1 = none, 8 = 256 colours, 24 = all. What `process.stdout.getColorDepth()` says, in
 * essence.
 */
export type ColourDepth = 1 | 8 | 24;

/** What the terminal can show. */
export interface TerminalOptions {
  /** Columns. Default 80. */
  readonly width?: number;
  /** Default 1: plain text. */
  readonly depth?: ColourDepth;
  /** Of the terminal: zero takes the colour of its paper. Default 'dark'. */
  readonly theme?: ColourTheme;
}

/** What `TerminalOptions` may be. */
export const TERMINAL_SPEC = {
  width: is.count,
  depth: is.oneOf(1, 8, 24),
  theme: is.oneOf('light', 'dark'),
} satisfies Spec<TerminalOptions>;
/** The same as a whole. */
export const TERMINAL = options<TerminalOptions>(TERMINAL_SPEC);

/** How a piece of text looks. */
export interface Look {
  /** The colour behind the text; the text's own is then chosen to be readable. */
  readonly fill?: Rgb;
  readonly ink?: Rgb;
  readonly bold?: boolean;
  readonly dim?: boolean;
}

/** Text with escape codes for its look; as it is where there are no colours. */
export function paint(text: string, { fill, ink, bold, dim }: Look, depth: ColourDepth): string {
  if (depth === 1 || text === '') return text;
  const shown = (c: Rgb): Rgb => (depth === 24 ? c : fixedColour(ansi256(c)));
  const colour = (where: 38 | 48, c: Rgb) =>
    depth === 24 ? `${where};2;${c.join(';')}` : `${where};5;${ansi256(c)}`;
  const front = ink ?? (fill && inkOn(shown(fill)));
  const codes = [
    bold ? '1' : '',
    dim ? '2' : '',
    fill ? colour(48, fill) : '',
    front ? colour(38, front) : '',
  ].filter(Boolean);
  return codes.length ? `\x1b[${codes.join(';')}m${text}\x1b[0m` : text;
}

/** A cell of a grid. */
export interface GridCell {
  readonly text: string;
  readonly look?: Look;
}

/** What `gridLines` draws. */
export interface GridOptions extends TerminalOptions {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  cell(row: number, column: number): GridCell;
  /** Least and most columns of a cell, with the blank between cells. Default 5 and 10. */
  readonly cellWidth?: readonly [least: number, most: number];
  readonly align?: 'left' | 'right' | 'centre';
}

/** How many columns fit beside each other, with row labels like these. */
export function columnsThatFit(
  rows: readonly string[],
  { width = 80, cellWidth = [5, 10] }: Pick<GridOptions, 'width' | 'cellWidth'> = {},
): number {
  return Math.max(1, Math.floor((width - sideWidth(rows, width)) / cellWidth[0]));
}

const sideWidth = (rows: readonly string[], width: number): number =>
  Math.min(Math.max(...rows.map(displayWidth)), width >> 2) + 1;

/**
 * A table of cells under column labels. Labels like `4:␣Mary` take two lines, position over token. Columns
 * that do not fit beside each other go into further tables below.
 */
export function gridLines(options: GridOptions): string[] {
  const { rows, columns, cell, width = 80, depth = 1, cellWidth = [5, 10], align = 'right' } = options;
  const side = sideWidth(rows, width);
  const tables = Math.ceil(columns.length / columnsThatFit(rows, { width, cellWidth }));
  const perTable = Math.ceil(columns.length / tables);
  const wanted = Math.floor((width - side) / perTable);
  const cells = Math.min(cellWidth[1], wanted, width - side);
  const heads = columns.map(splitLabel);
  const header = (part: 0 | 1, from: number, to: number) =>
    ' '.repeat(side) +
    heads
      .slice(from, to)
      .map((h) => fit(` ${cut(h[part], cells - 1)}`, cells, align))
      .join('');
  const lines: string[] = [];
  for (let from = 0; from < columns.length; from += perTable) {
    const to = Math.min(columns.length, from + perTable);
    if (lines.length) lines.push('');
    if (heads.some(([position]) => position !== ''))
      lines.push(paint(header(0, from, to), { dim: true }, depth));
    lines.push(paint(header(1, from, to), { bold: true }, depth));
    rows.forEach((label, row) => {
      let line = paint(fit(label, side), { dim: true }, depth);
      for (let column = from; column < to; column++) {
        const { text, look = {} } = cell(row, column);
        line += paint(fit(` ${shorten(text, cells - 1)}`, cells, align), look, depth);
      }
      lines.push(line.trimEnd());
    });
  }
  return lines;
}

/** In very narrow columns another letter says more than `…`. */
const cut = (text: string, width: number): string => shorten(text, width, width > 4 ? '…' : '');

/** For the `·` of values that are nearly zero: there, but not to be looked at. */
const QUIET: Record<ColourTheme, Rgb> = { dark: [96, 101, 114], light: [168, 172, 182] };

/**
 * A heat map: cells in colour with their values in short, `·` for (nearly) zero. `skip` leaves cells empty.
 */
export function heatmapLines(
  map: Heatmap,
  options: TerminalOptions &
    Pick<GridOptions, 'cellWidth'> & { skip?: (row: number, column: number) => boolean } = {},
): string[] {
  const { theme = 'dark', skip, ...rest } = options;
  return gridLines({
    cellWidth: [5, 8],
    ...rest,
    rows: map.rows,
    columns: map.columns,
    cell: (row, column) => {
      if (skip?.(row, column)) return { text: '' };
      const value = map.value(row, column);
      const text = compact(value);
      const ink = text === '·' ? QUIET[theme] : undefined;
      return { text, look: { fill: map.colour(value, theme), ink } };
    },
  });
}

/** A value 0–1 as tenths, in one character; what is (nearly) nothing is quiet. */
const digit = (t: number): string => (t < 0.05 ? '·' : String(Math.min(9, Math.round(10 * t))));

/**
 * A heat map of many columns in one table, without numbers: colours, or where the terminal has none, tenths
 * of a sequential scale. Every fifth column has a label. Falls back to `heatmapLines` where that cannot be.
 */
export function denseLines(map: Heatmap, options: TerminalOptions = {}): string[] {
  const { width = 80, depth = 1, theme = 'dark' } = options;
  const side = sideWidth(map.rows, width);
  const each = Math.min(3, Math.floor((width - side) / map.columns.length));
  const fits = map.columns.length <= columnsThatFit(map.rows, { width });
  if (fits || each < 1 || (depth === 1 && map.scale === 'diverging')) return heatmapLines(map, options);
  let head = '';
  map.columns.forEach((label, c) => {
    const gap = c * each - displayWidth(head);
    if (c % 5 === 0 && gap >= (c ? 1 : 0) && c * each + displayWidth(label) <= width - side)
      head += ' '.repeat(gap) + label;
  });
  const rows = map.rows.map((label, row) => {
    const cells = map.columns.map((_, column) => {
      const value = map.value(row, column);
      const mark =
        depth > 1 ? '' : Number.isNaN(value) ? '?' : digit((value - map.min) / (map.max - map.min));
      return paint(fit(mark, each, 'right'), { fill: map.colour(value, theme) }, depth);
    });
    return (paint(fit(label, side), { dim: true }, depth) + cells.join('')).trimEnd();
  });
  return [paint(' '.repeat(side) + head, { dim: true }, depth), ...rows];
}

/**
 * The scale of a heat map and what its values mean: a ramp with its ends, or words where there are no
 * colours.
 */
export function legendLine(
  map: Heatmap,
  meaning: string,
  { width = 80, depth = 1, theme = 'dark' }: TerminalOptions = {},
): string {
  const { min: from } = map;
  const [low, high] = [from, map.max].map((v) => exact(v));
  if (depth === 1) return shorten(`${meaning} (from ${low} to ${high})`, width);
  const steps = Math.min(24, width >> 2);
  const ramp = Array.from({ length: steps }, (_, i) =>
    paint(' ', { fill: map.colour(from + ((map.max - from) * i) / (steps - 1), theme) }, depth),
  ).join('');
  return `${low} ${ramp} ${high}  ${shorten(meaning, width - steps - low.length - high.length - 4)}`;
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar for a fraction of 1, with a resolution of an eighth of a column. */
export function bar(fraction: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, fraction)) * width * 8);
  return '█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7];
}

/** Tokens one after another with a colour each, broken into lines. */
export function tokenLines(
  tokens: readonly string[],
  look: (i: number) => Look,
  { width = 80, depth = 1 }: TerminalOptions = {},
): string[] {
  const lines = [''];
  let used = 0;
  tokens.map(visible).forEach((token, i) => {
    const text = shorten(token, width);
    const gap = depth === 1 && used > 0 ? '|' : '';
    const w = displayWidth(gap + text);
    if (used + w > width) {
      lines.push('');
      used = 0;
    }
    lines[lines.length - 1] += (used > 0 ? gap : '') + paint(text, look(i), depth);
    used += w;
  });
  return lines;
}
