/**
 * Writing on: the text token by token, what was considered for each, another token in its place, and the
 * cursor, up to which all views read.
 */

import { hex, hues, inkOn, sequential } from '../../interp/figures/draw/colour.js';
import { guessFigure } from '../../interp/figures/guesses.js';
import { type LabelledData, labelled } from '../../interp/results/result.js';
import { percent, visible } from '../../interp/results/text.js';
import { edit } from '../app/app.js';
import { ask, editsIn } from '../app/ask.js';
import { type Depends, notesOf } from '../app/captions.js';
import { bosOption, commandLine, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import { type Candidate, candidates, type Sampling } from '../app/sampling.js';
import type { Asked } from '../app/state.js';
import { fill, h } from '../ui/dom.js';
import { listKeys } from '../ui/keys.js';
import type { Considered } from '../worker/handlers/writing.js';
import { takeaway, type View } from './view.js';

/** Candidates that are named. */
const NAMED = 40;
/** Of them shown. */
const SHOWN = 10;
const TINTS = { light: sequential(hues.probability, 'light'), dark: sequential(hues.probability, 'dark') };

/** The view. */
export const writingView: View = {
  id: 'writing',
  title: 'Writing on',
  nav: 'Writing',
  about:
    'The text, each token tinted by how probable it was. Click one to put the cursor there: all views read up to it. Below is what the model considers next: click a token to take it.',
  span: 8,
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    let sampling: Sampling = { temperature: 0, topK: null, topP: null };
    let seed = 0;
    let busy: AbortController | null = null;
    const branches: { written: readonly number[]; text: string; of: string }[] = [];

    const text = h('div', { class: 'flow', role: 'group', 'aria-label': 'The text, token by token' });
    listKeys(text, '.flow-token');
    const list = h('div', { class: 'candidates' });
    const others = h('div', { class: 'branches' });
    const note = h('p', { class: 'problem', role: 'alert', hidden: true });

    const number = (
      id: string,
      label: string,
      more: Readonly<Record<string, string | number>>,
      see: (n: number | null) => void,
    ) => {
      const box = h('input', {
        ...{ type: 'number', id, ...more },
        oninput: () => {
          see(box.value === '' ? null : Number(box.value));
          show();
        },
      });
      return h('label', { class: 'inline', for: id }, label, box);
    };
    const heat = h('output', { for: 'temperature', class: 'num' }, '0: the most probable');
    const slider = h('input', {
      ...{ type: 'range', id: 'temperature', min: 0, max: 2, step: 0.05, value: 0 },
      oninput: () => {
        const temperature = Number(slider.value);
        sampling = { ...sampling, temperature };
        heat.textContent = temperature ? temperature.toFixed(2) : '0: the most probable';
        show();
      },
    });
    const button = (name: string, id: string, onclick: () => void, title = '') =>
      h('button', { type: 'button', class: 'quiet', id, title, onclick }, name);
    const stop = button('Stop', 'write-stop', () => busy?.abort(new DOMException('stopped', 'AbortError')));
    stop.hidden = true;
    const drop = button('Take back what was written', 'write-clear', () =>
      edit(app, { written: [], cursor: null }),
    );
    const use = button(
      'Make it the prompt',
      'write-use',
      () => {
        const { prompts } = store.state;
        if (prompts) edit(app, { clean: prompts.clean.text, written: [], cursor: null });
      },
      'The text up to the cursor becomes the clean prompt',
    );
    card.controls.append(
      button('Next token', 'write-one', () => write(1)),
      button('Write 10', 'write-ten', () => write(10)),
      stop,
      h('label', { class: 'inline', for: 'temperature' }, 'Temperature', slider, heat),
      number('top-k', 'Top k', { min: 1, step: 1 }, (n) => {
        sampling = { ...sampling, topK: n !== null && Number.isInteger(n) && n > 0 ? n : null };
      }),
      number('top-p', 'Top p', { min: 0.05, max: 1, step: 0.05 }, (n) => {
        sampling = { ...sampling, topP: n !== null && n > 0 && n <= 1 ? n : null };
      }),
      number('seed', 'Seed', { min: 0, step: 1, value: 0 }, (n) => {
        seed = n !== null && Number.isInteger(n) && n >= 0 ? n : 0;
      }),
    );

    /** Everything up to the cursor is kept, what stood behind it is a branch. */
    const behind = (tokens: readonly number[]): void => {
      const { prompts, experiment } = store.state;
      if (!prompts) return;
      const { typed, ids, rest } = prompts.clean;
      const kept = experiment.written.slice(0, Math.max(0, ids.length - typed));
      if (rest.length && experiment.written.length > kept.length) remember();
      const written = [...kept, ...tokens];
      edit(app, { written, cursor: typed + written.length - 1 });
    };
    const remember = () => {
      const { written, clean, bos } = store.state.experiment;
      const { prompts } = store.state;
      if (!written.length || !prompts) return;
      const of = JSON.stringify([clean, bos]);
      const all = [...prompts.clean.pieces, ...prompts.clean.rest].slice(prompts.clean.typed);
      if (branches.some((b) => b.of === of && b.written.join() === written.join())) return;
      branches.unshift({ written, text: all.join(''), of });
      branches.splice(8);
    };
    const write = async (tokens: number) => {
      const { prompts } = store.state;
      if (!prompts || prompts.clean.problem || busy) return;
      if (prompts.clean.rest.length > 0 && prompts.clean.ids.length < prompts.clean.typed) {
        edit(app, { cursor: null });
        return app.say(
          'The cursor stands within the prompt: it was put at its end. Press again to write on.',
        );
      }
      const own = new AbortController();
      busy = own;
      stop.hidden = false;
      note.hidden = true;
      const of = { ...store.state };
      const begin = prompts.clean.ids;
      const found: number[] = [];
      try {
        await client.call(
          'write',
          { prompt: begin, edits: editsIn(of), tokens, ...sampling, seed },
          {
            signal: own.signal,
            onEvent({ token, text: piece }) {
              found.push(token);
              text.append(h('span', { class: 'flow-live' }, visible(piece)));
            },
          },
        );
      } catch (e) {
        if (!own.signal.aborted) {
          note.hidden = false;
          note.textContent = (e as Error).message;
        }
      }
      busy = null;
      stop.hidden = true;
      if (found.length && store.state.prompts === of.prompts) behind(found);
    };

    const found = resource<Considered & { readonly scores: Float32Array }>(store, {
      ask: (state) => ask(state, ['clean']),
      run: async (of, { signal }) => {
        const { ids } = of.prompts!.clean;
        const edits = editsIn(of);
        const considered = await client.call('consider', { prompt: ids, edits, k: NAMED }, { signal });
        const scores = await client.call('scoreText', { prompt: of.prompts!.clean.whole, edits }, { signal });
        return { ...considered, scores };
      },
      see(state) {
        card.follow(state);
        if (!state.found) return;
        if (!text.isConnected) fill(card.body, text, note, list, others);
        show();
      },
    });
    const show = () => {
      const { found: now } = found.state;
      if (!now) return;
      const { value, of } = now;
      const { clean } = of.prompts!;
      flow(text, of, value.scores, (pos) => {
        const last = clean.typed - 1;
        edit(app, { cursor: pos === last && !of.experiment.written.length ? null : pos });
      });
      const rows = candidates(value.logits, value.top, sampling);
      fill(
        list,
        table(rows, sampling, (token) => behind([token])),
      );
      const { clean: prompt, bos, written } = of.experiment;
      const key = JSON.stringify([prompt, bos]);
      const own = branches.filter((b) => b.of === key && b.written.join() !== written.join());
      fill(
        others,
        own.length ? h('h3', {}, 'Other continuations') : null,
        own.map((b) =>
          h(
            'button',
            {
              ...{ type: 'button', class: 'branch' },
              onclick: () => {
                remember();
                edit(app, { written: b.written, cursor: clean.typed + b.written.length - 1 });
              },
            },
            b.text,
          ),
        ),
      );
      drop.hidden = !written.length;
      const at = `${clean.ids.length - 1}:${visible(clean.pieces.at(-1)!)}`;
      fill(
        card.foot,
        h(
          'span',
          {},
          `After ${at}. ${sampling.temperature ? 'Logits are divided by the temperature, cut by top k and top p, and drawn from.' : 'At temperature 0 the most probable token is taken.'} `,
        ),
        use,
        ' ',
        drop,
      );
    };
    return takeaway(found, ({ value, of }) => {
      const rows = candidates(value.logits, value.top, sampling).slice(0, SHOWN);
      const told = sampling.temperature ? `temperature ${sampling.temperature}` : 'temperature 0';
      const cuts = [sampling.topK && `top k ${sampling.topK}`, sampling.topP && `top p ${sampling.topP}`];
      const detail = [told, ...cuts].filter(Boolean).join(', ');
      const depends: Depends = { on: 'clean', detail };
      const result = numbers(of, rows);
      const options = [
        `temperature: ${sampling.temperature}`,
        ...(sampling.temperature && sampling.topK ? [`topK: ${sampling.topK}`] : []),
        ...(sampling.temperature && sampling.topP ? [`topP: ${sampling.topP}`] : []),
        `seed: ${seed}`,
      ];
      return {
        ...{ of, depends, result },
        figure: () =>
          guessFigure(result, {
            title: 'What is considered next',
            lines: [{ text: `… ${of.prompts!.clean.text.slice(-70)}` }],
            notes: notesOf(of, depends),
          }),
        code: () =>
          program(
            of,
            [],
            `for await (const { text, logProb } of model.stream(clean, { maxNewTokens: 10, ${options.join(', ')}${bosOption(of.experiment)} }))
  console.log(JSON.stringify(text), logProb);`,
          ),
        command: () =>
          commandLine(of, [
            ...[
              'generate',
              of.experiment.clean,
              '--max-new-tokens',
              '10',
              '--temperature',
              String(sampling.temperature),
            ],
            ...(sampling.temperature && sampling.topK ? ['--top-k', String(sampling.topK)] : []),
            ...(sampling.temperature && sampling.topP ? ['--top-p', String(sampling.topP)] : []),
            ...['--seed', String(seed)],
          ]),
      };
    });
  },
};

