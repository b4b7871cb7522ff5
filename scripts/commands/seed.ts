/**
 * `npx glassbox seed`: the notebooks that everybody starts with, on any model and with prompts of one's own.
 */

import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { PartDone, type RecordStore, sharedRecord } from '../../hooks/sweep/record/record.js';
import { jsonLines } from '../../hooks/sweep/record/record-node.js';
import type { HookedTransformer } from '../../index.js';
import { agrees, comparisonTable } from '../../interp/figures/compare.js';
import type { Figure } from '../../interp/figures/draw/drawing.js';
import { measure } from '../../interp/logits/measure.js';
import { logProb } from '../../interp/logits/metrics.js';
import { type Notebook, NotebookRun, runNotebook } from '../../interp/notebooks/notebook.js';
import { saveReport } from '../../interp/notebooks/save-node.js';
import type { NotebookInputs } from '../../interp/notebooks/setting.js';
import { escapeHtml, modelName } from '../../interp/results/text.js';
import { readFacts } from '../../interp/tracing/facts.js';
import { shownJson } from '../../weights/checks/messages.js';
import { duration, type Progress, progress, readShard, UsageError } from '../cli.js';
import { DATA_FILES, jsonFrom, pairsFrom, textsFrom } from '../data.js';
import { loadModel, readAdapter } from '../load.js';
import { renderPng } from '../png.js';
import { Comparing, comparisonCsv, comparisonHtml, condensed } from '../seeds/comparison.js';
import { ejected } from '../seeds/eject.js';
import { publishedModel, type Seed, seeds } from '../seeds/index.js';
import { tinyFacts } from '../seeds/tiny-facts.js';
import { writeWhole } from '../write.js';
import type { Command, Invocation, Outcome } from './command.js';
import { nearest } from './parse.js';

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
const settings = [...new Set(seeds.flatMap(({ notebook }) => Object.keys(notebook.settings ?? {})))];
const FILES = { pairs: 'prompts', names: 'names', templates: 'templates', facts: 'facts' } as const;

const settingLines = seeds.flatMap(({ notebook }) =>
  Object.entries(notebook.settings ?? {}).map(
    ([name, { help, usual }]) =>
      `  --${`${name} X`.padEnd(16)} ${notebook.name}: ${help}${usual === '' ? '' : `; default ${usual}`}`,
  ),
);

