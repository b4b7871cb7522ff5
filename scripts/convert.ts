/**
 * `npm run convert -- model_final.pth folder`: any model that Glassbox loads, PyTorch checkpoints above all,
 * as a folder with model.safetensors and config.json. What was written is loaded again and must compute the
 * same logits.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { uniform } from '../engine/random/random.js';
import { type HookedTransformer, type LoadOptions, saveModel } from '../index.js';
import { noProcessing } from '../weights/processing/processing.js';
import { jsonOption, runMain, UsageError } from './cli.js';
import { loadModel, readAdapter } from './load.js';

const HELP = `Writes a model as safetensors, and checks that it computes the same as before.

Usage: npm run convert -- MODEL FOLDER [--config JSON] [--tokenizer MODEL] [--no-tokenizer] [--force] [--adapter NAME]
                                             [--adapter-weights FOLDER]

  MODEL             a .pth, .pt or .safetensors file (config.json beside it), a folder, or a name: attn-only-2l, gelu-1l,
                    solu-4l, gpt2, owner/name, ...
  FOLDER            where model.safetensors, config.json and the tokenizer's files go
  --config JSON     settings instead of config.json, like '{"n_heads": 8, "act_fn": "gelu"}'
  --tokenizer M     take the tokenizer from there
  --no-tokenizer    go without
  --adapter-weights A   a LoRA adapter of PEFT (a folder, owner/name or a URL) that is added to the model
  --force           replace a model that is in FOLDER
  --adapter NAME    auto, hardware or software
  --help

Weights are written as they are, without any processing, in Hugging Face's GPT-2 names.

Examples:
  npm run convert -- ./Attn_Only_2L512W_C4_Code/model_final.pth ./attn-only-2l
  npm run convert -- solu-1l ./solu-1l
`;

/** Rows of random tokens that are compared, and how far logits may be apart. */
const [ROWS, LENGTH, TOLERANCE] = [2, 32, 1e-5];

await runMain(async (signal) => {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    strict: true,
    options: {
      ...{
        config: text,
        tokenizer: text,
        adapter: text,
        'adapter-weights': text,
        'no-tokenizer': flag,
        force: flag,
      },
      help: { ...flag, short: 'h' },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const [from, to, ...rest] = positionals;
  if (from === undefined || to === undefined || rest.length)
    throw new UsageError('a model and a folder are needed: npm run convert -- model_final.pth ./folder');
  const target = join(to, 'model.safetensors');
  if (existsSync(target) && !values.force)
    throw new UsageError(`${target} is there already; --force replaces it`);

  const options: LoadOptions = {
    ...noProcessing,
    signal,
    adapter: readAdapter(values.adapter),
    adapterWeights: values['adapter-weights'],
    tokenizer: values['no-tokenizer'] ? null : values.tokenizer,
    ...(values.config !== undefined && {
      config: jsonOption('--config', values.config) as Record<string, unknown>,
    }),
  };
  const model = await loadModel(from, options);
  try {
    const { nLayers, dModel, dVocab, nCtx } = model.config;
    await saveModel(model, to);
    const written = await loadModel(/^[./~\\]|^\w:/.test(to) ? to : `./${to}`, {
      ...options,
      adapterWeights: undefined,
      config: undefined,
      tokenizer: null,
    });
    const rows = randomRows(dVocab, Math.min(LENGTH, nCtx));
    const apart = await distance(model, written, rows).finally(() => written.dispose());
    if (!(apart <= TOLERANCE))
      throw new Error(`${target}: its logits are ${apart} away from those of ${from}; do not use it`);
    const size = `${nLayers} layers, d_model ${dModel}, vocabulary ${dVocab}`;
    const tokenizer = model.tokenizer ? '' : ', no tokenizer';
    process.stdout.write(
      `${to}: ${size}${tokenizer}. Logits of ${ROWS} × ${rows[0].length} random tokens: ` +
        `${apart === 0 ? 'the same' : `at most ${apart.toPrecision(2)} apart`}.\n`,
    );
  } finally {
    model.dispose();
  }
});

function randomRows(dVocab: number, length: number): number[][] {
  const random = uniform(0);
  return Array.from({ length: ROWS }, () => Array.from({ length }, () => Math.floor(random() * dVocab)));
}

/** Largest difference of the two models' logits. */
async function distance(a: HookedTransformer, b: HookedTransformer, rows: number[][]): Promise<number> {
  const [x, y] = await Promise.all(
    [a, b].map(async (model) => {
      const logits = await model.forward(rows);
      return logits.data().finally(() => logits.dispose());
    }),
  );
  return x.reduce((most, v, i) => Math.max(most, Math.abs(v - y[i])), 0);
}
