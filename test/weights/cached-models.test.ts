/** The cache of models on disk: what is listed, and what removing takes. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { listCache, removeFromCache } from '../../index.js';
import { main } from '../../scripts/commands/main.js';
import { throws } from '../helpers.js';

const [A, B] = ['a'.repeat(40), 'b'.repeat(40)];
let root = '';
test.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'glassbox-cache-'));
});
test.after.each(() => rmSync(root, { recursive: true, force: true }));

/** A repository as Python lays it out: two revisions that share a blob. */
function repo(folder: string, day = 1): string {
  const at = join(root, folder);
  for (const [commit, blobs] of [
    [A, { 'config.json': 'c1', 'model.safetensors': 'm' }],
    [B, { 'config.json': 'c2', 'model.safetensors': 'm' }],
  ] as const) {
    mkdirSync(join(at, 'snapshots', commit), { recursive: true });
    for (const [file, blob] of Object.entries(blobs))
      symlinkSync(join('..', '..', 'blobs', blob), join(at, 'snapshots', commit, file));
  }
  mkdirSync(join(at, 'refs', 'pr'), { recursive: true });
  writeFileSync(join(at, 'refs', 'main'), B);
  writeFileSync(join(at, 'refs', 'pr', '1'), A);
  mkdirSync(join(at, 'blobs'));
  for (const [blob, bytes] of Object.entries({ c1: 10, c2: 20, m: 1000 })) {
    writeFileSync(join(at, 'blobs', blob), new Uint8Array(bytes));
    utimesSync(join(at, 'blobs', blob), day * 86400, day * 86400);
  }
  return at;
}

async function output(...args: string[]): Promise<string> {
  const written: string[] = [];
  await main(['cache', '--cache-dir', root, ...args], new AbortController().signal, (data) => {
    written.push(String(data));
  });
  return written.join('');
}

test('models with revisions, size and last use; each file counts once, other kinds of repositories do not', async () => {
  repo('models--owner--name', 3);
  repo('models--gpt2', 9);
  repo('datasets--owner--data');
  mkdirSync(join(root, '.locks', 'models--owner--name'), { recursive: true });
  const { folder, models } = await listCache({ cacheDir: root });
  assert.is(folder, root);
  assert.equal(
    models.map((m) => [m.name, m.bytes, m.lastUsed?.getTime()]),
    [
      ['gpt2', 1030 + 80, 9 * 86400e3],
      ['owner/name', 1030 + 80, 3 * 86400e3],
    ],
  );
  assert.equal(models[0].revisions, [
    { commit: A, names: ['pr/1'], files: 2 },
    { commit: B, names: ['main'], files: 2 },
  ]);
  assert.match(await output(), /gpt2 .*1970-01-10 +pr\/1 aaaaaaa, main bbbbbbb\n/);
});

test('removing a model frees what it held, and leaves everything else', async () => {
  repo('models--openai-community--gpt2');
  repo('datasets--gpt2');
  repo('models--other--name');
  const removed = await removeFromCache('gpt2', { cacheDir: root }); // by its short name
  assert.equal([removed.name, removed.bytes], ['openai-community/gpt2', 1110]);
  assert.equal(readdirSync(root).sort(), ['datasets--gpt2', 'models--other--name']);
  await throws(
    () => removeFromCache('gpt2', { cacheDir: root }),
    /the cache has no model "gpt2": there is other\/name/,
  );
  assert.match(await output('--remove', 'other/name', '--yes'), /^removed other\/name: 1\.1 KiB freed\n$/);
  assert.match(await output(), /^no models in /);
});

test('a model that somebody downloads, or whose folder is a link, stays', async () => {
  const at = repo('models--owner--name');
  const partial = join(at, 'blobs', 'abc.incomplete');
  writeFileSync(partial, new Uint8Array(50));
  const [model] = (await listCache({ cacheDir: root })).models;
  assert.equal(model.incomplete, { files: 1, bytes: 50 });
  assert.equal(model.busy, ['abc.incomplete']);
  await throws(
    () => removeFromCache('owner/name', { cacheDir: root }),
    /a download into .* is under way \(abc\.incomple…\)/,
  );
  assert.ok(existsSync(partial));
  utimesSync(partial, 1, 1); // nobody has written to it for long
  assert.match(await output(), /owner\/name: 1 download, 0\.0 KiB, broken off/);
  assert.is((await removeFromCache('owner/name', { cacheDir: root })).bytes, 1160);

  const elsewhere = join(root, 'elsewhere');
  mkdirSync(elsewhere);
  symlinkSync(elsewhere, join(root, 'models--a--link'));
  await throws(
    () => removeFromCache('a/link', { cacheDir: root }),
    /is a link to .*remove that folder yourself/,
  );
});

test('the command asks, and without a terminal it wants --yes', async () => {
  repo('models--owner--name');
  await throws(() => output('--remove', 'owner/name'), /no terminal is here: add --yes/);
  await throws(() => output('--remove', 'owner/nam'), /the cache has no model "owner\/nam"/);
  assert.is((await listCache({ cacheDir: root })).models.length, 1);
});

test.run();
