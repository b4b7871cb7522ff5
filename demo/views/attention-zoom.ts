/** The pattern of one head with its tokens: a grid, or of long prompts one canvas. */

import { hues, sequential } from '../../interp/figures/draw/colour.js';
import { exact, percent, shortNumber, visibleLabel } from '../../interp/results/text.js';
import { headName, type Place, place } from '../app/state.js';
import { type BigMatrix, bigMatrix } from '../ui/big-matrix.js';
import { fill, h } from '../ui/dom.js';
import { type Cell, type Grid, grid } from '../ui/grid.js';
import type { Tip } from '../ui/tip.js';
import { wide } from '../ui/wide.js';
import { tinted } from './attention-heads.js';
import type { Head, Patterns } from './patterns.js';

/** Tokens for which there is an element a cell. */
const MOST = 32;
const COLOURS = {
  light: sequential(hues.attention, 'light'),
  dark: sequential(hues.attention, 'dark'),
};

/** The large pattern on the page. */
export interface HeadZoom {
  readonly element: HTMLElement;
  draw(patterns: Patterns, head: Head): void;
  mark(locked: Place | null, shown: Place | null): void;
}

/** Empty at first. */
export function headZoom(react: { preview(at: Place | null): void; lock(at: Place): void }): HeadZoom {
  const inside = h('div', { class: 'wide-inside' });
  const element = wide(inside);
  let shown: { readonly patterns: Patterns; readonly head: Head; readonly dark: boolean } | null = null;
  let cells: Grid | null = null;
  let big: BigMatrix | null = null;
  let of = '';
  const placeAt = ([pos, key]: readonly [number, number]): Place => place({ ...shown!.head, pos, key });
  const tip = (query: number, key: number): Tip => {
    const { patterns, head } = shown!;
    const { labels, all } = patterns;
    const weight = patterns.at(head, query, key);
    const value = all.meta.metric === 'attention' ? `${exact(weight)} (${percent(weight)})` : exact(weight);
    return {
      title: `head ${headName(head.layer, head.head)} · ${visibleLabel(labels[query])} → ${visibleLabel(labels[key])}`,
      lines: [[String(all.meta.metric), key > query ? 'later tokens are not seen' : value]],
    };
  };
  const options = {
    tip,
    preview: (cell: readonly [number, number] | null) => react.preview(cell && placeAt(cell)),
    lock: (query: number, key: number) => react.lock(placeAt([query, key])),
  };
  const build = ({ labels, n }: Patterns) => {
    cells = big = null;
    if (n > MOST) {
      big = bigMatrix({ n, label: 'Attention pattern, from each token to each earlier one', ...options });
      return fill(inside, big.element);
    }
    cells = grid({
      ...{ label: 'Attention pattern, from each token (row) to each earlier one', rows: labels },
      ...{ columns: labels, minWidth: 15, maxWidth: 36, class: 'snug zoom', ...options },
    });
    fill(inside, cells.element);
  };
  return {
    element,
    draw(patterns, head) {
      const dark = document.documentElement.dataset.theme === 'dark';
      if (shown?.patterns === patterns && same(shown.head, head) && shown.dark === dark) return;
      shown = { patterns, head, dark };
      const { n, labels } = patterns;
      if (of !== labels.join('\n')) {
        of = labels.join('\n');
        build(patterns);
      }
      const unit = patterns.unit(head);
      if (big) return big.paint(tinted(patterns.values(head), unit, dark));
      patterns.values(head).forEach((weight, i) => {
        const [query, key] = [Math.floor(i / n), i % n];
        const later = key > query;
        cells!.set(query, key, {
          light: COLOURS.light(weight / unit),
          dark: COLOURS.dark(weight / unit),
          text: n <= 18 && weight >= 0.1 * unit ? shortNumber(weight) : '',
          label: later ? 'not seen' : exact(weight),
          state: later ? 'empty' : undefined,
        });
      });
    },
    mark(locked, hovered) {
      if (!shown) return;
      const n = shown.patterns.n;
      cells?.mark(cellsOf(locked, n), cellsOf(hovered, n));
      const at = hovered ?? locked;
      big?.mark(
        at && at.pos !== null && at.key !== null && at.pos < n && at.key < n ? [at.pos, at.key] : null,
      );
    },
  };
}

const same = (a: Head, b: Head): boolean => a.layer === b.layer && a.head === b.head;

/** A weight, the row of a token that looks, or the column of one that is seen. */
function cellsOf(at: Place | null, n: number): Cell[] {
  if (!at || (at.pos === null && at.key === null)) return [];
  if ((at.pos ?? 0) >= n || (at.key ?? 0) >= n) return [];
  return [[at.pos, at.key]];
}
