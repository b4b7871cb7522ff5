/**
 * `npm run toys -- induction|modular-addition`: small models that learn in minutes, measured on the way.
 */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { saveModel } from '../index.js';
import { curveFigure } from '../interp/figures/curves.js';
import { page } from '../interp/figures/page/page.js';
import { toCsv } from '../interp/results/export.js';
import { runMain, terminal, UsageError } from './cli.js';
import { makeFolder } from './sweep/output.js';
import { trainInduction } from './toys/induction.js';
import { trainModularAddition } from './toys/modular-addition.js';
import { writeWhole } from './write.js';

const HELP = `Trains a small model and watches what forms in it.

Usage: npm run toys -- induction | modular-addition [--steps N] [--seed N] [--out FOLDER] [--no-color]

  induction         two layers of attention on repeated random tokens: induction heads
  modular-addition  one block learns a + b mod 53 from half of all pairs: a few frequencies
  --steps N         default 500 (induction), 400 (modular-addition)
  --seed N          of weights and data (default 1)
  --out FOLDER      write the curves (CSV, HTML) and the model
  --no-color        plain text (so does NO_COLOR=1)
  --help
`;

const shown = (x: number) => x.toFixed(3).padStart(7);

await runMain(async (signal) => {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    strict: true,
    options: {
      ...{ steps: text, seed: text, out: text },
      'no-color': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const number = (name: 'steps' | 'seed'): number | undefined => {
    if (values[name] === undefined) return;
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(`--${name} ${values[name]}: a positive integer is needed`);
    return value;
  };
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const options = { steps: number('steps'), seed: number('seed'), signal };
  const [what] = positionals;
  const figures = [];
  let run: { model: Awaited<ReturnType<typeof trainInduction>>['model'] };
  if (what === 'induction') {
    say('   step   loss: first time, second time   scores: previous token, induction');
    const done = await trainInduction({
      ...options,
      onProgress: (p) =>
        say(
          `${String(p.step).padStart(7)}   ${shown(p.first)} ${shown(p.second)}   ${shown(p.previous)} ${shown(p.induction)}`,
        ),
    });
    const about =
      'Random tokens said twice. The loss on the second time drops when a head has learnt to look for what came next before.';
    figures.push({
      result: done.curves,
      figure: curveFigure(done.curves, { title: 'Induction heads form', about, y: 'nats; attention' }),
    });
    run = done;
  } else if (what === 'modular-addition') {
    say('   step   loss: trained pairs, others   share of the strongest frequencies');
    const done = await trainModularAddition({
      ...options,
      onProgress: (p) =>
        say(
          `${String(p.step).padStart(7)}   ${shown(p.trainLoss)} ${shown(p.testLoss)}   ${shown(p.concentration)}`,
        ),
    });
    say(`right on ${(100 * done.right).toFixed(1)} % of the pairs that were not trained`);
    const about = 'The loss on pairs that were not trained falls after that on the trained ones.';
    figures.push(
      {
        result: done.curves,
        figure: curveFigure(done.curves, { title: 'Modular addition', about, y: 'nats; share' }),
      },
      {
        result: done.spectrum,
        figure: curveFigure(done.spectrum, {
          title: 'Frequencies of the embedding',
          about: 'How much of the embedding is sines and cosines of each frequency.',
          y: 'share of power',
        }),
      },
    );
    run = done;
  } else throw new UsageError(`which toy? ${what ? `"${what}" is none: ` : ''}induction or modular-addition`);

  const screen = terminal({ color: !values['no-color'] });
  for (const { figure } of figures) say(['', figure.title, ...figure.lines(screen)].join('\n'));
  if (values.out !== undefined) {
    const at = (name: string) => join(values.out!, name);
    makeFolder(at('curves.html'));
    figures.forEach(({ result }, i) => {
      writeWhole(at(i ? 'spectrum.csv' : 'curves.csv'), toCsv(result));
    });
    const [first] = figures;
    writeWhole(
      at('curves.html'),
      page({ title: first.figure.title, lead: '', sections: figures.map(({ figure }) => figure.section()) }),
    );
    await saveModel(run.model, at('model'));
    say(`Written: ${['curves.html', 'curves.csv', 'model'].map(at).join(', ')}`);
  }
  run.model.dispose();
});
