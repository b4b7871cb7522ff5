/** The frame of a view: title, controls, what it says, and what can be taken away. */

import { toCsv, toJson } from '../../interp/export.js';
import type { App } from '../app/app.js';
import { copy, save, toPng } from '../app/files.js';
import type { Takeaway, View } from '../views/view.js';
import { h } from './dom.js';

/** A view's place on the page. */
export interface Card {
  readonly element: HTMLElement;
  /** Beside the title. */
  readonly controls: HTMLElement;
  readonly body: HTMLElement;
  /** A line below: where numbers come from. */
  readonly foot: HTMLElement;
  /** Shows that something is computed: 0–1, or null for an unknown part; undefined: nothing is. */
  busy(progress?: number | null): void;
  /** Shows a sentence in place of a result; null takes it away. */
  problem(text: string | null): void;
  /** Calls `f` when the card first comes near the screen. */
  whenSeen(f: () => void): void;
}

/** A card for a view, filled. */
export function card(view: View, app: App): { readonly card: Card; readonly takeaway: Takeaway | null } {
  const controls = h('div', { class: 'controls' });
  const body = h('div', { class: 'body' });
  const foot = h('p', { class: 'foot' });
  const bar = h('div', { class: 'busy', hidden: true, role: 'progressbar', 'aria-label': view.title });
  const sentence = h('p', { class: 'problem', role: 'alert', hidden: true });
  const titleId = `${view.id}-title`;
  const head = h('header', {}, h('h2', { id: titleId }, view.title), h('p', { class: 'about' }, view.about));
  const element = h(
    'section',
    { class: 'card', id: view.id, 'aria-labelledby': titleId },
    ...[bar, head, controls, sentence, body, foot],
  );
  const own: Card = {
    ...{ element, controls, body, foot },
    busy(progress) {
      bar.hidden = progress === undefined;
      bar.classList.toggle('unknown', progress === null);
      bar.style.setProperty('--done', String(progress ?? 0));
      body.setAttribute('aria-busy', String(progress !== undefined));
    },
    problem(text) {
      sentence.hidden = text === null;
      sentence.textContent = text ?? '';
      element.classList.toggle('failed', text !== null);
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
  if (takeaway) head.append(takeMenu(view, takeaway, app));
  return { card: own, takeaway };
}

/** What can be taken away, behind a button. */
function takeMenu(view: View, take: Takeaway, app: App): HTMLElement {
  const name = `glassbox-${view.id}`;
  const theme = () => (app.store.state.dark ? 'dark' : 'light');
  const copied = async (what: string, text: string) =>
    app.say((await copy(text)) ? `${what} copied.` : 'The browser does not let this page copy.');
  const svg = () => take.figure?.()?.svg(theme()) ?? null;
  const items: readonly (readonly [name: string, text: string, run: (() => unknown) | null])[] = [
    ['svg', 'Picture (SVG)', take.figure ? () => saveText(svg(), 'svg', 'image/svg+xml') : null],
    [
      'png',
      'Picture (PNG)',
      take.figure
        ? async () => {
            const picture = svg();
            if (picture) save(`${name}.png`, await toPng(picture));
            else nothing();
          }
        : null,
    ],
    ['csv', 'Numbers (CSV)', () => saveText(text(toCsv), 'csv', 'text/csv')],
    ['json', 'Numbers (JSON)', () => saveText(text(toJson), 'json', 'application/json')],
    ['code', 'Copy as TypeScript', take.code ? () => copied('TypeScript', take.code!()) : null],
    [
      'command',
      'Copy as a command line',
      take.command ? () => copied('Command line', take.command!()) : null,
    ],
  ];
  const text = (write: typeof toCsv) => {
    const result = take.result();
    return result && write(result);
  };
  const nothing = () => app.say('There are no numbers yet.');
  const saveText = (content: string | null, ending: string, type: string) =>
    content === null ? nothing() : save(`${name}.${ending}`, content, type);
  const menu = h(
    'details',
    { class: 'menu' },
    h('summary', { 'aria-label': `Take away: ${view.title}`, title: 'Take it with you' }, 'Export'),
    h(
      'div',
      { class: 'menu-list' },
      items.map(
        ([id, label, run]) =>
          run &&
          h(
            'button',
            {
              type: 'button',
              'data-take': id,
              onclick: () => {
                menu.open = false;
                run();
              },
            },
            label,
          ),
      ),
    ),
  );
  menu.addEventListener('focusout', (event) => {
    if (!menu.contains((event as FocusEvent).relatedTarget as Node | null)) menu.open = false;
  });
  menu.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.querySelector('summary')!.focus();
    event.stopPropagation();
  });
  return menu;
}
