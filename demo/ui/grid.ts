/**
 * A grid of cells, for mouse, keyboard and screen reader alike: pointing or arrow keys preview a cell, a
 * click or Enter locks it. Every cell says its place and value.
 */

import { hex, inkOn, type Rgb } from '../../interp/figures/draw/colour.js';
import { splitLabel, visibleLabel } from '../../interp/results/text.js';
import { fill, h } from './dom.js';
import { type RovingOptions, roving } from './roving.js';

/** What a cell shows. */
export interface CellLook {
  readonly light: Rgb;
  readonly dark: Rgb;
  /** Inside, where there is room. */
  readonly text: string;
  /** For screen readers: the value. */
  readonly label: string;
  /** `estimate`: hatched, an exact value will come; `empty`: nothing is known. */
  readonly state?: 'estimate' | 'empty';
}

/** How a grid behaves. */
export interface GridOptions extends RovingOptions {
  /** For screen readers. */
  readonly label: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** Least width of a cell, in pixels. Default 24. */
  readonly minWidth?: number;
  /** The most. Default 104. */
  readonly maxWidth?: number;
  /** Class of the grid, besides `grid`. */
  readonly class?: string;
}

/** A grid on the page. */
export interface Grid {
  readonly element: HTMLElement;
  set(row: number, column: number, look: CellLook): void;
  /** Marks the locked and the previewed cells. */
  mark(locked: readonly Cell[], shown: readonly Cell[]): void;
  /** Marks columns: where prompts differ. */
  markColumns(columns: readonly number[]): void;
}

/** Pixels of a character of a column's label. */
const CHARACTER = 6.8;

/** Row and column; null: all of them. */
export type Cell = readonly [row: number | null, column: number | null];

/** Draws an empty grid. */
export function grid(options: GridOptions): Grid {
  const { rows, columns, minWidth = 24, maxWidth = 104 } = options;
  const width = columns.length;
  const cells: HTMLElement[] = [];
  const heads: HTMLElement[] = [];

  const head = h('div', { role: 'row', class: 'grid-row' }, h('div', { class: 'grid-corner' }));
  const labels = columns.map((label) => splitLabel(label));
  const long = Math.max(...labels.map(([, token]) => short(token).length));
  for (const [at, token] of labels) {
    const text = h('span', {}, short(token));
    const column = h('div', { role: 'columnheader', class: 'grid-column' }, h('small', {}, at), text);
    heads.push(column);
    head.append(column);
  }
  const body = rows.map((label, r) => {
    const row = h('div', { role: 'row', class: 'grid-row' });
    row.append(h('div', { role: 'rowheader', class: 'grid-side' }, sideText(label)));
    for (let c = 0; c < width; c++) {
      const index = r * width + c;
      const cell = h('div', {
        role: 'gridcell',
        class: 'cell',
        tabindex: index ? -1 : 0,
        'data-cell': `${r},${c}`,
        'aria-selected': 'false',
      });
      cells.push(cell);
      row.append(cell);
    }
    return row;
  });
  const element = h(
    'div',
    {
      ...{ role: 'grid', 'aria-label': options.label, 'aria-readonly': 'true' },
      'aria-rowcount': rows.length + 1,
      'aria-colcount': width + 1,
      class: `grid ${options.class ?? ''}`,
      style: `--columns:${width};--min:${minWidth}px;--max:${maxWidth}px;--height:${Math.max(24, Math.min(46, Math.floor(300 / rows.length)))}px`,
    },
    head,
    body,
  );
  // Labels that would touch each other stand upright.
  const turn = () => {
    const room = element.parentElement?.clientWidth ?? 0;
    if (!room) return;
    const side = element.querySelector('.grid-side')?.getBoundingClientRect().width ?? 48;
    const column = Math.min(maxWidth, Math.max(minWidth, (room - side) / width - 2));
    element.classList.toggle('upright', long * CHARACTER + 4 > column);
  };
  new ResizeObserver(turn).observe(element);

  /** Cells that are marked now: only they and the next ones are touched. */
  let marked = new Set<number>();
  const indices = (list: readonly Cell[]): Set<number> =>
    new Set(
      list.flatMap(([row, column]) =>
        [...cells.keys()].filter(
          (i) => (row === null || row === Math.floor(i / width)) && (column === null || column === i % width),
        ),
      ),
    );
  roving(element, cells, width, options);
  return {
    element,
    set(r, c, { light, dark, text, label, state }) {
      const cell = cells[r * width + c];
      const styles = { l: light, d: dark, il: inkOn(light), id: inkOn(dark) };
      for (const [name, colour] of Object.entries(styles)) cell.style.setProperty(`--${name}`, hex(colour));
      cell.classList.toggle('estimate', state === 'estimate');
      cell.classList.toggle('empty', state === 'empty');
      fill(cell, h('span', { 'aria-hidden': 'true' }, text));
      cell.setAttribute('aria-label', `${visibleLabel(rows[r])}, ${visibleLabel(columns[c])}: ${label}`);
    },
    mark(locked, shown) {
      const chosen = indices(locked);
      const seen = indices(shown);
      for (const i of new Set([...marked, ...chosen, ...seen])) {
        cells[i].classList.toggle('locked', chosen.has(i));
        cells[i].setAttribute('aria-selected', String(chosen.has(i)));
        cells[i].classList.toggle('shown', seen.has(i) && !chosen.has(i));
      }
      marked = new Set([...chosen, ...seen]);
    },
    markColumns(columns) {
      heads.forEach((column, i) => {
        column.classList.toggle('differs', columns.includes(i));
      });
    },
  };
}

/** The beginning-of-text token takes too much room. */
const short = (token: string): string => (/^<\|.*\|>$/.test(token) ? 'BOS' : visibleLabel(token));

/** `0:BOS`, `4:␣Mary` */
function sideText(label: string): string {
  const [at, token] = splitLabel(label);
  return at && `${at}:${token}` === label ? `${at}:${short(token)}` : visibleLabel(label);
}
