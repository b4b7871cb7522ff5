/** What a command of `npx glassbox` is, and what it is told: its arguments, checked, and a model when it wants one. */

import { createReadStream, existsSync } from 'node:fs';
import type { ParseArgsConfig } from 'node:util';
import { editsFromJson } from '../../hooks/transformer/edits-json.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import type { EditOptions } from '../../hooks/transformer/with.js';
import type { SvgTheme } from '../../interp/figures/draw/svg-parts.js';
import type { TerminalOptions } from '../../interp/figures/draw/terminal.js';
import type { Section } from '../../interp/figures/page/page.js';
import { withoutMark } from '../../weights/checks/text.js';
import { isShipped, knownModels } from '../../weights/hub/hub.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { DTYPES } from '../../weights/processing/stored.js';
import { progress, terminal, UsageError } from '../cli.js';
import { loadModel, readAdapter } from '../load.js';
import { troubleWith } from '../write.js';

/** A way to get a result beside what is printed. */
export type Form = 'json' | 'csv' | 'html' | 'svg' | 'png' | 'pdf';

/** A command. */
export interface Command {
  readonly name: string;
  /** In the list of commands. */
  readonly summary: string;
  /** Its arguments: `PROMPT ANSWER…`. */
  readonly usage: string;
  /** How many there may be. */
  readonly takes: number;
  readonly about: string;
  /** Its own options, and their lines in the help. */
  readonly options?: NonNullable<ParseArgsConfig['options']>;
  readonly help: string;
  /** Command lines without `npx glassbox`. */
  readonly examples: readonly string[];
  /** Besides text. */
  readonly forms: readonly Form[];
  /** It loads no model by name: no `--model`, `--adapter-weights`, `--with`, `--dtype`, `--no-bos`, `--no-processing`. */
  readonly modelFree?: boolean;
  run(x: Invocation): Promise<Outcome>;
}

/** What came out. */
export interface Outcome {
  /** Of the page. */
  readonly title: string;
  /** For the terminal. */
  lines(screen: Required<TerminalOptions>): readonly string[];
  /** Plain data. */
  json?(): unknown;
  csv?(): string;
  sections?(): readonly Section[];
  svg?(theme: SvgTheme): string;
  /** Said on stderr, a line each. */
  readonly warnings?: readonly string[];
  /** The program ends with exit code 1. */
  readonly failed?: boolean;
}

/** Values of options by name, as `parseArgs` gives them. */
export type Values = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

/** A command line, read. */
export class Invocation {
  readonly command: Command;
  readonly values: Values;
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  /** Takes what goes to stdout. */
  readonly write: (data: string | Uint8Array) => void;
  #model: HookedTransformer | null = null;
  /** The model as it was loaded, and one more for each edit. */
  readonly #loaded: HookedTransformer[] = [];

  constructor(
    command: Command,
    values: Values,
    args: readonly string[],
    signal: AbortSignal,
    write: Invocation['write'],
  ) {
    this.command = command;
    this.values = values;
    this.args = args;
    this.signal = signal;
    this.write = write;
  }

  /** Whether the beginning-of-text token is prepended. */
  get prependBos(): boolean {
    return !this.values['no-bos'];
  }

  /** `--bos` or `--no-bos`; undefined: as the method does by itself. */
  get ownBos(): boolean | undefined {
    if (this.values.bos && this.values['no-bos'])
      throw new UsageError('--bos and --no-bos: give one of them');
    return this.values.bos ? true : this.values['no-bos'] ? false : undefined;
  }

  /** What stdout can show. */
  get screen(): Required<TerminalOptions> {
    return terminal({ color: !this.values['no-color'] });
  }

  /** The value of an option. */
  text(name: string): string | undefined {
    return this.values[name] as string | undefined;
  }

  /** The value of an option that must be there. @throws UsageError */
  needed(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UsageError(`${this.command.name} needs --${name}`);
    return value;
  }

  /** A whole number. @throws UsageError */
  count<T>(name: string, usual: T, least = 1): number | T {
    const value = this.text(name);
    if (value === undefined) return usual;
    const n = Number(value);
    if (value.trim() === '' || !Number.isInteger(n) || n < least)
      throw new UsageError(`--${name} ${value}: a whole number from ${least} is needed`);
    return n;
  }

