/** A matrix of coloured cells with its labels: what heat maps, facets and traces are put together from. */

import { compact, escapeHtml, exact, shorten, splitLabel, wrapped } from '../../results/text.js';
import type { Heatmap } from '../heatmap.js';
import { inkOn, type Rgb, type Theme } from './colour.js';
import { round, type SvgTheme, small, textWidth, tint } from './svg-parts.js';

/** How a matrix is drawn. */
export interface PanelOptions {
  /** In pixels. Default 40 × 24. */
  readonly cell?: readonly [width: number, height: number];
  /** Write the values into the cells. Default: when they fit and are at most 600. */
  readonly numbers?: boolean;
  /** What is written into the cells instead of their values: the tokens of a lens. */
  readonly text?: (row: number, column: number) => string;
  /** A colour for a stripe below a cell; null: none. */
  readonly stripe?: (row: number, column: number, theme: Theme) => Rgb | null;
  /** Said before the coordinates in tooltips. */
  readonly title?: string;
  /** Above the matrix. */
  readonly heading?: string;
  /** Captions of the axes. Default: their names. */
  readonly captions?: readonly [rows: string, columns: string];
  /** Where the labels of columns stand. Default 'above'. */
  readonly labels?: 'above' | 'below';
  /** Whether the rows have labels. Default true. */
  readonly sides?: boolean;
  /** Headings and captions below that are wider than the matrix go on in a second line: for panels beside each other. */
  readonly wrap?: boolean;
  /** Leave a cell out, e.g. what a causal mask hides. */
  readonly skip?: (row: number, column: number) => boolean;
  /** Columns whose labels stand out. */
  readonly mark?: (column: number) => boolean;
  readonly theme?: SvgTheme;
}

/** A drawn matrix: its cells begin at (0, 0) and take `width` × `height`; the labels take the margins around. */
export interface Panel {
  readonly body: string;
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly above: number;
  readonly below: number;
}

const GAP = 2;
/** Between lines of a heading or caption, in pixels. */
const LINE = 15;
/** Headings up to this width stay in one line. */
const WRAPPED = 200;
/** More cells than this have no tooltips: the file would be too large. */
const MAX_TIPS = 4000;

/** Draws the cells and their labels. */
export function panel(map: Heatmap, options: PanelOptions = {}): Panel {
  const { rows, columns } = map;
  const { cell = [40, 24], heading = '', captions = map.names, labels = 'above', sides = true } = options;
  const width = columns.length * cell[0];
  const height = rows.length * cell[1];
  const broken = (text: string, size: number): string[] =>
    options.wrap ? wrapped(text, (line) => textWidth(line, size) <= Math.max(width + 40, WRAPPED)) : [text];
  const heads = columnLabels(map, { ...options, cell, labels, caption: broken(captions[1], 12) });
  const side = sides ? rowLabels(map, cell[1], captions[0]) : { body: '', left: 0 };
  const titles = heading ? broken(heading, 13) : []; // 13: headings are bold, which is wider
  const overhang = Math.max(
    0,
    (heads.caption - width) / 2,
    ...titles.map((line) => (textWidth(line, 13) - width) / 2),
  );
  const top = titles.map((line, i) => {
    const y = -heads.above - 8 - LINE * (titles.length - 1 - i);
    return `<text class="h" x="${round(width / 2)}" y="${round(y)}" text-anchor="middle">${escapeHtml(line)}</text>`;
  });
  return {
    body: top.join('') + heads.body + side.body + cells(map, { ...options, cell }),
    width,
    height,
    left: Math.max(side.left, heads.left, overhang),
    right: Math.max(heads.right, overhang, 4),
    above: heads.above + (titles.length && 26 + LINE * (titles.length - 1)),
    below: heads.below,
  };
}

/** `L3`, `H11`, `0.5`: labels that need not all be seen. */
const ordinal = (labels: readonly string[]): boolean => labels.every((l) => /^[A-Z]?\d+(\.\d+)?$/.test(l));

/** Every how many of n labels are shown: all of few, every fifth of many, and no closer than `room` allows. */
const stride = (n: number, room: (step: number) => boolean): number =>
  (n > 16 ? [5, 10, 20, 50] : [1, 2, 5, 10]).find(room) ?? n;

interface HeadOptions extends Pick<PanelOptions, 'mark'> {
  cell: readonly [number, number];
  labels: 'above' | 'below';
  /** Lines of it. */
  caption: readonly string[];
}

