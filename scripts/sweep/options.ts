/** The options of `npm run sweep`. */

import { parseArgs } from 'node:util';
import type { AdapterChoice } from '../../engine/gpu/adapter.js';
import {
  type Base,
  type Counterfactual,
  interventionsFromJson,
  kl,
  logitDiff,
  logProb,
  loss,
  type Metric,
  type PatchAxis,
  type PatchOptions,
  prob,
  rank,
} from '../../index.js';
import { parseJson } from '../../weights/checks/text.js';
import { readTextFile } from '../../weights/checks/text-node.js';
import { jsonOption, readShard, UsageError } from '../cli.js';
import { DATA_FILES, pairsFrom } from '../data.js';
import { readAdapter } from '../load.js';
import { type Files, filesOf } from './output.js';

/** What was asked for, complete. */
export interface SweepCommand {
  /** A map of patches, or counterfactuals given one by one. */
  readonly what:
    | { readonly patch: Pick<PatchOptions, 'clean' | 'corrupted' | 'at' | 'by' | 'only'> }
    | { readonly list: readonly Counterfactual[]; readonly base: Base };
  readonly metric: Metric;
  readonly model: string;
  readonly adapter: AdapterChoice;
  /** A LoRA adapter that is added to the model. */
  readonly adapterWeights: string | undefined;
  /** Weights as they are stored. */
  readonly raw: boolean;
  readonly bos: boolean;
  readonly record: string | undefined;
  readonly shard: { readonly index: number; readonly of: number } | undefined;
  readonly maxTokens: number | undefined;
  readonly files: Files;
  readonly color: boolean;
}

const METRICS = ['logit-diff', 'log-prob', 'prob', 'rank', 'kl', 'loss'] as const;

/** What `--help` prints. */
export const help = `Answers "what if this activation had been the clean run's?" for every layer, position, head, … in about one pass.

Usage: npm run sweep -- --clean TEXT --corrupted TEXT --answer TOKEN --wrong TOKEN [options]
       npm run sweep -- --list interventions.json --base base.json --answer TOKEN --wrong TOKEN [options]

What is run:
  --clean TEXT       a prompt whose activations are put in; several: repeat it
  --corrupted TEXT   the prompt that is run, with as many tokens; as often as --clean
  --pairs FILE       many pairs instead: JSON lines {"clean": …, "corrupted": …, "answer": …, "wrong": …}, or a table:
                     ${DATA_FILES}
  --columns LIST     which column of the table has what: clean=prompt,corrupted=other
  --at NAME          hook point of every block: resid_pre (the default), resid_mid, attn_out, mlp_out, z, q, k, v, pattern, …
  --by AXES          axes of the result: layer,pos (the default; of heads layer,head), layer,pos,head, layer,head,query,key, …
  --only JSON        only these entries of an axis: '{"layer": [0, 5], "pos": {"start": 4}}'
  --list FILE        counterfactuals as JSON instead: a list, each entry a list of interventions
  --base FILE        what they change: {"input": …, "sources": {"clean": …}} as JSON

What is measured:
  --metric NAME      ${METRICS.join(', ')}; default ${METRICS[0]}. Patching gives 0 for the corrupted run, 1 for the clean one
  --answer TOKEN     with its blank: " Mary"; once, or once a pair
  --wrong TOKEN      for logit-diff
  --per-prompt       a number for each prompt instead of their mean

How:
  --model NAME       tiny (shipped, the default), gpt2, gpt2-medium, gpt2-large, gpt2-xl, owner/name, ./folder or a URL
  --adapter-weights FOLDER   a LoRA adapter of PEFT that is added to the model
  --raw              weights as they are stored, without folding and centring
  --no-bos           do not put the beginning-of-text token before the prompts
  --record FILE      keep cells as they come (JSON lines); the same command goes on where it was cut off
  --shard I/N        only every N-th cell from cell I on (I counts from 0); needs --record; npm run merge joins the records
  --max-tokens N     tokens that run at once
  --adapter NAME     auto (the default), hardware, software, opengles, or a GPU: its index or a part of its name

Where it goes, besides the terminal:
  --csv FILE  --json FILE  --svg FILE  --html FILE
  --no-color         plain text (so does NO_COLOR=1)
  --help

Examples:
  npm run sweep -- --clean "When John and Mary went to the shops, John gave the bag to" \\
                   --corrupted "When John and Mary went to the shops, Mary gave the bag to" --answer " Mary" --wrong " John"
  npm run sweep -- --model gpt2 --pairs pairs.jsonl --at z --by layer,head --record heads.jsonl --csv heads.csv --html heads.html
  npm run sweep -- --model gpt2-xl --pairs pairs.jsonl --record part-3.jsonl --shard 3/8
`;

const text = { type: 'string' } as const;
const texts = { type: 'string', multiple: true } as const;
const flag = { type: 'boolean' } as const;

/**
 * Reads the command line and the files it names; null when help is asked for.
 * @throws UsageError (or parseArgs' own) when it is wrong.
 */
