/** The pair of prompts, as it is typed and as the model reads it. */

import { visible } from '../../interp/results/text.js';
import { type App, edit, hover, lock } from '../app/app.js';
import { answerHint, type Hint, pairHint } from '../app/premises.js';
import { presets } from '../app/presets.js';
import { place, type State, shownPlace } from '../app/state.js';
import { fill, h } from '../ui/dom.js';
import { listKeys } from '../ui/keys.js';
import type { ReadAnswer, ReadPrompts } from '../worker/handlers/prompts.js';
import { savedPanel } from './saved.js';

/** The panel. */
export function promptsPanel(app: App): HTMLElement {
  const { store } = app;
  const examples = h(
    'select',
    {
      id: 'preset',
      onchange: () => {
        const preset = presets[Number(examples.value)];
        if (!preset) return;
        store.set({ locked: null });
        edit(app, preset.experiment);
      },
    },
    h('option', { value: '' }, 'A prompt of your own'),
    presets.map((p, i) => h('option', { value: i }, p.name)),
  );
  const from = h('span', { class: 'faint' });
  const bos = h('input', { type: 'checkbox', id: 'bos', onchange: () => edit(app, { bos: bos.checked }) });
  store.watch(
    (s) => s.experiment,
    ({ clean, corrupted, answer, wrong, bos: prepend }) => {
      const at = presets.findIndex(
        ({ experiment: e }) =>
          e.clean === clean && e.corrupted === corrupted && e.answer === answer && e.wrong === wrong,
      );
      examples.value = at < 0 ? '' : String(at);
      from.textContent = at < 0 ? '' : presets[at].from;
      bos.checked = prepend;
    },
  );
  return h(
    'section',
    { class: 'panel prompts', id: 'prompts', 'aria-labelledby': 'prompts-title' },
    h('h2', { id: 'prompts-title', class: 'panel-title' }, 'Prompt'),
    h('div', { class: 'field' }, h('label', { for: 'preset' }, 'Example'), examples, from),
    prompt(app, 'clean', 'Clean prompt'),
    second(app),
    pairProblem(app),
    hintLine(app, 'pair', pairHint),
    h('div', { class: 'answers' }, answer(app, 'answer', 'Answer'), answer(app, 'wrong', 'Wrong answer')),
    hintLine(app, 'answer', (state) => answerHint(state, 'answer')),
    hintLine(app, 'wrong', (state) => answerHint(state, 'wrong')),
    h('label', { class: 'check', for: 'bos' }, bos, h('span', {}, 'Begin with the beginning-of-text token')),
    tokens(app),
    savedPanel(app),
  );
}

/** The corrupted prompt, which is an option: with it there is something to patch. */
function second(app: App): HTMLElement {
  const { store } = app;
  const field = prompt(app, 'corrupted', 'Corrupted prompt');
  const box = field.querySelector('textarea')!;
  const add = h(
    'button',
    {
      ...{ type: 'button', class: 'quiet', id: 'add-corrupted' },
      onclick: () => {
        edit(app, { corrupted: store.state.experiment.clean });
        queueMicrotask(() => box.focus());
      },
    },
    'Add a corrupted prompt, to patch',
  );
  const swap = h(
    'button',
    {
      ...{ type: 'button', class: 'quiet', id: 'swap', title: 'The clean prompt becomes the corrupted one' },
      onclick: () => {
        const { clean, corrupted, answer, wrong } = store.state.experiment;
        edit(app, { clean: corrupted, corrupted: clean, answer: wrong, wrong: answer });
      },
    },
    'Swap',
  );
  const remove = h(
    'button',
    { type: 'button', class: 'quiet', id: 'remove-corrupted', onclick: () => edit(app, { corrupted: '' }) },
    'Remove',
  );
  field.append(h('div', { class: 'field-tools' }, swap, remove));
  const show = () => {
    const alone = store.state.experiment.corrupted === '';
    field.hidden = alone && document.activeElement !== box;
    add.hidden = !field.hidden;
  };
  store.watch((s) => s.experiment.corrupted === '', show);
  box.addEventListener('blur', show);
  return h('div', { class: 'second' }, field, add);
}