/** The command. */
export const seedCommand: Command = {
  name: 'seed',
  summary: 'five published notebooks: run, with prompts of your own, or taken along as a program',
  usage: 'NAME',
  takes: 1,
  about: `Runs a published notebook and writes its page, CSV and SVG files: ${seeds.map((s) => s.notebook.name).join(', ')}. With the model of which numbers were published they are compared, and exit code 1 says that one is off. Prompts, names and templates of your own take the place of the notebook’s; what does not fit the model’s vocabulary is left out by name.`,
  options: {
    ...{
      model: text,
      'adapter-weights': text,
      out: text,
      prompts: text,
      pairs: text,
      names: text,
      templates: text,
      facts: text,
      column: text,
      columns: text,
    },
    ...{ prompt: text, subject: text, answer: text, eject: flag, record: text, shard: text },
    ...{ quick: flag, verbose: flag, png: flag, pdf: flag, compare: flag, 'no-compare': flag, all: flag },
    ...Object.fromEntries(settings.map((name) => [name, text])),
  },
  help: `  --model NAME       tiny (shipped, the default), gpt2, gpt2-xl, owner/name, ./folder or a URL
  --adapter-weights FOLDER   a LoRA adapter of PEFT that is added to the model
  --out FOLDER       for the page and all files; default out/NAME
  --png, --pdf       every figure as PNG or PDF, too
  --quick            a small version: fewer prompts, names and samples
  --verbose          everything the notebook prints, not only a summary
  --record FOLDER    keeps what is done of the long steps; the same command goes on where it was stopped
  --shard I/N        a part of the first long step that is not done (I from 0); needs --record, one folder for all parts.
                     Start it again when all parts have ended, for the next step; without it at the end, for the page
  --eject            writes the notebook as a program of your own, with your prompts in it, and runs nothing
Own inputs:
  --prompts FILE     JSON lines {"clean": …, "corrupted": …, "answer": " Mary", "wrong": " John"} (also --pairs), or a table:
                     ${DATA_FILES}
  --columns LIST     which column of the table has what: clean=prompt,answer=target
  --column NAME      the column of --names and --templates, where these are tables
  --names FILE       a name a line (capital-letters: a pronoun may follow a comma: "Mary, She")
  --templates FILE   a text a line, with {} where the name goes
  --facts FILE       ROME’s known_1000.json, or a list like it
  --prompt TEXT, --subject TEXT, --answer TOKEN   where a notebook has one prompt
Settings:
${settingLines.join('\n')}
Comparison:
  --compare          with the published numbers whatever the model; by default if it is theirs by its shape
  --no-compare       do not
  --all              every compared number, not only the worst of long lists
`,
  examples: [
    'seed ioi',
    'seed rome --model gpt2-xl --record out/record',
    'seed attribution-patching --model gpt2 --prompts mine.jsonl --out out/mine',
    'seed pyvene --prompt "The capital of France is" --subject France --answer " Paris"',
    'seed ioi --eject --out mine.mjs',
  ],
  forms: [],
  modelFree: true,
  async run(x) {
    const seed = seedOf(x.args[0]);
    const { notebook } = seed;
    const own = await inputsOf(x, notebook);
    const told = Object.fromEntries(
      settings.flatMap((name) => (x.text(name) === undefined ? [] : [[name, x.text(name)!]])),
    );
    for (const name of Object.keys(told))
      if (!Object.hasOwn(notebook.settings ?? {}, name))
        throw new UsageError(`seed ${notebook.name} has no --${name}`);
    if (x.values.eject) return eject(x, notebook, own);
    const started = performance.now();
    const name = x.text('model') ?? 'tiny';
    const load = typeof notebook.load === 'function' ? notebook.load(name) : notebook.load;
    const model = await loadModel(name, {
      ...load,
      adapter: readAdapter(x.text('adapter')),
      adapterWeights: x.text('adapter-weights'),
      signal: x.signal,
    });
    try {
      const isTiny = modelName(model.config.name) === 'tiny';
      const inputs = isTiny && notebook.inputs?.includes('facts') ? { facts: tinyFacts(), ...own } : own;
      return await run(x, seed, model, { inputs, settings: told, started });
    } finally {
      model.dispose();
    }
  },
};

function seedOf(name: string | undefined): Seed {
  const names = seeds.map(({ notebook }) => notebook.name);
  const found = seeds.find(({ notebook }) => notebook.name === name);
  if (found) return found;
  if (name === undefined) throw new UsageError(`seed needs a NAME: ${names.join(', ')}`);
  throw new UsageError(
    `there is no seed ${shownJson(name)}: ${nearest(name, names) || `there are ${names.join(', ')}`}`,
  );
}

