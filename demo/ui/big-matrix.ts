/** A matrix too large for an element a cell: one canvas, with the mouse and the arrow keys. */

import type { Rgb } from '../../interp/figures/draw/colour.js';
import { h } from './dom.js';
import { hideTip, showTip, type Tip } from './tip.js';

/** How it behaves. */
export interface BigMatrixOptions {
  /** Rows and columns. */
  readonly n: number;
  /** For screen readers. */
  readonly label: string;
  tip(row: number, column: number): Tip;
  preview(at: readonly [row: number, column: number] | null): void;
  lock(row: number, column: number): void;
}

/** A matrix on the page. */
export interface BigMatrix {
  readonly element: HTMLElement;
  /** The colour of each entry, row by row. */
  paint(colours: readonly Rgb[]): void;
  /** A frame around an entry. */
  mark(at: readonly [row: number, column: number] | null): void;
}

/** Makes an empty one. */
export function bigMatrix({ n, label, tip, preview, lock }: BigMatrixOptions): BigMatrix {
  const canvas = h('canvas', { width: n, height: n });
  const frame = h('div', { class: 'big-frame', hidden: true });
  const element = h(
    'div',
    { class: 'big-matrix', tabindex: 0, role: 'img', 'aria-label': label, style: `--n:${n}` },
    canvas,
    frame,
  );
  let cursor: [number, number] = [n - 1, 0];
  const put = ([r, c]: readonly [number, number]) => {
    frame.style.top = `${(100 * r) / n}%`;
    frame.style.left = `${(100 * c) / n}%`;
    frame.hidden = false;
  };
  const show = (at: [number, number]) => {
    cursor = at;
    put(at);
    preview(at);
    const shown = tip(...at);
    element.setAttribute('aria-label', [label, shown.title, ...shown.lines.flat()].join(', '));
    showTip(frame, shown);
  };
  const leave = () => {
    preview(null);
    hideTip();
  };
  const at = (event: PointerEvent | MouseEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    const index = (x: number, size: number) => Math.max(0, Math.min(n - 1, Math.floor((n * x) / size)));
    return [index(event.clientY - box.top, box.height), index(event.clientX - box.left, box.width)];
  };
  element.addEventListener('pointermove', (event) => {
    const [r, c] = at(event);
    if (frame.hidden || r !== cursor[0] || c !== cursor[1]) show([r, c]);
  });
  element.addEventListener('pointerleave', leave);
  element.addEventListener('focusout', leave);
  element.addEventListener('click', (event) => lock(...at(event)));
  element.addEventListener('keydown', (event) => {
    const [r, c] = cursor;
    const moves: Record<string, [number, number]> = {
      ArrowUp: [r - 1, c],
      ArrowDown: [r + 1, c],
      ArrowLeft: [r, c - 1],
      ArrowRight: [r, c + 1],
    };
    const to = moves[event.key];
    if (to) {
      if (to.every((i) => i >= 0 && i < n)) show(to);
    } else if (event.key === 'Enter' || event.key === ' ') lock(r, c);
    else return;
    event.preventDefault();
  });
  return {
    element,
    paint(colours) {
      const context = canvas.getContext('2d')!;
      const image = context.createImageData(n, n);
      colours.forEach((colour, j) => {
        image.data.set([...colour, 255], 4 * j);
      });
      context.putImageData(image, 0, 0);
    },
    mark(place) {
      if (place) put(place);
      else frame.hidden = true;
    },
  };
}
