/**
 * `npm run train:tiny`: trains a shipped model with the engine itself, on whatever adapter there is, from
 * nothing but the templates and word lists in `scripts/tiny/`. Seeds are fixed: the same adapter gives the
 * same weights, bit for bit.
 */

import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Gpu } from '../engine/gpu/gpu.js';
import { Trainer, type TrainProgress } from '../hooks/training/trainer.js';
import { resumeTraining, saveTraining } from '../hooks/training/training-node.js';
import { randomModel } from '../hooks/transformer/init.js';
import { nodeFile } from '../weights/files/disk-node.js';
import { openSafetensors } from '../weights/formats/safetensors.js';
import type { HostTensor } from '../weights/formats/types.js';
import { saveSafetensors } from '../weights/node/files-node.js';
import '../index.js'; // registers where GPUs and files come from
import { runMain, UsageError } from './cli.js';
import { stepsOf, trainingBatches } from './tiny/batches.js';
import { vocabularyOf } from './tiny/bpe.js';
import { validationRows } from './tiny/measure.js';
import { TRAININGS } from './tiny/recipe.js';

const HELP = `Trains a shipped model, weights/tiny or weights/tiny-llama, with the engine itself.

Usage: npm run train:tiny -- [--model NAME] [--until N] [--checkpoints DIR] [--every N] [--resume] [--install]

  --model NAME       tiny (default) or tiny-llama
  --until N          stop after this step (of STEPS); --resume goes on
  --checkpoints DIR  where weights and the optimiser's state go (default out/NAME)
  --every N          steps between checkpoints (default 100)
  --resume           go on from the checkpoint
  --install          at the end, write the weights to weights/NAME (tiny-llama: in 16 bits)
  --help
`;

const STEPS = Object.entries(TRAININGS)
  .map(([name, { recipe }]) => `${name}: ${stepsOf(recipe)}`)
  .join(', ');

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
      model: text,
      until: text,
      checkpoints: text,
      every: text,
      resume: flag,
      install: flag,
      help: flag,
    },
  });
  if (values.help) return void process.stdout.write(HELP.replace('STEPS', STEPS));
  const name = values.model ?? 'tiny';
  const training = TRAININGS[name];
  if (!training)
    throw new UsageError(`--model ${name}: the shipped models are ${Object.keys(TRAININGS).join(' and ')}`);
  const { init, recipe, optimizer } = training;
  const home = join('weights', name);
  const steps = stepsOf(recipe);
  const number = (name: 'until' | 'every', fallback: number): number => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(`--${name} ${values[name]}: a positive integer is needed`);
    return value;
  };
  const until = Math.min(steps, number('until', steps));
  const folder = values.checkpoints ?? join('out', name);
  const vocabulary = vocabularyOf(JSON.parse(readFileSync(join(home, 'tokenizer.json'), 'utf8')));

  let trainer: Trainer;
  if (values.resume) trainer = await resumeTraining(folder, optimizer);
  else {
    if (existsSync(join(folder, 'model.safetensors')))
      throw new UsageError(`${folder} holds a checkpoint: --resume goes on from it; or name another folder`);
    const config = JSON.parse(readFileSync(join(home, 'config.json'), 'utf8'));
    trainer = new Trainer(await randomModel(config, init), optimizer);
  }
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(home, 'tokenizer.json'), join(folder, 'tokenizer.json'));
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
  if (values.install) await install();

  function* batches() {
    yield* trainingBatches(vocabulary, recipe);
  }
  /** The trained weights, in the size of float that the model's `config.json` names. */
  async function install(): Promise<void> {
    const { torch_dtype } = JSON.parse(readFileSync(join(home, 'config.json'), 'utf8'));
    const trained = await openSafetensors((await nodeFile(join(folder, 'model.safetensors')))!);
    const tensors: Record<string, HostTensor> = {};
    for (const name of trained.names())
      tensors[name] = { shape: trained.shape(name)!, data: await trained.read(name) };
    await saveSafetensors(join(home, 'model.safetensors'), tensors, {
      metadata: trained.metadata,
      dtype: torch_dtype === 'float16' ? 'F16' : 'F32',
    });
  }
});
