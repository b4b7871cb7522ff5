/** The frame of a view: title, controls, what it says, and what can be taken away. */

import { toCsv, toJson } from '../../interp/results/export.js';
import type { App } from '../app/app.js';
import { factsOf, fileName } from '../app/captions.js';
import { copy, save, toPng } from '../app/files.js';
import { toPdf } from '../app/pdf.js';
import type { Takeaway, TakeForm, Taken, View } from '../views/view.js';
import { fill, h } from './dom.js';
import { listKeys } from './keys.js';

/** Where a result is; of `ResourceState`, or of the patching map. */
export interface Followed {
  readonly status: 'empty' | 'waiting' | 'busy' | 'live' | 'done' | 'failed';
  /** Why it is empty, or failed. */
  readonly why?: string | null;
  /** 0–1, where it is known. */
  readonly progress?: number | null;
}

/** A view's place on the page. */
export interface Card {
  readonly element: HTMLElement;
  /** Beside the title. */
  readonly controls: HTMLElement;
  readonly body: HTMLElement;
  /** A line below: where numbers come from. */
  readonly foot: HTMLElement;
  /**
   * Shows where a result is. What is drawn of another experiment is greyed, says that it is being computed
   * and cannot be used; where there can be no result, one sentence stands in place of it.
   */
  follow(status: Followed): void;
  /** Calls `f` when the card first comes near the screen. */
  whenSeen(f: () => void): void;
}

/** A card for a view, filled. */
export function card(view: View, app: App): { readonly card: Card; readonly takeaway: Takeaway } {
  const controls = h('div', { class: 'controls' });
  const body = h('div', { class: 'body' });
  const foot = h('p', { class: 'foot' });
  const bar = h('div', { class: 'busy', hidden: true, role: 'progressbar', 'aria-label': view.title });
  const sentence = h('p', { class: 'problem', role: 'alert', hidden: true });
  const titleId = `${view.id}-title`;
  const head = h('header', {}, h('h2', { id: titleId }, view.title), h('p', { class: 'about' }, view.about));
  const element = h(
    'section',
    { class: 'card first untaken', id: view.id, 'aria-labelledby': titleId },
    ...[bar, head, controls, sentence, body, foot],
  );
  const begun = app.store.state.experiment;
  let refresh = () => {};
  const own: Card = {
    ...{ element, controls, body, foot },
    follow({ status, why = null, progress = null }) {
      const computing = status === 'busy' || status === 'live';
      bar.hidden = !computing;
      bar.classList.toggle('unknown', progress === null);
      bar.style.setProperty('--done', String(progress ?? 0));
      body.setAttribute('aria-busy', String(computing || status === 'waiting'));
      if (status === 'empty' || status === 'failed') {
        fill(body);
        fill(foot);
      }
      const old = (status === 'busy' || status === 'waiting') && body.childElementCount > 0;
      if (old) fill(foot, 'Being computed: what is greyed is of what was there before.');
      element.classList.toggle('stale', old);
      element.classList.toggle('nothing', status === 'empty' || status === 'failed');
      element.classList.toggle('untaken', status !== 'done');
      // The room that is kept for what comes first is given up when it is there, or when something else is
      // asked for.
      const { experiment } = app.store.state;
      const other = experiment !== begun || experiment.corrupted === '';
      if (status === 'done' || status === 'live' || status === 'failed' || (status === 'empty' && other))
        element.classList.remove('first');
      body.inert = old;
      // While the first model loads the top bar says so: a sentence here would only move what is below.
      const loading = app.store.state.model.status === 'loading' && element.classList.contains('first');
      const said = old || loading ? null : why;
      element.classList.toggle('failed', status === 'failed');
      sentence.hidden = said === null;
      sentence.setAttribute('role', status === 'failed' ? 'alert' : 'status');
      if (sentence.textContent !== said) sentence.textContent = said ?? '';
      refresh();
    },
    whenSeen(f) {
      const observer = new IntersectionObserver(
        (entries) => {
          if (!entries.some((e) => e.isIntersecting)) return;
          observer.disconnect();
          f();
        },
        { rootMargin: '200px' },
      );
      observer.observe(element);
    },
  };
  const takeaway = view.mount(own, app);
  const menu = takeMenu(view, takeaway, app);
  refresh = menu.refresh;
  head.append(menu.element);
  return { card: own, takeaway };
}

