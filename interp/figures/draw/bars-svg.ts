/** Bars, a row each, in one or several columns: the drawing of attributions and of next tokens. */

import { escapeHtml, shorten } from '../../results/text.js';
import { diverging, oklch, type Rgb, type Theme } from './colour.js';
import type { Panel } from './panel.js';
import { round, type SvgTheme, small, textWidth, tint } from './svg-parts.js';

/** What a bar says: for the answer (blue), against it (red), or neither (grey). */
export type BarTone = 'plus' | 'minus' | 'plain';

/** A column of bars. */
export interface BarColumn {
  readonly heading: string;
  readonly values: ArrayLike<number>;
  /** Values as they stand beside the bars, a text a row, of one width where they are numbers. */
  readonly texts: readonly string[];
}

/** Rows of bars. The columns share their scale. */
export interface Bars {
  readonly rows: readonly string[];
  readonly columns: readonly BarColumn[];
  /** Default: by the sign of the value. */
  readonly tone?: (row: number) => BarTone;
  /** Where the scale ends at the earliest. Default: the largest |value|. */
  readonly least?: number;
}

const HEIGHT = 18;
const BETWEEN = 18;

const TONES: Readonly<Record<BarTone, (theme: Theme) => Rgb>> = {
  plus: (theme) => diverging(theme)(0.8),
  minus: (theme) => diverging(theme)(-0.8),
  plain: (theme) => (theme === 'light' ? oklch(0.72, 0.012, 265) : oklch(0.5, 0.012, 265)),
};

/**
 * Draws bars from their zero to both sides; the first bar begins at (0, 0). @param room for the bars of a
 * column, in pixels
 */
export function barsPanel(
  { rows, columns, tone, least = 0 }: Bars,
  { heading = '', room = 190, theme }: { heading?: string; room?: number; theme?: SvgTheme } = {},
): Panel {
  const all = columns.flatMap(({ values }) => Array.from(values));
  const end = Math.max(least, ...all.map(Math.abs)) || 1;
  const low = Math.max(0, ...all.map((v) => -v)) / end;
  const high = Math.max(0, ...all) / end;
  const scale = room / (low + high || 1);
  const labels = rows.map((row) => shorten(row, 40));
  const left = Math.max(0, ...labels.map((l) => textWidth(l))) + 12;
  const several = columns.some((c) => c.heading !== '');
  const above = (heading ? 24 : 4) + (several ? 16 : 0);
  const out = heading
    ? [`<text class="h" x="${round(12 - left)}" y="${10 - above}">${escapeHtml(heading)}</text>`]
    : [];
  labels.forEach((label, r) => {
    const y = HEIGHT * r + 13;
    out.push(`<text x="-10" y="${y}" text-anchor="end">${escapeHtml(label)}</text>`);
  });
  let x = 0;
  for (const { heading: name, values, texts } of columns) {
    const zero = x + low * scale;
    if (name) out.push(small(name, x, -6, 'start'));
    if (low > 0)
      out.push(
        `<line class="zero" x1="${round(zero)}" x2="${round(zero)}" y1="0" y2="${HEIGHT * rows.length}" stroke="#868b99"/>`,
      );
    const widest = Math.max(0, ...texts.map((t) => textWidth(t, 11)));
    texts.forEach((text, r) => {
      const size = (Math.abs(values[r]) / end) * scale;
      const from = values[r] < 0 ? zero - size : zero;
      const kind = tone?.(r) ?? (values[r] < 0 ? 'minus' : 'plus');
      const bar = `x="${round(from)}" y="${HEIGHT * r + 3}" width="${round(Math.max(1, size))}" height="${HEIGHT - 6}" rx="2"`;
      const tip = `<title>${escapeHtml(`${[rows[r], name].filter(Boolean).join(' · ')}\n${text}`)}</title>`;
      out.push(`<rect class="f" data-at="${r}" ${bar} ${tint('fill', TONES[kind], theme)}>${tip}</rect>`);
      out.push(
        `<text class="v" x="${round(x + room + 8 + widest)}" y="${HEIGHT * r + 13}" text-anchor="end" font-size="11">${escapeHtml(text)}</text>`,
      );
    });
    x += room + 8 + widest + BETWEEN;
  }
  return {
    body: out.join(''),
    ...{ width: x - BETWEEN, height: HEIGHT * rows.length, left, right: 4 },
    ...{ above, below: 0 },
  };
}
