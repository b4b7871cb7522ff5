/** Bars to both sides of zero, one a row: for mouse, keyboard and screen reader like a grid of one column. */

import { alignedNumbers, exact, visibleLabel } from '../../interp/results/text.js';
import { fill, h } from './dom.js';
import { roving } from './roving.js';
import type { Tip } from './tip.js';

/** How bars behave. */
export interface BarOptions {
  /** For screen readers. */
  readonly label: string;
  readonly rows: readonly string[];
  readonly values: ArrayLike<number>;
  /** The scale ends at the largest |value|, and no earlier than here. */
  readonly least: number;
  tip(row: number): Tip;
  preview(row: number | null): void;
  lock(row: number): void;
}

/** Bars on the page. */
export interface Bars {
  readonly element: HTMLElement;
  mark(locked: readonly number[], shown: readonly number[]): void;
}

/** Draws bars. */
export function bars({ label, rows, values, least, tip, preview, lock }: BarOptions): Bars {
  const all = Array.from(values);
  const end = Math.max(...all.map(Math.abs), least);
  const low = Math.max(0, ...all.map((v) => -v)) / end;
  const high = Math.max(0, ...all) / end;
  const zero = low / (low + high || 1);
  const texts = alignedNumbers(all, { sign: true });
  const cells: HTMLElement[] = [];
  const element = h('div', {
    ...{ role: 'grid', 'aria-label': label, 'aria-readonly': 'true', class: 'bars' },
    style: `--zero:${zero}`,
  });
  fill(
    element,
    rows.map((name, r) => {
      const size = ((Math.abs(all[r]) / end) * (1 - zero)) / (high || 1);
      const width = high ? size : Math.abs(all[r]) / end;
      const cell = h(
        'div',
        {
          ...{ role: 'gridcell', class: 'cell', tabindex: r ? -1 : 0, 'data-cell': `${r},0` },
          ...{ 'aria-selected': 'false', 'aria-label': `${visibleLabel(name)}: ${exact(all[r])}` },
        },
        h('span', { class: all[r] < 0 ? 'bar minus' : 'bar', style: `--size:${width}` }),
      );
      cells.push(cell);
      return h(
        'div',
        { role: 'row', class: 'bars-row' },
        h('div', { role: 'rowheader', class: 'bars-name' }, visibleLabel(name)),
        cell,
        h('div', { class: 'bars-value num', 'aria-hidden': 'true' }, texts[r]),
      );
    }),
  );
  roving(element, cells, 1, {
    tip,
    preview: (at) => preview(at ? at[0] : null),
    lock,
  });
  return {
    element,
    mark(locked, shown) {
      cells.forEach((cell, r) => {
        const chosen = locked.includes(r);
        cell.setAttribute('aria-selected', String(chosen));
        cell.classList.toggle('locked', chosen);
        cell.classList.toggle('shown', !chosen && shown.includes(r));
      });
    },
  };
}
