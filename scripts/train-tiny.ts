/**
 * `npm run train:tiny`: trains the shipped model with the engine itself, on whatever adapter there is, from nothing but the
 * templates and word lists in `scripts/tiny/`. Seeds are fixed: the same adapter gives the same weights, bit for bit.
 */

import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Gpu } from '../engine/gpu/gpu.js';
import { Trainer, type TrainProgress } from '../hooks/training/trainer.js';
import { resumeTraining, saveTraining } from '../hooks/training/training-node.js';
import { randomModel } from '../hooks/transformer/init.js';
import '../index.js'; // registers where GPUs and files come from
import { runMain, UsageError } from './cli.js';
import { stepsOf, trainingBatches } from './tiny/batches.js';
import { vocabularyOf } from './tiny/bpe.js';
import { validationRows } from './tiny/measure.js';
import { INIT, OPTIMIZER, RECIPE } from './tiny/recipe.js';

const HELP = `Trains the shipped model, weights/tiny, with the engine itself.

Usage: npm run train:tiny -- [--until N] [--checkpoints DIR] [--every N] [--resume] [--install]

  --until N          stop after this step (of STEPS); --resume goes on
  --checkpoints DIR  where weights and the optimiser's state go (default out/tiny)
  --every N          steps between checkpoints (default 100)
  --resume           go on from the checkpoint
  --install          at the end, copy the weights to weights/tiny
  --help
`;

const STEPS = stepsOf(RECIPE);
const TINY = 'weights/tiny';

function line(
  { step, steps, loss, lr, tokens, tokensPerSecond, validation }: TrainProgress,
  gpu: Gpu,
): string {
  const parts = [
    `step ${step} of ${steps}`,
    `loss ${loss.toFixed(3)}`,
    validation === null ? '' : `validation ${validation.toFixed(3)}`,
    `lr ${lr.toExponential(1)}`,
    `${(tokens / 1e6).toFixed(2)} M tokens`,
    `${Math.round(tokensPerSecond)} tokens/s`,
    `${(gpu.memory().peak / 1e6).toFixed(0)} MB`,
  ];
  return `${parts.filter(Boolean).join(', ')}\n`;
}

await runMain(async (signal) => {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({
    strict: true,
    options: {
      until: text,
      checkpoints: text,
      every: text,
      resume: flag,
      install: flag,
      help: flag,
    },
  });
  if (values.help) return void process.stdout.write(HELP.replace('STEPS', String(STEPS)));
  const number = (name: 'until' | 'every', fallback: number): number => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(`--${name} ${values[name]}: a positive integer is needed`);
    return value;
  };
  const until = Math.min(STEPS, number('until', STEPS));
  const folder = values.checkpoints ?? 'out/tiny';
  const vocabulary = vocabularyOf(JSON.parse(readFileSync(join(TINY, 'tokenizer.json'), 'utf8')));

  let trainer: Trainer;
  if (values.resume) trainer = await resumeTraining(folder, OPTIMIZER);
  else {
    if (existsSync(join(folder, 'model.safetensors')))
      throw new UsageError(`${folder} holds a checkpoint: --resume goes on from it; or name another folder`);
    const config = JSON.parse(readFileSync(join(TINY, 'config.json'), 'utf8'));
    trainer = new Trainer(await randomModel(config, INIT), OPTIMIZER);
  }
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(TINY, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  const { model } = trainer;
  process.stdout.write(`${model.gpu.adapter.text}; from step ${trainer.steps}\n`);
  await trainer.train(batches(), {
    steps: until,
    onProgress: (progress) => process.stdout.write(line(progress, model.gpu)),
    validation: { rows: validationRows(vocabulary, 256), every: 200, sample: 16 },
    pause: { every: number('every', 100), call: (trainer) => saveTraining(trainer, folder) },
    signal,
  });
  trainer.dispose();
  model.dispose();
  if (values.install) copyFileSync(join(folder, 'model.safetensors'), join(TINY, 'model.safetensors'));

  function* batches() {
    yield* trainingBatches(vocabulary, RECIPE);
  }
});
