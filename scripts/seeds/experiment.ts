/**
 * What the replications of published experiments share: their command line, progress, the files and the page they write,
 * and the table of published numbers against those that came out.
 */

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { NoiseRule } from '../../hooks/noise.js';
import type { Config, HookedTransformer, Labelled, LoadOptions } from '../../index.js';
import { toCsv } from '../../interp/export.js';
import { agrees, type Comparison, comparisonTable } from '../../interp/plots/compare.js';
import type { Figure } from '../../interp/plots/drawing.js';
import { page, type Section } from '../../interp/plots/page.js';
import { paint } from '../../interp/plots/terminal.js';
import { escapeHtml, modelName } from '../../interp/plots/text.js';
import { duration, progress, runMain, terminal, UsageError, version } from '../cli.js';
import { loadModel, readAdapter } from '../load.js';
import { wrap } from '../start/print.js';
import { writeWhole } from '../write.js';
import { comparisonCsv, comparisonHtml, condensed, type Group } from './comparison.js';
import { csvText } from './tables.js';

/** An experiment that was published. */
export interface Seed {
  /** Of the script and its folder: `seed:rome`. */
  readonly name: string;
  /** Of the page. */
  readonly title: string;
  /** What it does, in a paragraph. */
  readonly about: string;
  /** Its own options, as lines of the help. */
  readonly help: string;
  readonly examples: readonly string[];
  readonly options?: NonNullable<ParseArgsConfig['options']>;
  /** Weight processing. */
  readonly load: LoadOptions;
  /** The models with which the numbers were published, the usual one first. */
  readonly published: PublishedModel | readonly [PublishedModel, ...PublishedModel[]];
  run(x: Experiment): Promise<void>;
}

/** A model with which numbers were published. */
export interface PublishedModel {
  readonly name: string;
  /** By which a model is taken for it. */
  readonly shape: Partial<Config>;
}

const publishedOf = ({ published }: Seed): readonly PublishedModel[] =>
  'name' in published ? [published] : published;

/** Options of something long. */
export interface StepOptions {
  readonly onProgress: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

/** A figure's words on the page. */
export interface Words {
  readonly title?: string;
  readonly about?: string;
}

/** Shapes by which a model is taken for the published one. */
export const shapes = {
  gpt2: { nLayers: 12, nHeads: 12, dModel: 768, dVocab: 50257 },
  'gpt2-xl': { nLayers: 48, nHeads: 25, dModel: 1600, dVocab: 50257 },
} as const;

/** A running experiment: what its steps need, and where their results go. */
export class Experiment {
  readonly model: HookedTransformer;
  readonly signal: AbortSignal;
  /** The experiment's own options. */
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** The published model that this one is, or else the usual one. */
  readonly published: string;
  /** Whether numbers are to be compared with the published ones. */
  readonly compares: boolean;
  /** The model in the box: small, so that some settings differ. */
  readonly tiny: boolean;
  readonly #seed: Seed;
  readonly #folder: string;
  readonly #screen: ReturnType<typeof terminal>;
  readonly #sections: Section[] = [];
  readonly #groups: Group[] = [];

