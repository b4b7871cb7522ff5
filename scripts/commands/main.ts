/** From the words of a command line to what it prints and writes. */

import path from 'node:path';
import { modelName } from '../../interp/results/text.js';
import { shownJson } from '../../weights/checks/messages.js';
import { UsageError, version } from '../cli.js';
import { type Command, Invocation } from './command.js';
import { commandHelp, mainHelp } from './help.js';
import { commands } from './index.js';
import { deliver } from './output.js';
import { nearest, parseCommand } from './parse.js';
import { programs, runProgram } from './programs.js';

/**
 * Runs a command line.
 * @param write takes what goes to stdout
 * @returns false when the command has found something wrong: exit code 1
 * @throws errors of one line; UsageError when the command line is wrong.
 */
export async function main(
  argv: readonly string[],
  signal: AbortSignal,
  write: (data: string | Uint8Array) => void,
): Promise<boolean> {
  const say = (text: string) => {
    write(text);
    return true;
  };
  const [first, ...rest] = argv;
  if (first === undefined || first === '--help' || first === '-h') return say(mainHelp(commands, programs));
  if (first === '--version' || first === '-v') return say(`${version()}\n`);
  if (first === 'help' && !rest.length) return say(mainHelp(commands, programs));
  const [name, args] = first === 'help' ? [rest[0], ['--help']] : [first, rest];
  const program = programs.find((p) => p.name === name);
  if (program) {
    await runProgram(program, args);
    return true;
  }
  if (first === 'help') return say(commandHelp(find(name)));
  const command = find(first);
  const { values, args: words } = parseCommand(command, rest);
  if (values.help) return say(commandHelp(command));
  const invocation = new Invocation(command, values, words, signal, write);
  try {
    const outcome = await command.run(invocation);
    await deliver(invocation, outcome, commandLine(argv));
    return !outcome.failed;
  } catch (e) {
    (e as Error).message = (e as Error).message.replace(/\s*\n\s*/g, '; ');
    throw e;
  } finally {
    invocation.dispose();
  }
}

function find(name: string): Command {
  const found = commands.find((c) => c.name === name);
  if (found) return found;
  const names = [...commands, ...programs].map((c) => c.name);
  if (name.startsWith('-')) throw new UsageError(`a command comes first: one of ${names.join(', ')}`);
  const hint = nearest(name, names) || `there are ${names.join(', ')}`;
  throw new UsageError(`there is no command ${shownJson(name)}: ${hint}`);
}

/** What was typed; of paths only the names, because a page travels. */
function commandLine(args: readonly string[]): string {
  const quote = (text: string) => (/^[\w./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  const shown = args.map((arg, i) => {
    const [, option, value] = /^(--(?:model|html|svg|png|pdf|json|csv))=(.*)$/.exec(arg) ?? [];
    if (option) return `${option}=${named(option, value)}`;
    return /^--(model|html|svg|png|pdf|json|csv)$/.test(args[i - 1] ?? '') ? named(args[i - 1], arg) : arg;
  });
  return ['npx --no-install glassbox', ...shown.map(quote)].join(' ');
}

/** A model or a file without the folders it is in. */
function named(option: string, value: string): string {
  if (option !== '--model') return path.basename(value);
  const name = modelName(value);
  return name === value || /^https?:/.test(value) ? value : `./${name}`;
}
