/** Command lines of `npx glassbox` to values; what is wrong with them is said in one line. */

import { statSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { shownJson } from '../../weights/checks/messages.js';
import { nearestOf } from '../../weights/checks/spellings.js';
import { UsageError } from '../cli.js';
import type { Command, Form, Values } from './command.js';

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

/** Options of all commands. */
const COMMON = { adapter: text, 'no-color': flag, help: { type: 'boolean', short: 'h' } } as const;
/** Of those that load a model. */
const MODEL = {
  model: text,
  dtype: text,
  with: text,
  'adapter-weights': text,
  'no-bos': flag,
  'no-processing': flag,
} as const;
/** Forms whose file may be left out: then they go to stdout. */
const OPTIONAL_FILE: readonly Form[] = ['json', 'csv'];

/** The options that a command knows. */
const optionsOf = (command: Command): NonNullable<ParseArgsConfig['options']> => ({
  ...COMMON,
  ...(command.modelFree ? {} : MODEL),
  ...Object.fromEntries(command.forms.map((form) => [form, text])),
  ...command.options,
});

/** What a command line says. */
export interface CommandLine {
  readonly values: Values;
  readonly args: readonly string[];
}

/** Reads the command line of a command. @throws UsageError in one line. */
export function parseCommand(command: Command, args: readonly string[]): CommandLine {
  const options = optionsOf(command);
  const { values, positionals } = parsed(command, withFiles(args), options);
  if (values.help) return { values, args: positionals };
  const most = command.takes;
  if (positionals.length > most)
    throw new UsageError(
      `${shownJson(positionals[most])} is one argument too many: ${command.name} takes ${most ? `${command.usage}; put texts with blanks in quotes` : 'none'}`,
    );
  for (const name of ['html', 'svg', 'png', 'pdf', 'json', 'csv']) {
    const file = values[name];
    if (file === '') throw new UsageError(`--${name} needs the name of a file`);
    if (typeof file === 'string' && isFolder(file))
      throw new UsageError(`--${name} ${file}: this is a folder; a file is needed`);
  }
  if (values.json === '-' && values.csv === '-')
    throw new UsageError('--json and --csv both go to stdout: give one of them a file');
  return { values, args: positionals };
}

function parsed(command: Command, args: readonly string[], options: ReturnType<typeof optionsOf>) {
  try {
    return parseArgs({ args: [...args], strict: true, allowPositionals: true, options });
  } catch (e) {
    const { message } = e as Error;
    const [, unknown] = /^Unknown option '(-[^']*)'/.exec(message) ?? [];
    const [, bare] = /^Option '(?:-\w, )?(--[\w-]+).* argument (?:is ambiguous|missing)/.exec(message) ?? [];
    if (bare) throw new UsageError(`${bare} needs a value; one that begins with - is written ${bare}=-…`);
    if (!unknown) throw new UsageError(message.split('\n')[0]);
    const name = unknown.replace(/^-+/, '');
    const forms = ['json', 'csv', 'html', 'svg', 'png', 'pdf'].includes(name);
    const hint = forms
      ? `${command.name} has no ${name.toUpperCase()}${command.forms.length ? `, but ${command.forms.map((f) => `--${f}`).join(' ')}` : ''}`
      : nearest(name, Object.keys(options), '--') || `a text that begins with - goes after --`;
    throw new UsageError(`unknown option ${unknown}: ${hint}`);
  }
}

/**
 * `--csv` and `--json` may be followed by a file of that ending, else they go to stdout; a negative number is
 * a value.
 */
function withFiles(args: readonly string[]): string[] {
  const out: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--') return [...out, ...args.slice(i)];
    if (args[i].startsWith('--') && !args[i].includes('=') && /^-[\d.]/.test(args[i + 1] ?? '')) {
      out.push(`${args[i]}=${args[++i]}`);
      continue;
    }
    const form = OPTIONAL_FILE.find((f) => args[i] === `--${f}`);
    if (form && args[i + 1]?.endsWith(`.${form}`)) out.push(`--${form}=${args[++i]}`);
    else out.push(form ? `--${form}=-` : args[i]);
  }
  return out;
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** `did you mean …?` for a word that is nearly one of some; else ''. */
export function nearest(word: string, words: readonly string[], prefix = ''): string {
  const best = nearestOf(word, words);
  return best ? `did you mean ${prefix}${best}?` : '';
}
