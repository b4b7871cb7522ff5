/**
 * A circuit as a drawing: writers by layer from left to right, heads above MLPs, and an arc for each edge.
 * Its width is the magnitude of the score, its colour the sign; queries, keys and values of a head are told
 * in the tooltip and the table.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { EdgeList } from '../circuits/edge-list.js';
import { escapeHtml, exact, fit } from '../results/text.js';
import { lineColour } from './draw/colour.js';
import { drawnFigure, type Figure } from './draw/drawing.js';
import { type FrameOptions, frame, round, type SvgTheme, tint } from './draw/svg-parts.js';
import { TERMINAL, type TerminalOptions } from './draw/terminal.js';

/** Options of `circuitFigure`. */
export interface CircuitFigureOptions {
  /** Default: the method and the number of edges. */
  readonly title?: string;
}

/** More than these cannot be told apart. */
const MAX_EDGES = 500;
const [STEP, ROW, RADIUS, MARGIN] = [120, 44, 13, 40];

const EDGES = is.having('an EdgeList', 'topEdges', 'indices', 'scores');

const takes = signatures({
  circuitFigure: { edges: EDGES, options: options<CircuitFigureOptions>({ title: is.text }) },
  edgeLines: { edges: EDGES, options: TERMINAL },
});

/**
 * A figure of the edges in a list, and in a terminal their table, the largest first.
 * @throws when there are none, or so many that nobody could see them: take `topEdges(n)`.
 */
export const circuitFigure = takes.circuitFigure(function circuitFigure(
  edges: EdgeList,
  { title }: CircuitFigureOptions = {},
): Figure {
  if (!edges.length) throw new Error('a figure of no edges');
  if (edges.length > MAX_EDGES)
    throw new Error(
      `a figure of ${edges.length} edges cannot be read: draw topEdges(n), ${MAX_EDGES} at most`,
    );
  const name = title ?? `${String(edges.meta.method ?? 'circuit')}: ${edges.length} edges`;
  const heading = name[0].toUpperCase() + name.slice(1);
  return drawnFigure({
    title: heading,
    about: 'An arc is an edge: what its right end reads of what its left end writes.',
    meta: edges.meta,
    svg: (options) => circuitSvg(edges, heading, options),
    lines: (options) => edgeLines(edges, options),
  });
});

/** The edges as a table, the largest first: writer, reader, score. */
export const edgeLines = takes.edgeLines(function edgeLines(
  edges: EdgeList,
  { width = 80 }: TerminalOptions = {},
): string[] {
  const all = [...edges.topEdges(edges.length)];
  const side = (key: 'sender' | 'receiver') =>
    Math.min(Math.floor(width / 3), Math.max(...all.map((e) => e[key].length)));
  const [from, to] = [side('sender'), side('receiver')];
  return all.map(
    (e) => `${fit(e.sender, from)} → ${fit(e.receiver, to)}  ${exact(e.score, { sign: true }).padStart(10)}`,
  );
});

function circuitSvg(edges: EdgeList, heading: string, { theme, ...options }: FrameOptions): string {
  const { nLayers, nHeads, attnOnly } = edges.shape;
  const rows = Math.max(nHeads, 1) + (attnOnly ? 0 : 1);
  const middle = 40 + ((rows - 1) * ROW) / 2 + RADIUS;
  /** `a1.h0<q>` and `a1.h0` are the same place. */
  const place = (label: string): [x: number, y: number] => {
    if (label === 'input') return [MARGIN, middle];
    if (label === 'logits') return [MARGIN + (2 * nLayers + 1) * (STEP / 2) + STEP / 2, middle];
    const [layer, head] = label.match(/\d+/g)!.map(Number);
    const mlp = label[0] === 'm';
    return [
      MARGIN + STEP / 2 + (2 * layer + (mlp ? 1 : 0)) * (STEP / 2),
      40 + RADIUS + (mlp ? nHeads : head) * ROW,
    ];
  };
  const most = edges.scores.reduce((m, x) => Math.max(m, Math.abs(x)), 0) || 1;
  const nodes = new Set<string>(['input', 'logits']);
  const arcs = [...edges.topEdges(edges.length)].reverse().map(({ sender, receiver, score }) => {
    const to = receiver.replace(/<.>$/, '');
    nodes.add(sender).add(to);
    return arc(place(sender), place(to), {
      share: Math.abs(score) / most,
      series: score < 0 ? 1 : 0,
      tip: `${sender} → ${receiver}: ${exact(score)}`,
      theme,
    });
  });
  const dots = [...nodes].map((label) => {
    const [x, y] = place(label);
    const circle = `<circle class="paper zero" cx="${round(x)}" cy="${round(y)}" r="${RADIUS}" stroke="#868b99"/>`;
    return `${circle}<text class="n" x="${round(x)}" y="${round(y + RADIUS + 11)}">${escapeHtml(label)}</text>`;
  });
  const title = `<text class="h" x="${MARGIN / 2}" y="22">${escapeHtml(heading)}</text>`;
  const size = [place('logits')[0] + MARGIN, 40 + rows * ROW + 2 * RADIUS] as const;
  return frame([title, ...arcs, ...dots].join(''), size, heading, { ...options, theme });
}

function arc(
  [x0, y0]: readonly [number, number],
  [x1, y1]: readonly [number, number],
  o: { share: number; series: number; tip: string; theme?: SvgTheme },
): string {
  const bend = (x1 - x0) / 2;
  const path = `M${round(x0)} ${round(y0)}C${round(x0 + bend)} ${round(y0)} ${round(x1 - bend)} ${round(y1)} ${round(x1)} ${round(y1)}`;
  const colour = tint('stroke', (t) => lineColour(o.series, t), o.theme);
  const width = round(0.6 + 5 * o.share);
  return `<path class="s" d="${path}" fill="none" stroke-width="${width}" stroke-opacity=".75" ${colour}><title>${escapeHtml(o.tip)}</title></path>`;
}
