/**
 * One counterfactual, looked at closely: what the locked (or pointed at) cell of the map does to the next
 * token.
 */

import { guessFigure } from '../../interp/figures/guesses.js';
import { endsProblem } from '../../interp/results/ends.js';
import { type LabelledData, labelled } from '../../interp/results/result.js';
import { exact, percent, visible } from '../../interp/results/text.js';
import { edit } from '../app/app.js';
import { ask, editsIn } from '../app/ask.js';
import { type Depends, notesOf } from '../app/captions.js';
import { bosOption, commandLine, literal, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import { type Asked, headName, type Part, type Place, type State } from '../app/state.js';
import { fill, h, segmented } from '../ui/dom.js';
import { barTable } from '../ui/guesses.js';
import type { CounterfactualResult } from '../worker/handlers/counterfactual.js';
import { takeaway, type View } from './view.js';

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
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    const kinds = segmented('What is put in', KINDS, (how) => edit(app, { how }));
    store.watch((s) => s.experiment.how, kinds.show);
    const away = h(
      'button',
      { type: 'button', class: 'quiet sheet-close', onclick: () => document.body.classList.remove('sheet') },
      'Close',
    );
    card.controls.append(kinds.element, away);
    store.watch(
      (s) => s.locked,
      () => {
        if (!document.body.classList.contains('sheet') || !matchMedia('(max-width: 959px)').matches) return;
        document.querySelector('.cell.locked')?.scrollIntoView({ block: 'start', inline: 'nearest' });
      },
    );
    const one = resource<OneCell>(store, {
      ask: (state) => {
        const { how } = state.experiment;
        const needed = ask(state, ['pair', 'answer', 'wrong?']);
        if (needed.key === null) return needed;
        const at = cellAt(state);
        return at ? ask(state, ['pair', 'answer', 'wrong?'], how, at) : { key: null, why: hint(state) };
      },
      run: async (of, { signal }) => {
        const { clean, corrupted, answer, wrong } = of.prompts!;
        const { how } = of.experiment;
        const at = cellAt({ ...store.state, ...of })!;
        const { layer, pos, head } = at;
        const also = [answer.id!, ...(wrong.id === null ? [] : [wrong.id])];
        const runs = { clean: clean.ids, corrupted: corrupted.ids, also, k: 4 };
        const place = { at: siteOf(at), layer: layer!, pos, head, how, edits: editsIn(of) };
        return { at, ...(await client.call('counterfactual', { ...runs, ...place }, { signal })) };
      },
      see(state) {
        card.follow(state);
        const { found } = state;
        if (!found) return;
        const { value, of } = found;
        fill(
          card.body,
          h('p', { class: 'what' }, inWords(of, value.at)),
          said(of, value),
          tableOf(of, value),
          lensOf(value),
          looksOf(of, value),
        );
        fill(
          card.foot,
          value.idle ? 'This cannot change anything: both runs are the same there.' : value.what,
        );
      },
    });
    return takeaway(one, ({ value, of }) => {
      const { answer, wrong } = of.prompts!;
      const depends: Depends = { on: 'pair', answers: true, detail: inWords(of, value.at) };
      const numbers = result(of, value);
      return {
        ...{ of, depends, detail: nameOf(value.at), result: numbers },
        figure: () =>
          guessFigure(numbers, {
            title: 'One counterfactual',
            ...(answer.id !== null && { answer: of.experiment.answer }),
            ...(wrong.id !== null && { wrong: of.experiment.wrong }),
            lines: [{ text: inWords(of, value.at) }, { text: shareText(of, value) }],
            tables: tablesOf(of, value),
            notes: notesOf(of, { ...depends, detail: undefined }),
          }),
        command: () =>
          commandLine(of, [
            ...['counterfactual', '--clean', of.experiment.clean, '--corrupted', of.experiment.corrupted],
            ...[
              '--answer',
              of.experiment.answer,
              ...(wrong.id === null ? [] : ['--wrong', of.experiment.wrong]),
            ],
            ...['--interventions', JSON.stringify([value.intervention])],
          ]),
        code: () =>
          program(
            of,
            ['scope'],
            `const run = await model.runWithInterventions(
  corrupted,
  [${literal(value.intervention)}],
  { sources: { clean }${bosOption(of.experiment)} },
);
const before = await model.forward(corrupted${bosOption(of.experiment) && ', { prependBos: false }'});
for (const [name, logits] of [['corrupted', before], ['patched', run.logits]] as const)
  await scope(async () => {
    const probs = logits.slice({ batch: 0, pos: -1 }).softmax();
    const p = await probs.data();
    for (const token of ${literal(numbers.axes[1].labels)})
      console.log(name, JSON.stringify(token), p[model.toSingleToken(token)]);
  });
for (const logits of [before, run.logits]) logits.dispose();`,
          ),
      };
    });
  },
};

