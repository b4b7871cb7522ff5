/** Figures for a page, as strings of HTML: bars, the lens table, tokens as text. */

import { escapeHtml, percent, shorten, splitLabel } from '../../results/text.js';
import { hex, inkOn, type Rgb } from '../draw/colour.js';
import { scaleSvg } from '../draw/svg.js';
import type { Heatmap } from '../heatmap.js';

/**
 * Both themes' colours of a cell and of the text on it, for a `style` attribute; see `.cell` in
 * page-style.ts.
 */
export function cellStyle(light: Rgb, dark: Rgb): string {
  return `--l:${hex(light)};--d:${hex(dark)};--il:${hex(inkOn(light))};--id:${hex(inkOn(dark))}`;
}

/** A row of a bar table. */
export interface BarRow {
  readonly rank: number;
  readonly label: string;
  /** 0–1 */
  readonly fraction: number;
  /** Further columns, as text. */
  readonly values: readonly string[];
  /** Marks the row: `answer` (blue), `wrong` (red). */
  readonly role?: string;
}

/** A table of labels with bars; the longest bar fills its column. */
export function barTable(rows: readonly BarRow[], heads: readonly string[]): string {
  const longest = Math.max(...rows.map((r) => r.fraction));
  const head = ['', 'token', '', ...heads].map((h) => `<th scope="col">${escapeHtml(h)}</th>`).join('');
  const body = rows.map(({ rank, label, fraction, values, role = '' }, i) => {
    const gap = i > 0 && rank > rows[i - 1].rank + 1 ? ' gap' : '';
    const tag = role && `<span class="tag">${escapeHtml(role)}</span>`;
    const cells = values.map((v) => `<td class="num">${escapeHtml(v)}</td>`).join('');
    const bar = `<span class="bar" style="width:${((100 * fraction) / longest).toFixed(2)}%"></span>`;
    return `<tr class="${escapeHtml(role)}${gap}"><td class="rank">${rank}</td><th scope="row"><code>${escapeHtml(shorten(label, 28))}</code>${tag}</th><td class="track">${bar}</td>${cells}</tr>`;
  });
  return `<table class="bars"><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>`;
}

/** A guess in a cell of the lens. */
export interface LensCell {
  readonly text: string;
  readonly prob: number;
}

/**
 * The logit lens: in each cell the top token, tinted by its probability; the rest is in the tooltip.
 * @param top per row and column the most probable tokens, descending, blanks made visible
 * @param target this token's cells are outlined where it is on top
 */
export function lensTable(
  map: Heatmap,
  top: readonly (readonly (readonly LensCell[])[])[],
  { target = '' }: { target?: string } = {},
): string {
  const fitting = Math.floor((920 / map.columns.length - 10) / 6.7); // letters a column, all columns side by side
  const letters = fitting < 5 ? 8 : Math.min(12, fitting); // if they do not fit the table is scrolled anyway
  const head = map.columns
    .map(splitLabel)
    .map(([at, token]) => `<th scope="col"><small>${at}</small>${escapeHtml(shorten(token, letters))}</th>`)
    .join('');
  const body = map.rows.map((row, r) => {
    const cells = top[r].map((guesses, c) => {
      const { text, prob } = guesses[0];
      const style = cellStyle(map.colour(prob, 'light'), map.colour(prob, 'dark'));
      const list = guesses.map((g) => `${percent(g.prob).padStart(6)}  ${g.text}`).join('\n');
      const tip = escapeHtml(`${row} · ${map.columns[c]}\n${list}`);
      const hit = text === target ? ' hit' : '';
      return `<td class="cell${hit}" style="${style}" data-tip="${tip}">${escapeHtml(shorten(text, letters))}</td>`;
    });
    return `<tr><th scope="row">${escapeHtml(row)}</th>${cells.join('')}</tr>`;
  });
  return `<div class="scroll"><table class="lens"><thead><tr><th></th>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div>${scaleSvg(map, 'probability of the top token')}`;
}

/** Tokens as text; `mark(i)` gives a class, `more(i)` further attributes. */
export function tokenStrip(
  tokens: readonly string[],
  mark: (i: number) => string = () => '',
  more: (i: number) => string = () => '',
): string {
  const spans = tokens.map((t, i) => {
    const attributes = more(i);
    return `<span class="tok ${mark(i)}" data-i="${i}"${attributes && ` ${attributes}`}>${escapeHtml(t)}</span>`;
  });
  return `<span class="strip">${spans.join('<wbr>')}</span>`;
}
