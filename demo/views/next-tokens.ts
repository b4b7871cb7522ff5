/** The next token after both prompts. */

import { percent, visible } from '../../interp/plots/text.js';
import { type Labelled, labelled } from '../../interp/result.js';
import { bosOption, commandLine, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import { experimentKey, type State } from '../app/state.js';
import { fill } from '../ui/dom.js';
import { barPair } from '../ui/guesses.js';
import type { NextTokens } from '../worker/handlers/next-tokens.js';
import type { View } from './view.js';

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
  mount(card, app) {
    const { store, client } = app;
    const guesses = resource<NextTokens>(store, {
      key: experimentKey,
      run: ({ prompts }, { signal }) =>
        client.call(
          'nextTokens',
          {
            clean: prompts!.clean.ids,
            corrupted: prompts!.corrupted.ids,
            also: [prompts!.answer.id!, prompts!.wrong.id!],
            k: TOP,
          },
          { signal },
        ),
      see({ status, value, error }) {
        card.busy(status === 'busy' ? null : undefined);
        card.problem(error);
        card.element.classList.toggle('stale', status === 'idle');
        if (!value || status !== 'done') return;
        const { answer, wrong } = store.state.prompts!;
        const rows = value.clean
          .map((clean, i) => ({ clean, other: value.corrupted![i] }))
          .filter(
            ({ clean, other }, i) =>
              i < LEAST ||
              Math.max(clean.prob, other.prob) >= WORTH ||
              [answer.id, wrong.id].includes(clean.token),
          );
        fill(
          card.body,
          barPair(
            rows.map(({ clean, other }) => ({
              text: clean.text,
              role: clean.token === answer.id ? 'answer' : clean.token === wrong.id ? 'wrong' : '',
              values: [clean.prob, other.prob],
              title: `clean: rank ${clean.rank}, logit ${clean.logit.toFixed(2)} · corrupted: rank ${other.rank}, logit ${other.logit.toFixed(2)}`,
            })),
            ['clean', 'corrupted'],
          ),
        );
        const [best] = value.clean;
        fill(card.foot, `After the clean prompt: ${visible(best.text)}, ${percent(best.prob)}.`);
      },
    });
    return {
      result: () => (guesses.state.value ? table(store.state, guesses.state.value) : null),
      code: () =>
        program(
          store.state,
          ['nextTokenTable'],
          `const table = await nextTokenTable(model, [clean, corrupted], { k: ${TOP}${bosOption(store.state.experiment)} });
for (const rows of table.entries) console.table(rows);`,
        ),
      command: () => {
        const { clean, answer } = store.state.experiment;
        return commandLine(store.state, ['test-prompt', clean, answer]);
      },
    };
  },
};

function table({ model }: State, { clean, corrupted }: NextTokens): Labelled {
  const values = Float32Array.from([...clean, ...corrupted!].map((g) => g.prob));
  const axes = [
    { name: 'prompt', labels: ['clean', 'corrupted'] },
    { name: 'token', labels: clean.map((g) => g.text) },
  ];
  return labelled(values, axes, {
    ...{ method: 'next tokens', metric: 'p', model: model.name },
    ...{ hash: model.info?.hash, adapter: model.info?.adapter },
  });
}