  constructor(seed: Seed, model: HookedTransformer, values: Experiment['values'], signal: AbortSignal) {
    this.#seed = seed;
    this.model = model;
    this.values = values;
    this.signal = signal;
    this.#folder = String(values.out ?? path.join('out', seed.name));
    this.#screen = terminal({ color: !values['no-color'] });
    const models = publishedOf(seed);
    const same = models.find(({ shape }) =>
      Object.entries(shape).every(([name, size]) => model.config[name as keyof Config] === size),
    );
    this.published = (same ?? models[0]).name;
    this.compares = !values['no-compare'] && (same !== undefined || values.compare === true);
    this.tiny = modelName(model.config.name) === 'tiny';
    mkdirSync(this.#folder, { recursive: true });
  }

  /** A whole number from an option. @throws UsageError when it is none. */
  count(name: string, usual: number): number {
    const text = this.values[name];
    if (text === undefined) return usual;
    const n = Number(text);
    if (!Number.isInteger(n) || n < 1)
      throw new UsageError(`--${name} ${text}: a whole number from 1 is needed`);
    return n;
  }

  /** The value of `--noise`. */
  noise(usual: number): NoiseRule {
    const text = this.values.noise;
    if (text === undefined) return usual;
    return Number.isFinite(Number(text)) ? Number(text) : (text as NoiseRule);
  }

  /** Runs something long with a bar. */
  async step<T>(label: string, run: (options: StepOptions) => Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    const bar = progress(label);
    try {
      return await run({ onProgress: bar.update, signal: this.signal });
    } finally {
      bar.end();
    }
  }

  /** Prints lines as they are. */
  say(...lines: readonly string[]): void {
    process.stdout.write(`${lines.join('\n')}\n`);
  }

  /** Prints a sentence, broken into lines. */
  tell(sentence: string): void {
    this.say(...wrap(sentence, this.#screen.width));
  }

  /** Prints a heading. */
  heading(text: string): void {
    this.say('', paint(text, { bold: true }, this.#screen.depth));
  }

  /** Writes a table or a result as CSV. */
  csv(
    name: string,
    table:
      | Labelled
      | { readonly heads: readonly string[]; readonly rows: readonly (readonly (string | number)[])[] },
  ): void {
    this.#write(`${name}.csv`, 'values' in table ? toCsv(table) : csvText(table.heads, table.rows));
  }

  /** Writes any other file. */
  file(name: string, text: string): void {
    this.#write(name, text);
  }

  /** Prints a figure (if it has lines), writes it as SVG, and puts it on the page. */
  figure(name: string, figure: Figure, words: Words = {}): void {
    const lines = figure.lines(this.#screen);
    if (lines.length) this.say(...lines);
    this.#write(`${name}.svg`, figure.svg());
    const section = figure.section();
    const about = words.about === undefined ? section.about : escapeHtml(words.about);
    this.#sections.push({ ...section, title: words.title ?? section.title, about });
  }

  /** Puts HTML on the page. */
  section(title: string, about: string, figure: string, source: Readonly<Record<string, string>> = {}): void {
    this.#sections.push({ title, about: escapeHtml(about), figure, source: { ...this.#facts(), ...source } });
  }

  /** Notes numbers that are known, and what came out: published ones, or facts about any model. */
  compare(title: string, rows: readonly Comparison[]): void {
    const group = this.#groups.find((g) => g.title === title);
    if (group) group.rows.push(...rows);
    else this.#groups.push({ title, rows: [...rows] });
  }

  /** Prints the comparison and writes the page. @returns whether everything agrees */
  finish(started: number): boolean {
    const rows = this.#groups.flatMap((group) => group.rows);
    const wrong = rows.filter((row) => !agrees(row)).length;
    if (rows.length) {
      this.heading(this.compares ? `Published numbers (${this.published})` : 'What must hold for any model');
      this.say(...comparisonTable(this.values.all ? rows : condensed(this.#groups), this.#screen));
      const sum = wrong ? `${wrong} of ${rows.length} numbers are off` : `All ${rows.length} numbers agree`;
      this.say(`${sum}; comparison.csv has them.`);
      this.#write('comparison.csv', comparisonCsv(this.#groups));
      const about = 'Expected, computed here, and how far apart they are.';
      this.section('Numbers that are known', about, comparisonHtml(this.#groups));
    }
    if (!this.compares) {
      const names = publishedOf(this.#seed).map(({ name }) => name);
      this.say(
        '',
        `Published numbers are of ${names.join(' and ')}: run with --model ${names.join(' or ')} to compare them.`,
      );
    }
    const { config } = this.model;
    this.#write(
      'index.html',
      page({
        title: this.#seed.title,
        lead: `${escapeHtml(this.#seed.about)} Here with ${escapeHtml(modelName(config.name))}, ${config.nLayers} layers.`,
        sections: this.#sections,
        footer: `To make this page again:<code>${escapeHtml(this.#command())}</code>`,
      }),
    );
    this.say(
      '',
      `Tables, pictures and a page: ${path.join(this.#folder, 'index.html')}  (${duration(performance.now() - started)} in all)`,
    );
    return wrong === 0;
  }

  /** The command line that gives this page; a folder's path is of one machine only. */
  #command(): string {
    const { name } = this.#seed;
    const model = modelName(this.model.config.name);
    const more = Object.entries(this.values).flatMap(([key, value]) => {
      if (['out', 'model', 'no-color', 'adapter'].includes(key) || value === undefined) return [];
      return value === true ? [`--${key}`] : [`--${key}`, String(value)];
    });
    return ['npm run', `seed:${name}`, '--', '--model', model, ...more].join(' ');
  }

  #facts(): Record<string, string> {
    const { config, processing, gpu } = this.model;
    const flags = Object.entries(processing).flatMap(([flag, on]) => (on ? [flag] : []));
    return {
      model: modelName(config.name),
      processing: flags.join(', ') || 'none',
      adapter: gpu.adapter.text,
      glassbox: version(),
    };
  }

  #write(name: string, text: string): void {
    writeWhole(path.join(this.#folder, name), text);
  }
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
const COMMON = {
  model: text,
  out: text,
  adapter: text,
  all: flag,
  compare: flag,
  'no-compare': flag,
  'no-color': flag,
  help: { type: 'boolean', short: 'h' },
} as const;

/** Runs a seed as a program: exit code 1 when a number is off. */
export const runSeed = (seed: Seed, args = process.argv.slice(2)): Promise<void> =>
  runMain(async (signal) => {
    const options = { ...COMMON, ...seed.options };
    const { values } = parseArgs({ args, strict: true, options });
    if (values.help) return void process.stdout.write(helpOf(seed));
    const started = performance.now();
    const adapter = readAdapter(values.adapter as string | undefined);
    const name = (values.model as string | undefined) ?? 'tiny';
    const model = await loadModel(name, { ...seed.load, adapter, signal });
    try {
      const x = new Experiment(seed, model, values as Experiment['values'], signal);
      const { config, gpu } = model;
      x.say(
        `${modelName(config.name)}: ${config.nLayers} layers × ${config.nHeads} heads, on ${gpu.adapter.text}`,
      );
      await seed.run(x);
      if (!x.finish(started)) process.exitCode = 1;
    } finally {
      model.dispose();
    }
  });

const helpOf = (seed: Seed): string => {
  const { name, about, help, examples } = seed;
  const models = publishedOf(seed).map((m) => m.name);
  return `${wrap(about, 110).join('\n')}

Usage: npm run seed:${name} -- [options]

  --model NAME      tiny (shipped, the default), ${models.join(' or ')} (of which numbers were published), owner/name, or a folder
  --out FOLDER      for CSV, SVG and one HTML page; default out/${name}
${help}  --compare         compare with the published numbers whatever the model; by default if it is ${models.join(' or ')} by its shape
  --no-compare      do not
  --all             print every compared number, not only the worst of long lists
  --adapter NAME    auto (the default), hardware, software or opengles
  --no-color        plain text (so does NO_COLOR=1)
  --help

Exit code 1: a number is off by more than its tolerance.

Examples:
${examples.map((e) => `  npm run seed:${name}${e && ` -- ${e}`}`).join('\n')}
`;
};
