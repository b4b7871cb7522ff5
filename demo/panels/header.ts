/** The top bar: model, views, sharing, report, theme. */

import type { App } from '../app/app.js';
import { copy } from '../app/files.js';
import { addressOf, hasNumbers } from '../app/share.js';
import type { State } from '../app/state.js';
import { mapAsk } from '../app/sweep.js';
import { h, segmented } from '../ui/dom.js';
import { views } from '../views/index.js';

const LOGO = `<svg viewBox="0 0 22 22" fill="none" stroke-width="1.5" aria-hidden="true"><rect x="1" y="5" width="12" height="16" rx="2.5" stroke="var(--faint)"/><rect x="5" y="3" width="12" height="16" rx="2.5" stroke="var(--soft)"/><rect x="9" y="1" width="12" height="16" rx="2.5" stroke="var(--accent)"/></svg>`;

/** The bar. @param report writes the report */
export function header(app: App, model: HTMLElement, report: () => void): HTMLElement {
  const { store } = app;
  const brand = h('a', { class: 'brand', href: '#', 'aria-label': 'Glassbox' });
  brand.innerHTML = `${LOGO}<span>Glassbox</span>`;
  brand.addEventListener('click', (event) => {
    event.preventDefault();
    scrollTo({ top: 0, behavior: 'smooth' });
  });
  const nav = h(
    'nav',
    { 'aria-label': 'Views' },
    views.map(({ id, nav: short, title }) =>
      h(
        'a',
        {
          href: `#${id}`,
          title,
          onclick: (event: Event) => {
            event.preventDefault(); // the address holds the experiment
            document.getElementById(id)?.scrollIntoView({ behavior: 'smooth', block: 'start' });
          },
        },
        short,
      ),
    ),
    h('a', { href: './bench.html', title: 'Benchmarks: what this browser’s GPU can do' }, 'GPU'),
  );
  const share = h(
    'button',
    {
      ...{
        type: 'button',
        id: 'share',
        title: 'Copies an address that holds the whole experiment and its numbers',
      },
      onclick: async () => {
        const { state } = store;
        if (state.model.status !== 'ready')
          return app.say('Not shared: no model is loaded that would compute it.');
        const numbers = hasNumbers(state);
        const { why } = mapAsk(state);
        history.replaceState(null, '', `#${addressOf(state)}`);
        const done = await copy(location.href);
        const what = numbers
          ? 'the whole experiment and the map’s numbers.'
          : why
            ? `what the fields say, without a map: ${why}`
            : 'what the fields say, without numbers: the map is not whole yet.';
        app.say(`${done ? 'Address copied: it holds' : 'The address bar holds'} ${what}`);
      },
    },
    'Share',
  );
  const themes = segmented<State['theme']>(
    'Theme',
    [
      ['auto', 'Auto'],
      ['light', 'Light'],
      ['dark', 'Dark'],
    ],
    (theme) => store.set({ theme }),
  );
  store.watch((s) => s.theme, themes.show);
  return h(
    'header',
    { class: 'topbar' },
    brand,
    model,
    nav,
    h(
      'div',
      { class: 'tools' },
      share,
      h(
        'button',
        { type: 'button', id: 'report', title: 'One HTML file with every view', onclick: report },
        'Report',
      ),
      themes.element,
    ),
  );
}