function columnLabels(map: Heatmap, { cell: [w, h], labels, caption, mark }: HeadOptions) {
  const below = labels === 'below';
  const numbered = ordinal(map.columns);
  const heads = map.columns.map(splitLabel).map(([at, token]) => [at, shorten(token, 16)] as const);
  const widest = Math.max(...heads.map(([, token]) => textWidth(token)));
  const fits = widest <= w - 4; // labels that fit are not turned
  const text = (token: string) => (numbered && !fits ? token.replace(/^[A-Z]/, '') : token);
  const upright = fits || numbered;
  const longest = numbered ? Math.max(...heads.map(([, token]) => textWidth(text(token)))) : widest;
  const step = numbered ? stride(fits ? 1 : heads.length, (s) => longest + 4 <= s * w) : Math.ceil(15 / w);
  const reach = upright ? 12 : longest * 0.71 + 14; // how far labels reach up or down
  const positions = !below && heads.some(([at]) => at !== '');
  const start = map.rows.length * h;
  const out: string[] = [];
  heads.forEach(([at, token], c) => {
    if (c % step) return;
    const x = round(c * w + (w - GAP) / 2);
    const y = below ? start + (upright ? 13 : 12) : positions ? -20 : -6;
    const anchor = upright ? 'middle' : below ? 'end' : 'start';
    const place = upright ? `x="${x}" y="${y}"` : `transform="translate(${x} ${y}) rotate(-45)"`;
    const name = below && at !== '' ? `${at} ${token}` : text(token);
    out.push(
      `<text${mark?.(c) ? ' class="mark"' : ''} ${place} text-anchor="${anchor}">${escapeHtml(name)}</text>`,
    );
    if (positions && at !== '') out.push(small(at, x, -6, 'middle'));
  });
  const captioned = caption.some((line) => line !== '');
  const middle = round((map.columns.length * w) / 2);
  if (captioned && below)
    caption.forEach((line, i) => {
      const y = round(start + reach + 18 + LINE * i);
      out.push(`<text x="${middle}" y="${y}" text-anchor="middle">${escapeHtml(line)}</text>`);
    });
  else if (captioned) out.push(small(caption.join(' '), middle, -(reach + (positions ? 24 : 10)), 'middle'));
  // how far turned labels reach beyond the last column: each begins at its own
  const beyond = heads.map(([, token], c) =>
    c % step ? 0 : textWidth(token) * 0.71 + 10 - (map.columns.length - c - 0.5) * w,
  );
  return {
    body: out.join(''),
    caption: Math.max(0, ...caption.map((line) => textWidth(line))),
    above: below ? 4 : reach + 12 + (positions ? 14 : 0) + (captioned ? 14 : 0),
    below: below ? reach + 26 + LINE * (caption.length - 1) : 0,
    left: upright ? Math.max(0, (longest - w) / 2) : below ? longest * 0.71 : 0,
    right: upright ? Math.max(0, (longest - w) / 2) + 2 : below ? 0 : Math.max(0, ...beyond),
  };
}

function rowLabels({ rows, columns }: Heatmap, h: number, caption: string) {
  const step = ordinal(rows) ? stride(h >= 13 ? 1 : rows.length, (s) => s * h >= 13) : Math.ceil(13 / h);
  const out = [small(caption, -8, -6, 'end')];
  let left = textWidth(caption, 10);
  rows.forEach((label, r) => {
    if (r % step) return;
    const [at, token] = splitLabel(label);
    const text = shorten(token, columns.length > 1 ? 32 : 80);
    left = Math.max(left, textWidth(text) + (at === '' ? 0 : textWidth(`${at}  `, 10)));
    const number = at === '' ? '' : `<tspan class="faint" font-size="10">${at}  </tspan>`;
    out.push(
      `<text x="-8" y="${round(r * h + h / 2 + 3)}" text-anchor="end" xml:space="preserve">${number}${escapeHtml(text)}</text>`,
    );
  });
  return { body: out.join(''), left: left + 12 };
}

function cells(
  map: Heatmap,
  {
    cell: [w, h],
    title = '',
    skip,
    text,
    stripe,
    theme,
    ...options
  }: PanelOptions & Required<Pick<PanelOptions, 'cell'>>,
): string {
  const count = map.rows.length * map.columns.length;
  const { numbers = count <= 600 && w >= 30 && h >= 16 } = options;
  const gap = Math.min(GAP, w / 8, h / 8);
  const rounded = round(Math.min(3, w / 4, h / 4));
  const out: string[] = [];
  map.rows.forEach((row, r) => {
    map.columns.forEach((column, c) => {
      if (skip?.(r, c)) return;
      const value = map.value(r, c);
      const own = text?.(r, c);
      const tip = [title, `${map.names[0]} ${row} · ${map.names[1]} ${column}`, own, exact(value)]
        .filter(Boolean)
        .join('\n');
      const tipped = count <= MAX_TIPS ? `<title>${escapeHtml(tip)}</title>` : '';
      const place = `x="${round(c * w)}" y="${round(r * h)}" width="${round(w - gap)}" height="${round(h - gap)}" rx="${rounded}"`;
      out.push(
        `<rect class="c" data-at="${r},${c}" ${place} ${tint('fill', (t) => map.colour(value, t), theme)}>${tipped}</rect>`,
      );
      const middle = [c * w + (w - gap) / 2, r * h + h / 2 + 2.7] as const;
      if (own !== undefined) out.push(inside(map, value, shortenTo(own, w - 6), middle));
      else if (numbers) out.push(number(map, value, middle));
      if (stripe?.(r, c, 'light'))
        out.push(
          `<rect class="f" x="${round(c * w)}" y="${round((r + 1) * h - gap - 3)}" width="${round(w - gap)}" height="3" ${tint('fill', (t) => stripe(r, c, t)!, theme)}/>`,
        );
    });
  });
  return out.join('');
}

/** A text, or as much of it as a cell has room for. */
function shortenTo(text: string, room: number): string {
  for (let n = [...text].length; n > 1; n--) {
    const some = shorten(text, n);
    if (textWidth(some, 10.5) <= room) return some;
  }
  return text.slice(0, 1);
}

function number(map: Heatmap, value: number, at: readonly [x: number, y: number]): string {
  const text = compact(value);
  return text === '·' ? '' : inside(map, value, text.replace('-', '−'), at);
}

/** Text on a cell, in an ink that can be read on its colour. */
function inside(map: Heatmap, value: number, text: string, [x, y]: readonly [x: number, y: number]): string {
  const [light, dark] = (['light', 'dark'] as const).map((theme) => inkOn(map.colour(value, theme))[0] < 128);
  return `<text class="n ${light ? 'k' : 'w'} ${dark ? 'dk' : 'dw'}" x="${round(x)}" y="${round(y)}">${escapeHtml(text)}</text>`;
}
