/**
 * Cells that share one stop of the Tab key: pointing or arrow keys preview a cell, a click or Enter locks it.
 * The mouse and the keyboard reach the same cells.
 */

import { hideTip, showTip, type Tip } from './tip.js';

/** What happens at cells. */
export interface RovingOptions {
  tip(row: number, column: number): Tip;
  /** A cell is pointed at or focused; null: none is. */
  preview(at: readonly [row: number, column: number] | null): void;
  lock(row: number, column: number): void;
}

/**
 * Makes cells of class `cell` answer. The first one should have `tabindex` 0, the others -1.
 * @param cells row by row, each with its `data-cell="row,column"`
 * @param width cells a row
 */
export function roving(
  element: HTMLElement,
  cells: readonly HTMLElement[],
  width: number,
  { tip, preview, lock }: RovingOptions,
): void {
  const height = cells.length / width;
  let focused = 0;
  const indexOf = (target: EventTarget | null): number => {
    const cell = (target as Element | null)?.closest?.<HTMLElement>('.cell');
    if (!cell) return -1;
    const [r, c] = cell.dataset.cell!.split(',').map(Number);
    return r * width + c;
  };
  const show = (index: number) => {
    const [r, c] = [Math.floor(index / width), index % width];
    preview([r, c]);
    showTip(cells[index], tip(r, c));
  };
  const leave = () => {
    preview(null);
    hideTip();
  };
  const stop = (index: number) => {
    cells[focused].tabIndex = -1;
    focused = index;
    cells[index].tabIndex = 0;
  };
  element.addEventListener('pointerover', (event) => {
    const index = indexOf(event.target);
    if (index >= 0) show(index);
    else leave();
  });
  element.addEventListener('pointerleave', leave);
  element.addEventListener('click', (event) => {
    const index = indexOf(event.target);
    if (index < 0) return;
    stop(index);
    lock(Math.floor(index / width), index % width);
  });
  element.addEventListener('focusin', (event) => {
    const index = indexOf(event.target);
    if (index >= 0 && (event.target as Element).matches(':focus-visible')) show(index);
  });
  element.addEventListener('focusout', leave);
  element.addEventListener('keydown', (event) => {
    const index = indexOf(event.target);
    if (index < 0) return;
    const [r, c] = [Math.floor(index / width), index % width];
    const moves: Record<string, readonly [number, number]> = {
      ArrowUp: [r - 1, c],
      ArrowDown: [r + 1, c],
      ArrowLeft: [r, c - 1],
      ArrowRight: [r, c + 1],
      Home: [event.ctrlKey ? 0 : r, 0],
      End: [event.ctrlKey ? height - 1 : r, width - 1],
      PageUp: [0, c],
      PageDown: [height - 1, c],
    };
    const to = moves[event.key];
    if (to) {
      const [row, column] = to;
      if (row >= 0 && row < height && column >= 0 && column < width) {
        stop(row * width + column);
        cells[focused].focus();
      }
    } else if (event.key === 'Enter' || event.key === ' ') lock(r, c);
    else return;
    event.preventDefault();
  });
}
