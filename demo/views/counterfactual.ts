/** One counterfactual, looked at closely: what the locked (or pointed at) cell of the map does to the next token. */

import { exact, percent, visible } from '../../interp/plots/text.js';
import { type Labelled, labelled } from '../../interp/result.js';
import { edit } from '../app/app.js';
import { bosOption, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import { experimentKey, type Place, type Site, type State } from '../app/state.js';
import { fill, h, segmented } from '../ui/dom.js';
import { barPair } from '../ui/guesses.js';
import type { CounterfactualResult } from '../worker/handlers/counterfactual.js';
import type { View } from './view.js';

const KINDS = [
  ['clean', 'Clean', 'Put in what the clean run has there'],
  ['zero', 'Zero', 'Put in zeros'],
  ['mean', 'Mean', 'Put in the mean over the tokens of the clean prompt'],
] as const;

/** The view. */
export const counterfactualView: View = {
  id: 'counterfactual',
  title: 'This counterfactual',
  nav: 'Counterfactual',
  about: 'Click a cell: what that one change makes of the answer.',
  span: 4,
  mount(card, app) {
    const { store, client } = app;
    const kinds = segmented('What is put in', KINDS, (how) => edit(app, { how }));
    store.watch((s) => s.experiment.how, kinds.show);
    card.controls.append(kinds.element);
    const one = resource<CounterfactualResult>(store, {
      key: (state) => {
        const at = cellAt(state);
        const key = experimentKey(state);
        return at && key && JSON.stringify([key, state.experiment.site, state.experiment.how, at]);
      },
      run: (state, { signal }) => {
        const { clean, corrupted, answer, wrong } = state.prompts!;
        const { how } = state.experiment;
        const at = cellAt(state)!;
        return client.call(
          'counterfactual',
          {
            ...{ clean: clean.ids, corrupted: corrupted.ids, at: state.experiment.site },
            ...{ layer: at.layer!, pos: at.pos, head: at.head, how },
            ...{ answer: answer.id!, wrong: wrong.id!, k: 4 },
          },
          { signal },
        );
      },
      see({ status, value, error }) {
        card.busy(status === 'busy' ? null : undefined);
        card.problem(error);
        kinds.element.hidden = status === 'idle';
        if (status === 'idle') {
          fill(card.body, hint());
          fill(card.foot);
        }
        if (status !== 'done' || !value) return;
        const { state } = store;
        fill(
          card.body,
          h('p', { class: 'what' }, inWords(state)),
          said(state, value),
          tableOf(state, value),
          lensOf(value),
          looksOf(state, value),
        );
        fill(
          card.foot,
          value.idle ? 'This cannot change anything: both runs are the same there.' : value.what,
        );
      },
    });
    return {
      result: () => (one.state.value ? result(store.state, one.state.value) : null),
      code: () =>
        program(
          store.state,
          [],
          `const run = await model.runWithInterventions(
  corrupted,
  [${JSON.stringify(one.state.value?.intervention ?? {})}],
  { sources: { clean }${bosOption(store.state.experiment)} },
);
const last = run.logits.slice({ batch: 0, pos: -1 });
const { indices } = last.topk(5);
console.log(model.toStrTokens(Array.from(await indices.data())));`,
        ),
    };
  },
};

/** The cell that is looked at: the locked one, if this kind of map has it. */
function cellAt({ locked, experiment, model, prompts }: State): Place | null {
  if (!locked || locked.layer === null || !model.info || !prompts) return null;
  const { nLayers, nHeads } = model.info;
  if (locked.layer >= nLayers) return null;
  const { head, pos } = locked;
  if (experiment.site === 'z')
    return head !== null && head < nHeads ? { ...locked, pos: null, key: null } : null;
  return pos !== null && pos < prompts.corrupted.ids.length ? { ...locked, head: null, key: null } : null;
}

const hint = (): HTMLElement =>
  h(
    'p',
    { class: 'hint' },
    'Nothing is selected. Point at a cell of the map to preview it, click it to lock it, press Esc to let go.',
  );

const NAMES: Readonly<Record<Site, string>> = {
  resid_pre: 'the residual stream before',
  attn_out: 'what attention adds in',
  mlp_out: 'what the MLP adds in',
  z: 'the output of head',
};

function inWords(state: State): string {
  const { site, how } = state.experiment;
  const { layer, head, pos } = cellAt(state)!;
  const where =
    site === 'z'
      ? `${NAMES.z} ${layer}.${head}`
      : `${NAMES[site]} layer ${layer} at ${pos}:${visible(state.prompts!.corrupted.pieces[pos!])}`;
  if (how === 'clean') return `The corrupted run, but with ${where} as in the clean run.`;
  return `The corrupted run, but with ${where} ${how === 'zero' ? 'set to zero' : 'set to its mean over the clean prompt'}.`;
}

/** The logit difference before, after, and in the clean run. */
function said(state: State, { clean, corrupted, patched }: CounterfactualResult): HTMLElement {
  const { answer, wrong } = state.prompts!;
  const diff = (list: CounterfactualResult['clean']) => {
    const logit = (id: number | null) => list.find((g) => g.token === id)!.logit;
    return logit(answer.id) - logit(wrong.id);
  };
  const [from, to, full] = [corrupted, patched, clean].map(diff);
  const share = (to - from) / (full - from);
  return h(
    'div',
    { class: 'shift' },
    h('span', { class: 'big' }, Number.isFinite(share) ? `${Math.round(100 * share)} %` : '–'),
    h(
      'span',
      {},
      'of the way from corrupted to clean',
      h('br'),
      h(
        'small',
        {},
        `${visible(state.experiment.answer)} − ${visible(state.experiment.wrong)}: ${exact(from, { sign: true })} → ${exact(to, { sign: true })} (clean ${exact(full, { sign: true })})`,
      ),
    ),
  );
}

function tableOf(state: State, { corrupted, patched, clean }: CounterfactualResult): HTMLElement {
  const { answer, wrong } = state.prompts!;
  return barPair(
    patched.map((after, i) => ({
      text: after.text,
      role: after.token === answer.id ? 'answer' : after.token === wrong.id ? 'wrong' : '',
      values: [corrupted[i].prob, after.prob],
      title: `rank ${corrupted[i].rank} → ${after.rank}, clean ${clean[i].rank}`,
    })),
    ['before', 'after'],
  );
}

/** The logit lens at the last token, before and after. */
function lensOf({ lens }: CounterfactualResult): HTMLElement {
  const reading = ({ text, prob }: CounterfactualResult['lens'][number]['before'], changed: boolean) =>
    h(
      'td',
      { class: changed ? 'changed' : '' },
      h('code', {}, visible(text)),
      h('span', { class: 'num' }, percent(prob)),
    );
  return h(
    'details',
    { class: 'more', open: true },
    h('summary', {}, 'Logit lens at the last token'),
    h(
      'div',
      { class: 'rows' },
      h(
        'table',
        { class: 'lens-pair' },
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            ['layer', 'before', 'after'].map((name) => h('th', { scope: 'col' }, name)),
          ),
        ),
        h(
          'tbody',
          {},
          lens.map(({ before, after }, l) =>
            h(
              'tr',
              {},
              h('th', { scope: 'row' }, `L${l}`),
              reading(before, false),
              reading(after, before.text !== after.text),
            ),
          ),
        ),
      ),
    ),
  );
}

