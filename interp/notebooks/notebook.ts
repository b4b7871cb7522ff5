/**
 * Notebooks: an experiment in one file, section by section, which runs on any model and with prompts of one's own.
 *
 *     export const mine: Notebook = { name: 'mine', title: '…', about: '…', async run(x) { x.section('Task'); … } };
 *     const report = await runNotebook(mine, model, { inputs: { pairs } });
 *     report.lines();  report.page();  await saveReport(report, 'out');        // Node
 *
 * `glassbox seed NAME` runs the five that are shipped, and `--eject` writes one of them as a program of one's own.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import { type NoiseRule, romeNoise } from '../../hooks/interventions/noise.js';
import type { LoadOptions } from '../../hooks/transformer/load.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import type { Config } from '../../weights/config.js';
import { agreement } from '../attribution/agreement.js';
import { attentionFigure } from '../figures/attention.js';
import { hues } from '../figures/draw/colour.js';
import type { Figure } from '../figures/draw/drawing.js';
import { slices } from '../figures/draw/layout.js';
import { type FigureOptions, figure } from '../figures/figure.js';
import { scatterFigure } from '../figures/scatter.js';
import { type PromptTest, testPrompt } from '../logits/test-prompt.js';
import { toCsv } from '../results/export.js';
import { type Labelled, labelled } from '../results/result.js';
import { exact, modelName } from '../results/text.js';
import { type FitOptions, type FittedPairs, fitPairs, type PromptPair } from './pairs.js';
import { type FigureWords, Report } from './report.js';
import { type Entry, oneAxisOfHeads, picked } from './select.js';
import type { NotebookInputs, NotebookOptions, PlanStep, Setting, StepOptions } from './setting.js';
import { csvText, type TableCell } from './tables.js';

const RUN = options<NotebookOptions>({
  inputs: is.plainObject,
  settings: is.plainObject,
  quick: is.boolean,
  record: is.callback,
  onProgress: is.callback,
  onStep: is.callback,
  signal: is.signal,
});
const takes = signatures({
  runNotebook: {
    notebook: is.having('a notebook, { name, title, about, run }', 'name', 'title', 'about', 'run'),
    model: is.model,
    options: RUN,
  },
});

/** An experiment in one file, with what it reads and how it runs. */
export interface Notebook {
  /** Of its file and command. */
  readonly name: string;
  readonly title: string;
  /** What it does, in a paragraph. */
  readonly about: string;
  /** How weights are processed, for a model of a name. Default: as `fromPretrained` does. */
  readonly load?: LoadOptions | ((model: string) => LoadOptions);
  /** Which inputs of one's own it reads. */
  readonly inputs?: readonly (keyof NotebookInputs)[];
  readonly settings?: Readonly<Record<string, Setting>>;
  /** What it is going to run. */
  plan?(x: NotebookRun): readonly PlanStep[];
  /** @returns what was computed, for whoever compares it */
  run(x: NotebookRun): Promise<unknown>;
}

/** Blocks of which a notebook's pictures leave something out, or say more. */
const blocksOf = ({ parallelAttnMlp, normPlaces }: Config) => (parallelAttnMlp ? 'parallel' : normPlaces);
const BLOCKS: ReadonlyMap<string, string> = new Map([
  ['parallel', 'parallel: there is no state between attention and MLP'],
  ['behind', 'norms behind attention and MLP: what they write is what their norms let through'],
  ['both', 'norms before and behind attention and MLP: what they write is what the latter let through'],
]);

/** A figure of a result, with its CSV. */
export interface NotebookFigure extends FigureWords, FigureOptions {
  /** Write the result as CSV. Default true. */
  readonly csv?: boolean;
}

/** A running notebook: what its steps need, and what it says. */
export class NotebookRun {
  readonly notebook: Notebook;
  readonly model: HookedTransformer;
  readonly inputs: NotebookInputs;
  readonly quick: boolean;
  readonly signal?: AbortSignal;
  readonly report: Report;
  readonly #options: NotebookOptions;