/** What was brought along. */
async function inputsOf(x: Invocation, { name, inputs = [] }: Notebook): Promise<NotebookInputs> {
  const [column, { signal }] = [x.text('column'), x];
  const given = { ...x.values, prompts: x.values.prompts ?? x.values.pairs } as Record<
    string,
    string | undefined
  >;
  const read: Record<keyof typeof FILES, (file: string) => unknown> = {
    pairs: (file) => pairsFrom(file, { columns: x.text('columns'), signal }),
    names: (file) => textsFrom(file, column, signal),
    templates: async (file) =>
      (await textsFrom(file, column, signal)).map((line) => {
        if (/\{(name)?\}/.test(line)) return line;
        throw new UsageError(`${file}: ${shownJson(line.slice(0, 60))}: write {} where the name goes`);
      }),
    facts: async (file) => readFacts(await jsonFrom(file, signal)),
  };
  const options: Readonly<Record<string, string>> = {
    ...FILES,
    prompt: 'prompt',
    subject: 'subject',
    answer: 'answer',
  };
  const keys = Object.keys(options).filter((key) => given[options[key]] !== undefined);
  for (const key of keys)
    if (!(inputs as readonly string[]).includes(key)) {
      const takes = inputs.map((i) => `--${options[i] ?? i}`);
      throw new UsageError(`seed ${name} reads no --${options[key]}: it reads ${takes.join(', ')}`);
    }
  const out: Record<string, unknown> = {};
  for (const key of keys)
    out[key] = key in FILES ? await read[key as keyof typeof FILES](given[options[key]]!) : given[key];
  if (out.prompt === '') throw new UsageError('--prompt is empty');
  return out;
}

interface Told {
  readonly inputs: NotebookInputs;
  readonly settings: Readonly<Record<string, string>>;
  readonly started: number;
}

async function run(
  x: Invocation,
  seed: Seed,
  model: HookedTransformer,
  { inputs, settings, started }: Told,
): Promise<Outcome> {
  const { notebook } = seed;
  const out = x.text('out') ?? path.join('out', notebook.name);
  const folder = x.text('record');
  const shard = readShard(x.text('shard'));
  if (shard && folder === undefined)
    throw new UsageError('--shard needs --record: the folder in which all parts record');
  if (folder !== undefined) mkdirSync(folder, { recursive: true });
  const record = folder === undefined ? undefined : recordsIn(folder, notebook.name, shard);
  const bars = new Map<string, Progress>();
  const options = {
    ...{ inputs, settings, record, signal: x.signal, quick: x.values.quick === true },
    onProgress: (step: string, done: number, total: number) => {
      if (!bars.has(step)) bars.set(step, progress(step));
      bars.get(step)!.update(done, total);
    },
    onStep: (step: string) => bars.get(step)?.end(),
  };
  process.stderr.write(`${await planned(new NotebookRun(notebook, model, options))}\n`);
  const { report, computed } = await runNotebook(notebook, model, options).catch((e: Error) => {
    if (e instanceof PartDone) return { report: null, computed: e };
    if (!x.signal.aborted || folder === undefined) throw e;
    throw new Error(`interrupted; what is done is in ${folder}, and the same command goes on from there`);
  });

  if (!report) {
    const { message } = computed as PartDone;
    return { title: notebook.title, lines: () => [message, `records: ${folder}`] };
  }
  const brought = Object.keys(inputs).some((key) => key !== 'facts' || x.text('facts') !== undefined);
  const known = brought && !x.values.compare ? null : publishedModel(seed, model.config);
  const published = x.values['no-compare'] ? null : (known ?? (x.values.compare ? seed.published[0] : null));
  const comparing = new Comparing(model, published);
  await seed.compare(comparing, computed);
  const { groups } = comparing;
  const rows = groups.flatMap((group) => group.rows);
  const wrong = rows.filter((row) => !agrees(row)).length;
  const title = published ? `Published numbers (${published})` : 'What must hold for any model';
  report.section(title, 'Expected, computed here, and how far apart they are.');
  report.file('comparison.csv', comparisonCsv(groups));
  report.html('', '', comparisonHtml(groups));
  const sum = wrong
    ? `${wrong} of ${rows.length} known numbers are off`
    : `All ${rows.length} known numbers agree`;
  report.findings.push(`${sum} (${title.toLowerCase()}; comparison.csv).`);
  if (!published)
    report.notes.push(`Published numbers are of ${seed.published.join(' and ')}; they were not compared.`);

  const footer = `To make this page again:<code>${escapeHtml(commandLine(x, notebook, model))}</code>`;
  const forms = {
    ...(x.values.png && { png: (f: Figure) => renderPng(f.svg('light')) }),
    ...(x.values.pdf && { pdf: (f: Figure) => f.pdf() }),
  };
  const files = await saveReport(report, out, { footer, forms });
  const told = x.values.all ? rows : condensed(groups);
  const short = told
    .filter((row) => x.values.verbose || x.values.all || !agrees(row))
    .slice(0, x.values.verbose || x.values.all ? undefined : 12);
  return {
    title: notebook.title,
    failed: wrong > 0,
    lines: (screen) => [
      ...report.lines(screen, { verbose: x.values.verbose === true }),
      ...(short.length ? ['', ...comparisonTable(short, screen)] : []),
      '',
      `${files.length} files, with a page: ${path.join(out, 'index.html')}  (${duration(performance.now() - started)} in all)`,
    ],
  };
}