/** A prompt that can be typed. */
function prompt(app: App, name: 'clean' | 'corrupted', title: string): HTMLElement {
  const { store } = app;
  const box = h('textarea', {
    ...{ id: name, rows: 2, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off' },
    'aria-describedby': `${name}-problem`,
    oninput: () => edit(app, { [name]: box.value }),
  });
  const count = h('span', { class: 'count' });
  const problem = h('p', { class: 'problem', id: `${name}-problem`, role: 'alert', hidden: true });
  store.watch(
    (s) => s.experiment[name],
    (text) => {
      if (box.value !== text) box.value = text;
    },
  );
  store.watch(
    (s) => s.prompts?.[name],
    (read) => {
      count.textContent = read?.typed
        ? `${read.typed} tokens`
        : read?.ids.length
          ? `${read.ids.length} tokens`
          : '';
      // A corrupted prompt is an option: without one nothing is wrong.
      const wrong = read?.problem && !(name === 'corrupted' && read.text === '') ? read.problem : '';
      problem.hidden = wrong === '';
      problem.textContent = wrong;
      box.setAttribute('aria-invalid', String(wrong !== ''));
    },
  );
  return h('div', { class: `field ${name}` }, h('label', { for: name }, title, count), box, problem);
}

/** Why the two cannot be compared. */
function pairProblem(app: App): HTMLElement {
  const { store } = app;
  const problem = h('p', { class: 'problem', role: 'alert', id: 'pair-problem', hidden: true });
  store.watch(
    (s) => s.prompts,
    (read) => {
      problem.hidden = !read?.pairProblem;
      fill(
        problem,
        read?.pairProblem ?? '',
        (read?.help ?? []).map(({ name, text, what }) =>
          h(
            'button',
            { type: 'button', class: 'fix', title: text, onclick: () => edit(app, { [name]: text }) },
            `In the ${name} prompt, ${what}`,
          ),
        ),
      );
    },
  );
  return problem;
}

/** An answer: one token, which is said at once. */
function answer(app: App, name: 'answer' | 'wrong', title: string): HTMLElement {
  const { store } = app;
  const box = h('input', {
    ...{ id: name, type: 'text', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off' },
    'aria-describedby': `${name}-problem`,
    oninput: () => edit(app, { [name]: box.value }),
  });
  const chip = h('span', { class: 'chip' });
  const problem = h('p', { class: 'problem', id: `${name}-problem`, role: 'alert', hidden: true });
  store.watch(
    (s) => s.experiment[name],
    (text) => {
      if (box.value !== text) box.value = text;
    },
  );
  const show = (read: ReadAnswer | undefined, { experiment }: State) => {
    const ok = read && !read.problem;
    chip.textContent = ok ? visible(experiment[name]) : '';
    chip.hidden = !ok;
    problem.hidden = !read?.problem;
    box.setAttribute('aria-invalid', String(!!read?.problem));
    if (!read?.problem) return;
    const { instead } = read;
    fill(
      problem,
      read.problem,
      instead !== null &&
        h(
          'button',
          { type: 'button', class: 'fix', onclick: () => edit(app, { [name]: instead }) },
          `Use ${visible(instead)}`,
        ),
    );
  };
  store.watch((s) => s.prompts?.[name], show);
  return h('div', { class: `field ${name}` }, h('label', { for: name }, title, chip), box, problem);
}

/** What is odd about a field, once both runs are known, and a click that mends it. */
function hintLine(app: App, name: string, hintOf: (state: State) => Hint | null): HTMLElement {
  const line = h('p', { class: 'hint-line', id: `${name}-hint`, role: 'status', hidden: true });
  app.store.watch(
    (s) => JSON.stringify(hintOf(s)),
    (_, state) => {
      const hint = hintOf(state);
      line.hidden = hint === null;
      fill(
        line,
        hint?.text ?? '',
        hint !== null &&
          hint.fix !== null &&
          h(
            'button',
            { type: 'button', class: 'fix', onclick: () => edit(app, hint.fix!.change) },
            hint.fix.label,
          ),
      );
    },
  );
  return line;
}

/**
 * Both prompts as tokens, one over the other where they differ, and the cursor, up to which all views read.
 */
function tokens(app: App): HTMLElement {
  const { store } = app;
  const title = h('div', { class: 'strip-title' });
  const strip = h('div', { class: 'strip', role: 'group', 'aria-label': 'Tokens of the prompts' });
  listKeys(strip, '.token');
  const slider = h('input', {
    ...{ type: 'range', id: 'cursor', min: 0, step: 1 },
    oninput: () => {
      const { prompts } = store.state;
      const at = Number(slider.value);
      edit(app, { cursor: prompts && at === prompts.clean.typed - 1 ? null : at });
    },
  });
  const where = h('output', { for: 'cursor' });
  const cursor = h('label', { class: 'cursor', for: 'cursor' }, h('span', {}, 'Read up to '), where, slider);
  store.watch(
    (s) => s.prompts,
    (read) => {
      if (!read) return;
      const { clean, corrupted } = read;
      const tooLong = clean.problem !== null || (corrupted.problem !== null && corrupted.text !== '');
      fill(title, tooLong ? '' : summary(read));
      fill(strip, tooLong ? [] : chips(app, read));
      cursor.hidden = tooLong;
      slider.max = String(clean.ids.length + clean.rest.length - 1);
      slider.value = String(clean.ids.length - 1);
      where.textContent = clean.pieces.length ? `${clean.ids.length - 1}:${shown(clean.pieces.at(-1)!)}` : '';
      mark(app, strip);
    },
  );
  store.watch(
    (s) => [s.locked, shownPlace(s)],
    () => mark(app, strip),
  );
  return h('div', { class: 'tokens' }, title, strip, cursor);
}

function summary({ clean, corrupted, differ }: ReadPrompts): string {
  const [a, b] = [clean.typed, corrupted.typed];
  if (!b) return `${a} tokens`;
  const lengths = a === b ? `${a} tokens each` : `${a} and ${b} tokens`;
  if (!differ.length) return lengths;
  const many =
    differ.length > 4
      ? `${differ.length} positions`
      : `position${differ.length > 1 ? 's' : ''} ${differ.join(', ')}`;
  return `${lengths}, different at ${many}`;
}

function chips(app: App, { clean, corrupted, differ }: ReadPrompts): HTMLElement[] {
  const one = [...clean.pieces, ...clean.rest];
  const two = corrupted.problem === null ? [...corrupted.pieces, ...corrupted.rest] : one;
  const n = Math.max(one.length, two.length);
  return Array.from({ length: n }, (_, pos) => {
    const [first, second] = [one[pos], two[pos]];
    const differs = differ.includes(pos) || first !== second;
    const text = (piece: string | undefined) => (piece === undefined ? '–' : shown(piece));
    const state = [pos >= clean.typed && 'written', pos >= clean.ids.length && 'behind'].filter(Boolean);
    return h(
      'button',
      {
        type: 'button',
        class: ['token', differs && 'differs', ...state].filter(Boolean).join(' '),
        'data-pos': pos,
        tabindex: pos ? -1 : 0,
        'aria-label': differs
          ? `${pos} ${text(first)} ${text(second)}: clean, corrupted`
          : `${pos} ${text(first)}`,
        onpointerenter: () => hover(app, place({ pos })),
        onpointerleave: () => hover(app, null),
        onclick: () => lock(app, place({ pos })),
      },
      h('small', {}, String(pos)),
      differs ? [h('ins', {}, text(first)), h('del', {}, text(second))] : h('span', {}, text(first)),
    );
  });
}

const shown = (piece: string): string => (/^<\|.*\|>$/.test(piece) ? 'BOS' : visible(piece));

function mark({ store }: App, strip: HTMLElement): void {
  const { locked } = store.state;
  const at = shownPlace(store.state);
  for (const button of strip.querySelectorAll<HTMLElement>('.token')) {
    const pos = Number(button.dataset.pos);
    button.classList.toggle('locked', locked?.pos === pos);
    button.setAttribute('aria-pressed', String(locked?.pos === pos));
    button.classList.toggle('shown', at?.pos === pos && locked?.pos !== pos);
    button.classList.toggle('key', at?.key === pos);
  }
}
