/** A scatter plot as SVG. */

import { escapeHtml, exact, shorten } from '../../results/text.js';
import type { Point, Scatter } from '../scatter.js';
import { lineColour } from './colour.js';
import { type FrameOptions, frame, round, small, textWidth, ticks, tint } from './svg-parts.js';

/** Of the square with the points, in pixels. */
const SIZE = 400;
/** More points than this have no tooltips: the file would be too large. */
const MAX_TIPS = 4000;

/** The points, x and y on one scale, the line y = x, axes, and names that neither overlap nor leave the square. */
export function scatterSvg(plot: Scatter, options: FrameOptions & { readonly heading: string }): string {
  const { points, named, note, captions } = plot;
  const { theme, standalone } = options;
  const heading = standalone ? options.heading : ''; // a page says it above the picture
  const all = points.flatMap(({ x, y }) => [x, y]);
  const least = all.reduce((a, b) => Math.min(a, b));
  const most = all.reduce((a, b) => Math.max(a, b));
  const pad = 0.06 * (most - least) || 0.5 * Math.abs(most) || 1;
  const [low, high] = [least - pad, most + pad];
  const px = (v: number) => round((SIZE * (v - low)) / (high - low));
  const py = (v: number) => round(SIZE - px(v));

  const marks = ticks(low, high, 6);
  const left = Math.max(...marks.map((v) => textWidth(exact(v), 10))) + 14;
  const above = heading ? 56 : 28;
  const [x, y] = captions.map((caption) => shorten(caption, 48));
  const out = [
    heading && `<text class="h" x="${round(4 - left)}" y="${20 - above}">${escapeHtml(heading)}</text>`,
    `<text x="${round(4 - left)}" y="-10">${escapeHtml(y)}</text>`,
    `<text x="${SIZE / 2}" y="${SIZE + 36}" text-anchor="middle">${escapeHtml(x)}</text>`,
    small(note, 4 - left, SIZE + 56, 'start'),
  ];
  for (const v of marks) {
    const line = `<line class="${v === 0 ? 'zero' : 'axis'}" stroke="#ccc"`;
    out.push(`${line} x1="0" x2="${SIZE}" y1="${py(v)}" y2="${py(v)}"/>`);
    out.push(`${line} x1="${px(v)}" x2="${px(v)}" y1="0" y2="${SIZE}"/>`);
    out.push(small(exact(v), -7, py(v) + 3.5, 'end'), small(exact(v), px(v), SIZE + 16, 'middle'));
  }
  out.push(
    `<line class="zero diagonal" stroke="#888" stroke-dasharray="5 4" x1="0" y1="${SIZE}" x2="${SIZE}" y2="0"/>`,
  );
  out.push(small('y = x', SIZE + 6, 4, 'start'));

  const dots = points.map((p) => [px(p.x), py(p.y)] as const);
  const draw = ({ name, x, y }: Point, i: number) => {
    const tip = `${name}\n${exact(x)}, ${exact(y)}`;
    const inside = points.length <= MAX_TIPS || i < named ? `<title>${escapeHtml(tip)}</title>` : '';
    const look = tint('fill', (t) => lineColour(i < named ? 1 : 0, t), theme);
    const place = `cx="${dots[i][0]}" cy="${dots[i][1]}" r="${i < named ? 3.6 : 2.8}"`;
    return `<circle class="f" ${place} fill-opacity="${i < named ? 1 : 0.6}" ${look}>${inside}</circle>`;
  };
  out.push(...points.map(draw).reverse()); // the named ones on top
  out.push(...names(points.slice(0, named), dots, [px(0), py(0)]));

  const width = Math.max(
    left + SIZE + 44,
    textWidth(heading, 13) + 16,
    textWidth(note, 10) + 16,
    textWidth(y) + 16,
  );
  return frame(
    `<g transform="translate(${round(left)} ${above})">${out.join('')}</g>`,
    [width, above + SIZE + 66],
    options.heading,
    options,
  );
}

type Box = readonly [left: number, top: number, right: number, bottom: number];

/** Names beside their points, where fewest points are hidden and no zero line runs through; one for which there is no room is left to its tooltip. */
function names(
  points: readonly Point[],
  dots: readonly (readonly [x: number, y: number])[],
  [zeroX, zeroY]: readonly [number, number],
): string[] {
  const taken: Box[] = [];
  return points.map(({ name }, i) => {
    const text = shorten(name, 26);
    const width = textWidth(text, 11);
    let best: { box: Box; cost: number } | undefined;
    for (const box of around(dots[i], width)) {
      if (taken.some((other) => overlap(box, other))) continue;
      const [cx, cy] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
      const away = Math.hypot(Math.max(0, Math.abs(cx - dots[i][0]) - width / 2), cy - dots[i][1]);
      const struck = overlap(box, [zeroX, 0, zeroX, SIZE]) || overlap(box, [0, zeroY, SIZE, zeroY]);
      const cost =
        away +
        (struck ? 12 : 0) +
        12 * dots.filter(([x, y]) => overlap(box, [x - 3, y - 3, x + 3, y + 3])).length;
      if (!best || cost < best.cost) best = { box, cost };
    }
    if (!best) return '';
    taken.push(best.box);
    return label(text, best.box, dots[i]);
  });
}

/** Places for a name, near ones first, inside the square. */
function around([x, y]: readonly [number, number], width: number): Box[] {
  const out: Box[] = [];
  for (const far of [0, 14, 28, 42, 56])
    for (const [dx, dy] of [
      [1, 0],
      [-1, 0],
      [0, -1],
      [0, 1],
      [1, -1],
      [-1, -1],
      [1, 1],
      [-1, 1],
    ]) {
      const middle = x + dx * (width / 2 + 6 + far);
      const left = Math.min(SIZE - width - 2, Math.max(2, middle - width / 2));
      const top = y - 6.5 + dy * (11 + far);
      if (top >= 1 && top + 13 <= SIZE - 1) out.push([left, top, left + width, top + 13]);
    }
  return out;
}

const overlap = (a: Box, b: Box): boolean => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** The name, with a thin line to its point when that is not next to it. */
function label(text: string, [left, top, right, bottom]: Box, [x, y]: readonly [number, number]): string {
  const [nearX, nearY] = [Math.min(right, Math.max(left, x)), Math.min(bottom, Math.max(top, y))];
  const lead =
    Math.hypot(nearX - x, nearY - y) > 10
      ? `<line class="zero" stroke="#888" stroke-width="0.7" x1="${round(x)}" y1="${round(y)}" x2="${round(nearX)}" y2="${round(nearY)}"/>`
      : '';
  const middle = round((left + right) / 2);
  return `${lead}<text x="${middle}" y="${round(bottom - 3)}" text-anchor="middle" font-size="11" class="name">${escapeHtml(text)}</text>`;
}
