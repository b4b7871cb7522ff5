/** The next token after both prompts. */

import { type LabelledData, labelled } from '../../interp/results/result.js';
import { percent, visible } from '../../interp/results/text.js';
import { ask } from '../app/ask.js';
import { bosOption, commandLine, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import type { Asked } from '../app/state.js';
import { fill } from '../ui/dom.js';
import { barTable } from '../ui/guesses.js';
import type { NextTokens } from '../worker/handlers/next-tokens.js';
import type { Guess } from '../worker/predictions.js';
import { takeaway, type View } from './view.js';

/** Rows besides the answers. */
const TOP = 8;
/** So many are shown even if they are improbable. */
const LEAST = 5;
/** Tokens of less probability in both runs are left out. */
const WORTH = 0.0002;

/** The view. */
export const nextTokensView: View = {
  id: 'next-tokens',
  title: 'Next token',
  nav: 'Next token',
  about: 'What the model says after each prompt.',
  span: 4,
  takes: ['csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    const guesses = resource<NextTokens>(store, {
      ask: (state) => ask(state, ['clean', 'corrupted?', 'answer?', 'wrong?']),
      run: ({ prompts }, { signal }) => {
        const { clean, corrupted, answer, wrong } = prompts!;
        const also = [answer.id, wrong.id].filter((id) => id !== null);
        const other = corrupted.problem === null ? corrupted.ids : null;
        return client.call('nextTokens', { clean: clean.ids, corrupted: other, also, k: TOP }, { signal });
      },
      see(state) {
        card.follow(state);
        const { found } = state;
        store.set({ next: found });
        if (!found) return;
        const { answer, wrong } = found.of.prompts!;
        const { clean, corrupted } = found.value;
        const role = (token: number) => (token === answer.id ? 'answer' : token === wrong.id ? 'wrong' : '');
        const told = (name: string, { rank, logit }: Guess) =>
          `${name}: rank ${rank}, logit ${logit.toFixed(2)}`;
        const rows = clean
          .map((one, i) => ({ one, other: corrupted?.[i] }))
          .filter(
            ({ one, other }, i) =>
              i < LEAST || Math.max(one.prob, other?.prob ?? 0) >= WORTH || role(one.token) !== '',
          );
        fill(
          card.body,
          barTable(
            rows.map(({ one, other }) => ({
              ...{ text: one.text, role: role(one.token) },
              values: [one.prob, ...(other ? [other.prob] : [])],
              title: [told('clean', one), ...(other ? [told('corrupted', other)] : [])].join(' · '),
            })),
            corrupted ? ['clean', 'corrupted'] : ['clean'],
          ),
        );
        const [best] = clean;
        fill(card.foot, `After the clean prompt: ${visible(best.text)}, ${percent(best.prob)}.`);
      },
    });
    return takeaway(guesses, ({ value, of }) => ({
      ...{ of, result: table(of, value) },
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
        const { clean, answer } = of.experiment;
        const expected = of.prompts!.answer.id === null ? value.clean[0].text : answer;
        return commandLine(of, ['test-prompt', clean, expected]);
      },
    }));
  },
};

function table({ model, prompts, experiment }: Asked, { clean, corrupted }: NextTokens): LabelledData {
  const values = Float32Array.from([...clean, ...(corrupted ?? [])].map((g) => g.prob));
  const axes = [
    { name: 'prompt', labels: corrupted ? ['clean', 'corrupted'] : ['clean'] },
    { name: 'token', labels: clean.map((g) => g.text) },
  ];
  return labelled(values, axes, {
    ...{ method: 'next tokens', metric: 'p', unit: 'probability', model: model.name },
    ...{ hash: model.info?.hash, adapter: model.info?.adapter, bos: experiment.bos },
    prompts: [prompts!.clean.ids, ...(corrupted ? [prompts!.corrupted.ids] : [])],
  });
}