/** Records of the long steps: a part has a file of its own, and reads those of all parts. */
const recordsIn =
  (folder: string, name: string, shard: RecordStore['shard']) =>
  (step: string): RecordStore => {
    const base = `${name}-${step}`;
    const own = `${base}${shard ? `.${shard.index}-of-${shard.of}` : ''}.jsonl`;
    const parts = readdirSync(folder).filter(
      (file) =>
        file !== own && file.startsWith(base) && /^(\.\d+-of-\d+)?\.jsonl$/.test(file.slice(base.length)),
    );
    const store = (file: string) => jsonLines(path.join(folder, file));
    return sharedRecord(store(own), parts.sort().map(store), shard);
  };

/**
 * How much a notebook is going to run, how long that takes on this adapter, and how much memory: from one
 * forward pass.
 */
async function planned(x: NotebookRun): Promise<string> {
  const { model, notebook } = x;
  const steps = notebook.plan?.(x) ?? [];
  const runs = Math.round(steps.reduce((sum, s) => sum + s.runs, 0));
  const tokens = steps.reduce((sum, s) => sum + s.runs * s.tokens, 0);
  const row = Array.from({ length: Math.min(64, model.config.nCtx) }, (_, i) => i % model.config.dVocab);
  await measure(model, [row], logProb(0)); // compiles the kernels
  const began = performance.now();
  await measure(model, [row], logProb(0));
  const ms = ((performance.now() - began) * tokens) / row.length;
  const bytes = model.gpu.memory().bytes;
  return `${notebook.name}: about ${runs} runs, ${duration(Math.max(1000, ms))} on ${model.gpu.adapter.name}, ${Math.ceil(bytes / 2 ** 20)} MiB of weights and ${Math.ceil((bytes / 2 ** 20) * 0.5 + 64)} MiB to work in`;
}

/** The command line that gives the page again; a folder's path is of one machine only. */
function commandLine(x: Invocation, { name }: Notebook, model: HookedTransformer): string {
  const more = Object.entries(x.values).flatMap(([key, value]) => {
    if (
      ['out', 'model', 'no-color', 'adapter', 'record', 'shard', 'verbose', 'all'].includes(key) ||
      value === undefined
    )
      return [];
    const shown =
      Object.values(FILES).includes(key as 'names') || key === 'pairs'
        ? path.basename(String(value))
        : String(value);
    return value === true
      ? [`--${key}`]
      : [`--${key}`, /^[\w.-]+$/.test(shown) ? shown : JSON.stringify(shown)];
  });
  return ['npx glassbox seed', name, '--model', modelName(model.config.name), ...more].join(' ');
}

function eject(x: Invocation, notebook: Notebook, inputs: NotebookInputs): Outcome {
  const file = x.text('out') ?? `${notebook.name}.mjs`;
  const program = ejected(notebook.name, inputs, x.text('model') ?? 'tiny');
  writeWhole(file, program);
  return { title: file, lines: () => [`wrote ${file}: run it with  node ${file} [MODEL]`] };
}
