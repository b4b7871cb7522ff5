/**
 * Heat maps as SVG, a string: for pages, files and READMEs alike. Each cell carries its light colour as attribute and its
 * dark one as `--d`, so that the picture follows the reader's theme, and is right where style sheets are not read.
 */

import { hex, inkOn } from './colour.js';
import type { Heatmap } from './heatmap.js';
import { compact, displayWidth, escapeHtml, exact, shorten, splitLabel } from './text.js';

/** How `heatmapSvg` draws. */
export interface SvgOptions {
  /** In pixels. Default 40 × 24. */
  readonly cell?: readonly [width: number, height: number];
  /** Write the values into the cells. Default: when there are at most 600. */
  readonly numbers?: boolean;
  /** Said before the coordinates in tooltips, and as the picture's name. */
  readonly title?: string;
  /** Captions of the axes. Default: their names. */
  readonly captions?: readonly [rows: string, columns: string];
  /** What the values mean, beside the scale: `0 = corrupted run, 1 = clean run`. */
  readonly meaning?: string;
  /** Leave a cell out, e.g. what a causal mask hides. */
  readonly skip?: (row: number, column: number) => boolean;
  /** Columns whose labels stand out. */
  readonly mark?: (column: number) => boolean;
  /** A file of its own: with name space, style and background. Default false. */
  readonly standalone?: boolean;
}

/** What a page needs for the SVGs in it; `standalone` ones bring it along. */
export const svgStyle = `
.gb-map{font:12px "Inter","Open Sans","Segoe UI",system-ui,sans-serif;max-width:100%;height:auto}
.gb-map text{fill:#3b3f4a}.gb-map .faint{fill:#868b99}.gb-map .mark{fill:#b3261e;font-weight:700}
.gb-map .n{font-size:10.5px;text-anchor:middle;pointer-events:none;font-variant-numeric:tabular-nums}
.gb-map .k{fill:#0a0b10}.gb-map .w{fill:#fff}
.gb-map .paper{fill:#fff}
.gb-map .c:hover{stroke:#14161c;stroke-width:1.5}
@media (prefers-color-scheme:dark){
.gb-map text{fill:#c9cdd8}.gb-map .faint{fill:#848a9a}.gb-map .mark{fill:#f08a80}
.gb-map .c{fill:var(--d)}.gb-map .paper{fill:#16181d}
.gb-map .dk{fill:#0a0b10}.gb-map .dw{fill:#fff}
.gb-map .c:hover{stroke:#fafafc}}`;

const GAP = 2;
const LEGEND = 38;

/** Width of a text of 12 pixels, as a guess. */
const textWidth = (text: string): number => 7.2 * displayWidth(text);

/** A heat map with labels on both axes, tooltips with exact values, and its scale below. */
export function heatmapSvg(map: Heatmap, options: SvgOptions = {}): string {
  const { rows, columns, names } = map;
  const {
    cell = [40, 24],
    title = '',
    captions = names,
    meaning = '',
    skip,
    mark,
    standalone = false,
  } = options;
  const { numbers = rows.length * columns.length <= 600 && cell[0] >= 30 } = options;
  const [w, h] = cell;
  const heads = columns.map(splitLabel).map(([at, token]) => [at, shorten(token, 14)] as const);
  const sides = rows.map((label) => shorten(label.replace(':', ' '), 18));
  const left = Math.ceil(Math.max(...sides.map(textWidth), textWidth(captions[0]))) + 10;
  const slant = Math.max(...heads.map(([, token]) => textWidth(token)));
  const upright = slant <= w - 4; // labels that fit are not turned
  const positions = heads.some(([at]) => at !== '');
  const top = Math.ceil(upright ? 20 : slant * 0.72 + 14) + (positions ? 14 : 0) + 6;
  const grid = left + columns.length * w;
  const width = Math.max(
    upright ? grid + 8 : grid + Math.ceil(slant * 0.72),
    left + 240 + 6 * meaning.length,
  );
  const height = top + rows.length * h + LEGEND;
  const out = [small(captions[0], left - 8, top - 6, 'end')];

  heads.forEach(([at, token], c) => {
    if (c % Math.ceil(15 / w)) return; // labels of narrow columns would overlap
    const x = left + c * w + (w - GAP) / 2;
    const y = top - (positions ? 20 : 6);
    const place = upright
      ? `x="${x}" y="${y}" text-anchor="middle"`
      : `transform="translate(${x} ${y}) rotate(-45)"`;
    out.push(`<text${mark?.(c) ? ' class="mark"' : ''} ${place}>${escapeHtml(token)}</text>`);
    if (at !== '') out.push(small(at, x, top - 6, 'middle'));
  });
  rows.forEach((label, r) => {
    const y = top + r * h;
    if (r % Math.ceil(13 / h) === 0)
      out.push(`<text x="${left - 8}" y="${y + h / 2 + 3}" text-anchor="end">${escapeHtml(sides[r])}</text>`);
    columns.forEach((column, c) => {
      if (skip?.(r, c)) return;
      const tip = [title, `${captions[0]} ${label} · ${captions[1]} ${column}`].filter(Boolean).join('\n');
      const place = { x: left + c * w, y, w: w - GAP, h: h - GAP, numbers, tip, key: `${r},${c}` };
      out.push(cellSvg(map, map.value(r, c), place));
    });
  });
  out.push(legendSvg(map, left, top + rows.length * h + 14, meaning));
  const head = standalone ? ' xmlns="http://www.w3.org/2000/svg"' : '';
  const style = standalone
    ? `<style>${svgStyle}</style><rect class="paper" width="100%" height="100%" rx="8"/>`
    : '';
  return `<svg${head} class="gb-map" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}">${style}${out.join('')}</svg>`;
}

