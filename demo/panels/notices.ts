/**
 * Sentences about the whole page: the model failed or was lost, numbers agree or do not, something was
 * copied.
 */

import type { App } from '../app/app.js';
import { compare } from '../app/share.js';
import type { State } from '../app/state.js';
import { mapAsk } from '../app/sweep.js';
import { fill, h } from '../ui/dom.js';
import { chooseFolder } from './models.js';

/** Below the top bar. */
export function notices(app: Pick<App, 'store' | 'load'>): HTMLElement {
  const { store } = app;
  const element = h('div', { class: 'notices' });
  store.watch(
    (s) =>
      [
        ...[s.model.status, s.model.error, s.model.question, s.stored, s.unread],
        ...[s.map?.status, s.map?.key, mapAsk(s).why],
      ] as const,
    () =>
      fill(element, questionNotice(app), modelNotice(app), unreadNotice(store.state), agreement(store.state)),
  );
  return element;
}

/** What an address may do only when the reader says yes. */
function questionNotice({ store, load }: Pick<App, 'store' | 'load'>): HTMLElement | null {
  const { status, question, name } = store.state.model;
  if (status !== 'asking' || !question) return null;
  return h(
    'div',
    { class: 'notice', role: 'alert', id: 'model-question' },
    h('p', {}, question.text),
    h('button', { type: 'button', onclick: () => load('tiny') }, 'Use the shipped model'),
    /^[./]/.test(name) &&
      h('button', { type: 'button', id: 'choose-folder', onclick: chooseFolder }, 'Choose the folder'),
    h('button', { type: 'button', id: 'model-yes', onclick: () => load(name) }, question.yes),
  );
}

function unreadNotice({ unread }: State): HTMLElement | null {
  if (!unread.length) return null;
  return h('div', { class: 'notice bad', role: 'alert', id: 'unread' }, h('p', {}, unread.join(' ')));
}

function modelNotice({ store, load }: Pick<App, 'store' | 'load'>): HTMLElement | null {
  const { status, name, error } = store.state.model;
  if (status !== 'failed' && status !== 'lost') return null;
  const tiny =
    name === 'tiny'
      ? null
      : h('button', { type: 'button', onclick: () => load('tiny') }, 'Use the shipped model');
  return h(
    'div',
    { class: 'notice bad', role: 'alert', id: 'model-notice' },
    h('p', {}, error ?? ''),
    h(
      'button',
      { type: 'button', id: 'restart', onclick: () => load(name) },
      status === 'lost' ? `Restart with ${name}` : 'Try again',
    ),
    tiny,
  );
}

function agreement(state: State): HTMLElement | null {
  const { stored, map, model } = state;
  if (!stored) return null;
  if (map?.status !== 'done' || !model.info) {
    const { why } = mapAsk(state);
    const error = map?.status === 'failed' ? map.error : why;
    const stopped = map?.status === 'cancelled' ? 'The map was cancelled.' : null;
    const reason = model.status === 'loading' ? null : (error ?? stopped);
    return h(
      'div',
      { class: `notice${reason ? ' bad' : ''}`, role: 'status', id: 'agreement' },
      h(
        'p',
        {},
        reason
          ? `This address holds numbers of a map. They are not compared, because there is no such map here: ${reason}`
          : 'This address holds numbers: computing them here …',
      ),
    );
  }
  const { agrees, text } = compare(stored, map, model.info.hash);
  return h(
    'div',
    {
      class: `notice ${agrees ? 'good' : 'bad'}`,
      role: 'status',
      id: 'agreement',
      'data-agrees': String(agrees),
    },
    h('p', {}, text),
  );
}

/** A sentence for a few seconds. */
export function toast(): { readonly element: HTMLElement; say(text: string): void } {
  const element = h('div', { class: 'toast', role: 'status', 'aria-live': 'polite' });
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    element,
    say(text) {
      element.textContent = text;
      element.classList.add('on');
      clearTimeout(timer);
      timer = setTimeout(() => element.classList.remove('on'), 4000);
    },
  };
}
