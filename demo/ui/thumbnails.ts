/** Small pictures of many square matrices on one canvas, under a grid whose cells are where they go. */

import type { Rgb } from '../../interp/figures/draw/colour.js';
import { h } from './dom.js';

/** What is painted. */
export interface Pictures {
  /** Rows and columns of one. */
  readonly n: number;
  /** The colour of each entry of the i-th picture, row by row. */
  colours(i: number): readonly Rgb[];
}

/** The canvas. */
export interface Thumbnails {
  readonly element: HTMLElement;
  paint(pictures: Pictures): void;
}

/** Puts a canvas under a grid; one picture a cell, in its order. */
export function thumbnails(grid: HTMLElement): Thumbnails {
  const canvas = h('canvas', { 'aria-hidden': 'true' });
  const element = h('div', { class: 'thumbnails' }, canvas, grid);
  const scratch = h('canvas');
  let last: Pictures | null = null;
  const draw = () => {
    if (!last || !element.clientWidth) return;
    const { n, colours } = last;
    const scale = devicePixelRatio;
    canvas.width = Math.round(element.scrollWidth * scale);
    canvas.height = Math.round(element.scrollHeight * scale);
    canvas.style.width = `${element.scrollWidth}px`;
    canvas.style.height = `${element.scrollHeight}px`;
    scratch.width = scratch.height = n;
    const [to, from] = [canvas.getContext('2d')!, scratch.getContext('2d')!];
    to.imageSmoothingEnabled = false;
    const image = from.createImageData(n, n);
    const origin = element.getBoundingClientRect();
    grid.querySelectorAll('.cell').forEach((cell, i) => {
      colours(i).forEach((colour, j) => {
        image.data.set([...colour, 255], 4 * j);
      });
      from.putImageData(image, 0, 0);
      const box = cell.getBoundingClientRect();
      const [x, y] = [box.left - origin.left, box.top - origin.top].map((v) => Math.round(v * scale));
      to.drawImage(scratch, x, y, Math.round(box.width * scale), Math.round(box.height * scale));
    });
  };
  new ResizeObserver(draw).observe(element);
  return {
    element,
    paint(pictures) {
      last = pictures;
      draw();
    },
  };
}