  constructor(notebook: Notebook, model: HookedTransformer, options: NotebookOptions = {}) {
    const { inputs = {}, settings = {}, quick = false, signal } = options;
    for (const name of Object.keys(inputs) as (keyof NotebookInputs)[])
      if (inputs[name] !== undefined && !notebook.inputs?.includes(name))
        throw new Error(
          `notebook "${notebook.name}" reads no ${name}; it reads ${notebook.inputs?.join(', ') || 'no inputs'}`,
        );
    for (const name of Object.keys(settings))
      if (!notebook.settings || !Object.hasOwn(notebook.settings, name))
        throw new Error(
          `notebook "${notebook.name}" has no setting "${name}"; it has ${Object.keys(notebook.settings ?? {}).join(', ') || 'none'}`,
        );
    this.notebook = notebook;
    this.model = model;
    this.inputs = inputs;
    this.quick = quick;
    this.signal = signal;
    this.#options = options;
    const { config, gpu, processing } = model;
    const flags = Object.entries(processing).flatMap(([flag, on]) => (on ? [flag] : []));
    this.report = new Report({
      title: notebook.title,
      about: notebook.about,
      facts: {
        model: `${modelName(config.name)}, ${config.nLayers} layers × ${config.nHeads} heads`,
        processing: flags.join(', ') || 'none: raw weights',
        adapter: gpu.adapter.text,
        ...(config.outputLogitsSoftCap !== null && {
          logits: `capped at ${config.outputLogitsSoftCap}; direct attribution is of those before the cap`,
        }),
        ...(config.nKeyValueHeads < config.nHeads && {
          heads: `${config.nHeads} share ${config.nKeyValueHeads} of keys and values; in maps those of one have its number`,
        }),
        ...(BLOCKS.has(blocksOf(config)) && { blocks: BLOCKS.get(blocksOf(config))! }),
        ...(quick && { version: 'quick' }),
      },
    });
  }

  /** Whether the model is the shipped one, which has four layers. */
  get tiny(): boolean {
    return modelName(this.model.config.name) === 'tiny';
  }

  /** A setting that is a whole number from 1. @throws when it is none */
  count(name: string): number {
    const value = this.setting(name);
    const n = Number(value);
    if (Number.isInteger(n) && n >= 1) return n;
    throw new Error(`${this.notebook.name}: ${name} ${value}: a whole number from 1 is needed`);
  }

  /** A setting, as it was given or as the notebook has it. */
  setting(name: string): number | string {
    const { usual, quick = usual, tiny = usual } = this.notebook.settings![name];
    return this.#options.settings?.[name] ?? (this.quick ? quick : this.tiny ? tiny : usual);
  }

  /** The setting `noise`, a number or a rule. @param usual where none was given; default ROME's for the model's family */
  noise(usual: NoiseRule = romeNoise(this.model)): NoiseRule {
    const told = this.setting('noise');
    if (told === '') return usual;
    return Number.isFinite(Number(told)) ? Number(told) : (told as NoiseRule);
  }

  /** Begins a section, called as in the notebook. */
  section(title: string, about = ''): void {
    this.signal?.throwIfAborted();
    this.report.section(title, about);
  }

  /** Lines of text. */
  print(...lines: readonly string[]): void {
    this.report.text(lines.flatMap((line) => line.split('\n')));
  }

  /** Says at the head of the page which prompts are run: how many, and the first. */
  prompts(list: readonly string[]): void {
    const first = `“${list[0]}”`;
    this.report.fact('prompts', list.length === 1 ? first : `${list.length}, the first ${first}`);
  }

  /** A sentence for the head of the page. */
  found(sentence: string): void {
    this.report.findings.push(sentence);
  }

  /** A sentence about what is left out, or is not as in the published notebook, and why. */
  note(...sentences: readonly string[]): void {
    this.report.notes.push(...sentences);
  }

  /** A table; with `file`, also as CSV, with numbers as they are. */
  table(
    heads: readonly string[],
    rows: readonly (readonly TableCell[])[],
    { file, show = rows.length, digits = 4 }: { file?: string; show?: number; digits?: number } = {},
  ): void {
    const cell = (value: TableCell) =>
      typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(digits) : String(value);
    const shown = rows.slice(0, show).map((row) => row.map(cell));
    if (rows.length > show) shown.push(heads.map((_, i) => (i ? '' : `… ${rows.length - show} more`)));
    this.report.table(heads, shown);
    if (file) this.report.file(`${file}.csv`, csvText(heads, rows));
  }

  /** A figure, or a result that is drawn by its axes and written as CSV; with its title, or all options. */
  figure(file: string, drawn: Figure | Labelled, options: NotebookFigure | string = {}): void {
    const given: NotebookFigure = typeof options === 'string' ? { title: options } : options;
    const { csv = true, title, about, beside, lines, ...how } = given;
    if (!('values' in drawn)) {
      this.report.figure(file, drawn, { title, about, beside, lines });
      return;
    }
    const picture = figure(drawn, { title, ...how });
    const small = drawn.shape.length <= 2 && drawn.values.length <= 390;
    this.report.figure(file, picture, { title, about, beside, lines: lines ?? small });
    if (csv) this.csv(file, drawn);
  }

