import { spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jsonLines } from '../../hooks/sweep/record/record-node.js';
import type { Invocation, Outcome } from '../../scripts/commands/command.js';
import { deliver } from '../../scripts/commands/output.js';
import { writeWhole } from '../../scripts/write.js';
import { throws } from '../helpers.js';

const root = mkdtempSync(join(tmpdir(), 'glassbox-write-'));
test.after(() => rmSync(root, { recursive: true }));

test('a file and the folders above it are written; what a link points to is replaced', () => {
  const file = join(root, 'a/b/c.csv');
  writeWhole(file, 'one');
  writeWhole(file, new TextEncoder().encode('two'));
  symlinkSync(file, join(root, 'link.csv'));
  writeWhole(join(root, 'link.csv'), 'three');
  assert.is(readFileSync(file, 'utf8'), 'three');
  assert.ok(lstatSync(join(root, 'link.csv')).isSymbolicLink());
  assert.equal(readdirSync(join(root, 'a/b')), ['c.csv'], 'nothing else is left');
  const long = join(root, `${'x'.repeat(251)}.csv`);
  writeWhole(long, 'a long name');
  assert.is(readFileSync(long, 'utf8'), 'a long name');
});

test('a disk that is full, or a file that may not be so large, loses no earlier result', () => {
  const file = join(root, 'result.json');
  writeFileSync(file, 'earlier');
  const module = new URL('../../scripts/write.ts', import.meta.url).href;
  const code = `process.on('SIGXFSZ', () => {});
    const { writeWhole } = await import(${JSON.stringify(module)});
    writeWhole(${JSON.stringify(file)}, 'x'.repeat(5e6));`;
  const { status, stderr } = spawnSync(
    'sh',
    [
      '-c',
      'ulimit -f 2000; exec "$@"',
      'sh',
      process.execPath,
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      code,
    ],
    { encoding: 'utf8', env: { ...process.env, TSX_DISABLE_CACHE: '1' } },
  );
  assert.is(status, 1, stderr);
  assert.match(stderr, /result\.json: the file would be larger than is allowed/);
  assert.is(readFileSync(file, 'utf8'), 'earlier');
  assert.equal(
    readdirSync(root).filter((name) => name.endsWith('.tmp')),
    [],
  );
  throws(() => writeWhole('/dev/full', 'x'), /^\/dev\/full: the disk is full$/);
});

test('what cannot be written is named', async () => {
  mkdirSync(join(root, 'folder'));
  throws(() => writeWhole(join(root, 'folder'), 'x'), /folder: this is a folder; a file is needed/);
  writeFileSync(join(root, 'file'), '');
  throws(() => writeWhole(join(root, 'file', 'x.csv'), 'x'), /x\.csv: a part of this path is no folder/);
  throws(() => writeWhole(join(root, 'y'.repeat(300)), 'x'), /y…y+: the name is too long/);
  await throws(jsonLines('/dev/full').append(['{}']), /^record \/dev\/full: ENOSPC/);
});

test('CSV and JSON on a terminal hold nothing that it obeys; a pipe gets CSV as it is', async () => {
  const outcome = { csv: () => 'token\n\x1b[2J\u202e\n', json: () => ['\x9b2J'] } as unknown as Outcome;
  const { isTTY } = process.stdout;
  const given = async (form: string, terminal: boolean) => {
    process.stdout.isTTY = terminal;
    const texts: string[] = [];
    const x = { values: { [form]: '-' }, command: { forms: [] }, write: (text: string) => texts.push(text) };
    try {
      await deliver(x as unknown as Invocation, outcome, '');
    } finally {
      process.stdout.isTTY = isTTY;
    }
    return texts.join('');
  };
  assert.is(await given('csv', true), 'token\n\\x1b[2J\\u202e\n');
  assert.is(await given('csv', false), outcome.csv!());
  for (const terminal of [true, false]) assert.is(await given('json', terminal), '["\\u009b2J"]\n');
});

test.run();
