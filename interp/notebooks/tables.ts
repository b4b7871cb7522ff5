/** Tables as text, CSV and HTML. */

import { barTable } from '../figures/page/html.js';
import { csvField } from '../results/export.js';
import { displayWidth, escapeHtml, fit, percent, visible } from '../results/text.js';

/** A cell of a table. */
export type TableCell = string | number;

/** CSV (RFC 4180). */
export const csvText = (heads: readonly string[], rows: readonly (readonly TableCell[])[]): string =>
  `${[heads, ...rows].map((row) => row.map((cell) => csvField(String(cell))).join(',')).join('\n')}\n`;

/** A table of a page. Columns of numbers stand right, texts left; the first column is the names, or a number before them. */
export function htmlTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const numeric = heads.map((_, c) => rows.every((row) => isNumber(row[c]) || row[c].startsWith('…')));
  const look = (c: number) => (numeric[c] ? ' class="num"' : '');
  const head = heads.map((h, c) => `<th scope="col"${look(c)}>${escapeHtml(h)}</th>`).join('');
  const body = rows.map((row) => {
    const cells = row.map((v, c) => `<td${look(c)}>${escapeHtml(v)}</td>`);
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<div class="scroll"><table class="cells"><thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>`;
}

/** A number as tables write it, or nothing. */
const isNumber = (text: string): boolean => text.trim() === '' || !Number.isNaN(Number(text));

/** Columns of text, two blanks apart; all but the first stand right. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((row) => displayWidth(row[c]))));
  return rows.map(
    (row) => `  ${row.map((cell, c) => fit(cell, widths[c], c ? 'right' : 'left')).join('  ')}`,
  );
}

/** The next tokens of a run, as a table with bars. */
export const tokenBars = (
  list: readonly { readonly text: string; readonly prob: number }[],
  answer = '',
): string =>
  barTable(
    list.map(({ text, prob }, i) => ({
      rank: i + 1,
      label: visible(text),
      fraction: prob,
      values: [percent(prob)],
      role: text === answer ? 'answer' : '',
    })),
    ['probability'],
  );
