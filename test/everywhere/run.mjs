/** Packs Glassbox, installs it into a fresh project, and runs the same sweep in every test runner and in worker threads. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(here, '../..');
const versions = (folder) =>
  JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')).devDependencies;
const folder = mkdtempSync(path.join(tmpdir(), 'glassbox-everywhere-'));
const run = (command, args, { cwd = folder, env = {} } = {}) =>
  execFileSync(command, args, { cwd, env: { ...process.env, ...env }, encoding: 'utf8', stdio: 'pipe' });

let passed = 0;
let failed = 0;
/** Runs one way and compares what it prints, or trusts the runner's own comparison. */
function check(title, command, args, { expected, ...options } = {}) {
  try {
    const out = run(command, args, options).trim();
    if (expected !== undefined && out !== expected)
      throw new Error(`it printed\n${out}\ninstead of\n${expected}`);
    passed++;
    console.log(`   ok    ${title}`);
  } catch (e) {
    failed++;
    console.log(`   FAIL  ${title}\n${e.stdout ?? ''}${e.stderr ?? ''}${e.message}`);
  }
}

try {
  cpSync(path.join(here, 'project'), folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  const packed = JSON.parse(
    run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root }).replace(/^[^[]*/s, ''),
  );
  const { vitest, jest } = versions(here);
  const chromium = versions(root)['@sparticuz/chromium'];
  const wanted = [
    `./${packed[0].filename}`,
    `@sparticuz/chromium@${chromium}`,
    `vitest@${vitest}`,
    `jest@${jest}`,
  ];
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...wanted]);

  const expected = run(process.execPath, ['plain.mjs']).trim();
  console.log(`plain Node: ${expected}`);
  const env = { EXPECTED_MAP: expected };
  check('four worker threads', process.execPath, ['workers.mjs'], {
    expected: Array(4).fill(expected).join('\n'),
  });
  for (const pool of ['forks', 'threads', 'vmThreads', 'vmForks'])
    check(`Vitest, ${pool}`, 'npx', ['--no-install', 'vitest', 'run', '--pool', pool], { env });
  check('Jest, ES modules', 'npx', ['--no-install', 'jest'], {
    env: { ...env, NODE_OPTIONS: '--experimental-vm-modules' },
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