/** The text as tokens, tinted by their probability; the cursor behind the last one that is read. */
function flow(element: HTMLElement, of: Asked, scores: Float32Array, choose: (pos: number) => void): void {
  const { clean } = of.prompts!;
  const pieces = [...clean.pieces, ...clean.rest];
  const focused = element.contains(document.activeElement) ? clean.ids.length - 1 : -1;
  fill(
    element,
    pieces.map((piece, pos) => {
      const p = pos ? Math.exp(scores[pos - 1]) : null;
      const at = pos === clean.ids.length - 1;
      const tint = p ?? 0;
      const [light, dark] = [TINTS.light(tint), TINTS.dark(tint)];
      const style = `--l:${hex(light)};--d:${hex(dark)};--il:${hex(inkOn(light))};--id:${hex(inkOn(dark))}`;
      const state = [pos >= clean.typed && 'written', pos >= clean.ids.length && 'behind', at && 'cursor-at'];
      const shown = /^<\|.*\|>$/.test(piece) ? 'BOS' : visible(piece);
      return h(
        'button',
        {
          ...{ type: 'button', class: ['flow-token', ...state].filter(Boolean).join(' '), style },
          ...{ 'data-pos': pos, tabindex: at ? 0 : -1, 'aria-current': at ? 'true' : 'false' },
          title: p === null ? 'the first token' : `${pos}: ${percent(p)} after what stands before it`,
          onclick: () => choose(pos),
        },
        h('span', {}, shown),
        h('small', {}, p === null ? '' : percent(p)),
      );
    }),
  );
  if (focused >= 0) element.querySelectorAll<HTMLElement>('.flow-token')[focused]?.focus();
}

