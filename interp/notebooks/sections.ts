/** Sections of a report on a page: their HTML, and how tall they stand, which decides what is folded as the page opens. */

import type { Figure } from '../figures/draw/drawing.js';
import { escapeHtml } from '../results/text.js';
import { htmlTable } from './tables.js';

/** Of a section. */
export type Block =
  | { readonly kind: 'text'; readonly lines: readonly string[] }
  | {
      readonly kind: 'table';
      readonly heads: readonly string[];
      readonly rows: readonly (readonly string[])[];
    }
  | { readonly kind: 'html'; readonly title: string; readonly about: string; readonly html: string }
  | FigureBlock;

interface FigureBlock {
  readonly kind: 'figure';
  readonly file: string;
  readonly figure: Figure;
  readonly title: string;
  readonly about: string;
  readonly beside: boolean;
  readonly lines: boolean;
}

/** A part of a report. */
export interface Part {
  readonly title: string;
  readonly about: string;
  readonly blocks: Block[];
  readonly files: string[];
}

/** Pictures up to this width stand beside each other. */
export const BESIDE = 520;

/** Pixels of a section on a page that is 1280 wide, and between pictures that stand beside each other. */
const ROOM = 1006;
const BETWEEN = 28;

const sizeOf = (html: string): readonly [width: number, height: number] => {
  const size = /<svg[^>]* width="(\d+)" height="(\d+)"/.exec(html);
  return size ? [Number(size[1]), Number(size[2])] : [Infinity, 0];
};

/** Pixels of a picture across. */
export const widthOf = (figure: Figure): number => sizeOf(figure.section().figure)[0];

/** Blocks as they stand: texts that follow each other are one, pictures beside each other a row. */
function rowsOf(blocks: readonly Block[]): Block[][] {
  const rows: Block[][] = [];
  for (const block of blocks) {
    const last = rows.at(-1)?.[0];
    const both = last?.kind === block.kind;
    const joins = both && (block.kind === 'text' || (block.kind === 'figure' && block.beside));
    if (joins && (last.kind !== 'figure' || last.beside)) rows.at(-1)!.push(block);
    else rows.push([block]);
  }
  return rows;
}

const textOf = (row: readonly Block[]): string =>
  row.flatMap((block) => (block.kind === 'text' ? block.lines : [])).join('\n');

/** The HTML of a section’s blocks. */
export function partHtml(part: Part): string {
  return rowsOf(part.blocks)
    .map((row) => {
      const [block] = row;
      if (block.kind === 'text') return `<pre>${escapeHtml(textOf(row))}</pre>`;
      if (block.kind === 'table') return htmlTable(block.heads, block.rows);
      if (block.kind === 'html') return words(part, block, block.html);
      if (!block.beside) return picture(part, block);
      const columns = (row as FigureBlock[]).map((one) => {
        const width = widthOf(one.figure);
        return `<div style="width:${Math.min(ROOM, Math.max(MIN_COLUMN, width))}px">${picture(part, one)}</div>`;
      });
      return `<div class="beside">${columns.join('')}</div>`;
    })
    .join('\n');
}

/** Narrower columns would break the line of facts too often. */
const MIN_COLUMN = 310;

const words = (
  { title: whole }: Part,
  { title, about }: { readonly title: string; readonly about: string },
  drawn: string,
): string =>
  `${title && title !== whole ? `<h3>${escapeHtml(title)}</h3>` : ''}${about && `<p>${escapeHtml(about)}</p>`}${drawn}`;

function picture(part: Part, block: FigureBlock): string {
  const { figure, source } = block.figure.section();
  const facts = Object.entries(source)
    .filter(([name]) => !SHARED.has(name))
    .map(([name, value]) => `<span><b>${escapeHtml(name)}</b>${escapeHtml(value)}</span>`)
    .join('');
  return `${words(part, block, figure)}<p class="source own">${facts}</p>`;
}

/** Facts that the head of the page has, of all figures. */
const SHARED = new Set(['model', 'hash', 'processing', 'adapter']);

/** About how many pixels a section takes, unfolded, on a page that is 1280 wide. */
export function partHeight(part: Part): number {
  const rows = rowsOf(part.blocks).map((row): number => {
    const [block] = row;
    if (block.kind === 'text') return 44 + 19 * textOf(row).split('\n').length;
    if (block.kind === 'table') return 40 + 30 * (block.rows.length + 1);
    if (block.kind === 'html')
      return htmlHeight(block.html) + (block.title ? 50 : 0) + (block.about ? 54 : 0);
    const figures = row as FigureBlock[];
    let [total, tallest, used] = [0, 0, Infinity];
    for (const { figure, about, title } of figures) {
      const [width, tall] = sizeOf(figure.section().figure);
      const height = tall + (title ? 50 : 0) + (about ? 54 : 0) + 66; // with two lines of facts
      const column = Math.min(ROOM, Math.max(MIN_COLUMN, width));
      if (used + BETWEEN + column > ROOM) {
        total += tallest;
        [tallest, used] = [0, -BETWEEN];
      }
      used += BETWEEN + column;
      tallest = Math.max(tallest, height);
    }
    return total + tallest;
  });
  return rows.reduce((sum, height) => sum + height, 114 + (part.about ? 54 : 0));
}

/** Of HTML that is a page’s only: its pictures, rows of tables and thumbnails of heads. */
function htmlHeight(html: string): number {
  const pictures = [...html.matchAll(/<svg[^>]* height="(\d+)"/g)].map(([, h]) => Number(h));
  const count = (pattern: RegExp) => html.match(pattern)?.length ?? 0;
  const folded = html.startsWith('<details>') ? 30 : 0;
  const thumbnails = 50 * count(/class="layer"/g) + 60;
  return folded || 100 + Math.max(thumbnails, ...pictures) + 30 * count(/<tr>/g);
}
