/** The workbench: puts the page together and starts it. */

import type { App } from './app/app.js';
import { lock } from './app/app.js';
import { frozen, textsOf } from './app/ask.js';
import { fileName } from './app/captions.js';
import { Client } from './app/client.js';
import { save } from './app/files.js';
import { firstAddress, followAddress } from './app/history.js';
import { judge } from './app/links.js';
import { hostWeights, whatFits } from './app/models.js';
import { serveOffline } from './app/offline.js';
import { report } from './app/report.js';
import { addressOf, firstExperiment, readAddress } from './app/share.js';
import { placeName, type State } from './app/state.js';
import { Store } from './app/store.js';
import { Sweep } from './app/sweep.js';
import { header } from './panels/header.js';
import { modelPanel } from './panels/models.js';
import { notices, toast } from './panels/notices.js';
import { promptsPanel } from './panels/prompts.js';
import { type Card, card } from './ui/card.js';
import { fill, h } from './ui/dom.js';
import { hideTip } from './ui/tip.js';
import { views } from './views/index.js';
import type { View } from './views/view.js';

/** What the engine says when the browser has taken the GPU away. */
const LOST = /GPU device was lost/;

const shared = readAddress(firstAddress());
const store = new Store<State>({
  model: {
    ...{ status: 'loading', name: shared?.model ?? 'tiny', info: null, progress: null },
    dtype: shared?.dtype ?? 'f32',
    ...{ error: null, question: null },
  },
  experiment: shared?.experiment ?? firstExperiment,
  prompts: null,
  reading: 'clean',
  locked: shared?.locked ?? null,
  hover: null,
  map: null,
  next: null,
  stored: shared?.stored ?? null,
  unread: shared?.unread ?? [],
  theme: readTheme(),
  dark: false,
});

function readTheme(): State['theme'] {
  try {
    const kept = localStorage.getItem('theme');
    return kept === 'light' || kept === 'dark' ? kept : 'auto';
  } catch {
    return 'auto';
  }
}

/** Light or dark: the reader's choice, else the system's. */
function followTheme(): void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    const { theme } = store.state;
    const dark = theme === 'dark' || (theme === 'auto' && system.matches);
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
    if (dark !== store.state.dark) store.set({ dark });
    try {
      localStorage.setItem('theme', theme);
    } catch {} // a page may be opened where nothing is kept
  };
  system.addEventListener('change', apply);
  store.watch((s) => s.theme, apply);
}

