/**
 * `npm run sweep`: counterfactual runs from the command line, by any axes of any hook point, with a record to
 * go on from and shards for many machines. `npm run sweep -- --help` for the options; docs/sweeps.md for the
 * rest.
 */

import {
  counterfactuals,
  type HookedTransformer,
  jsonLines,
  type Labelled,
  patch,
  type SweepWork,
} from '../index.js';
import { exact, modelName } from '../interp/results/text.js';
import { noProcessing } from '../weights/processing/processing.js';
import { duration, progress, runMain, terminal } from './cli.js';
import { loadModel } from './load.js';
import { help, readCommand, type SweepCommand } from './sweep/options.js';
import { deliver, makeFolder } from './sweep/output.js';

await runMain(async (signal) => {
  const command = await readCommand(process.argv.slice(2));
  if (!command) return void process.stdout.write(help);
  const { record, shard, files, adapter, adapterWeights, raw, color } = command;
  const say = (...lines: readonly string[]) => void process.stdout.write(`${lines.join('\n')}\n`);
  const load = { ...(raw && noProcessing), adapter, adapterWeights, signal };
  const model = await loadModel(command.model, load);
  try {
    say(`${modelName(model.config.name)}, on ${model.gpu.adapter.text}`);
    if (record !== undefined) makeFolder(record);
    const result = await run(model, command, signal).catch((e: Error) => {
      if (!signal.aborted || record === undefined) throw e;
      throw new Error(`interrupted; what is done is in ${record}, and the same command goes on from there`);
    });
    const work = result.meta.work as SweepWork;
    if (shard) {
      const mine = Array.from(result.values).filter((v) => !Number.isNaN(v)).length;
      say(`Part ${shard.index} of ${shard.of}: ${mine} of ${result.values.length} numbers, in ${record}.`);
    } else deliver(result, files, terminal({ color }), say);
    say(workLine(work));
  } finally {
    model.dispose();
  }
});

async function run(
  model: HookedTransformer,
  { what, metric, bos: prependBos, record, shard, maxTokens }: SweepCommand,
  signal: AbortSignal,
): Promise<Labelled> {
  const bar = progress('sweep');
  const options = {
    ...{ signal, shard, onProgress: bar.update },
    ...(maxTokens !== undefined && { maxTokens }),
    ...(record !== undefined && { record: jsonLines(record) }),
  };
  try {
    if ('patch' in what) return await patch(model, { ...what.patch, metric, prependBos, ...options });
    const { base, list } = what;
    const own =
      typeof base === 'object' && !Array.isArray(base) && 'input' in base ? base : { input: base as string };
    return await counterfactuals(model, { prependBos, ...own }, list, metric, options);
  } finally {
    bar.end();
  }
}

/** What the planner did. */
function workLine({ tokenLayers, naiveTokenLayers, dispatches, bytes, chunks, ms }: SweepWork): string {
  const share = naiveTokenLayers
    ? ` (${exact((100 * tokenLayers) / naiveTokenLayers)}% of ${naiveTokenLayers} of a loop)`
    : '';
  return `${tokenLayers} token-layers${share}, ${dispatches} dispatches in ${chunks} chunks, ${exact(bytes / 2 ** 20)} MiB, ${duration(ms)}`;
}
