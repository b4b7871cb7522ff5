/**
 * What every command line program here needs: errors in one line, exit codes, Ctrl-C, progress, the
 * terminal's abilities.
 */

import { existsSync, readFileSync } from 'node:fs';
import tty from 'node:tty';
import type { ColourDepth, TerminalOptions } from '../interp/figures/draw/terminal.js';
import { bar } from '../interp/figures/draw/terminal.js';
import { printable, shown } from '../weights/checks/shown.js';
import { parseJson } from '../weights/checks/text.js';

/** The command line was wrong: exit code 2, and the message says so. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** The value of an option that is JSON. */
export function jsonOption(option: string, text: string): unknown {
  try {
    return parseJson(text, option);
  } catch (e) {
    throw new UsageError((e as Error).message);
  }
}

/** Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted. */
const INTERRUPTED = 130;

/**
 * Runs a program: its errors become one message on stderr and an exit code. Ctrl-C aborts `signal`; a second
 * one ends at once. `DEBUG=1` shows stack traces.
 */
export async function runMain(main: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const abort = new AbortController();
  const interrupt = () => {
    if (abort.signal.aborted) process.exit(INTERRUPTED);
    abort.abort(new Error('interrupted'));
  };
  process.on('SIGINT', interrupt);
  process.stdout.on('error', (e: NodeJS.ErrnoException) => {
    if (e.code === 'EPIPE') process.exit(0); // the reader (`| head`) has seen enough
    throw e;
  });
  try {
    await main(abort.signal);
  } catch (e) {
    const error = e as Error;
    process.stderr.write(
      `${printable(process.env.DEBUG ? String(error.stack) : `error: ${messageOf(error)}`)}\n`,
    );
    process.exitCode = abort.signal.aborted ? INTERRUPTED : isUsage(error) ? 2 : 1;
  } finally {
    process.off('SIGINT', interrupt);
  }
}

const isUsage = (e: Error): boolean =>
  e instanceof UsageError || String((e as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');

const messageOf = (e: Error): string =>
  isUsage(e) ? `${e.message} (--help shows the options)` : inBrief(String(e.message ?? e));

/** Longest message of an error. */
const MESSAGE_LENGTH = 1400;
const inBrief = (text: string): string =>
  text.length > MESSAGE_LENGTH ? `${text.slice(0, MESSAGE_LENGTH)}…` : text;

/** Glassbox's version. */
export function version(): string {
  // beside scripts/, or one further up in what was built
  const places = ['../package.json', '../../package.json'].map((path) => new URL(path, import.meta.url));
  return JSON.parse(readFileSync(places.find((place) => existsSync(place))!, 'utf8')).version;
}

/** What stdout can show. `NO_COLOR` and `FORCE_COLOR` are honoured; without a terminal the width is 80. */
export function terminal({ color = true } = {}): Required<TerminalOptions> {
  const { stdout, env } = process;
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '0';
  const wanted = color && !env.NO_COLOR && (stdout.isTTY || forced);
  const bits = wanted ? tty.WriteStream.prototype.getColorDepth.call(stdout, env) : 1;
  const depth: ColourDepth = bits >= 24 ? 24 : bits >= 8 ? 8 : 1;
  // rxvt, Konsole and others say what their colours are: "foreground;background", 7 and 15 are the light
  // ones.
  const background = Number(env.COLORFGBG?.split(';').at(-1) ?? 0);
  const theme = background === 7 || background === 15 ? 'light' : 'dark';
  return { width: Math.max(40, Math.min(160, stdout.columns ?? 80)), depth, theme };
}

/** `8 s`, `2 min 5 s`, `1 h 12 min` */
export function duration(ms: number): string {
  const s = ms / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole} s`;
  const min = Math.floor(whole / 60);
  if (min < 60) return `${min} min ${whole % 60} s`;
  return `${Math.floor(min / 60)} h ${min % 60} min`;
}

/** Where progress is written; `isTTY`: a person is watching. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Progress of something long. */
export interface Progress {
  /** So much of it is done. */
  update(done: number, total: number): void;
  /** Over: the bar goes away. */
  end(): void;
}

const REDRAW_MS = 80;
const LINE_MS = 10_000;

/** Time left if the rest goes as the first part did; '' when it cannot be told yet. */
export function timeLeft(elapsedMs: number, done: number, total: number): string {
  if (done <= 0 || done >= total || elapsedMs < 500) return '';
  return `${duration((elapsedMs * (total - done)) / done)} left`;
}

/**
 * A bar on stderr with the time left; without a terminal a plain line, every ten seconds.
 * @param what is done; a name from outside may be in it
 */
export function progress(what: string, stream: ProgressStream = process.stderr): Progress {
  const label = shown(what);
  const started = performance.now();
  let drawn = started;
  let visible = false;
  return {
    update(done, total) {
      const now = performance.now();
      if (total <= 0 || now - drawn < (stream.isTTY ? REDRAW_MS : LINE_MS)) return;
      drawn = now;
      const left = timeLeft(now - started, done, total);
      const share = `${Math.floor((100 * done) / total)}%`;
      if (stream.isTTY) {
        const full = bar(done / total, 24).padEnd(24, '░');
        stream.write(`\r\x1b[2K${label}  ${full} ${share.padStart(4)}  ${left}`);
        visible = true;
      } else stream.write(`${label}: ${share}${left ? `, ${left}` : ''}\n`);
    },
    end() {
      if (visible) stream.write('\r\x1b[2K');
      visible = false;
    },
  };
}

/** `--shard I/N`. @throws when it is none */
export function readShard(text: string | undefined): { index: number; of: number } | undefined {
  if (text === undefined) return undefined;
  const found = /^(\d+)\/(\d+)$/.exec(text);
  const [index, of] = [Number(found?.[1]), Number(found?.[2])];
  if (!found || index >= of) throw new UsageError(`--shard ${text}: I/N is needed, with I from 0 to N − 1`);
  return { index, of };
}
