/** A table of tokens with a bar for each run: their probabilities. */

import { percent, visible } from '../../interp/results/text.js';
import { h } from './dom.js';

/** A token in each run. */
export interface GuessRow {
  readonly text: string;
  /** `answer`, `wrong` or neither. */
  readonly role: string;
  /** Probabilities. */
  readonly values: readonly number[];
  readonly title: string;
}

/** The table; bars are as long as probabilities. */
export function barTable(rows: readonly GuessRow[], heads: readonly string[]): HTMLElement {
  return h(
    'table',
    { class: 'pair-table' },
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        h('th', { scope: 'col' }, 'token'),
        heads.map((name) => h('th', { scope: 'col' }, name)),
      ),
    ),
    h(
      'tbody',
      {},
      rows.map(({ text, role, values, title }) =>
        h(
          'tr',
          { class: role, title },
          h('th', { scope: 'row' }, h('code', {}, visible(text))),
          values.map((p) =>
            h(
              'td',
              {},
              h('span', { class: 'bar', style: `--p:${p}` }),
              h('span', { class: 'num' }, percent(p)),
            ),
          ),
        ),
      ),
    ),
  );
}
