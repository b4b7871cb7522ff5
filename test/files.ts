/**
 * Runs test files, one after another, in a process of their own that `run.ts` starts: all of them share one
 * GPU device. A file comes as a message, its counts go back as one; what the tests print goes to the process'
 * output.
 *
 * uvu's own runner ends with exit code 0 when a `before` hook throws, when something that is not an Error is
 * thrown (Dawn's validation errors are not), and when a file queues nothing. Here all of that is a failure,
 * and so are rejections nobody waits for, tests that never end, and handles that keep the process alive.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import type { Callback } from 'uvu';

/** What a file gave. */
export interface FileResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Seconds of CPU that the process took, its GPU's threads included; programs that it started are not. */
  readonly cpu: number;
}

/** To the process: a file to run, or null: no more. */
export type Order = { readonly file: string | null };

/** Seconds a test may take. */
const TEST_LIMIT = 600;
/** Seconds from the end of the last test to the end of the process. */
const EXIT_LIMIT = 10;

type Run = () => Promise<[errors: string | true, passed: number, skipped: number, total: number]>;
type Hook = (handler: Callback) => void;

const uvu = globalThis as unknown as { UVU_DEFER: 1; UVU_INDEX: number; UVU_QUEUE: Run[][] };
uvu.UVU_DEFER = 1; // before uvu loads: `test.run()` then only queues
const { test } = await import('uvu');
const { collectGarbage } = await import('../engine/gpu/collector-node.js');

const root = dirname(dirname(fileURLToPath(import.meta.url)));
let counts = { passed: 0, failed: 0, skipped: 0 };
let current = ''; // what runs now, for messages
let startedAt = 0;
let running = false;

const say = (text: string) => process.stdout.write(`${text}\n`);
const settled = () => new Promise((done) => setImmediate(done)); // Node reports floating rejections before this
const show = (error: unknown) =>
  error instanceof Error ? (error.stack ?? error.message) : `${inspect(error)} (not an Error)`;

/** Counts a failure that belongs to no single test. */
function problem(text: string): void {
  counts.failed++;
  say(`\n   FAIL  ${text.split('\n').join('\n    ')}\n`);
}

function started(what: string): void {
  current = what;
  startedAt = performance.now();
}

process.on('unhandledRejection', (error) =>
  problem(`${current}: a rejection nobody waits for: ${show(error)}`),
);
process.on('uncaughtException', (error) => problem(`${current}: thrown outside of any test: ${show(error)}`));
process.on('exit', () => {
  if (running)
    say(`\n   FAIL  ${current}: unfinished; it waits for what can never come, or calls process.exit\n`);
  if (running || counts.failed) process.exitCode = 1; // what a file's result has not told
});

// Not referenced: when a test waits for what can never come, Node runs out of work and exits at once.
setInterval(() => {
  if (!running || performance.now() - startedAt < TEST_LIMIT * 1000) return;
  say(`\n   FAIL  ${current}: not finished after ${TEST_LIMIT} s\n`);
  running = false;
  process.exit(1);
}, 1000).unref();

/**
 * uvu forgets what the hooks `before`, `after` and `after.each` throw: say it, and count it where uvu does
 * not.
 */
function reportHooks(): void {
  const report = (name: string, hook: Hook, rethrow: boolean): Hook => {
    return (handler) =>
      hook(async (state) => {
        try {
          await handler(state);
        } catch (error) {
          if (!rethrow) return problem(`${current}: the hook \`${name}\` threw: ${show(error)}`);
          say(`\n   FAIL  ${current}: the hook \`${name}\` threw: ${show(error)}`);
          throw error;
        }
      });
  };
  const { before, after } = test;
  test.before = Object.assign(report('before', before, true), { each: before.each });
  test.after = Object.assign(report('after', after, false), {
    each: report('after.each', after.each, false),
  });
}

/** Runs what a file has queued; `file` is for messages. */
async function runQueued(file: string, runs: Run[]): Promise<void> {
  let total = 0;
  for (const run of runs) {
    started(file);
    const [errors, ok, skips, count] = await run();
    total += count;
    counts.passed += ok;
    counts.failed += count - ok;
    counts.skipped += skips;
    if (errors !== true) say(`\n${errors}`);
    const told = errors === true ? 0 : errors.split(' FAIL ').length - 1;
    if (count - ok > told)
      say(
        `   FAIL  ${current}: a hook failed or something was thrown that is not an Error; the rest did not run\n`,
      );
  }
  if (total === 0) problem(`${file}: runs no test; does it end with \`test.run();\`?`);
}

/** Frees what was dropped, so that tests of memory see what they do themselves. */
async function collected(): Promise<void> {
  collectGarbage();
  await new Promise((done) => setTimeout(done)); // the collector's registry speaks now
}

async function runFile(file: string): Promise<void> {
  started(file);
  await collected();
  const measures = /\/(memory|refused|differentiate|gradients-oracle)\.js'/.test(
    readFileSync(join(root, file), 'utf8'),
  );
  const runs: Run[] = [];
  uvu.UVU_INDEX = 0;
  uvu.UVU_QUEUE[0] = runs;
  test.before.each(async (state) => {
    await settled(); // what the test before has left is reported under its own name
    if (measures) await collected();
    started(`${file}, "${state.__test__}"`);
  });
  try {
    await import(pathToFileURL(join(root, file)).href);
    await runQueued(file, runs.slice());
  } catch (error) {
    problem(`${current}: ${show(error)}`);
  }
  await settled();
  test.run(); // queued and dropped: tests and hooks that the file left must not run with the next file
}

/** Ends when nothing keeps the process alive; says what does if something does. */
function end(): void {
  current = 'after the last test';
  setTimeout(() => {
    const handles = process
      .getActiveResourcesInfo()
      .filter((kind) => kind !== 'TTYWrap' && kind !== 'PipeWrap');
    problem(
      `still alive ${EXIT_LIMIT} s after the last test, held by: ${handles.join(', ') || 'native code'}`,
    );
    process.exit(1);
  }, EXIT_LIMIT * 1000).unref();
  process.disconnect();
}

reportHooks();
collectGarbage();
(globalThis as { gc?: () => void }).gc ??= collectGarbage; // for test/memory.ts
let ended = false;
process.on('disconnect', () => {
  if (!ended) process.exit(1); // who gave the orders is gone
});
process.on('message', async ({ file }: Order) => {
  if (file === null) {
    ended = true;
    return end();
  }
  running = true;
  const before = process.cpuUsage();
  process.channel?.unref(); // only the tests keep the process alive
  await runFile(file);
  process.channel?.ref();
  running = false;
  const { user, system } = process.cpuUsage(before);
  const result: FileResult = { ...counts, cpu: (user + system) / 1e6 };
  counts = { passed: 0, failed: 0, skipped: 0 };
  process.send!(result);
});