/** The candidates, with what becomes of their logits. */
function table(
  rows: readonly Candidate[],
  { temperature }: Sampling,
  choose: (token: number) => void,
): HTMLElement {
  const shown = rows.slice(0, SHOWN);
  const element = h(
    'table',
    { class: 'pair-table candidates-table' },
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        [
          'token',
          'logit',
          temperature ? `÷ ${temperature.toFixed(2)}` : '',
          'probability',
          'chance to be drawn',
        ].map((name) => (name ? h('th', { scope: 'col' }, name) : null)),
      ),
    ),
    h(
      'tbody',
      {},
      shown.map((row, i) =>
        h(
          'tr',
          { class: row.drawn ? '' : 'cut' },
          h(
            'th',
            { scope: 'row' },
            h(
              'button',
              {
                ...{ type: 'button', class: 'token-choice', tabindex: i ? -1 : 0, title: 'Take this token' },
                'data-token': row.token,
                onclick: () => choose(row.token),
              },
              h('code', {}, visible(row.text)),
            ),
          ),
          h('td', { class: 'num plain' }, row.logit.toFixed(2).replace('-', '−')),
          temperature ? h('td', { class: 'num plain' }, row.scaled.toFixed(2).replace('-', '−')) : null,
          h('td', { class: 'num plain' }, percent(row.prob)),
          h(
            'td',
            {},
            h('span', { class: 'bar', style: `--p:${row.drawn}` }),
            h('span', { class: 'num' }, row.drawn ? percent(row.drawn) : 'cut'),
          ),
        ),
      ),
    ),
  );
  listKeys(element, '.token-choice');
  return element;
}

function numbers({ model, prompts, experiment }: Asked, rows: readonly Candidate[]): LabelledData {
  const axes = [
    { name: 'run', labels: ['probability', 'chance'] },
    { name: 'token', labels: rows.map((r) => r.text) },
  ];
  const values = Float32Array.from([...rows.map((r) => r.prob), ...rows.map((r) => r.drawn)]);
  return labelled(values, axes, {
    ...{ method: 'what is considered next', metric: 'p', unit: 'probability', model: model.name },
    ...{ hash: model.info?.hash, adapter: model.info?.adapter, bos: experiment.bos },
    ...{ logits: rows.map((r) => r.logit), tokens: prompts!.clean.ids },
  });
}
