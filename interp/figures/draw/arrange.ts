/** Drawn panels and texts put together to one picture: columns of panels beside each other. */

import { escapeHtml } from '../../results/text.js';
import type { Panel } from './panel.js';
import { type FrameOptions, frame, round, textWidth } from './svg-parts.js';

const PAD = 8;
const BETWEEN = 34;
const GAP = 22;

/** A line of text above the panels: a title, or what the picture says. */
export interface TextLine {
  readonly text: string;
  /** In pixels. Default 12. */
  readonly size?: number;
  readonly bold?: boolean;
}

/**
 * A panel of text, a line each; columns are told by a tab. @param widths of the columns, in pixels; default:
 * as they need
 */
export function textPanel(lines: readonly string[], heading = ''): Panel {
  const cells = lines.map((line) => line.split('\t'));
  const n = Math.max(0, ...cells.map((c) => c.length));
  const widths = Array.from(
    { length: n },
    (_, i) => Math.max(...cells.map((c) => textWidth(c[i] ?? '', 11))) + 16,
  );
  const above = heading ? 24 : 4;
  const starts = widths.map((_, i) => widths.slice(0, i).reduce((a, b) => a + b, 0));
  const head = heading ? `<text class="h" x="0" y="${10 - above}">${escapeHtml(heading)}</text>` : '';
  const body = cells.map((row, r) =>
    row
      .map(
        (text, i) =>
          `<text x="${round(starts[i])}" y="${17 * r + 13}" font-size="11">${escapeHtml(text)}</text>`,
      )
      .join(''),
  );
  const width = Math.max(
    textWidth(heading, 13),
    widths.reduce((a, b) => a + b, 0),
  );
  return { body: head + body.join(''), width, height: 17 * lines.length, left: 0, right: 0, above, below: 0 };
}

/** A picture of columns of panels, with its title and further lines above. */
export function arranged(
  title: string,
  lines: readonly TextLine[],
  columns: readonly (readonly Panel[])[],
  options: FrameOptions,
): string {
  const said: TextLine[] = [...(options.standalone ? [{ text: title, size: 14, bold: true }] : []), ...lines];
  const out: string[] = [];
  let [y, right] = [2, 0];
  for (const { text, size = 12, bold = false } of said) {
    y += size + 6;
    out.push(
      `<text${bold ? ' class="h"' : ''} x="${PAD}" y="${round(y - 2)}" font-size="${size}">${escapeHtml(text)}</text>`,
    );
    right = Math.max(right, PAD + textWidth(text, size + (bold ? 1 : 0)));
  }
  if (said.length) y += 8;
  let [x, bottom] = [PAD, y];
  for (const column of columns) {
    if (!column.length) continue;
    let at = y;
    let edge = x;
    for (const p of column) {
      out.push(`<g transform="translate(${round(x + p.left)} ${round(at + p.above)})">${p.body}</g>`);
      at += p.above + p.height + p.below + GAP;
      edge = Math.max(edge, x + p.left + p.width + p.right);
    }
    bottom = Math.max(bottom, at - GAP);
    right = Math.max(right, edge);
    x = edge + BETWEEN;
  }
  return frame(out.join(''), [right + PAD, bottom + 6], title, options);
}