interface CellPlace {
  x: number;
  y: number;
  w: number;
  h: number;
  numbers: boolean;
  tip: string;
  key: string;
}

function cellSvg(map: Heatmap, value: number, { x, y, w, h, numbers, tip, key }: CellPlace): string {
  const [light, dark] = [map.colour(value, 'light'), map.colour(value, 'dark')];
  const rect = `<rect class="c" data-at="${key}" x="${x}" y="${y}" width="${w}" height="${h}" rx="${Math.min(3, w / 4)}" fill="${hex(light)}" style="--d:${hex(dark)}"><title>${escapeHtml(`${tip}\n${exact(value)}`)}</title></rect>`;
  const text = compact(value);
  if (!numbers || text === '·') return rect;
  const ink = `n ${inkOn(light)[0] < 128 ? 'k' : 'w'} ${inkOn(dark)[0] < 128 ? 'dk' : 'dw'}`;
  return `${rect}<text class="${ink}" x="${x + w / 2}" y="${y + h / 2 + 3.7}">${text.replace('-', '−')}</text>`;
}

const small = (text: string, x: number, y: number, anchor: 'start' | 'middle' | 'end'): string =>
  `<text class="faint" x="${x}" y="${y}" text-anchor="${anchor}" font-size="10">${escapeHtml(text)}</text>`;

/** The scale of a heat map alone, for figures that are not SVG. */
export function scaleSvg(map: Heatmap, meaning: string): string {
  const width = 240 + 6 * meaning.length;
  return `<svg class="gb-map" width="${width}" height="24" viewBox="0 0 ${width} 24" role="img" aria-label="${escapeHtml(meaning)}">${legendSvg(map, 2, 2, meaning)}</svg>`;
}

/** A ramp from the lowest to the highest colour, with zero in its middle when it is diverging. */
function legendSvg(map: Heatmap, x: number, y: number, meaning: string): string {
  const from = map.scale === 'diverging' ? -map.max : 0;
  const [steps, w] = [48, 4];
  const out = [small(meaning, x + steps * w + 12, y + 8, 'start')];
  for (let i = 0; i < steps; i++) {
    const value = from + ((map.max - from) * (i + 0.5)) / steps;
    const [light, dark] = [map.colour(value, 'light'), map.colour(value, 'dark')].map(hex);
    out.push(
      `<rect class="c" x="${x + i * w}" y="${y}" width="${w + 0.5}" height="8" fill="${light}" style="--d:${dark};stroke:none"/>`,
    );
  }
  out.push(small(exact(from), x, y + 20, 'start'), small(exact(map.max), x + steps * w, y + 20, 'end'));
  if (from < 0) out.push(small('0', x + (steps * w) / 2, y + 20, 'middle'));
  return out.join('');
}
