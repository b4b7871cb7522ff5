/** Tables as text, CSV and HTML. */

import { barTable } from '../figures/page/html.js';
import { csvField } from '../results/export.js';
import { displayWidth, escapeHtml, fit, percent, visible } from '../results/text.js';

/** A cell of a table. */
export type TableCell = string | number;

/** CSV (RFC 4180). */
export const csvText = (heads: readonly string[], rows: readonly (readonly TableCell[])[]): string =>
  `${[heads, ...rows].map((row) => row.map((cell) => csvField(String(cell))).join(',')).join('\n')}\n`;

/** A table of a page: the second column is text, what follows are numbers. */
export function htmlTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = heads.map((h) => `<th scope="col">${escapeHtml(h)}</th>`).join('');
  const body = rows.map(([rank, name, ...rest]) => {
    const cells = rest.map((v) => `<td class="num">${escapeHtml(v)}</td>`).join('');
    return `<tr><td class="rank">${escapeHtml(rank)}</td><th scope="row"><code>${escapeHtml(name)}</code></th>${cells}</tr>`;
  });
  return `<div class="scroll"><table class="bars"><thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>`;
}

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
