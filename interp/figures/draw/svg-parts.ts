/**
 * What all SVG figures are made of: the frame with its style, text, widths, and colours for both themes. A
 * coloured shape carries its light colour as attribute and its dark one as `--d`, so that the picture follows
 * the reader's theme, and is right where style sheets are not read.
 */

import { displayWidth, escapeHtml, wrapped } from '../../results/text.js';
import { hex, type Rgb, type Theme } from './colour.js';

/** `auto` follows the reader's theme, where the program that shows the picture knows it. */
export type SvgTheme = Theme | 'auto';

/** Of every picture. */
export interface FrameOptions {
  /**
   * A file of its own: with name space, style and background. Default false: for a page that has `svgStyle`.
   */
  readonly standalone?: boolean;
  /** Default 'auto'. */
  readonly theme?: SvgTheme;
  /** Room for the picture, in pixels: facets go on below. Default 1600. */
  readonly width?: number;
  /** Said above the picture. Default: nothing. */
  readonly warnings?: readonly string[];
  /** Lines of small text below the picture: prompts, metric, model, adapter. Default: none. */
  readonly notes?: readonly string[];
}

const FONTS = `"Inter","Open Sans","Segoe UI","DejaVu Sans",system-ui,sans-serif`;

const LIGHT = `
.gb-map{font:12px ${FONTS};max-width:100%;height:auto}
.gb-map text{fill:#3b3f4a}.gb-map .faint{fill:#747989}.gb-map .mark{fill:#b3261e;font-weight:700}
.gb-map .h{font-weight:600;fill:#1b1d24}
.gb-map .n{font-size:10.5px;text-anchor:middle;pointer-events:none;font-variant-numeric:tabular-nums}
.gb-map .k{fill:#0a0b10}.gb-map .w{fill:#fff}
.gb-map .paper{fill:#fff}
.gb-map .axis{stroke:#e6e6e3}.gb-map .zero{stroke:#868b99}
.gb-map .c:hover{stroke:#14161c;stroke-width:1.5}`;

const DARK = `
.gb-map text{fill:#c9cdd8}.gb-map .faint{fill:#8f95a5}.gb-map .mark{fill:#f08a80}
.gb-map .h{fill:#eceef4}
.gb-map .paper{fill:#16181d}
.gb-map .dk{fill:#0a0b10}.gb-map .dw{fill:#fff}
.gb-map .axis{stroke:#2b2e38}.gb-map .zero{stroke:#848a9a}
.gb-map .c:hover{stroke:#fafafc}`;

/** What a page needs for the SVGs in it; `standalone` ones bring it along. */
export const svgStyle = `${LIGHT}
@media (prefers-color-scheme:dark){${DARK}
.gb-map .c,.gb-map .f{fill:var(--d)}.gb-map .s{stroke:var(--d)}}`;

const STYLES: Record<SvgTheme, string> = { auto: svgStyle, light: LIGHT, dark: LIGHT + DARK };

const WARNING_LINE = 15;
const NOTE_LINE = 14;

/** The `<svg>` around a drawing, with its warnings above and its notes below it. */
export function frame(
  body: string,
  [width, height]: readonly [width: number, height: number],
  name: string,
  { standalone = false, theme = 'auto', warnings = [], notes = [] }: FrameOptions = {},
): string {
  const head = standalone ? ' xmlns="http://www.w3.org/2000/svg"' : '';
  const style = standalone
    ? `<style>${STYLES[theme]}</style><rect class="paper" width="100%" height="100%" rx="8" fill="${theme === 'dark' ? '#16181d' : '#fff'}"/>`
    : '';
  const lines = warnings.flatMap((text) =>
    wrapped(text, (line) => textWidth(line, 13) <= Math.max(320, width - 16)),
  );
  const above = lines.length && lines.length * WARNING_LINE + 6;
  const said = lines.map(
    (line, i) => `<text class="mark" x="8" y="${WARNING_LINE * (i + 1)}">${escapeHtml(line)}</text>`,
  );
  const below = notes.flatMap((text) =>
    wrapped(text, (line) => textWidth(line, 10) <= Math.max(420, width - 16)),
  );
  const told = below.map((line, i) => small(line, 8, height + above + 8 + NOTE_LINE * i, 'start'));
  const wide = Math.max(
    width,
    ...lines.map((line) => textWidth(line, 13) + 16),
    ...below.map((line) => textWidth(line, 10) + 16),
  );
  const foot = below.length && NOTE_LINE * below.length + 4;
  const [w, h] = [Math.ceil(wide), Math.ceil(height + above + foot)];
  const drawn = `${above ? `${said.join('')}<g transform="translate(0 ${above})">${body}</g>` : body}${told.join('')}`;
  return `<svg${head} class="gb-map" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" role="img" aria-label="${escapeHtml([...warnings, name].join(' '))}">${style}${drawn}</svg>`;
}

/**
 * Attributes that fill (class `c` or `f`) or stroke (class `s`) a shape with a colour, in the theme of the
 * picture.
 */
export function tint(
  what: 'fill' | 'stroke',
  colour: (theme: Theme) => Rgb,
  theme: SvgTheme = 'auto',
): string {
  if (theme !== 'auto') return `${what}="${hex(colour(theme))}"`;
  return `${what}="${hex(colour('light'))}" style="--d:${hex(colour('dark'))}"`;
}

/** Widths in DejaVu Sans, the widest of the fonts, in its size. */
const WIDTHS: readonly (readonly [RegExp, number])[] = [
  [/[ijl.,:;'|!`[\]()I ]/, 0.4],
  [/[mMW@%…—]/, 1],
  [/[wA-Z␣⏎⇥<>=+~&−#]/, 0.84],
];

/** No less than the width of a text, whatever the font, in pixels. */
export function textWidth(text: string, size = 12): number {
  let ems = 0;
  for (const c of text) {
    const columns = displayWidth(c);
    ems += columns === 1 ? (WIDTHS.find(([letters]) => letters.test(c))?.[1] ?? 0.64) : 0.55 * columns;
  }
  return ems * size;
}

/** Small text, for numbers and captions. */
export const small = (text: string, x: number, y: number, anchor: 'start' | 'middle' | 'end'): string =>
  `<text class="faint" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="10">${escapeHtml(text)}</text>`;

/** A coordinate with two decimals at most, never `-0`. */
export const round = (x: number): number => Math.round(x * 100) / 100 + 0;

/** Round numbers within [from, to], about `count` of them: steps of 1, 2 or 5 times a power of ten. */
export function ticks(from: number, to: number, count: number): number[] {
  if (!(to > from)) return [from];
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999)!;
  const first = Math.ceil(from / step - 1e-9);
  const n = Math.floor(to / step + 1e-9) - first + 1;
  return Array.from({ length: n }, (_, i) => Number(((first + i) * step).toPrecision(12)) + 0);
}
