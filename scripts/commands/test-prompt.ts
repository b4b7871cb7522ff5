/** `npx glassbox test-prompt`: TransformerLens' test_prompt. */

import { barTable } from '../../interp/figures/page/html.js';
import type { Section } from '../../interp/figures/page/page.js';
import { type PromptTest, testPrompt } from '../../interp/logits/test-prompt.js';
import { columns, csvText, tokenBars } from '../../interp/notebooks/tables.js';
import { toCsv } from '../../interp/results/export.js';
import { escapeHtml, modelName, percent, visible } from '../../interp/results/text.js';
import { nextTokenTable } from '../../interp/texts/text-tools.js';
import type { Command, Invocation, Outcome } from './command.js';
import { plain } from './results.js';

/** The command. */
export const testPromptCommand: Command = {
  name: 'test-prompt',
  summary: 'rank, logit and probability of an answer, beside the most probable tokens',
  usage: 'PROMPT [ANSWER …]',
  takes: Infinity,
  about:
    'Does the model give the right answer? Prints rank, logit and probability of each token of the answer and the most probable tokens there, as TransformerLens’ test_prompt does. Of several answers only the first tokens are compared. Without an answer: what comes next.',
  options: { 'top-k': { type: 'string' }, 'no-space': { type: 'boolean' } },
  help: `  --top-k N          tokens that are shown; default 10
  --no-space         leave answers as they are (default: a blank is put before those that begin with none)
`,
  examples: [
    'test-prompt "After John and Mary went to the store, John gave a bottle of milk to" " Mary"',
    'test-prompt --model gpt2 "The Eiffel Tower is in the city of" Paris London --top-k 5',
    'test-prompt "The capital of France is" --json',
  ],
  forms: ['json', 'csv', 'html'],
  async run(x) {
    const topK = x.count('top-k', 10);
    const prompt = await x.prompt();
    const answers = x.args.slice(1);
    if (!answers.length) return whatNext(x, prompt, topK);
    const test = await testPrompt(await x.model(), prompt, answers, {
      prependSpaceToAnswer: !x.values['no-space'],
      prependBos: x.prependBos,
      topK,
    });
    return {
      title: `Test of a prompt: “${prompt}”`,
      lines: () => test.lines(),
      json: () => test,
      csv: () => csvOf(test),
      sections: () => sectionsOf(test),
    };
  },
};

async function whatNext(x: Invocation, prompt: string, k: number): Promise<Outcome> {
  const table = await nextTokenTable(await x.model(), prompt, { k, prependBos: x.prependBos });
  const [entries] = table.entries;
  const rows = entries.map((e) => [String(e.rank), visible(e.text), percent(e.prob), e.logProb.toFixed(3)]);
  return {
    title: `What comes after “${prompt}”`,
    lines: () => columns([['rank', 'token', 'probability', 'log p'], ...rows]),
    json: () => plain(table, { entries: table.entries }),
    csv: () => toCsv(table),
    sections: () => [{ title: '', about: '', figure: tokenBars(entries), source: sourceOf(table.meta) }],
  };
}

const sourceOf = (meta: PromptTest['meta']): Record<string, string> => ({
  model: modelName(String(meta.model)),
  BOS: meta.bos ? 'prepended' : 'no',
  adapter: String(meta.adapter),
});

const csvOf = ({ steps }: PromptTest): string =>
  csvText(
    ['step', 'what', 'rank', 'token', 'text', 'logit', 'prob'],
    steps.flatMap(({ answers, top }, step) => [
      ...answers.map((a) => [step, 'answer', a.rank, a.token, a.text, a.logit, a.prob]),
      ...top.map((t, rank) => [step, 'top', rank, t.token, t.text, t.logit, t.prob]),
    ]),
  );

function sectionsOf({ prompt, steps, meta }: PromptTest): Section[] {
  return steps.map(({ answers, top }, i) => {
    const among = new Set(top.map((t) => t.token));
    const rows = [
      ...top.map((t, rank) => ({ ...t, rank })),
      ...answers.filter((a) => !among.has(a.token)).sort((a, b) => a.rank - b.rank),
    ];
    const wanted = new Set(answers.map((a) => a.token));
    const given = steps.slice(0, i).map((s) => s.answers[0].text);
    const table = rows.map(({ rank, token, text, prob, logit }) => ({
      rank,
      label: visible(text),
      fraction: prob,
      values: [percent(prob), logit.toFixed(2).replace('-', '−')],
      role: wanted.has(token) ? 'answer' : '',
    }));
    return {
      title: answers.map((a) => visible(a.text)).join(', '),
      about: `After “${escapeHtml([...prompt, ...given].join(''))}”; rank 0 is the most probable.`,
      figure: barTable(table, ['probability', 'logit']),
      source: sourceOf(meta),
    };
  });
}
