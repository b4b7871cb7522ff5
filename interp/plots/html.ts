/** Figures for a page, as strings of HTML: bars, the lens table, text coloured by attention, thumbnails of heads. */

import { hex, hues, inkOn, type Rgb, sequential } from './colour.js';
import type { Heatmap } from './heatmap.js';
import { escapeHtml, jsonForScript, percent, shorten, splitLabel } from './text.js';

/** Both themes' colours of a cell and of the text on it, for a `style` attribute; see `.cell` in page-style.ts. */
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
  const head = map.columns
    .map(splitLabel)
    .map(([at, token]) => `<th scope="col"><small>${at}</small>${escapeHtml(shorten(token, 9))}</th>`)
    .join('');
  const body = map.rows.map((row, r) => {
    const cells = top[r].map((guesses, c) => {
      const { text, prob } = guesses[0];
      const style = cellStyle(map.colour(prob, 'light'), map.colour(prob, 'dark'));
      const list = guesses.map((g) => `${percent(g.prob).padStart(6)}  ${g.text}`).join('\n');
      const tip = escapeHtml(`${row} · ${map.columns[c]}\n${list}`);
      const hit = text === target ? ' hit' : '';
      return `<td class="cell${hit}" style="${style}" data-tip="${tip}" tabindex="-1">${escapeHtml(shorten(text, 9))}</td>`;
    });
    return `<tr><th scope="row">${escapeHtml(row)}</th>${cells.join('')}</tr>`;
  });
  return `<div class="scroll"><table class="lens"><thead><tr><th></th>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
}

/** Tokens as text; `mark(i)` gives a class. */
export function tokenStrip(tokens: readonly string[], mark: (i: number) => string = () => ''): string {
  const spans = tokens.map((t, i) => `<span class="tok ${mark(i)}" data-i="${i}">${escapeHtml(t)}</span>`);
  return `<span class="strip">${spans.join('<wbr>')}</span>`;
}

/** What the page's script needs to draw attention. */
export interface AttentionFigure {
  readonly labels: readonly string[];
  readonly layers: number;
  readonly heads: number;
  /** [layer, head, query, key] of all heads, or [query, key] of the chosen one. */
  readonly patterns: Float32Array;
  readonly layer: number;
  readonly head: number;
}

/** Colours of attention from 0 to 1. */
const STEPS = 65;

/**
 * Data for the script: patterns as 16-bit numbers, and the colours. The page's script finds it by its id and fills
 * `#attention`: the text, the heat map, the thumbnails.
 */
export function attentionData({ patterns, labels, ...rest }: AttentionFigure): string {
  const ramp = (theme: 'light' | 'dark') => {
    const scale = sequential(hues.attention, theme);
    return Array.from({ length: STEPS }, (_, i) => scale(i / (STEPS - 1)));
  };
  const [light, dark] = [ramp('light'), ramp('dark')];
  const data = {
    ...rest,
    labels,
    single: patterns.length === labels.length ** 2,
    light: light.map(hex),
    dark: dark.map(hex),
    inkLight: light.map(inkOn).map(hex),
    inkDark: dark.map(inkOn).map(hex),
    patterns: base64(Uint16Array.from(patterns, (p) => Math.round(p * 65535))),
  };
  return `<script type="application/json" id="attention-data">${jsonForScript(data)}</script>`;
}

/** Little-endian bytes of 16-bit numbers in base64. */
function base64(values: Uint16Array): string {
  let binary = '';
  for (const v of values) binary += String.fromCharCode(v & 255, v >> 8);
  return btoa(binary);
}

/** One button with a small pattern for each head, drawn by the page's script; a row is a layer. */
export function headGrid(layers: number, heads: number): string {
  const rows = Array.from({ length: layers }, (_, l) => {
    const buttons = Array.from(
      { length: heads },
      (_, h) =>
        `<button type="button" data-layer="${l}" data-head="${h}" aria-label="head ${l}.${h}" data-tip="head ${l}.${h}"><canvas></canvas></button>`,
    );
    return `<span class="layer">L${l}</span>${buttons.join('')}`;
  });
  return `<div class="heads" style="grid-template-columns:auto repeat(${heads},1fr)">${rows.join('')}</div>`;
}