function start(root: HTMLElement): void {
  const client = new Client((error) => {
    if (LOST.test(error.message)) fail(error);
  });
  const { element: toasts, say } = toast();
  const app: App = { store, client, sweep: new Sweep(store, client), say, load };
  const { button, dialog } = modelPanel(app);
  const cards = views.map((view) => ({ view, ...card(view, app) }));
  const writeReport = () => {
    const made = report(store.state, cards, `${location.href.split('#')[0]}#${addressOf(store.state)}`);
    if (typeof made === 'string') say(made);
    else save(`${fileName('report', frozen(store.state))}.html`, made.html, 'text/html');
  };
  fill(
    root,
    h('a', { class: 'skip', href: '#patching', onclick: skipTo }, 'Skip to the views'),
    header(app, button, writeReport),
    notices(app),
    h(
      'main',
      { class: 'workbench', id: 'main' },
      h('h1', { class: 'unseen-title' }, 'Glassbox workbench: see into a transformer'),
      promptsPanel(app),
      layOut(cards),
    ),
    announcer(store),
    dialog,
    toasts,
  );
  /** Counts what was asked to be loaded: of several the last one counts. */
  let loads = 0;
  readPrompts();
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || document.querySelector('dialog[open]')) return;
    hideTip();
    // In a field Esc is the field's; the selection stays.
    if (!(event.target as Element).matches('input:not([type=range], [type=checkbox]), textarea, select'))
      lock(app, null);
  });
  followAddress(store, ({ experiment, locked, stored, unread, model, dtype }, own) => {
    // Of this page's own history nothing is compared: the numbers are its own.
    store.set({ experiment, locked, stored: own ? null : stored, unread, hover: null });
    const { name, dtype: used } = store.state.model;
    if (model === name && dtype === used) return;
    store.set({ model: { ...store.state.model, dtype } });
    loadLinked(model);
  });
  store.watch(
    (s) => s.experiment.clean,
    (clean) => {
      const text = clean.length > 60 ? `${clean.slice(0, 59)}…` : clean;
      document.title = text ? `${text} – Glassbox` : 'Glassbox workbench';
    },
  );
  loadLinked(store.state.model.name);

  /** Loads the model of an address: what needs a question is asked first. */
  async function loadLinked(name: string): Promise<void> {
    const { info } = store.state.model;
    const begin = {
      name,
      dtype: store.state.model.dtype,
      progress: null,
      error: null,
      question: null,
      info,
    } as const;
    const own = ++loads;
    store.set({ model: { ...begin, status: 'loading' } });
    const verdict = await judge(name, location.href);
    if (own !== loads) return; // the reader has chosen something else
    if (verdict.kind === 'load') return load(verdict.name);
    if (verdict.kind === 'refuse')
      return store.set({ model: { ...begin, status: 'failed', error: verdict.why } });
    store.set({
      model: { ...begin, name: verdict.name, status: 'asking', question: verdict.question },
    });
  }

  /** Tokens of what is typed, at once. */
  function readPrompts(): void {
    let controller = new AbortController();
    store.watch(
      ({ experiment: e, model: { status, info } }) =>
        [
          e.clean,
          e.corrupted,
          e.answer,
          e.wrong,
          e.bos,
          e.cursor,
          e.written,
          status === 'ready' ? info : null,
        ] as const,
      async ([, , , , , , , info], { experiment }) => {
        controller.abort();
        if (!info) return;
        const own = new AbortController();
        controller = own;
        try {
          const texts = textsOf(experiment);
          store.set({ prompts: await client.call('readPrompts', texts, { signal: own.signal }) });
        } catch (e) {
          if (!own.signal.aborted) fail(e as Error);
        }
      },
    );
  }

  async function load(
    source: string | ReadonlyMap<string, Blob>,
    name = source as string,
    dtype = store.state.model.dtype,
  ): Promise<void> {
    const own = ++loads;
    const { model } = store.state;
    const gone = model.status === 'lost' || (typeof source !== 'string' ? false : model.name === name);
    const begin = { status: 'loading', name, dtype, progress: null, error: null, question: null } as const;
    store.set({ model: { ...begin, info: gone ? null : model.info } });
    try {
      const info = await client.call(
        'load',
        { source, dtype, hostWeights: dtype === 'f32' && (typeof source !== 'string' || hostWeights(name)) },
        {
          onEvent({ file, loaded = 0, total = 0 }) {
            if (!file || own !== loads) return;
            const progress = { file: file.split('/').at(-1)!, loaded, total };
            store.set({ model: { ...store.state.model, progress } });
          },
        },
      );
      if (own !== loads) return; // another one was chosen since
      store.set({
        model: { status: 'ready', name, dtype, info, progress: null, error: null, question: null },
      });
    } catch (e) {
      if (own === loads) fail(e as Error, name);
    }
  }

  function fail(error: Error, name = store.state.model.name): void {
    const { model } = store.state;
    const { dtype } = model;
    const lost = LOST.test(error.message);
    const full = /out of GPU memory|memory allocation|exceeds the max buffer/i.test(error.message);
    const text = `${error.message}${/[.!?]$/.test(error.message) ? '' : '.'}`;
    store.set({
      model: {
        ...{ name, dtype, progress: null, question: null, info: lost ? null : model.info },
        status: lost ? 'lost' : 'failed',
        error: lost
          ? 'The browser took the GPU away from this page (the device was lost). Nothing you typed is gone.'
          : full
            ? `${text} ${whatFits(name)}`
            : text,
      },
    });
  }
}

/** To the first view, past the top bar and the prompts; the address holds the experiment. */
function skipTo(event: Event): void {
  event.preventDefault();
  const first = document.querySelector<HTMLElement>('.views .card h2');
  first?.setAttribute('tabindex', '-1');
  first?.focus();
}

/** Says to screen readers what was selected, and let go. */
function announcer(watched: Store<State>): HTMLElement {
  const element = h('p', { class: 'unseen', role: 'status' });
  watched.watch(
    (s) => s.locked,
    (locked, { prompts }) => {
      const pieces = prompts?.clean.pieces ?? [];
      element.textContent = locked ? `Selected: ${placeName(locked, pieces)}` : 'Nothing is selected';
    },
  );
  return element;
}

/** The main column, the one at its side, and what is wider than both. */
function layOut(cards: readonly { readonly view: View; readonly card: Card }[]): HTMLElement {
  const part = (name: string, from: number, to: number) =>
    h(
      'div',
      { class: name },
      cards.flatMap(({ view, card }) => (view.span > from && view.span <= to ? [card.element] : [])),
    );
  return h('div', { class: 'views' }, part('main', 4, 8), part('side', 0, 4), part('wide', 8, 12));
}

/** Which browsers can run this. */
function noWebGpu(root: HTMLElement): void {
  fill(
    root,
    h(
      'main',
      { class: 'no-gpu' },
      h('h1', {}, 'This browser has no WebGPU'),
      h(
        'p',
        {},
        'Glassbox runs a transformer on your own graphics card, inside this page. For that the browser needs WebGPU:',
      ),
      h(
        'ul',
        {},
        h('li', {}, 'Chrome or Edge 123 and later, on Windows, macOS, ChromeOS and Android'),
        h('li', {}, 'Safari 26 and later, on macOS, iOS and iPadOS'),
        h('li', {}, 'Firefox 141 and later on Windows, 145 and later on Macs with Apple silicon'),
        h(
          'li',
          {},
          'Chromium on Linux, started with --enable-unsafe-webgpu where it has not been switched on',
        ),
      ),
      h('p', {}, 'The page must be opened over https or from localhost: browsers offer no WebGPU to others.'),
    ),
  );
}

const root = document.getElementById('app')!;
followTheme();
serveOffline(store);
if ('gpu' in navigator) start(root);
else noWebGpu(root);