const LABELS: Readonly<Record<TakeForm, string>> = {
  svg: 'Picture (SVG)',
  png: 'Picture (PNG)',
  pdf: 'Picture (PDF)',
  csv: 'Numbers (CSV)',
  json: 'Numbers (JSON)',
  code: 'Copy as TypeScript',
  command: 'Copy as a command line',
};

/** The result with the experiment in words, and what else the view shows. */
function jsonOf({ result, of, depends, also = {} }: Taken): string {
  const experiment = factsOf(of, depends);
  const one = toJson({ ...result, meta: { ...result.meta, experiment } });
  const more = Object.entries(also).map(([name, r]) => `,${JSON.stringify(name)}:${toJson(r).trim()}`);
  return `${one.trim().slice(0, -1)}${more.join('')}}\n`;
}

/** What can be taken away, behind a button. `refresh` says again whether anything can be. */
function takeMenu(view: View, take: Takeaway, app: App): { readonly element: HTMLElement; refresh(): void } {
  const run = async (form: TakeForm): Promise<void> => {
    const taken = take(); // all of one experiment, also where the clipboard or a picture takes a while
    if (typeof taken === 'string') return app.say(taken);
    const name = fileName(view.id, taken.of, taken.detail);
    const copied = async (what: string, text: string) =>
      app.say((await copy(text)) ? `${what} copied.` : 'The browser does not let this page copy.');
    const svg = () => taken.figure!().svg('light'); // for paper, whatever the page’s theme
    if (form === 'svg') save(`${name}.svg`, svg(), 'image/svg+xml');
    else if (form === 'png') save(`${name}.png`, await toPng(svg()));
    else if (form === 'pdf') save(`${name}.pdf`, await toPdf(taken.figure!()));
    else if (form === 'csv')
      save(`${name}.csv`, toCsv(taken.result, { columns: factsOf(taken.of, taken.depends) }), 'text/csv');
    else if (form === 'json') save(`${name}.json`, jsonOf(taken), 'application/json');
    else if (form === 'code') await copied('TypeScript', taken.code());
    else await copied('Command line', taken.command!());
  };
  const why = h('p', { class: 'menu-why', hidden: true });
  const buttons = view.takes.map((form) =>
    h(
      'button',
      {
        ...{ type: 'button', 'data-take': form },
        onclick: () => {
          menu.open = false;
          run(form).catch((e: Error) => app.say(e.message));
        },
      },
      LABELS[form],
    ),
  );
  const menu = h(
    'details',
    { class: 'menu' },
    h('summary', { 'aria-label': `Export: ${view.title}`, title: 'Take it with you' }, 'Export'),
    h('div', { class: 'menu-list' }, why, buttons),
  );
  const refresh = () => {
    if (!menu.open) return;
    const taken = take();
    why.hidden = typeof taken !== 'string';
    why.textContent = typeof taken === 'string' ? taken : '';
    for (const button of buttons) button.setAttribute('aria-disabled', String(typeof taken === 'string'));
  };
  const list = menu.querySelector<HTMLElement>('.menu-list')!;
  listKeys(list, '[data-take]');
  menu.querySelector('summary')!.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowDown') return;
    event.preventDefault();
    menu.open = true;
    buttons[0].focus();
  });
  menu.addEventListener('toggle', refresh);
  app.store.watch((s) => s, refresh);
  menu.addEventListener('focusout', (event) => {
    if (!menu.contains((event as FocusEvent).relatedTarget as Node | null)) menu.open = false;
  });
  menu.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.querySelector('summary')!.focus();
    event.stopPropagation();
  });
  return { element: menu, refresh };
}
