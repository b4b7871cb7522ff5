/**
 * The test runner: `npm test [-- pattern ...]` runs the files test/**\/*.test.ts whose path matches a
 * pattern. Two processes (`files.ts`) take one file after another: while one waits for its GPU, or a page for
 * its browser, the other works.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FileResult, Order } from './files.js';

const PROCESSES = Math.min(2, availableParallelism());
/** A process runs so many files: what they leave makes its garbage collector slow, three times in places. */
const FILES_A_PROCESS = 6;
/** These work in a browser or in programs of their own: one process begins with them, the others end with them. */
const ELSEWHERE = ['test/browser/', 'test/demo/', 'test/package/'];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => `test/${file.split(sep).join('/')}`)
  .sort();
const patterns = process.argv.slice(2).map((pattern) => new RegExp(pattern));
const chosen = files.filter((file) => !patterns.length || patterns.some((pattern) => pattern.test(file)));

const total = { passed: 0, failed: 0, skipped: 0 };
const say = (text: string) => process.stdout.write(`${text}\n`);

/** Counts a failure that belongs to no single test. */
function problem(text: string): void {
  total.failed++;
  say(`\n   FAIL  ${text}\n`);
}

/** A process that runs files, and what it has printed since it was last asked. */
class Worker {
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | null>;
  #printed = '';

  constructor() {
    this.#child = fork(join(root, 'test/files.ts'), { execArgv: ['--import', 'tsx'], silent: true });
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#printed += text;
      });
    this.#exit = new Promise((done) => this.#child.once('close', done));
  }

  /** What a file gives; null when the process ended over it. */
  async run(file: string): Promise<FileResult | null> {
    const told = new Promise<FileResult>((done) => this.#child.once('message', done));
    this.#send({ file });
    return Promise.race([told, this.#exit.then(() => null)]);
  }

  /** Lets the process end; its exit code. */
  end(): Promise<number | null> {
    this.#send({ file: null });
    return this.#exit;
  }

  printed(): string {
    const text = this.#printed;
    this.#printed = '';
    return text.trimEnd();
  }

  #send(order: Order): void {
    if (this.#child.connected) this.#child.send(order);
  }
}

/** Takes files until there are none; the lists are shared, those in front are taken first. */
async function work(lists: readonly string[][]): Promise<void> {
  const next = () => lists.find((list) => list.length)?.shift();
  let worker: Worker | null = null;
  const end = async () => {
    if (!worker) return;
    const code = await worker.end();
    const rest = worker.printed();
    if (rest) say(rest);
    if (code !== 0)
      problem(`a process of the tests ended with ${code === null ? 'a signal' : `code ${code}`}`);
    worker = null;
  };
  let run = 0;
  for (let file = next(); file; file = next()) {
    worker ??= new Worker();
    const begin = performance.now();
    const result: FileResult | null = await worker.run(file);
    const seconds = `${((performance.now() - begin) / 1000).toFixed(1)} s, ${result?.cpu.toFixed(1) ?? '?'} s of CPU`;
    await new Promise((done) => setTimeout(done, 10)); // what it printed comes by another way
    say([`${file} (${seconds})`, worker.printed()].filter(Boolean).join('\n'));
    if (result) for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += result[key];
    else {
      problem(`${file}: its process ended before its tests did`);
      worker = null;
    }
    if (++run % FILES_A_PROCESS === 0) await end();
  }
  await end();
}

const begin = performance.now();
for (const file of files) {
  const source = readFileSync(join(root, file), 'utf8');
  if (/\.only\(/.test(source)) problem(`${file}: \`.only\` hides the other tests; remove it`);
  if (!/\.run\(\);\s*$/.test(source)) problem(`${file}: the last line must be \`test.run();\``);
}
if (chosen.length === 0) problem(`no file test/**/*.test.ts matches ${patterns.join(' ') || 'at all'}`);
const isElsewhere = (file: string) => ELSEWHERE.some((folder) => file.startsWith(folder));
const elsewhere = chosen.filter(isElsewhere);
const here = chosen.filter((file) => !isElsewhere(file));
await Promise.all(
  Array.from({ length: Math.min(PROCESSES, chosen.length) }, (_, i) =>
    work(i === 0 ? [elsewhere, here] : [here, elsewhere]),
  ),
);
if (total.passed + total.failed === 0) problem('no test was run');

say(`\n${chosen.length} files, ${((performance.now() - begin) / 1000).toFixed(1)} s`);
if (total.skipped) say(`${total.skipped} skipped`);
say(`${total.passed} passed, ${total.failed} failed`);
if (total.failed) process.exitCode = 1;
