/** Sentences about the whole page: the model failed or was lost, numbers agree or do not, something was copied. */

import type { App } from '../app/app.js';
import { compare } from '../app/share.js';
import type { State } from '../app/state.js';
import { fill, h } from '../ui/dom.js';

/** Below the top bar. */
export function notices(app: Pick<App, 'store' | 'load'>): HTMLElement {
  const { store } = app;
  const element = h('div', { class: 'notices' });
  store.watch(
    (s) => [s.model.status, s.model.error, s.stored, s.map?.status, s.map?.of] as const,
    () => fill(element, modelNotice(app), agreement(store.state)),
  );
  return element;
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

function agreement({ stored, map, model }: State): HTMLElement | null {
  if (!stored) return null;
  if (map?.status !== 'done' || !model.info)
    return h(
      'div',
      { class: 'notice', id: 'agreement' },
      h('p', {}, 'This address holds numbers: computing them here …'),
    );
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