  /**
   * Attention of some heads side by side, on a prompt; with `all`, on the page also that of every head, to choose from.
   * @param patterns as `attentionPatterns` gives them
   * @param heads `L9H9`, and what is said of it
   */
  attention(
    file: string,
    patterns: Labelled,
    heads: readonly Pick<Entry, 'name' | 'value'>[],
    { title, about = '', all = false }: { title: string; about?: string; all?: boolean },
  ): void {
    if (!heads.length) {
      this.print(`${title}: none`);
      return;
    }
    const one = picked(
      oneAxisOfHeads(patterns),
      'head',
      heads.map((h) => h.name),
    );
    const labels = heads.map((h) => `${h.name} ${exact(h.value, { sign: true })}`);
    const shown = labelled(one.values, [{ name: 'head', labels }, ...one.axes.slice(1)], { ...one.meta });
    const how = { scale: 'sequential', hue: hues.attention, max: 1, lines: false } as const;
    this.figure(file, shown, {
      title,
      about,
      meaning: 'attention from the row’s token to the column’s',
      ...how,
    });
    if (!all) return;
    const [layers, count, n] = patterns.shape;
    const [layer, head] = heads[0].name.match(/\d+/g)!.map(Number);
    const pattern = labelled(one.values.slice(0, n * n), patterns.axes.slice(2), { ...patterns.meta });
    const html = attentionFigure({ pattern, layer, head, layers, heads: count, all: patterns.values });
    this.html(
      'Attention of all heads',
      'Point at a token to see where the head looks; click a head to see another.',
      html,
    );
  }

  /**
   * Attribution beside what patching gives, site by site: both maps on one scale, how well they agree, and a scatter plot each.
   * @param attributed site × …, as `exact`; maps of more than three axes are CSV only
   */
  agreement(file: string, title: string, attributed: Labelled, exact: Labelled): void {
    const max = Math.max(1, ...exact.values.map(Math.abs));
    for (const [name, word, map] of [
      ['exact', 'Activation', exact],
      ['attributed', 'Attribution', attributed],
    ] as const)
      if (map.shape.length > 3) this.csv(`${file}-${name}`, map);
      else this.figure(`${file}-${name}`, map, { title: `${word} Patching: ${title}`, max });
    const [a, e] = [slices(attributed, 0), slices(exact, 0)];
    const rows = exact.axes[0].labels.map((site, i) => {
      const { pearson, spearman, signs, maxError, worst } = agreement(a[i], e[i], { worst: 1 });
      return [site, pearson, spearman, signs, maxError, worst[0]?.name ?? '–'];
    });
    const heads = ['site', 'correlation', 'of ranks', 'same sign', 'largest error', 'at'];
    this.table(heads, rows, { digits: 3, file: `${file}-agreement` });
    exact.axes[0].labels.forEach((site, i) => {
      const words = { title: `Attribution vs Activation Patching: ${title}, ${site}` };
      const drawn = scatterFigure(e[i], a[i], { ...words, captions: ['patching', 'attribution'] });
      this.figure(`${file}-${site}`, drawn, { ...words, lines: false, beside: true });
    });
  }

  /** A result as CSV. */
  csv(file: string, result: Labelled): void {
    this.report.file(`${file}.csv`, toCsv(result));
  }

  /** Any other file. */
  file(name: string, text: string): void {
    this.report.file(name, text);
  }

  /** HTML for the page, and nothing for the terminal. */
  html(title: string, about: string, html: string): void {
    this.report.html(title, about, html);
  }

  /**
   * Runs something long.
   * @param run with options for it: progress, the run's signal, and the step's record where there is one
   * @param record what the step is called in the record: a run that was stopped goes on from there
   */
  async step<T>(name: string, run: (options: StepOptions) => T | Promise<T>, record?: string): Promise<T> {
    const { onProgress, onStep, signal } = this.#options;
    signal?.throwIfAborted();
    onProgress?.(name, 0, 1);
    const store = record === undefined ? undefined : this.#options.record?.(record);
    const options = { onProgress: (done: number, total: number) => onProgress?.(name, done, total), signal };
    try {
      return await run(store ? { ...options, record: store } : options);
    } finally {
      onStep?.(name);
    }
  }

  /**
   * The pairs that were brought along, or else the notebook's, fitted to the model: what was left out is noted, and the head of
   * the page says which prompts are run.
   */
  pairs(usual: readonly PromptPair[], options: FitOptions = {}): FittedPairs {
    const fitted = fitPairs(this.model, this.inputs.pairs ?? usual, options);
    this.note(...fitted.notes);
    if (fitted.clean.length) this.prompts(fitted.clean);
    return fitted;
  }

  /** TransformerLens' `test_prompt`, printed. @param model default: the notebook's */
  async testPrompt(prompt: string, answer: string, model = this.model): Promise<PromptTest> {
    const test = await testPrompt(model, prompt, answer, { signal: this.signal });
    this.print(...test.lines());
    return test;
  }
}

/** A notebook's report, and what it computed. */
export interface NotebookResult {
  readonly report: Report;
  /** As its `run` returned it. */
  readonly computed: unknown;
}

/**
 * Runs a notebook on a model that was loaded with its `load`.
 * @throws for inputs and settings that it does not have, and what its steps throw
 */
export const runNotebook = takes.runNotebook(async function runNotebook(
  notebook: Notebook,
  model: HookedTransformer,
  options: NotebookOptions = {},
): Promise<NotebookResult> {
  const x = new NotebookRun(notebook, model, options);
  const computed = await notebook.run(x);
  return { report: x.report, computed };
});
