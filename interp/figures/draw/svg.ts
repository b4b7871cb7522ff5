/** Heat maps as SVG, a string: for pages, files and READMEs alike. */

import { escapeHtml } from '../../results/text.js';
import type { Heatmap } from '../heatmap.js';
import { colourBar } from './colour-bar.js';
import { type Panel, type PanelOptions, panel } from './panel.js';
import { type FrameOptions, frame, round, textWidth } from './svg-parts.js';

/** How `heatmapSvg` draws. */
export interface SvgOptions extends PanelOptions, FrameOptions {
  /** What the values mean, beside the scale: `0 = corrupted run, 1 = clean run`. */
  readonly meaning?: string;
}

/** How `facetsSvg` draws. */
export interface FacetOptions extends SvgOptions {
  /** What is said of each map in particular: its heading, captions, title. */
  readonly each?: readonly (PanelOptions & { readonly meaning?: string })[];
  /** Each map has a scale and a colour bar of its own. Default false. */
  readonly ownScales?: boolean;
}

const PAD = 8;
const BETWEEN = 22;

/** A heat map with labels on both axes, tooltips with exact values, and its scale below. */
export const heatmapSvg = (map: Heatmap, options: SvgOptions = {}): string => facetsSvg([map], options);

/**
 * Heat maps beside each other, with one colour bar: they must share their scale (see `heatmaps`). Rows that are the same
 * in all maps are labelled once.
 */
export function facetsSvg(maps: readonly Heatmap[], options: FacetOptions = {}): string {
  const { each = [], width: most = 1600, meaning = '', title = '' } = options;
  const { theme, standalone, ownScales = false } = options;
  const [{ rows, min, max }] = maps;
  if (!ownScales && maps.some((m) => m.min !== min || m.max !== max))
    throw new Error('facets have one colour bar: give their maps one scale, see heatmaps()');
  const same = maps.every((m) => m.rows.join('\n') === rows.join('\n'));
  const draw = (i: number, first: boolean): Panel => {
    const heading = each[i]?.heading ?? options.heading;
    const tip = [title, heading].filter(Boolean).join(' · ');
    const drawn = panel(maps[i], {
      ...options,
      title: tip,
      ...each[i],
      sides: first || !same,
      wrap: maps.length > 1,
    });
    if (!ownScales) return drawn;
    const bar = colourBar([maps[i]], each[i]?.meaning ?? meaning, theme);
    const y = drawn.height + drawn.below + 14;
    return {
      ...drawn,
      body: `${drawn.body}<g transform="translate(0 ${round(y)})">${bar.body}</g>`,
      below: drawn.below + 14 + bar.height,
      right: Math.max(drawn.right, bar.width - drawn.width),
    };
  };

  const lines: Panel[][] = [];
  let used = 0;
  maps.forEach((_, i) => {
    const next = draw(i, false);
    const line = lines.at(-1);
    const room = BETWEEN + next.left + next.width + next.right;
    if (line && used + room <= most) {
      line.push(next);
      used += room;
    } else {
      const first = draw(i, true);
      lines.push([first]);
      used = first.left + first.width + first.right;
    }
  });

  const out: string[] = [];
  const left = Math.max(...lines.map(([first]) => first.left)) + 2;
  // a page says the title above the picture
  const head = standalone && title && each[0]?.heading !== title ? 26 : 0;
  if (head) out.push(`<text class="h" x="${PAD}" y="18" font-size="14">${escapeHtml(title)}</text>`);
  let [y, right] = [2 + head, head && PAD + textWidth(title, 15)];
  for (const line of lines) {
    const above = Math.max(...line.map((p) => p.above));
    let x = left - line[0].left;
    for (const p of line) {
      x += p.left;
      out.push(`<g transform="translate(${round(x)} ${round(y + above)})">${p.body}</g>`);
      x += p.width + p.right;
      right = Math.max(right, x);
      x += BETWEEN;
    }
    y += above + Math.max(...line.map((p) => p.height + p.below)) + 12;
  }
  if (!ownScales) {
    const bar = colourBar(maps, meaning, theme);
    out.push(`<g transform="translate(${round(left)} ${round(y + 2)})">${bar.body}</g>`);
    right = Math.max(right, left + bar.width);
    y += 2 + bar.height;
  }
  const size = [right + PAD, y + 4] as const;
  const name = title || each.map((p) => p.heading).join(', ');
  return frame(out.join(''), size, name, options);
}

/** The scale of a heat map alone, for figures that are not SVG. */
export function scaleSvg(map: Heatmap, meaning: string): string {
  const bar = colourBar([map], meaning);
  return frame(`<g transform="translate(2 2)">${bar.body}</g>`, [bar.width + 10, bar.height + 4], meaning);
}
