/** Curves with bands, as SVG. */

import { escapeHtml, exact, shorten } from '../../results/text.js';
import { type Line, type Lines, range } from '../lines.js';
import { lineColour } from './colour.js';
import {
  type FrameOptions,
  frame,
  round,
  type SvgTheme,
  small,
  textWidth,
  ticks,
  tint,
} from './svg-parts.js';

/** How `linesSvg` draws. */
export interface LinesSvgOptions extends FrameOptions {
  /** Of the area with the curves, in pixels. Default 560 × 260. */
  readonly size?: readonly [width: number, height: number];
  readonly heading?: string;
  /** Below the plot, e.g. what the bands are. */
  readonly note?: string;
}

const DASHES = ['', '7 3', '2 2.5', '9 3 2 3'];

/** The curves with their bands, a zero line, axes, and a legend on the right. Tooltips tell the numbers. */
export function linesSvg(plot: Lines, options: LinesSvgOptions = {}): string {
  const { size: [w, h] = [560, 260], note = '', theme, standalone } = options;
  const heading = (standalone && options.heading) || ''; // a page says it above the picture
  const { lines, labels, at, names } = plot;
  const [low, high] = range(plot, true);
  const pad = 0.04 * (high - low);
  const [bottom, top] = [low < 0 ? low - pad : 0, high > 0 ? high + pad : 0];
  const [first, last] = [at[0], at[at.length - 1]];
  const px = (i: number) => round(last > first ? (w * (at[i] - first)) / (last - first) : w / 2);
  const py = (v: number) => round((h * (top - v)) / (top - bottom));

  const yTicks = ticks(bottom, top, 5);
  const left = Math.max(...yTicks.map((v) => textWidth(exact(v), 10))) + 14;
  const above = (heading ? 30 : 0) + (names[1] ? 26 : 8);
  const out = heading ? [`<text class="h" x="0" y="${20 - above}">${escapeHtml(heading)}</text>`] : [];
  if (names[1]) out.push(`<text x="${-left + 4}" y="-10">${escapeHtml(names[1])}</text>`);
  for (const v of yTicks) {
    out.push(
      `<line class="${v === 0 ? 'zero' : 'axis'}" x1="0" x2="${w}" y1="${py(v)}" y2="${py(v)}" stroke="#ccc"/>`,
    );
    out.push(small(exact(v), -7, py(v) + 3.5, 'end'));
  }
  for (const [i, text] of xTicks(plot, w)) out.push(small(text, px(i), h + 16, 'middle'));
  out.push(`<text x="${w / 2}" y="${h + 34}" text-anchor="middle">${escapeHtml(names[0])}</text>`);
  if (note) out.push(small(note, 0, h + 52, 'start'));

  const runs = lines.map(({ values }) => unbroken(values));
  const hue = (s: number) => lines[s].colour ?? s;
  lines.forEach(({ values, band }, s) => {
    if (!band) return;
    const edge = (i: number, sign: number) => `${px(i)} ${py(values[i] + sign * (band[i] || 0))}`;
    for (const run of runs[s]) {
      const there = run.map((i) => edge(i, 1));
      const back = run.map((i) => edge(i, -1)).reverse();
      out.push(
        `<path class="f" d="M${[...there, ...back].join('L')}Z" fill-opacity=".16" ${colour('fill', hue(s), theme)}/>`,
      );
    }
  });
  lines.forEach(({ name, values, band }, s) => {
    for (const run of runs[s])
      out.push(
        `<path class="s" d="M${run.map((i) => `${px(i)} ${py(values[i])}`).join('L')}" ${stroke(s, hue(s), theme)}/>`,
      );
    for (const i of runs[s].flat()) {
      const spread = band && Number.isFinite(band[i]) ? ` ± ${exact(band[i])}` : '';
      const tip = `${[name, labels[i]].filter(Boolean).join(' · ')}\n${exact(values[i])}${spread}`;
      const hidden = at.length > 30 ? ' fill-opacity="0"' : ''; // there for the tooltip
      const dot = `cx="${px(i)}" cy="${py(values[i])}" r="2.4"${hidden}`;
      out.push(
        `<circle class="f" ${dot} ${colour('fill', hue(s), theme)}><title>${escapeHtml(tip)}</title></circle>`,
      );
    }
  });
  const key = legend(lines, runs, w + 22, theme);
  out.push(key.body);

  const width =
    Math.max(
      left + w + 22 + key.width,
      left + textWidth(heading, 13),
      textWidth(names[1]),
      left + textWidth(note, 10),
    ) + 12;
  const height = above + Math.max(h + (note ? 60 : 42), key.height + 8);
  const name = options.heading || names[1];
  return frame(
    `<g transform="translate(${round(left)} ${above})">${out.join('')}</g>`,
    [width, height],
    name,
    options,
  );
}

const colour = (what: 'fill' | 'stroke', i: number, theme?: SvgTheme): string =>
  tint(what, (t) => lineColour(i, t), theme);

const stroke = (i: number, hue: number, theme?: SvgTheme): string =>
  `fill="none" stroke-width="2" stroke-linejoin="round" stroke-dasharray="${DASHES[i % DASHES.length] || 'none'}" ${colour('stroke', hue, theme)}`;

/** Stretches of x without a gap. */
function unbroken(values: ArrayLike<number>): number[][] {
  const runs: number[][] = [];
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) continue;
    if (i > 0 && Number.isFinite(values[i - 1])) runs.at(-1)!.push(i);
    else runs.push([i]);
  }
  return runs;
}

function legend(lines: readonly Line[], runs: readonly number[][][], x: number, theme?: SvgTheme) {
  if (lines.length === 1 && !lines[0].name) return { body: '', width: 0, height: 0 };
  const texts = lines.map(({ name }, i) => shorten(name, 40) + (runs[i].length ? '' : ' (none)'));
  const body = texts.map((text, i) => {
    const y = 8 + 20 * i;
    return `<path class="s" d="M${x} ${y}L${x + 26} ${y}" ${stroke(i, lines[i].colour ?? i, theme)}/><text x="${x + 34}" y="${y + 4}">${escapeHtml(text)}</text>`;
  });
  return {
    body: body.join(''),
    width: 34 + Math.max(...texts.map((t) => textWidth(t))),
    height: 20 * texts.length,
  };
}

/** Which x have a number or a label below them. */
function xTicks({ at, labels, numbered }: Lines, width: number): [index: number, text: string][] {
  const whole = at.map((x, i) => [i, numbered ? String(x) : shorten(labels[i], 12)] as [number, string]);
  const shown = numbered ? whole.filter(([i]) => Number.isInteger(at[i])) : whole;
  const room = width / Math.max(1, shown.length);
  const widest = Math.max(...shown.map(([, text]) => textWidth(text, 10))) + 8;
  const least = numbered && shown.length > 16 ? 5 : 1;
  const step = [1, 2, 5, 10, 20, 50].find((s) => s >= least && s * room >= widest) ?? shown.length;
  return shown.filter(([i], k) => (numbered ? at[i] : k) % step === 0);
}