/** Heads that look elsewhere from the last token. */
function looksOf({ prompts }: State, { looks }: CounterfactualResult): HTMLElement | null {
  if (!looks.length) return null;
  const at = ([pos, weight]: readonly [number, number]) =>
    `${pos}:${visible(prompts!.corrupted.pieces[pos])} ${percent(weight)}`;
  return h(
    'details',
    { class: 'more', open: true },
    h('summary', {}, 'Heads that now look elsewhere from there'),
    h(
      'ul',
      { class: 'looks' },
      looks.map(({ layer, head, before, after }) =>
        h(
          'li',
          {},
          h('strong', {}, `${layer}.${head}`),
          h('code', {}, at(before)),
          ' → ',
          h('code', {}, at(after)),
        ),
      ),
    ),
  );
}

function result({ model }: State, { clean, corrupted, patched, what }: CounterfactualResult): Labelled {
  const runs = [corrupted, patched, clean];
  const axes = [
    { name: 'run', labels: ['corrupted', 'patched', 'clean'] },
    { name: 'token', labels: patched.map((g) => g.text) },
  ];
  return labelled(Float32Array.from(runs.flat().map((g) => g.prob)), axes, {
    ...{ method: 'one counterfactual', metric: 'p', intervention: what, model: model.name },
    ...{ hash: model.info?.hash, adapter: model.info?.adapter },
  });
}