/** A counterfactual, and its cell. */
interface OneCell extends CounterfactualResult {
  readonly at: Place;
}

/**
 * The cell that is looked at: the locked one, of whichever view; null where it is a token, or a whole layer.
 */
function cellAt({ locked, model, prompts }: State): Place | null {
  if (!locked || locked.layer === null || !model.info || !prompts) return null;
  const { nLayers, nHeads } = model.info;
  if (locked.layer >= nLayers) return null;
  const { head, pos, part } = locked;
  if (head !== null) return head < nHeads ? { ...locked, pos: null, key: null } : null;
  return part !== null && pos !== null && pos < prompts.corrupted.ids.length
    ? { ...locked, key: null }
    : null;
}

/** The hook point of a cell. */
const siteOf = ({ head, part }: Place): string =>
  head !== null ? 'z' : part === 'attn_out' || part === 'mlp_out' ? part : `resid_${part}`;

/** A cell, as rows and heads are called everywhere. */
const nameOf = ({ layer, part, head, pos }: Place): string =>
  head !== null ? headName(layer!, head) : `${layer}_${part}-${pos}`;

/** Why there is none. */
const hint = ({ locked }: State): string =>
  locked
    ? 'A token is selected, and no activation. Click a cell of the map, or press Esc to let go.'
    : 'Nothing is selected. Point at a cell of the map to preview it, click it to lock it, press Esc to let go.';

const NAMES: Readonly<Record<Part, string>> = {
  pre: 'the residual stream before',
  mid: 'the residual stream in the middle of',
  post: 'the residual stream after',
  attn_out: 'what attention adds in',
  mlp_out: 'what the MLP adds in',
};

function inWords(state: Asked, { layer, part, head, pos }: Place): string {
  const { how } = state.experiment;
  const where =
    head !== null
      ? `the output of head ${headName(layer!, head)}`
      : `${NAMES[part!]} layer ${layer} at ${pos}:${visible(state.prompts!.corrupted.pieces[pos!])}`;
  if (how === 'clean') return `The corrupted run, but with ${where} as in the clean run.`;
  return `The corrupted run, but with ${where} ${how === 'zero' ? 'set to zero' : 'set to its mean over the clean prompt'}.`;
}

/**
 * What a counterfactual is judged by: the logit difference, or without a wrong answer the answer's logarithm
 * of p.
 */
function judged({ prompts, experiment }: Asked): {
  readonly name: string;
  readonly of: (run: CounterfactualResult['clean']) => number;
} {
  const { answer, wrong } = prompts!;
  const guess = (run: CounterfactualResult['clean'], id: number | null) => run.find((g) => g.token === id)!;
  if (wrong.id === null)
    return {
      name: `log p(${visible(experiment.answer)})`,
      of: (run) => Math.log(guess(run, answer.id).prob),
    };
  return {
    name: `${visible(experiment.answer)} − ${visible(experiment.wrong)}`,
    of: (run) => guess(run, answer.id).logit - guess(run, wrong.id).logit,
  };
}

