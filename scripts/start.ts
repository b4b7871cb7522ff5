/**
 * `npm start`: looks into a model while it completes a sentence. Four pictures, in the terminal and in one
 * HTML file: predictions, the logit lens, a head's attention, and residual-stream patching. `npm start --
 * --help` for the options.
 */

import { modelName } from '../interp/results/text.js';
import { duration, progress, runMain, terminal, version } from './cli.js';
import { loadModel } from './load.js';
import { compute } from './start/compute.js';
import { help, readOptions } from './start/options.js';
import { reportPage } from './start/page.js';
import { reportLines, wrap } from './start/print.js';
import { writeWhole } from './write.js';

await runMain(async (signal) => {
  const options = readOptions(process.argv.slice(2));
  if (!options) return void process.stdout.write(help);
  const started = performance.now();
  const say = (lines: readonly string[]) => process.stdout.write(`${lines.join('\n')}\n`);

  const model = await loadModel(options.model, {
    adapter: options.adapter,
    adapterWeights: options.adapterWeights,
    signal,
  });
  try {
    const { config, gpu } = model;
    const size = `${config.nLayers} layers × ${config.nHeads} heads`;
    const screen = terminal({ color: options.color });
    say(wrap(`${modelName(config.name)}: ${size}, on ${gpu.adapter.text}`, screen.width));
    const bars = new Map<string, ReturnType<typeof progress>>();
    const report = await compute(
      model,
      options,
      (step, done, total) => {
        const bar = bars.get(step) ?? progress(step);
        bars.set(step, bar);
        bar.update(done, total);
        if (done === total) bar.end();
      },
      signal,
    );
    say(reportLines(report, screen));
    writeWhole(options.out, reportPage(report, version()));
    say([
      '',
      `The same pictures, to point at: ${options.out}  (${duration(performance.now() - started)} in all)`,
    ]);
  } finally {
    model.dispose();
  }
});
