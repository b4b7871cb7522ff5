/** The workbench: puts the page together and starts it. */

import type { App } from './app/app.js';
import { lock } from './app/app.js';
import { Client } from './app/client.js';
import { save } from './app/files.js';
import { hostWeights, whatFits } from './app/models.js';
import { presets } from './app/presets.js';
import { report } from './app/report.js';
import { addressOf, readAddress } from './app/share.js';
import type { State } from './app/state.js';
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

const shared = readAddress(location.hash);
const store = new Store<State>({
  model: { status: 'loading', name: shared?.model ?? 'tiny', info: null, progress: null, error: null },
  experiment: shared?.experiment ?? {
    ...presets[0].experiment,
    ...{ bos: true, site: 'resid_pre', metric: 'logit-diff', how: 'clean' },
  },
  prompts: null,
  valid: false,
  reading: 'clean',
  locked: shared?.locked ?? null,
  hover: null,
  map: null,
  stored: shared?.stored ?? null,
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
  const writeReport = () => save('glassbox.html', report(store.state, cards), 'text/html');
  fill(
    root,
    header(app, button, writeReport),
    notices(app),
    h('main', { class: 'workbench' }, promptsPanel(app), layOut(cards)),
    dialog,
    toasts,
  );
  readPrompts();
  keepAddress();
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || dialog.open) return;
    hideTip();
    lock(app, null);
  });
  addEventListener('hashchange', () => {
    const next = readAddress(location.hash);
    if (!next || location.hash.slice(1) === addressOf(store.state)) return;
    const { experiment, locked, stored, model } = next;
    store.set({ experiment, locked, stored, valid: false });
    if (model !== store.state.model.name) load(model);
  });
  load(store.state.model.name);

  /** Tokens of what is typed, at once. */
  function readPrompts(): void {
    let controller = new AbortController();
    store.watch(
      ({ experiment: e, model }) => [e.clean, e.corrupted, e.answer, e.wrong, e.bos, model.info] as const,
      async ([clean, corrupted, answer, wrong, bos, info]) => {
        controller.abort();
        if (!info) return;
        const own = new AbortController();
        controller = own;
        try {
          const texts = { clean, corrupted, answer, wrong, bos };
          const prompts = await client.call('readPrompts', texts, { signal: own.signal });
          const { pairProblem } = prompts;
          const parts = [prompts.clean, prompts.corrupted, prompts.answer, prompts.wrong];
          store.set({ prompts, valid: !pairProblem && parts.every((p) => !p.problem) });
        } catch (e) {
          if (!own.signal.aborted) fail(e as Error);
        }
      },
    );
  }

  /** The address follows the experiment, so that a reload finds it again. */
  function keepAddress(): void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    store.watch(
      (s) => [s.experiment, s.locked, s.map?.status, s.model.name, s.valid] as const,
      ([, , , , valid]) => {
        clearTimeout(timer);
        if (!valid) return;
        timer = setTimeout(() => history.replaceState(null, '', `#${addressOf(store.state)}`), 400);
      },
    );
  }

  async function load(source: string | ReadonlyMap<string, Blob>, name = source as string): Promise<void> {
    const { model } = store.state;
    const gone = model.status === 'lost' || (typeof source !== 'string' ? false : model.name === name);
    const begin = { status: 'loading', name, progress: null, error: null } as const;
    store.set({ model: { ...begin, info: gone ? null : model.info } });
    try {
      const info = await client.call(
        'load',
        { source, hostWeights: typeof source !== 'string' || hostWeights(name) },
        {
          onEvent({ file, loaded = 0, total = 0 }) {
            if (!file) return;
            const progress = { file: file.split('/').at(-1)!, loaded, total };
            store.set({ model: { ...store.state.model, progress } });
          },
        },
      );
      store.set({ model: { status: 'ready', name, info, progress: null, error: null } });
    } catch (e) {
      fail(e as Error, name);
    }
  }

  function fail(error: Error, name = store.state.model.name): void {
    const { model } = store.state;
    const lost = LOST.test(error.message);
    const full = /out of GPU memory|memory allocation|exceeds the max buffer/i.test(error.message);
    const text = `${error.message}${/[.!?]$/.test(error.message) ? '' : '.'}`;
    store.set({
      model: {
        ...{ name, progress: null, info: lost ? null : model.info },
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
if ('gpu' in navigator) start(root);
else noWebGpu(root);
