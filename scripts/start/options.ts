/** The options of `npm start`. */

import { parseArgs } from 'node:util';
import type { AdapterChoice } from '../../engine/gpu/adapter.js';
import { UsageError } from '../cli.js';
import { readAdapter } from '../load.js';

/** What was asked for, complete. */
export interface StartOptions {
  readonly model: string;
  /** For the predictions and the lens. */
  readonly prompt: string;
  readonly clean: string;
  readonly corrupted: string;
  readonly answer: string;
  readonly wrong: string;
  /** Null: the one that looks at the answer most. */
  readonly head: { readonly layer: number; readonly head: number } | null;
  readonly out: string;
  readonly adapter: AdapterChoice;
  /** A LoRA adapter that is added to the model. */
  readonly adapterWeights: string | undefined;
  readonly bos: boolean;
  readonly color: boolean;
}

/**
 * The pair of prompts that is shown when none is given: Wang et al. 2022's indirect object identification.
 */
export const defaults = {
  model: 'tiny',
  clean: 'When John and Mary went to the shops, John gave the bag to',
  corrupted: 'When John and Mary went to the shops, Mary gave the bag to',
  answer: ' Mary',
  wrong: ' John',
  out: 'out/glassbox.html',
} as const;

/** What `--help` prints. */
export const help = `Looks into a language model while it completes a sentence: its next-token predictions, the logit lens, the attention
of a head, and which residual-stream activations carry the answer. In the terminal, and as one HTML file.

Usage: npm start -- [options]

  --model NAME      tiny (shipped, the default), tiny-llama (shipped), gpt2 … gpt2-xl, owner/name, ./folder or a URL
  --adapter-weights FOLDER   a LoRA adapter of PEFT that is added to the model
  --clean TEXT      a prompt that leads to the answer
  --corrupted TEXT  the same with a detail changed that changes the answer; as many tokens as the clean one
  --answer TOKEN    the answer of the clean prompt, one token, with its blank: " Mary"
  --wrong TOKEN     the answer of the corrupted prompt: " John"
  --prompt TEXT     for the predictions and the lens; default: the clean prompt
  --head L.H        the head to show, e.g. 9.6; default: the one that looks from the last token to the answer the most
  --out FILE        the HTML file; default ${defaults.out}
  --adapter NAME    auto (the default), hardware, software, opengles, or a GPU: its index or a part of its name
  --no-bos          do not put the beginning-of-text token before the prompts
  --no-color        plain text (so does NO_COLOR=1)
  --help

Without prompts, this pair is shown:
  clean      ${defaults.clean}${defaults.answer}
  corrupted  ${defaults.corrupted}${defaults.wrong}

Examples:
  npm start
  npm start -- --model gpt2 --head 9.9
  npm start -- --model gpt2 --clean "The capital of France is" --corrupted "The capital of Spain is" \\
               --answer " Paris" --wrong " Madrid" --out out/capitals.html
`;

/**
 * Reads the command line; null when help is asked for.
 * @throws UsageError (or parseArgs' own) when it is wrong.
 */
export function readOptions(args: readonly string[]): StartOptions | null {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    options: {
      model: text,
      prompt: text,
      clean: text,
      corrupted: text,
      answer: text,
      wrong: text,
      head: text,
      out: text,
      adapter: text,
      'adapter-weights': text,
      'no-bos': flag,
      'no-color': flag,
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return null;
  const pair = ['clean', 'corrupted', 'answer', 'wrong'] as const;
  const missing = pair.filter((name) => values[name] === undefined).map((name) => `--${name}`);
  if ((values.clean !== undefined || values.corrupted !== undefined) && missing.length)
    throw new UsageError(
      `prompts of your own need all of --clean, --corrupted, --answer and --wrong; add ${missing.join(' and ')}`,
    );
  const clean = values.clean ?? defaults.clean;
  return {
    model: values.model ?? defaults.model,
    prompt: values.prompt ?? clean,
    clean,
    corrupted: values.corrupted ?? defaults.corrupted,
    answer: values.answer ?? defaults.answer,
    wrong: values.wrong ?? defaults.wrong,
    head: values.head === undefined ? null : readHead(values.head),
    out: values.out ?? defaults.out,
    adapter: readAdapter(values.adapter),
    adapterWeights: values['adapter-weights'],
    bos: !values['no-bos'],
    color: !values['no-color'],
  };
}

function readHead(text: string): { layer: number; head: number } {
  const found = /^L?(\d+)[.H](\d+)$/i.exec(text);
  if (!found) throw new UsageError(`--head ${text}: layer and head are needed, like 9.6`);
  return { layer: Number(found[1]), head: Number(found[2]) };
}
