/** The changed model: a list of changes that every view computes with, and what comes of them. */

import { guessFigure } from '../../interp/figures/guesses.js';
import { type LabelledData, labelled } from '../../interp/results/result.js';
import { type App, edit } from '../app/app.js';
import { ask, editsIn } from '../app/ask.js';
import { changesText, type Depends, notesOf } from '../app/captions.js';
import { type Change, changeProblem, DEEDS, type Deed, inWords, PARTS, type Part } from '../app/changes.js';
import { commandLine, program, withCode } from '../app/code.js';
import { copy } from '../app/files.js';
import { resource } from '../app/resource.js';
import type { Asked, State } from '../app/state.js';
import { fill, h } from '../ui/dom.js';
import { barTable } from '../ui/guesses.js';
import type { Compared } from '../worker/handlers/writing.js';
import { takeaway, type View } from './view.js';

/** Tokens of the two continuations. */
const TOKENS = 12;

/** The view. */
export const changesView: View = {
  id: 'changes',
  title: 'Change the model',
  nav: 'Changes',
  about:
    'Heads, MLPs, neurons and positions silenced or scaled, directions added: all views then read the changed model.',
  span: 4,
  optional: true,
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    const past: State['experiment']['changes'][] = []; // for Undo
    const put = (changes: readonly Change[]) => {
      past.push(store.state.experiment.changes);
      edit(app, { changes });
    };
    const list = h('ul', { class: 'changes' });
    const undo = h(
      'button',
      {
        ...{ type: 'button', class: 'quiet', id: 'undo-change' },
        onclick: () => {
          const before = past.pop();
          if (before) edit(app, { changes: before });
        },
      },
      'Undo',
    );
    const others = h('input', {
      ...{ type: 'checkbox', id: 'others' },
      onchange: () => edit(app, { others: others.checked }),
    });
    const butThese = h(
      'label',
      { class: 'check', for: 'others' },
      others,
      h('span', {}, 'Everything but these'),
    );
    const chosen = h(
      'button',
      {
        ...{ type: 'button', class: 'quiet', id: 'silence' },
        onclick: () => {
          const one = ofPlace(store.state);
          if (one) put([...store.state.experiment.changes, one]);
        },
      },
      'Silence what is selected',
    );
    const copied = (name: string, text: () => string) =>
      h(
        'button',
        {
          ...{ type: 'button', class: 'quiet', 'data-copy': name.toLowerCase() },
          onclick: async () =>
            app.say((await copy(text())) ? `${name} copied.` : 'The browser does not let this page copy.'),
        },
        name,
      );
    const asked = (): Asked => ({ ...store.state, experiment: store.state.experiment });
    const away = h(
      'div',
      { class: 'copies', role: 'group', 'aria-label': 'Copy the list' },
      h('span', { class: 'faint' }, 'Copy as'),
      copied('TypeScript', () => `const changed = model.with(${withCode(asked())});\n`),
      copied('JSON', () => `${JSON.stringify(editsIn(store.state), null, 2)}\n`),
      copied('Command', () => commandLine(asked(), ['generate', store.state.experiment.clean])),
    );
    const form = addForm(app, (change) => put([...store.state.experiment.changes, change]));
    const effect = h('div', { class: 'effect' });
    const frame = h('div', {}, list, h('div', { class: 'change-tools' }, undo, butThese), away);
    card.controls.append(chosen, form, frame);
    const draw = () => {
      const { changes, others: all } = store.state.experiment;
      const { info } = store.state.model;
      others.checked = all;
      undo.disabled = !past.length;
      away.hidden = !editsIn(store.state).interventions.length;
      butThese.hidden = !changes.some((c) => c.deed !== 'steer');
      chosen.disabled = !ofPlace(store.state);
      fill(
        list,
        changes.map((change, i) =>
          item(
            change,
            info ? changeProblem(change, info) : null,
            (next) => {
              put(next ? changes.map((c, k) => (k === i ? next : c)) : changes.filter((_, k) => k !== i));
            },
            i,
          ),
        ),
      );
    };
    store.watch((s) => [s.experiment.changes, s.experiment.others, s.model.info, s.locked] as const, draw);

    const compared = resource<Compared>(store, {
      lazy: true,
      ask: (state) => {
        const asked = ask(state, ['clean', 'answer?']);
        if (asked.key === null || editsIn(state).interventions.length) return asked;
        return { key: null, why: 'Nothing is changed: the model is as it was loaded.' };
      },
      run: (of, { signal }) =>
        client.call(
          'compareModels',
          { prompt: of.prompts!.clean.ids, edits: editsIn(of), tokens: TOKENS, k: 5 },
          { signal },
        ),
      see(state) {
        card.follow(state);
        if (!state.found) return;
        if (!effect.isConnected) fill(card.body, effect);
        const { value, of } = state.found;
        const { answer, wrong } = of.prompts!;
        fill(
          effect,
          barTable(
            value.changed.map((g, i) => ({
              ...{
                text: g.text,
                role: g.token === answer.id ? 'answer' : g.token === wrong.id ? 'wrong' : '',
              },
              values: [value.plain[i].prob, g.prob],
              title: `rank ${value.plain[i].rank} → ${g.rank}`,
            })),
            ['unchanged', 'changed'],
          ),
          h(
            'dl',
            { class: 'side-by-side' },
            h('div', {}, h('dt', {}, 'Unchanged, it goes on'), h('dd', {}, value.plainText)),
            h('div', {}, h('dt', {}, 'Changed'), h('dd', {}, value.changedText)),
          ),
        );
        fill(card.foot, `After the clean prompt. ${TOKENS} tokens each, the most probable one every time.`);
      },
    });
    card.whenSeen(compared.start);
    return takeaway(compared, ({ value, of }) => {
      const depends: Depends = { on: 'clean', answers: true };
      const result = numbers(of, value);
      return {
        ...{ of, depends, result },
        figure: () =>
          guessFigure(result, {
            title: 'The changed model',
            ...(of.prompts!.answer.id !== null && { answer: of.experiment.answer }),
            lines: [
              { text: changesText(of) },
              { text: `unchanged: …${value.plainText}` },
              { text: `changed: …${value.changedText}` },
            ],
            notes: notesOf(of, depends),
          }),
        code: () =>
          program(
            of,
            ['nextTokenTable'],
            `for (const m of [whole, model]) {
  const table = await nextTokenTable(m, clean, { k: 5${of.experiment.bos ? '' : ', prependBos: false'} });
  for (const rows of table.entries) console.table(rows);
  console.log(await m.generate(clean, { maxNewTokens: ${TOKENS}${of.experiment.bos ? '' : ', prependBos: false'} }));
}`,
          ),
        command: () => commandLine(of, ['generate', of.experiment.clean, '--max-new-tokens', String(TOKENS)]),
      };
    });
  },
};

