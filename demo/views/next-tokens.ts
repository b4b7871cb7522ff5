/** The next token after both prompts, and in the model as it was loaded where it is changed. */

import { guessFigure } from '../../interp/figures/guesses.js';
import { type LabelledData, labelled } from '../../interp/results/result.js';
import { percent, visible } from '../../interp/results/text.js';
import { edit } from '../app/app.js';
import { ask, editsIn } from '../app/ask.js';
import { type Depends, notesOf } from '../app/captions.js';
import { bosOption, commandLine, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import type { Asked } from '../app/state.js';
import { fill, h } from '../ui/dom.js';
import { barTable } from '../ui/guesses.js';
import type { NextTokens } from '../worker/handlers/next-tokens.js';
import type { Guess } from '../worker/predictions.js';
import { takeaway, type View } from './view.js';

/** Rows besides the answers. */
const TOP = 8;
/** So many are shown even if they are improbable. */
const LEAST = 5;
/** Tokens of less probability in all runs are left out. */
const WORTH = 0.0002;

/** The view. */
export const nextTokensView: View = {
  id: 'next-tokens',
  title: 'Next token',
  nav: 'Next token',
  about: 'What the model says after each prompt. Click a token to ask for it.',
  span: 4,
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    const guesses = resource<NextTokens>(store, {
      ask: (state) => ask(state, ['clean', 'corrupted?', 'answer?', 'wrong?']),
      run: (of, { signal }) => {
        const { clean, corrupted, answer, wrong } = of.prompts!;
        const also = [answer.id, wrong.id].filter((id) => id !== null);
        const other = corrupted.problem === null ? corrupted.ids : null;
        const params = { clean: clean.ids, corrupted: other, also, k: TOP, edits: editsIn(of) };
        return client.call('nextTokens', params, { signal });
      },
      see(state) {
        card.follow(state);
        const { found } = state;
        store.set({ next: found });
        if (!found) return;
        const shown = worth(found.of, found.value);
        const { answer, wrong } = found.of.prompts!;
        const runs = runsOf(shown);
        const role = (token: number) => (token === answer.id ? 'answer' : token === wrong.id ? 'wrong' : '');
        fill(
          card.body,
          barTable(
            shown.clean.map((one, i) => ({
              ...{ text: one.text, role: role(one.token) },
              values: runs.map(([, run]) => run[i].prob),
              title: runs
                .map(([name, run]) => `${name}: rank ${run[i].rank}, logit ${run[i].logit.toFixed(2)}`)
                .join(' · '),
              choose: () => edit(app, { answer: one.text }),
            })),
            runs.map(([name]) => name),
          ),
        );
        const [best] = shown.clean;
        fill(
          card.foot,
          h('span', {}, `After the clean prompt: ${visible(best.text)}, ${percent(best.prob)}.`),
        );
      },
    });
    return takeaway(guesses, ({ value, of }) => {
      const shown = worth(of, value);
      const { answer, wrong } = of.prompts!;
      const depends: Depends = { on: 'pair', answers: true };
      const told = {
        ...(answer.id !== null && { answer: of.experiment.answer }),
        ...(wrong.id !== null && { wrong: of.experiment.wrong }),
      };
      const result = table(of, shown);
      return {
        ...{ of, depends, result },
        figure: () => guessFigure(result, { title: 'Next token', ...told, notes: notesOf(of, depends) }),
        code: () => {
          const prompts = value.corrupted ? '[clean, corrupted]' : '[clean]';
          return program(
            of,
            ['nextTokenTable'],
            `const table = await nextTokenTable(model, ${prompts}, { k: ${TOP}${bosOption(of.experiment)} });
for (const rows of table.entries) console.table(rows);`,
          );
        },
        command: () => {
          const { clean } = of.experiment;
          const expected = answer.id === null ? value.clean[0].text : of.experiment.answer;
          return commandLine(of, ['test-prompt', clean, expected]);
        },
      };
    });
  },
};

/** The runs that there are, with their names. */
function runsOf({ clean, corrupted, plain }: NextTokens): (readonly [string, readonly Guess[]])[] {
  return [
    ['clean', clean] as const,
    ...(corrupted ? [['corrupted', corrupted] as const] : []),
    ...(plain ? [['unchanged', plain] as const] : []),
  ];
}

/** The tokens that are shown: the first ones, the answers, and what is not wholly improbable. */
function worth({ prompts }: Asked, found: NextTokens): NextTokens {
  const { answer, wrong } = prompts!;
  const runs = runsOf(found);
  const kept = found.clean.map(
    ({ token }, i) =>
      i < LEAST || token === answer.id || token === wrong.id || runs.some(([, run]) => run[i].prob >= WORTH),
  );
  const some = (run: readonly Guess[]) => run.filter((_, i) => kept[i]);
  const { clean, corrupted, plain } = found;
  return { clean: some(clean), corrupted: corrupted && some(corrupted), plain: plain && some(plain) };
}

function table({ model, prompts, experiment }: Asked, found: NextTokens): LabelledData {
  const runs = runsOf(found);
  const axes = [
    { name: 'prompt', labels: runs.map(([name]) => name) },
    { name: 'token', labels: found.clean.map((g) => g.text) },
  ];
  return labelled(Float32Array.from(runs.flatMap(([, run]) => run.map((g) => g.prob))), axes, {
    ...{ method: 'next tokens', metric: 'p', unit: 'probability', model: model.name },
    ...{ hash: model.info?.hash, adapter: model.info?.adapter, bos: experiment.bos },
    ranks: runs.map(([, run]) => run.map((g) => g.rank)),
    logits: runs.map(([, run]) => run.map((g) => g.logit)),
    prompts: [prompts!.clean.ids, ...(found.corrupted ? [prompts!.corrupted.ids] : [])],
  });
}
