/** A table of tokens with a bar for each run: their probabilities. */

import { percent, visible } from '../../interp/results/text.js';
import { h } from './dom.js';
import { listKeys } from './keys.js';

/** A token in each run. */
export interface GuessRow {
  readonly text: string;
  /** `answer`, `wrong` or neither. */
  readonly role: string;
  /** Probabilities. */
  readonly values: readonly number[];
  readonly title: string;
  /** What a click on the token does. */
  readonly choose?: () => void;
}

/** The table; bars are as long as probabilities. */
export function barTable(rows: readonly GuessRow[], heads: readonly string[]): HTMLElement {
  const table = h(
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
      rows.map(({ text, role, values, title, choose }, i) =>
        h(
          'tr',
          { class: role, title },
          h(
            'th',
            { scope: 'row' },
            choose
              ? h(
                  'button',
                  {
                    type: 'button',
                    class: 'token-choice',
                    title: 'Ask for this token',
                    tabindex: i ? -1 : 0,
                    onclick: choose,
                  },
                  h('code', {}, visible(text)),
                )
              : h('code', {}, visible(text)),
          ),
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
  listKeys(table, '.token-choice');
  return table;
}
