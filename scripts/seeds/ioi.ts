/**
 * `npm run seed:ioi`: "When John and Mary went to the shops, John gave the bag to" – how does a model know that it is Mary?
 * The notebook on indirect objects (Wang et al. 2022) and direct logit attribution, after TransformerLens' Exploratory Analysis
 * Demo: logit differences, logit lens, layers, heads, what the heads do on random tokens, and self-repair. The shipped model knows
 * these sentences; the pairs of names were held out of its training.
 */

import { allPatterns, drawPatterns, patternsOf } from './attention.js';
import { attribute, headName, named, promptTable, strongest } from './attribution.js';
import { type Experiment, runSeed, shapes } from './experiment.js';
import { repair, scoreHeads } from './ioi-heads.js';
import { comparePublished, published } from './ioi-published.js';
import { task } from './ioi-task.js';
import { logitDifferences, testOnePrompt } from './task.js';

/** For the shipped model, which has no milk. */
const TINY_TEST = { prompt: 'After John and Mary went to the store, John gave a bottle to', answer: ' Mary' };

/** Heads of each sign whose patterns are drawn. */
const SHOWN = 3;

async function run(x: Experiment): Promise<void> {
  await testOnePrompt(x, x.tiny ? TINY_TEST : published.testPrompt, x.compares ? published.testPrompt : null);
  const each = await logitDifferences(x, task);
  promptTable(x, task, each);
  const attribution = await attribute(x, task, each);

  const [positive, negative] = ([1, -1] as const).map((sign) =>
    strongest(attribution.heads, SHOWN, sign).map((h) => ({ ...h, name: named(h) })),
  );
  const patterns = await patternsOf(x, task.prompts[0]);
  drawPatterns(x, 'attention', patterns, [...positive, ...negative], {
    title: 'Where the heads look that say the most',
    about: `The ${SHOWN} heads that say the most for the correct answer, then those that say the most against it, on “${task.prompts[0]}”.`,
  });
  allPatterns(x, patterns, { ...positive[0], name: headName(positive[0]) });

  const scores = await scoreHeads(x, x.compares ? published.randomTokens : null);
  const repaired = await repair(x, task, attribution);
  if (x.compares) comparePublished(x, task, { attribution, scores, repair: repaired });
}

await runSeed({
  name: 'ioi',
  title: 'Who gets the bag?',
  about:
    '“When John and Mary went to the shops, John gave the bag to” is followed by “Mary”. Which layers and heads say so, read off the residual stream? Where do they look, and what happens when the strongest of them is missing?',
  help: '',
  examples: ['', '--model gpt2', '--model gpt2 --all --out out/names'],
  load: {},
  published: { name: 'gpt2', shape: shapes.gpt2 },
  run,
});
