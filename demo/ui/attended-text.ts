/** Attention drawn on the text: the tokens that one looks at, or that look at one, are tinted. */

import { hex, hues, inkOn, sequential } from '../../interp/figures/draw/colour.js';
import { visible } from '../../interp/results/text.js';
import { fill, h } from './dom.js';
import { roving } from './roving.js';

/** Whose attention: what a token looks at, or what looks at it. */
export type Direction = 'from' | 'to';

/** What is drawn. */
export interface TextLook {
  readonly pieces: readonly string[];
  readonly direction: Direction;
  /** The token whose attention it is. */
  readonly focus: number;
  /** Of each token; null: it cannot see or be seen. */
  readonly weights: readonly (number | null)[];
  /** What counts as all: 1, or the largest weight. */
  readonly full: number;
  /** A weight in words. */
  text(weight: number): string;
}

/** The text on the page. */
export interface AttendedText {
  readonly element: HTMLElement;
  draw(look: TextLook): void;
}

/** Three decades: from a thousandth of the whole to all of it. */
const DECADES = 3;
const SCALES = {
  light: sequential(hues.attention, 'light'),
  dark: sequential(hues.attention, 'dark'),
};

/** On a logarithmic scale small weights can be seen, too. */
export const logRamp = (share: number): number =>
  Math.max(0, Math.min(1, 1 + Math.log10(share || 1e-9) / DECADES));

/** An empty text. */
export function attendedText(react: {
  preview(pos: number | null): void;
  lock(pos: number): void;
}): AttendedText {
  const element = h('div', { class: 'attended' });
  let look: TextLook | null = null;
  let cells: HTMLElement[] = [];
  let of = '';
  const build = (pieces: readonly string[]) => {
    cells = pieces.map((piece, i) =>
      h(
        'span',
        {
          ...{ role: 'gridcell', class: 'cell word', tabindex: i ? -1 : 0, 'data-cell': `0,${i}` },
          'aria-selected': 'false',
        },
        h('span', {}, /^<\|.*\|>$/.test(piece) ? 'BOS' : visible(piece)),
        h('small', { 'aria-hidden': 'true' }),
      ),
    );
    const row = h('div', { role: 'row', class: 'attended-row' }, cells);
    const grid = h(
      'div',
      { role: 'grid', 'aria-label': 'Attention on the text', 'aria-readonly': 'true' },
      row,
    );
    roving(grid, cells, pieces.length, {
      tip(_, i) {
        const weight = look!.weights[i];
        const [from, to] = look!.direction === 'from' ? [look!.focus, i] : [i, look!.focus];
        const name = (p: number) => `${p}:${visible(look!.pieces[p])}`;
        return {
          title: `${name(from)} → ${name(to)}`,
          lines: [['attention', weight === null ? 'none' : look!.text(weight)]],
        };
      },
      preview: (cell) => react.preview(cell ? cell[1] : null),
      lock: (_, i) => react.lock(i),
    });
    fill(element, grid);
  };
  return {
    element,
    draw(next) {
      look = next;
      const { pieces, weights, full, focus, text } = next;
      if (of !== pieces.join('\n')) {
        of = pieces.join('\n');
        build(pieces);
      }
      cells.forEach((cell, i) => {
        const weight = weights[i];
        const t = weight === null ? 0 : logRamp(weight / full);
        const [light, dark] = [SCALES.light(t), SCALES.dark(t)];
        const styles = { l: hex(light), d: hex(dark), il: hex(inkOn(light)), id: hex(inkOn(dark)) };
        for (const [name, value] of Object.entries(styles)) cell.style.setProperty(`--${name}`, value);
        cell.classList.toggle('not-seen', weight === null);
        cell.classList.toggle('focus', i === focus);
        cell.lastElementChild!.textContent = weight !== null && weight / full >= 0.01 ? text(weight) : '';
        const said = weight === null ? 'not seen' : text(weight);
        cell.setAttribute(
          'aria-label',
          `${i}:${visible(pieces[i])}${i === focus ? ', whose attention is shown' : ''}: ${said}`,
        );
        cell.setAttribute('aria-selected', String(i === focus));
      });
    },
  };
}
