/**
 * Curves over layers (or any other axis), with bands: what is in the plot, and how it looks in a terminal.
 */

import type { LabelledData } from '../results/result.js';
import { displayWidth, exact, fit, shorten, visibleLabel } from '../results/text.js';
import { lineColour } from './draw/colour.js';
import { paint, type TerminalOptions } from './draw/terminal.js';

/** One curve. NaN leaves a gap. */
export interface Line {
  readonly name: string;
  readonly values: ArrayLike<number>;
  /** Half the height of the band around each value, e.g. 1.96 σ/√n. */
  readonly band?: ArrayLike<number>;
  /** Which of the colours. Default: its place among the curves. */
  readonly colour?: number;
}

/** Curves over a common x axis. */
export interface Lines {
  readonly lines: readonly Line[];
  /** One label an x. */
  readonly labels: readonly string[];
  /** Where each x stands; the layer, or half a layer, where labels tell. */
  readonly at: readonly number[];
  /** Whether `at` are layers, and not merely places in the row. */
  readonly numbered: boolean;
  /** What the axes are called. */
  readonly names: readonly [x: string, y: string];
}

/** What `lines` needs besides the numbers. */
export interface LinesOptions {
  /** Half the height of each band, of the shape of the result. */
  readonly band?: LabelledData;
  /** Caption of the y axis. Default: the metric. */
  readonly y?: string;
  /** Caption of the x axis. Default: the name of the result's last axis. */
  readonly x?: string;
}

/**
 * The curves of a result of axes [x], or [series, x]. Layers are found in labels like `L3`, and half layers
 * in `3_pre`, `3_mid`, `final_post`.
 * @throws when the result has more axes, or the band another shape.
 */
export function lines(result: LabelledData, { band, x, y }: LinesOptions = {}): Lines {
  const { axes, shape, values, meta } = result;
  if (shape.length < 1 || shape.length > 2)
    throw new Error(
      `curves have the axes [x] or [series, x], this result ${axes.map((a) => a.name).join(' × ')}`,
    );
  if (band && band.shape.join() !== shape.join())
    throw new Error(`the band is ${band.shape.join(' × ')}, the curves are ${shape.join(' × ')}`);
  const last = axes[shape.length - 1];
  const n = last.labels.length;
  const part = (all: Float32Array, i: number) => all.subarray(i * n, (i + 1) * n);
  const series = shape.length === 2 ? axes[0].labels : [''];
  const found = layersOf(last.labels);
  return {
    lines: series.map((name, i) => ({
      name: visibleLabel(name),
      values: part(values, i),
      band: band && part(band.values, i),
    })),
    labels: last.labels.map(visibleLabel),
    at: found ?? last.labels.map((_, i) => i),
    numbered: found !== null,
    names: [x ?? last.name, y ?? (typeof meta.metric === 'string' ? meta.metric : '')],
  };
}

const PARTS: Readonly<Record<string, number>> = { pre: 0, mid: 0.5, post: 1 };

/**
 * The layers that labels name, ascending; null when one does not. The end of the model follows at the
 * distance of the others.
 */
function layersOf(labels: readonly string[]): number[] | null {
  const at: number[] = [];
  for (const [i, label] of labels.entries()) {
    const found = /^L?(\d+(?:\.\d+)?)(?:_(pre|mid|post))?$/.exec(label);
    if (found) at.push(Number(found[1]) + (PARTS[found[2]] ?? 0));
    else if (/^final(_post)?$/.test(label) && i > 1) at.push(2 * at[i - 1] - at[i - 2]);
    else return null;
  }
  return at.every((x, i) => i === 0 || x > at[i - 1]) ? at : null;
}

/** The values that a plot must show: all curves, with their bands or without, and zero. */
export function range({ lines }: Lines, bands: boolean): [low: number, high: number] {
  let [low, high] = [0, 0];
  for (const { values, band } of lines)
    Array.from(values).forEach((v, i) => {
      const half = bands && band && Number.isFinite(band[i]) ? band[i] : 0;
      if (!Number.isFinite(v)) return;
      low = Math.min(low, v - half);
      high = Math.max(high, v + half);
    });
  return low === high ? [0, 1] : [low, high];
}

const LEVELS = '▁▂▃▄▅▆▇█';

/**
 * The curves as rows of small bars, with the value furthest from zero beside each. All rows share the scale,
 * which the last line tells. Where the terminal is narrower than the curve, a bar is the furthest from zero
 * of its neighbours.
 */
export function lineLines(
  plot: Lines,
  { width = 80, depth = 1, theme = 'dark' }: TerminalOptions = {},
): string[] {
  const { lines, labels, names } = plot;
  const [low, high] = range(plot, false);
  const peaks = lines.map((line) => furthest(line.values, 0, labels.length));
  const texts = lines.map(({ values, band }, s) => {
    const i = peaks[s];
    if (i < 0) return 'none';
    return `${exact(values[i])}${band ? ` ± ${exact(band[i])}` : ''} at ${labels[i]}`;
  });
  const side = Math.min(width >> 2, Math.max(...lines.map((l) => displayWidth(l.name))));
  const tail = Math.min(width >> 1, Math.max(...texts.map(displayWidth)));
  const gap = side ? '  ' : '';
  const room = Math.max(4, width - side - tail - gap.length - 2);
  const columns = Math.min(room, labels.length * Math.max(1, Math.min(3, Math.floor(room / labels.length))));
  const start = (c: number) => Math.floor((c * labels.length) / columns);
  const rows = lines.map(({ name, values }, s) => {
    const bars = Array.from({ length: columns }, (_, c) => {
      const i = furthest(values, start(c), Math.max(start(c) + 1, start(c + 1)));
      return i < 0 ? ' ' : LEVELS[Math.round((7 * (values[i] - low)) / (high - low))];
    }).join('');
    return `${fit(name, side)}${gap}${paint(bars, { ink: lineColour(s, theme) }, depth)}  ${shorten(texts[s], tail)}`;
  });
  const [from, to] = [labels[0], labels[labels.length - 1]];
  const axis = fit(from, Math.max(1, columns - to.length)) + (columns > from.length + to.length ? to : '');
  const scale = `▁ ${exact(low)}, █ ${exact(high)}${names[1] ? `: ${names[1]}` : ''}`;
  return [
    ...rows,
    paint(`${' '.repeat(side)}${gap}${axis}`.trimEnd(), { dim: true }, depth),
    shorten(scale, width),
  ];
}

/** Index of the finite value furthest from zero within [from, to); −1 when there is none. */
function furthest(values: ArrayLike<number>, from: number, to: number): number {
  let best = -1;
  for (let i = from; i < to; i++)
    if (Number.isFinite(values[i]) && (best < 0 || Math.abs(values[i]) > Math.abs(values[best]))) best = i;
  return best;
}