export async function readCommand(args: readonly string[]): Promise<SweepCommand | null> {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    options: {
      ...{ clean: texts, corrupted: texts, answer: texts, wrong: texts },
      ...{
        pairs: text,
        columns: text,
        at: text,
        by: text,
        only: text,
        list: text,
        base: text,
        metric: text,
        model: text,
      },
      ...{ record: text, shard: text, 'max-tokens': text, adapter: text, 'adapter-weights': text },
      ...{ csv: text, json: text, svg: text, html: text },
      ...{ 'per-prompt': flag, raw: flag, 'no-bos': flag, 'no-color': flag },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return null;
  const rows = await pairsOf(values);
  const own = (given: readonly string[] | undefined, key: 'answer' | 'wrong') =>
    given ?? (rows?.every((r) => r[key] !== undefined) ? rows.map((r) => r[key]!) : undefined);
  const answers = { answer: own(values.answer, 'answer'), wrong: own(values.wrong, 'wrong') };
  const files = filesOf(values);
  const shard = readShard(values.shard);
  if (shard && values.record === undefined)
    throw new UsageError('--shard needs --record: the file that its cells go to, one for each shard');
  if (shard && Object.values(files).some(Boolean))
    throw new UsageError(
      '--shard: a part makes no --csv, --json, --svg or --html; npm run merge does, of all parts',
    );
  return {
    what: rows
      ? {
          patch: {
            clean: rows.map((r) => r.clean),
            corrupted: rows.map((r) => r.corrupted),
            ...(values.at !== undefined && { at: values.at }),
            ...(values.by !== undefined && { by: values.by.split(',') as PatchAxis[] }),
            ...(values.only !== undefined && {
              only: jsonOption('--only', values.only) as PatchOptions['only'],
            }),
          },
        }
      : listOf(values),
    metric: metricOf(values.metric ?? METRICS[0], answers, {
      count: rows?.length ?? null,
      per: values['per-prompt'] ? 'prompt' : 'batch',
      reference: rows ? 'clean' : 'base',
    }),
    model: values.model ?? 'tiny',
    adapter: readAdapter(values.adapter),
    adapterWeights: values['adapter-weights'],
    raw: !!values.raw,
    bos: !values['no-bos'],
    record: values.record,
    shard,
    maxTokens: values['max-tokens'] === undefined ? undefined : Number(values['max-tokens']),
    files,
    color: !values['no-color'],
  };
}

interface Pair {
  readonly clean: string;
  readonly corrupted: string;
  readonly answer?: string;
  readonly wrong?: string;
}

type Given = Readonly<Partial<Record<'clean' | 'corrupted', string[]>>> &
  Readonly<Partial<Record<'pairs' | 'columns' | 'list' | 'base', string>>>;

/** The pairs of prompts; null where counterfactuals are given instead. */
async function pairsOf({ clean = [], corrupted = [], pairs, columns, list }: Given): Promise<Pair[] | null> {
  const ways = [clean.length + corrupted.length > 0, pairs !== undefined, list !== undefined];
  if (ways.filter(Boolean).length !== 1)
    throw new UsageError('one of these is needed: --clean with --corrupted, --pairs, or --list with --base');
  if (list !== undefined) return null;
  if (pairs === undefined) {
    if (clean.length !== corrupted.length)
      throw new UsageError(
        `${clean.length} × --clean and ${corrupted.length} × --corrupted: pairs are needed`,
      );
    return clean.map((text, i) => ({ clean: text, corrupted: corrupted[i] }));
  }
  return (await pairsFrom(pairs, { needs: ['corrupted'], columns })) as Pair[];
}

function listOf({ list, base }: Given): { list: Counterfactual[]; base: Base } {
  if (base === undefined)
    throw new UsageError('--list needs --base: the prompts that the counterfactuals change');
  return {
    list: interventionsFromJson(readTextFile(list!)),
    base: parseJson(readTextFile(base), base) as Base,
  };
}

interface MetricSetting {
  /** Of prompts; null: the base says. */
  readonly count: number | null;
  readonly per: 'batch' | 'prompt';
  readonly reference: string;
}

function metricOf(
  name: string,
  { answer, wrong }: Readonly<Record<'answer' | 'wrong', readonly string[] | undefined>>,
  { count, per, reference }: MetricSetting,
): Metric {
  const need = (given: readonly string[] | undefined, option: string) => {
    if (!given) throw new UsageError(`--metric ${name} needs ${option}: a token, with its blank`);
    if (given.length === 1) return given[0];
    if (count !== null && given.length !== count)
      throw new UsageError(`${given.length} × ${option} for ${count} prompts: give one, or one a prompt`);
    return given;
  };
  switch (name) {
    case 'logit-diff':
      return logitDiff(need(answer, '--answer'), need(wrong, '--wrong'), { per });
    case 'log-prob':
      return logProb(need(answer, '--answer'), { per });
    case 'prob':
      return prob(need(answer, '--answer'), { per });
    case 'rank':
      return rank(need(answer, '--answer'), { per });
    case 'kl':
      return kl(reference, { per });
    case 'loss':
      return loss({ per });
    default:
      throw new UsageError(`--metric ${name}: one of ${METRICS.join(', ')} is needed`);
  }
}