  /** A number. @throws UsageError */
  number<T>(name: string, usual: T, [least, most]: readonly [number, number]): number | T {
    const value = this.text(name);
    if (value === undefined) return usual;
    const n = Number(value);
    if (value.trim() === '' || !(n >= least && n <= most))
      throw new UsageError(
        `--${name} ${value}: a number ${most === Infinity ? `from ${least}` : `from ${least} to ${most}`} is needed`,
      );
    return n;
  }

  /** One of some words. @throws UsageError */
  oneOf<T extends string>(name: string, words: readonly T[], usual: T): T {
    const value = this.text(name) ?? usual;
    if (!(words as readonly string[]).includes(value))
      throw new UsageError(`--${name} ${value}: one of ${words.join(', ')} is needed`);
    return value as T;
  }

  /** The first argument; `-` is stdin without its last line feed. */
  async prompt(): Promise<string> {
    const [given] = this.args;
    if (given === undefined)
      throw new UsageError(`${this.command.name} needs a PROMPT; - reads it from stdin`);
    const text = given === '-' ? (await this.file('-')).replace(/\r?\n$/, '') : given;
    if (text === '') throw new UsageError('the PROMPT is empty');
    return text;
  }

  /** A file, or stdin (`-`), as a stream of strings that ends when the program is interrupted. */
  async *stream(file: string): AsyncGenerator<string> {
    const stream = file === '-' ? process.stdin : createReadStream(file);
    stream.setEncoding('utf8');
    this.signal.addEventListener('abort', () => stream.destroy(this.signal.reason), { once: true });
    let first = true;
    for await (const piece of stream) {
      yield first ? withoutMark(piece) : piece;
      first = false;
    }
  }

  /** The text of a file. @throws an Error that says which one is not there. */
  async file(name: string): Promise<string> {
    try {
      let text = '';
      for await (const piece of this.stream(name)) text += piece;
      return text;
    } catch (e) {
      throw new Error(troubleWith(name, e as NodeJS.ErrnoException));
    }
  }

  /** What `--with` changes in the model: JSON, or a file with it. @throws UsageError when it is none. */
  private async edits(): Promise<readonly EditOptions[]> {
    const given = this.text('with');
    if (given === undefined) return [];
    const text = /^\s*[[{]/.test(given) ? given : await this.file(given);
    try {
      return editsFromJson(text);
    } catch (e) {
      throw new UsageError(`--with: ${(e as Error).message.slice(0, 200)}`);
    }
  }

  /** The model of `--model`, with what `--with` changes in it, loaded when first asked for. */
  async model(): Promise<HookedTransformer> {
    const adapter = readAdapter(this.text('adapter'));
    const name = this.text('model') ?? 'tiny';
    const bare = !/^[./~\\]|^\w+:/.test(name) && !isShipped(name) && !knownModels.includes(name);
    if (bare && existsSync(`${name}/config.json`))
      throw new UsageError(`--model ${name}: to mean the folder of that name, write ./${name}`);
    const flags = this.values['no-processing'] ? noProcessing : {};
    const dtype = DTYPES.find((known) => known === this.text('dtype'));
    if (!dtype && this.text('dtype') !== undefined)
      throw new UsageError(`--dtype ${this.text('dtype')}: f32, f16, q8 or q4 is needed`);
    if (this.#model) return this.#model;
    const edits = await this.edits();
    const adapterWeights = this.text('adapter-weights');
    const options = { ...flags, adapter, adapterWeights, signal: this.signal };
    this.#loaded.push(await loadModel(name, { ...options, ...(dtype && { dtype }) }));
    for (const edit of edits) this.#loaded.push(this.#loaded.at(-1)!.with(edit));
    this.#model = this.#loaded.at(-1)!;
    return this.#model;
  }

  /** Runs something long with a bar. */
  async step<T>(
    label: string,
    run: (options: {
      readonly onProgress: (done: number, total: number) => void;
      readonly signal: AbortSignal;
    }) => Promise<T>,
  ): Promise<T> {
    this.signal.throwIfAborted();
    const bar = progress(label);
    try {
      return await run({ onProgress: bar.update, signal: this.signal });
    } finally {
      bar.end();
    }
  }

  /** Frees the model, and its edits. */
  dispose(): void {
    for (const model of this.#loaded.reverse()) model.dispose();
  }
}