/** The metric before, after, and in the clean run, and how far that is where there is a way to go. */
function said(state: Asked, { clean, corrupted, patched }: CounterfactualResult): HTMLElement {
  const metric = judged(state);
  const [from, to, full] = [corrupted, patched, clean].map(metric.of);
  const problem = endsProblem({ zero: from, one: full, unit: 'logit', metric: metric.name });
  const share = (to - from) / (full - from);
  const numbers = h(
    'small',
    {},
    `${metric.name}: ${exact(from, { sign: true })} → ${exact(to, { sign: true })} (clean ${exact(full, { sign: true })})`,
  );
  if (problem || !Number.isFinite(share))
    return h('div', {}, h('p', { class: 'problem premise' }, problem ?? ''), numbers);
  return h(
    'div',
    { class: 'shift' },
    h('span', { class: 'big' }, `${Math.round(100 * share)}%`.replace('-', '−')),
    h('span', {}, 'of the way from corrupted to clean', h('br'), numbers),
  );
}

/** The same as one line, for the figure. */
function shareText(state: Asked, { clean, corrupted, patched }: CounterfactualResult): string {
  const metric = judged(state);
  const [from, to, full] = [corrupted, patched, clean].map(metric.of);
  const ends = { zero: from, one: full, unit: 'logit', metric: metric.name } as const;
  const share = (to - from) / (full - from);
  const told = `${metric.name}: ${exact(from, { sign: true })} → ${exact(to, { sign: true })} (clean ${exact(full, { sign: true })})`;
  const way = `${Math.round(100 * share)}%`.replace('-', '−');
  return endsProblem(ends) || !Number.isFinite(share)
    ? told
    : `${way} of the way from corrupted to clean. ${told}`;
}

/** The lens and the heads, as tables of the figure. */
function tablesOf({ prompts }: Asked, { lens, looks }: CounterfactualResult) {
  const at = ([pos, weight]: readonly [number, number]) =>
    `${pos}:${visible(prompts!.corrupted.pieces[pos])} ${percent(weight)}`;
  const read = ({ text, prob }: CounterfactualResult['lens'][number]['before']) =>
    `${visible(text)} ${percent(prob)}`;
  const rows = lens.map(({ before, after }, l) => `${l}_post\t${read(before)}\t${read(after)}`);
  const moved = looks.map((l) => `${headName(l.layer, l.head)}\t${at(l.before)}\t→ ${at(l.after)}`);
  return [
    { heading: 'Logit lens at the last token, before and after', lines: rows },
    ...(moved.length ? [{ heading: 'Heads that now look elsewhere from there', lines: moved }] : []),
  ];
}

function tableOf(state: Asked, { corrupted, patched, clean }: CounterfactualResult): HTMLElement {
  const { answer, wrong } = state.prompts!;
  return barTable(
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
              h('th', { scope: 'row' }, `${l}_post`),
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
function looksOf({ prompts }: Asked, { looks }: CounterfactualResult): HTMLElement | null {
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
          h('strong', {}, headName(layer, head)),
          h('code', {}, at(before)),
          ' → ',
          h('code', {}, at(after)),
        ),
      ),
    ),
  );
}

function result({ model, prompts, experiment }: Asked, found: CounterfactualResult): LabelledData {
  const { clean, corrupted, patched, what } = found;
  const runs = [corrupted, patched, clean];
  const axes = [
    { name: 'run', labels: ['corrupted', 'patched', 'clean'] },
    { name: 'token', labels: patched.map((g) => g.text) },
  ];
  return labelled(Float32Array.from(runs.flat().map((g) => g.prob)), axes, {
    ...{ method: 'one counterfactual', metric: 'p', unit: 'probability', intervention: what },
    ...{ model: model.name, hash: model.info?.hash, adapter: model.info?.adapter, bos: experiment.bos },
    ...{ tokens: prompts!.corrupted.ids, cleanTokens: prompts!.clean.ids },
    ...{ answer: prompts!.answer.id, wrong: prompts!.wrong.id },
  });
}
