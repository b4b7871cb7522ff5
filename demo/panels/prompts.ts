/** The pair of prompts, as it is typed and as the model reads it. */

import { visible } from '../../interp/results/text.js';
import { type App, edit, hover, lock } from '../app/app.js';
import { answerHint, type Hint, pairHint } from '../app/premises.js';
import { presets } from '../app/presets.js';
import { place, type State, shownPlace } from '../app/state.js';
import { fill, h } from '../ui/dom.js';
import type { ReadAnswer, ReadPrompts } from '../worker/handlers/prompts.js';

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
    h('option', { value: '' }, 'Prompts of your own'),
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
    { class: 'panel prompts', 'aria-label': 'Prompts' },
    h('div', { class: 'field' }, h('label', { for: 'preset' }, 'Example'), examples, from),
    prompt(app, 'clean', 'Clean prompt'),
    prompt(app, 'corrupted', 'Corrupted prompt'),
    pairProblem(app),
    hintLine(app, 'pair', pairHint),
    h('div', { class: 'answers' }, answer(app, 'answer', 'Answer'), answer(app, 'wrong', 'Wrong answer')),
    hintLine(app, 'answer', (state) => answerHint(state, 'answer')),
    hintLine(app, 'wrong', (state) => answerHint(state, 'wrong')),
    h('label', { class: 'check', for: 'bos' }, bos, h('span', {}, 'Begin with the beginning-of-text token')),
    tokens(app),
  );
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
      count.textContent = read?.ids.length ? `${read.ids.length} tokens` : '';
      problem.hidden = !read?.problem;
      problem.textContent = read?.problem ?? '';
      box.setAttribute('aria-invalid', String(!!read?.problem));
    },
  );
  return h('div', { class: `field ${name}` }, h('label', { for: name }, title, count), box, problem);
}

/** Why the two cannot be compared. */
function pairProblem({ store }: App): HTMLElement {
  const problem = h('p', { class: 'problem', role: 'alert', id: 'pair-problem', hidden: true });
  store.watch(
    (s) => s.prompts,
    (read) => {
      problem.hidden = !read?.pairProblem;
      problem.textContent = read?.pairProblem ?? '';
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

/** Both prompts as tokens: one over the other where they differ. */
function tokens(app: App): HTMLElement {
  const { store } = app;
  const title = h('div', { class: 'strip-title' });
  const strip = h('div', { class: 'strip', role: 'list', 'aria-label': 'Tokens of both prompts' });
  store.watch(
    (s) => s.prompts,
    (read) => {
      if (!read) return;
      const tooLong = read.clean.problem !== null || read.corrupted.problem !== null;
      fill(title, tooLong ? '' : summary(read));
      fill(strip, tooLong ? [] : chips(app, read));
      mark(app, strip);
    },
  );
  store.watch(
    (s) => [s.locked, shownPlace(s)],
    () => mark(app, strip),
  );
  return h('div', { class: 'tokens' }, title, strip);
}

function summary({ clean, corrupted, differ }: ReadPrompts): string {
  const [a, b] = [clean.ids.length, corrupted.ids.length];
  const lengths = a === b ? `${a} tokens each` : `${a} and ${b} tokens`;
  if (!differ.length) return lengths;
  const many =
    differ.length > 4
      ? `${differ.length} positions`
      : `position${differ.length > 1 ? 's' : ''} ${differ.join(', ')}`;
  return `${lengths}, different at ${many}`;
}

function chips(app: App, { clean, corrupted, differ }: ReadPrompts): HTMLElement[] {
  const n = Math.max(clean.pieces.length, corrupted.pieces.length);
  return Array.from({ length: n }, (_, pos) => {
    const [one, other] = [clean.pieces[pos], corrupted.pieces[pos]];
    const differs = differ.includes(pos) || one === undefined || other === undefined;
    const text = (piece: string | undefined) => (piece === undefined ? '–' : shown(piece));
    return h(
      'span',
      { role: 'listitem', class: 'token-place' },
      h(
        'button',
        {
          type: 'button',
          class: `token${differs ? ' differs' : ''}`,
          'data-pos': pos,
          'aria-label': differs
            ? `position ${pos}: clean ${text(one)}, corrupted ${text(other)}`
            : `position ${pos}: ${text(one)}`,
          onpointerenter: () => hover(app, place({ pos })),
          onpointerleave: () => hover(app, null),
          onclick: () => lock(app, place({ pos })),
        },
        h('small', {}, String(pos)),
        differs ? [h('ins', {}, text(one)), h('del', {}, text(other))] : h('span', {}, text(one)),
      ),
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
    button.classList.toggle('shown', at?.pos === pos && locked?.pos !== pos);
    button.classList.toggle('key', at?.key === pos);
  }
}
