/** The demo's last part: where is it that the Eiffel Tower is in Paris? Patched, and attributed. */

import { agreement, attributionPatch, logitDiff, patch, scatterFigure, testPrompt } from '../../index.js';
import type { Comparison } from '../../interp/plots/compare.js';
import { draw } from './attribution-draw.js';
import { published } from './attribution-published.js';
import { type Experiment, shapes } from './experiment.js';
import { gridRows } from './published-rows.js';
import { columns } from './tables.js';
import { PRINTED } from './task.js';

const FACTS = published.factual.tests;

/** Patches and attributes the residual stream of a fact. */
export async function factual(x: Experiment): Promise<void> {
  const [clean, corrupted] = FACTS;
  const compares = x.compares && x.published === 'gpt2-xl';
  for (const fact of FACTS) {
    const test = await testPrompt(x.model, fact.prompt, fact.answer);
    const [{ top, answers }] = test.steps;
    x.heading(`test_prompt(${JSON.stringify(fact.prompt)}, ${JSON.stringify(fact.answer)})`);
    x.say(...test.lines());
    if (!compares) continue;
    const { answer, logit, percent } = fact;
    const number = (name: string, expected: number | undefined, got: number): Comparison[] =>
      expected === undefined ? [] : [{ name, expected, got, tolerance: PRINTED }];
    x.compare(`test prompt “${fact.prompt}”`, [
      { name: `rank of “${answer}”`, expected: 0, got: answers[0].rank },
      ...number(`“${answer}”: logit`, logit, answers[0].logit),
      ...number(`“${answer}”: percent`, percent, 100 * answers[0].prob),
      ...fact.top.flatMap(([text, logit, percent], i): Comparison[] => [
        { name: `top ${i}`, expected: text, got: (top[i]?.text ?? '').trim() },
        ...number(`top ${i}: logit`, logit, top[i]?.logit ?? Number.NaN),
        ...number(`top ${i}: percent`, percent, 100 * (top[i]?.prob ?? Number.NaN)),
      ]),
    ]);
  }
  const pair = {
    clean: clean.prompt,
    corrupted: corrupted.prompt,
    metric: logitDiff(clean.answer, corrupted.answer),
  };
  const exact = await x.step('patching the fact', async (step) => patch(x.model, { ...pair, ...step }));
  const attributed = await x.step('attributing the fact', (step) =>
    attributionPatch(x.model, { ...pair, ...step }),
  );
  const [high, low] = [exact.meta.clean as number, exact.meta.corrupted as number];
  const text = (prompt: string) => x.model.toStrTokens(prompt).join('|');
  const about = `“${clean.prompt}” put into “${corrupted.prompt}”, one state of the residual stream at a time.`;
  draw(x, 'fact-exact', exact, 'The fact: residual stream, patched', about);
  draw(x, 'fact-attributed', attributed, 'The fact: residual stream, attributed', about);
  x.say(
    `Clean:     ${text(clean.prompt)}`,
    `Corrupted: ${text(corrupted.prompt)}`,
    ...columns([
      ['', 'logit difference', 'metric'],
      ['clean', high.toFixed(4), '1.0000'],
      ['corrupted', low.toFixed(4), '0.0000'],
    ]),
    ...agreement(attributed, exact, { worst: 3 }).lines(),
  );
  const title = 'The fact: attribution against patching';
  x.figure('fact-agreement', {
    ...scatterFigure(exact, attributed, { title, captions: ['patching', 'attribution'] }),
    lines: () => [],
  });
  const first = exact.meta.unchanged as number;
  x.compare('the fact', [
    {
      name: 'attributed before the first difference',
      expected: 0,
      got: attributed.values.reduce(
        (m, v, i) => (i % attributed.shape[1] < first ? Math.max(m, Math.abs(v)) : m),
        0,
      ),
    },
  ]);
  if (!compares) return;
  x.compare('logit differences of the fact', [
    { name: 'clean', expected: published.factual.clean, got: high, tolerance: 2e-3 },
    { name: 'corrupted', expected: published.factual.corrupted, got: low, tolerance: 2e-3 },
  ]);
  x.compare(
    'the fact: patched',
    gridRows('resid_pre', published.factual.residual, exact, () => 2e-3),
  );
}

/** Whether the model is the one of which only the fact was published. */
export const isLarge = ({ model }: Experiment): boolean => model.config.nLayers === shapes['gpt2-xl'].nLayers;
