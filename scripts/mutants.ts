/**
 * `npm run mutants`: do the tests notice when the code is wrong? Changes one token at a time (`*` for `/`, `<` for `<=`, a check
 * removed, a barrier dropped), runs the tests of its room, and says which changes survive. A survivor is a hole in the tests,
 * or means the same as the original. Works on a copy; takes minutes a mutant on two cores; not part of CI.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { uniform } from '../engine/random/random.js';
import { runMain, UsageError } from './cli.js';
import { type Mutant, mutantsOf } from './mutants/sites.js';

const HELP = `Usage: npm run mutants -- [options]

  --rooms LIST   rooms whose code is changed (kernels,engine,weights,hooks,interp)
  --files REGEX  only files whose path matches
  --count N      mutants to try (12)
  --seed N       which ones (1)
  --tests LIST   patterns of test files to run, in this order (the room's own, then the rooms above it)
  --list         only print them
`;

/** Rooms whose tests are run for a room, in this order. */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  kernels: ['test/kernels/', 'test/engine/'],
  engine: ['test/engine/', 'test/kernels/', 'test/hooks/'],
  weights: ['test/weights/', 'test/hooks/'],
  hooks: ['test/hooks/', 'test/interp/'],
  interp: ['test/interp/', 'test/scripts/seeds'],
};
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

await runMain(async (signal) => {
  const { values } = parseArgs({
    options: {
      rooms: { type: 'string', default: Object.keys(TESTS).join(',') },
      files: { type: 'string', default: '' },
      count: { type: 'string', default: '12' },
      seed: { type: 'string', default: '1' },
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
    if (!(room in TESTS))
      throw new UsageError(`there is no room "${room}": ${Object.keys(TESTS).join(', ')}`);
  const [count, seed] = [values.count, values.seed].map(Number);
  if (!(Number.isInteger(count) && count > 0 && Number.isInteger(seed)))
    throw new UsageError('--count and --seed take whole numbers');
  const chosen = choose(rooms, new RegExp(values.files), count, seed);
  if (values.list) {
    for (const mutant of chosen) process.stdout.write(`${describe(mutant)}\n`);
    return;
  }
  const folder = copyOfTree();
  try {
    let survived = 0;
    for (const [i, mutant] of chosen.entries()) {
      signal.throwIfAborted();
      const patterns = values.tests?.split(',') ?? TESTS[mutant.file.split('/')[0]];
      const killer = tryMutant(folder, mutant, patterns);
      if (!killer) survived++;
      process.stdout.write(
        `${i + 1}/${chosen.length} ${killer ? `killed by ${killer}` : 'SURVIVED'}: ${describe(mutant)}\n`,
      );
    }
    process.stdout.write(`${chosen.length - survived} killed, ${survived} survived\n`);
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

/** The first test file that fails, or null. */
function tryMutant(folder: string, mutant: Mutant, patterns: readonly string[]): string | null {
  const file = path.join(folder, mutant.file);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.slice(0, mutant.start) + mutant.after + text.slice(mutant.end));
  try {
    const tests = readdirSync(path.join(folder, 'test'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => `test/${name.split(path.sep).join('/')}`);
    const ordered = patterns.flatMap((pattern) => tests.filter((name) => name.startsWith(pattern)).sort());
    for (const name of new Set(ordered)) {
      const { status } = spawnSync(process.execPath, ['--import', 'tsx', 'test/run.ts', `^${name}$`], {
        cwd: folder,
        stdio: 'ignore',
        timeout: 600_000,
      });
      if (status !== 0) return name;
    }
    return null;
  } finally {
    writeFileSync(file, text);
  }
}
