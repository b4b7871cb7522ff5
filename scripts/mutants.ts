/**
 * `npm run mutants`: do the tests notice when the code is wrong? Changes one token at a time (`*` for `/`, `<` for `<=`, a check
 * removed, a barrier dropped), runs the test files that are nearest by imports, and says which changes survive. A survivor is a
 * hole in the tests, or means the same as the original. Works on a copy; takes up to a minute a mutant on two cores; not part of CI.
 */

import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { uniform } from '../engine/random/random.js';
import { runMain, UsageError } from './cli.js';
import { type Mutant, mutantsOf } from './mutants/sites.js';
import { NearestTests } from './mutants/tests.js';

const HELP = `Usage: npm run mutants -- [options]

  --rooms LIST   rooms whose code is changed (kernels,engine,weights,hooks,interp)
  --files REGEX  only files whose path matches
  --count N      mutants to try (12)
  --seed N       which ones (1)
  --only LIST    of these, the ones with these numbers (7,12,30-40)
  --most N       test files that are run for a mutant (12), the nearest by imports first
  --tests LIST   beginnings of the paths of test files to run instead
  --list         only print the mutants
`;

const ROOMS = ['kernels', 'engine', 'weights', 'hooks', 'interp'];
/** Folders of tests that are run; those of the page, the package and the documents are too slow for it. */
const TESTS = /^test\/(kernels|engine|weights|hooks|interp|norms|scripts)\/.*\.test\.ts$/;
/** Test files of the first process; most mutants die there. */
const FIRST = 4;
/** Milliseconds without a word from a test file, after which it counts as hanging. */
const SILENCE = 240_000;
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

await runMain(async (signal) => {
  const { values } = parseArgs({
    options: {
      rooms: { type: 'string', default: ROOMS.join(',') },
      files: { type: 'string', default: '' },
      count: { type: 'string', default: '12' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      most: { type: 'string', default: '12' },
      tests: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const rooms = values.rooms.split(',');
  for (const room of rooms)
    if (!ROOMS.includes(room)) throw new UsageError(`there is no room "${room}": ${ROOMS.join(', ')}`);
  const [count, seed, most] = [values.count, values.seed, values.most].map(Number);
  if (![count, seed, most].every(Number.isInteger) || count < 1 || most < 1)
    throw new UsageError('--count, --seed and --most take whole numbers');
  const only = numbers(values.only);
  const chosen = choose(rooms, new RegExp(values.files), count, seed);
  if (values.list) {
    for (const [i, mutant] of chosen.entries()) process.stdout.write(`${i + 1} ${describe(mutant)}\n`);
    return;
  }
  const folder = copyOfTree();
  try {
    const tests = readdirSync(path.join(folder, 'test'), { recursive: true, encoding: 'utf8' })
      .map((name) => `test/${name.split(path.sep).join('/')}`)
      .filter((name) => TESTS.test(name))
      .sort();
    const nearest = new NearestTests(folder, tests);
    const beginnings = values.tests?.split(',');
    const sound = new Map<string, boolean>();
    let [tried, survived] = [0, 0];
    for (const [i, mutant] of chosen.entries()) {
      if (only && !only.has(i + 1)) continue;
      signal.throwIfAborted();
      const files = beginnings
        ? beginnings.flatMap((start) => tests.filter((name) => name.startsWith(start)))
        : nearest.of(mutant.file).slice(0, most);
      const killer = await tryMutant(folder, mutant, files, sound, signal);
      tried++;
      if (!killer) survived++;
      process.stdout.write(
        `${i + 1}/${chosen.length} ${killer ? `killed by ${killer}` : `SURVIVED ${files.length} test files`}: ${describe(mutant)}\n`,
      );
    }
    process.stdout.write(`${tried - survived} killed, ${survived} survived\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function describe({ file, line, before, after }: Mutant): string {
  return `${file}:${line}  ${before}  →  ${after || '(nothing)'}`;
}

/** Mutants drawn evenly from all places of all files. */
function choose(rooms: readonly string[], files: RegExp, count: number, seed: number): Mutant[] {
  const all = rooms.flatMap((room) =>
    readdirSync(path.join(root, room), { recursive: true, encoding: 'utf8' })
      .map((file) => path.posix.join(room, file.split(path.sep).join('/')))
      .filter((file) => /(?<!-examples)\.ts$/.test(file) && files.test(file))
      .sort()
      .flatMap((file) => mutantsOf(file, readFileSync(path.join(root, file), 'utf8'))),
  );
  if (!all.length) throw new UsageError('no file matches');
  const random = uniform(seed);
  const left = [...all];
  return Array.from(
    { length: Math.min(count, all.length) },
    () => left.splice(Math.floor(random() * left.length), 1)[0],
  );
}

/** What git knows, as it is in the working tree, with a link to the installed packages. */
function copyOfTree(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'glassbox-mutants-'));
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  for (const file of files.trim().split('\n'))
    cpSync(path.join(root, file), path.join(folder, file), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
  return folder;
}

/** Numbers as they are written in a list: `7,12,30-40`. */
function numbers(list: string | undefined): Set<number> | undefined {
  if (list === undefined) return undefined;
  const out = new Set<number>();
  for (const part of list.split(',')) {
    const [first, last = first] = part.split('-').map(Number);
    if (!(first >= 1 && last >= first)) throw new UsageError('--only takes numbers and spans: 7,12,30-40');
    for (let i = first; i <= last; i++) out.add(i);
  }
  return out;
}

/**
 * The first test file that fails, or null.
 * @param sound files of which it is known whether they pass on the original; those that do not kill nothing
 */
async function tryMutant(
  folder: string,
  mutant: Mutant,
  files: readonly string[],
  sound: Map<string, boolean>,
  signal: AbortSignal,
): Promise<string | null> {
  const file = path.join(folder, mutant.file);
  const text = readFileSync(file, 'utf8');
  const mutated = text.slice(0, mutant.start) + mutant.after + text.slice(mutant.end);
  let left = [...files];
  try {
    while (left.length) {
      const some = left.slice(0, left.length === files.length ? FIRST : left.length);
      writeFileSync(file, mutated);
      const failed = await firstFailure(folder, some, signal);
      if (failed === null) {
        left = left.slice(some.length);
        continue;
      }
      writeFileSync(file, text);
      if (!sound.has(failed)) sound.set(failed, (await firstFailure(folder, [failed], signal)) === null);
      if (sound.get(failed)) return failed;
      left = left.filter((name) => name !== failed);
    }
    return null;
  } finally {
    writeFileSync(file, text);
  }
}

/** Runs test files in one process, which is ended at the first failure: its file, or null. */
function firstFailure(folder: string, files: readonly string[], signal: AbortSignal): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const args = ['--import', 'tsx', 'test/run.ts', ...files.map((name) => `^${name}$`)];
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
    let current = files[0];
    let failed: string | null = null;
    const end = () => {
      failed = current;
      child.kill('SIGKILL');
    };
    let timer = setTimeout(end, SILENCE);
    const abort = () => child.kill('SIGKILL');
    signal.addEventListener('abort', abort);
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE);
      said += part;
      const lines = said.split('\n');
      said = lines.pop()!;
      for (const line of lines) {
        if (failed === null && files.includes(line)) current = line;
        if (failed === null && /^ {3}FAIL | ✘ /.test(line)) end();
      }
    });
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      if (signal.aborted) reject(signal.reason);
      else resolve(failed ?? (status === 0 ? null : current));
    });
  });
}