/** What is selected, silenced; null where nothing is that can be. */
function ofPlace({ locked }: State): Change | null {
  if (!locked || locked.layer === null) return null;
  const { layer, head, part, pos } = locked;
  const same = { deed: 'zero', by: 1, layer } as const;
  if (head !== null) return { ...same, part: 'head', index: head, pos: null };
  const parts: Partial<Record<string, Part>> = { attn_out: 'attn', mlp_out: 'mlp', pre: 'resid' };
  const own = part === null ? undefined : parts[part];
  return own ? { ...same, part: own, index: null, pos } : null;
}

/** A change in the list: on or off, its strength, and away with it. */
function item(
  change: Change,
  problem: string | null,
  put: (next: Change | null) => void,
  i: number,
): HTMLElement {
  const words = inWords(change);
  const on = h('input', {
    ...{ type: 'checkbox', checked: !change.off, id: `change-${i}` },
    onchange: () => put({ ...change, off: !on.checked }),
  });
  const strong = change.deed === 'scale' || change.deed === 'steer';
  const end = change.deed === 'steer' ? 10 : 4;
  const slider = h('input', {
    ...{
      type: 'range',
      min: -end,
      max: end,
      step: 0.25,
      value: change.by,
      'aria-label': `Strength: ${words}`,
    },
    onchange: () => put({ ...change, by: Number(slider.value) }),
  });
  return h(
    'li',
    { class: change.off ? 'off' : '' },
    h('label', { for: `change-${i}` }, on, h('span', {}, words)),
    strong && slider,
    h(
      'button',
      {
        type: 'button',
        class: 'quiet',
        'aria-label': `Remove ${words}`,
        title: 'Remove',
        onclick: () => put(null),
      },
      '×',
    ),
    problem && h('p', { class: 'problem' }, problem),
  );
}

