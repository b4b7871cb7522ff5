/**
 * `npm run seed:attribution-patching`: TransformerLens' Attribution_Patching_Demo (Nanda 2023). Activation patching at the price of
 * two forward passes and one backward pass: attention, residual stream, layers, heads, their vectors and patterns, the paths
 * between them; each held against patching itself; and a fact. With gpt2-xl only the fact, as in the notebook.
 */

import { logitDiff } from '../../index.js';
import { mapNames, mapsOf } from '../../interp/attribution-maps.js';
import { attributionRuns } from '../../interp/attribution-runs.js';
import { headPathNames } from '../../interp/head-paths.js';
import { attention, maps, tokens } from './attribution-draw.js';
import { againstPatching } from './attribution-exact.js';
import { factual, isLarge } from './attribution-factual.js';
import { paths } from './attribution-paths.js';
import { comparePublished } from './attribution-published.js';
import { setup } from './attribution-setup.js';
import { type Experiment, runSeed, shapes } from './experiment.js';
import { task } from './ioi-task.js';

async function run(x: Experiment): Promise<void> {
  if (!isLarge(x)) await indirectObjects(x);
  await factual(x);
}

/** The part on indirect objects: each prompt is corrupted by its neighbour, in which the names are exchanged. */
async function indirectObjects(x: Experiment): Promise<void> {
  const { prompts, correct, wrong } = task;
  const pair = {
    clean: prompts,
    corrupted: prompts.map((_, i) => prompts[i ^ 1]),
    metric: logitDiff(correct, wrong),
  };
  const start = await setup(x, pair, task);
  await attention(x, pair);
  const names = [...new Set([...mapNames(x.model), ...headPathNames(x.model)])];
  const runs = await x.step('two runs forward, one back', (step) =>
    attributionRuns(x.model, { ...pair, ...step }, names),
  );
  try {
    const attributed = await mapsOf(runs);
    maps(x, attributed);
    const found = await paths(x, runs, pair, attributed);
    const exact = await againstPatching(x, pair, attributed);
    await tokens(x, pair, task.prompts[0]);
    if (x.compares) comparePublished(x, { start, attributed, exact, paths: found });
  } finally {
    runs.dispose();
  }
}

await runSeed({
  name: 'attribution-patching',
  title: 'Patching everything at once',
  about:
    'What would the model say if one activation of “When John and Mary went to the shops, Mary gave the bag to” were that of the same sentence with the names exchanged? Patching asks one run after another. Gradient times difference answers for all activations at once, approximately. How well?',
  help: `  --verify N        hold only the N cells with the largest attributions by position against patching; default all
`,
  options: { verify: { type: 'string' } },
  examples: ['', '--model gpt2', '--model gpt2 --verify 100', '--model gpt2-xl --out out/fact'],
  load: {},
  published: [
    { name: 'gpt2', shape: shapes.gpt2 },
    { name: 'gpt2-xl', shape: shapes['gpt2-xl'] },
  ],
  run,
});
