/** The thumbnails of all heads, layers by heads: one canvas under a grid. */

import { hues, type Rgb, sequential, type Theme } from '../../interp/figures/draw/colour.js';
import { exact, visibleLabel } from '../../interp/results/text.js';
import { headName, type Place, place } from '../app/state.js';
import { fill, h } from '../ui/dom.js';
import { type Cell, type Grid, grid } from '../ui/grid.js';
import { type Thumbnails, thumbnails } from '../ui/thumbnails.js';
import { wide } from '../ui/wide.js';
import type { Head, Patterns } from './patterns.js';

/** The thumbnails on the page. */
export interface HeadGrid {
  readonly element: HTMLElement;
  draw(patterns: Patterns, dark: boolean): void;
  /** @param chosen the head that is shown when nothing is selected */
  mark(locked: Place | null, shown: Place | null, chosen: Head): void;
}

const STEPS = 128;
const ramp = (theme: Theme): Rgb[] => {
  const scale = sequential(hues.attention, theme);
  return Array.from({ length: STEPS + 1 }, (_, i) => scale(i / STEPS));
};
const RAMPS = { light: ramp('light'), dark: ramp('dark') };

/** Colours of weights, from 0 to `unit`. */
export function tinted(weights: Float32Array, unit: number, dark: boolean): Rgb[] {
  const colours = RAMPS[dark ? 'dark' : 'light'];
  return Array.from(weights, (w) => colours[Math.round(STEPS * Math.min(1, Math.max(0, w / unit)))]);
}

/** Empty at first. */
export function headGrid(react: { preview(at: Place | null): void; lock(at: Place): void }): HeadGrid {
  const inside = h('div', { class: 'wide-inside' });
  const element = wide(inside);
  let drawn: { readonly grid: Grid; readonly pictures: Thumbnails; readonly size: string } | null = null;
  let last: Patterns | null = null;
  const build = ({ layers, heads, all }: Patterns) => {
    const [rows, columns] = all.axes.map((a) => a.labels);
    const cells = grid({
      ...{ label: 'Attention heads, layers by heads', rows, columns, minWidth: 30, class: 'thumbs' },
      tip: (layer, head) => ({
        title: `head ${headName(layer, head)}`,
        lines: favourites(last!, { layer, head }),
      }),
      preview: (cell) => react.preview(cell && place({ layer: cell[0], head: cell[1] })),
      lock: (layer, head) => react.lock(place({ layer, head })),
    });
    cells.element.style.setProperty('--thumb', `${Math.max(30, Math.min(84, Math.floor(520 / heads)))}px`);
    drawn = { grid: cells, pictures: thumbnails(cells.element), size: `${layers} ${heads}` };
    fill(inside, drawn.pictures.element);
  };
  return {
    element,
    draw(patterns, dark) {
      last = patterns;
      const { layers, heads, n, most } = patterns;
      if (drawn?.size !== `${layers} ${heads}`) build(patterns);
      const headOf = (i: number): Head => ({ layer: Math.floor(i / heads), head: i % heads });
      for (let i = 0; i < layers * heads; i++) {
        const one = headOf(i);
        const [at, value] = favourites(patterns, one)[0];
        const label = `from the last token most at ${at}, ${value}`;
        const paper = RAMPS.light[0];
        drawn!.grid.set(one.layer, one.head, { light: paper, dark: RAMPS.dark[0], text: '', label });
      }
      drawn!.pictures.paint({ n, colours: (i) => tinted(patterns.values(headOf(i)), most, dark) });
    },
    mark(locked, shown, chosen) {
      const own = cellsOf(locked);
      drawn?.grid.mark(own, [...cellsOf(shown), ...(own.length ? [] : cellsOf(place(chosen)))]);
    },
  };

  function cellsOf(at: Place | null): Cell[] {
    if (!at || at.layer === null || at.head === null || !last) return [];
    return at.layer < last.layers && at.head < last.heads ? [[at.layer, at.head]] : [];
  }
}

/** Where a head looks from the last token: the three largest weights. */
function favourites(patterns: Patterns, head: Head): [name: string, value: string][] {
  const { n, labels } = patterns;
  const row = patterns.values(head).subarray((n - 1) * n);
  const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 3);
  return order.map((k) => [visibleLabel(labels[k]), exact(row[k])]);
}