/** A form for one more. Heads are typed as `L9H6` or `9.6`. */
function addForm({ store }: App, add: (change: Change) => void): HTMLElement {
  const select = <T extends string>(
    id: string,
    label: string,
    choices: readonly (readonly [T, string, string?])[],
  ) =>
    h(
      'select',
      { id, 'aria-label': label, onchange: () => fit() },
      choices.map(([value, text]) => h('option', { value }, text)),
    );
  const part = select<Part>(
    'change-part',
    'What is changed',
    PARTS.map(([p, name]) => [p, name] as const),
  );
  const deed = select<Deed>(
    'change-deed',
    'What happens to it',
    DEEDS.map(([d, name]) => [d, name] as const),
  );
  const where = h('input', {
    type: 'text',
    id: 'change-where',
    'aria-label': 'Which one',
    autocomplete: 'off',
  });
  const pos = h('input', {
    type: 'number',
    id: 'change-pos',
    min: 0,
    'aria-label': 'Position',
    placeholder: 'all',
  });
  const by = h('input', {
    type: 'number',
    id: 'change-by',
    step: 'any',
    value: 0.5,
    'aria-label': 'How much',
  });
  const plus = h('input', {
    type: 'text',
    id: 'change-plus',
    'aria-label': 'Text with the property',
    placeholder: 'text with it: I love',
  });
  const minus = h('input', {
    type: 'text',
    id: 'change-minus',
    'aria-label': 'Text without the property',
    placeholder: 'and without: I hate',
  });
  const problem = h('p', { class: 'problem', role: 'alert', hidden: true });
  const fit = () => {
    const [p, d] = [part.value as Part, deed.value as Deed];
    if (d === 'steer' && p !== 'resid') part.value = 'resid';
    where.placeholder = part.value === 'head' ? 'L1H2' : part.value === 'neuron' ? 'L1N20' : 'layer';
    by.hidden = d !== 'scale' && d !== 'steer';
    plus.hidden = minus.hidden = d !== 'steer';
  };
  const submit = h('button', { type: 'submit', class: 'quiet', id: 'add-change' }, 'Add');
  const form = h(
    'form',
    {
      class: 'add-change',
      onsubmit: (event: Event) => {
        event.preventDefault();
        const [p, d] = [part.value as Part, deed.value as Deed];
        const read = readWhere(where.value, p === 'head' || p === 'neuron');
        const { info } = store.state.model;
        const change: Change | null = read && {
          ...{ part: p, deed: d, ...read, pos: pos.value === '' ? null : Number(pos.value) },
          by: d === 'scale' || d === 'steer' ? Number(by.value) : 1,
          ...(d === 'steer' && { plus: plus.value, minus: minus.value }),
        };
        const why = !change
          ? `“${where.value}” is no ${p === 'head' ? 'head: L1H2 or 1.2' : p === 'neuron' ? 'neuron: L1N20 or 1.20' : 'layer: 0, 1, …'}.`
          : info && changeProblem(change, info);
        problem.hidden = !why;
        problem.textContent = why ?? '';
        if (change && !why) {
          add(change);
          where.value = '';
          where.focus();
        }
      },
    },
    part,
    where,
    h('label', { class: 'inline', for: 'change-pos' }, 'at position', pos),
    deed,
    by,
    plus,
    minus,
    submit,
    problem,
  );
  fit();
  return form;
}

/** `L9H6`, `9.6`, `L1N20`; or a layer, `3`, `L3`. */
function readWhere(text: string, two: boolean): Pick<Change, 'layer' | 'index'> | null {
  const found = two ? /^\s*L?(\d+)\s*(?:[.:HhNn]|\s)\s*(\d+)\s*$/i.exec(text) : /^\s*L?(\d+)\s*$/i.exec(text);
  if (!found) return null;
  return { layer: Number(found[1]), index: two ? Number(found[2]) : null };
}

function numbers(
  { model, prompts, experiment }: Asked,
  { plain, changed, plainText, changedText }: Compared,
): LabelledData {
  const axes = [
    { name: 'model', labels: ['unchanged', 'changed'] },
    { name: 'token', labels: changed.map((g) => g.text) },
  ];
  return labelled(Float32Array.from([...plain, ...changed].map((g) => g.prob)), axes, {
    ...{ method: 'next tokens of a changed model', metric: 'p', unit: 'probability', model: model.name },
    ...{ hash: model.info?.hash, adapter: model.info?.adapter, bos: experiment.bos },
    ...{
      edits: editsIn({ model, experiment }),
      continuations: [plainText, changedText],
      tokens: prompts!.clean.ids,
    },
  });
}
