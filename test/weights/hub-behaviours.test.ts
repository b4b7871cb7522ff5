/**
 * What a Hub may do at each request, and what must come of it: the file's own bytes, or an error; and the
 * next load is right.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LoadOptions, StoreOptions } from '../../weights/files/platform.js';
import { retryAfterMs } from '../../weights/files/retry.js';
import { nodeHub } from '../../weights/hub/hub-node.js';
import { openRepo } from '../../weights/hub/hub-web.js';
import { throws } from '../helpers.js';
import { type Act, COMMIT, gitSha, type Hub, type Rule, sha256, startHub } from './hub-server.js';

const text = (s: string) => new TextEncoder().encode(s);
const files = {
  'config.json': text('{"model_type":"gpt2"}'),
  'tokenizer.json': text('{"model":{}}'.padEnd(4000)),
  'model.safetensors': Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 253),
};
const FILES = Object.keys(files) as (keyof typeof files)[];
const page = text('<!doctype html>'.padEnd(3000));
const REPO = join('hub', 'models--owner--name');

let root = '';
let hub: Hub | undefined;
const saved = { ...process.env };
test.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'glassbox-behaviours-'));
  for (const key of Object.keys(process.env)) if (/^(HF_|HUGGING)/.test(key)) delete process.env[key];
});
test.after.each(async () => {
  await hub?.close();
  hub = undefined;
  rmSync(root, { recursive: true, force: true });
  Object.assign(process.env, saved);
});

const options = (more: LoadOptions = {}, { url } = hub!, folder = root): StoreOptions => ({
  delay: 20,
  endpoint: url,
  cacheDir: join(folder, 'hub'),
  token: 'hf_secret',
  timeoutMs: 1000,
  ...more,
});
/** Everything a load wants, by name; null for what the repository has not. */
async function loadWith(how: LoadOptions, repo = 'owner/name'): Promise<Record<string, Uint8Array | null>> {
  const folder = await nodeHub.open(repo, [], how);
  const found: Record<string, Uint8Array | null> = {};
  for (const name of [...FILES, 'tokenizer_config.json']) {
    const file = await folder.open(name);
    found[name] = file && (await file.read(0, file.size));
  }
  await folder.finished?.();
  return found;
}
const load = (more: LoadOptions = {}, repo?: string) => loadWith(options(more), repo);
const RIGHT = { ...files, 'tokenizer_config.json': null };
const bodyOf = (file: string): Rule['kind'] => (file === 'model.safetensors' ? 'storage' : 'get');

/** Loads under `rules`: right, or an error that matches; then, with a good Hub, right. */
async function tried(rules: Rule[], error: RegExp | null): Promise<void> {
  const mine = await startHub(files, rules);
  const folder = mkdtempSync(join(root, 'tried-'));
  const what = JSON.stringify(
    rules.map(({ act: { bytes, ...act }, ...rule }) => ({ ...rule, act, bytes: bytes?.length })),
  );
  const again = (more: LoadOptions = {}) => loadWith(options(more, mine, folder));
  try {
    if (error) await throws(again(), error);
    else assert.equal(await again(), RIGHT, what);
    for (const { at, authorization } of mine.log)
      assert.is(authorization, at === 'hub' ? 'Bearer hf_secret' : undefined, `${at}: ${what}`);
    assert.ok(mine.sent < 4e6, `${mine.sent} bytes: ${what}`);
    mine.rules = [];
    assert.equal(await again(), RIGHT, `afterwards: ${what}`);
  } finally {
    await mine.close();
  }
  assert.equal(await again({ localFilesOnly: true }), RIGHT, `offline: ${what}`);
  assert.equal(readdirSync(folder), ['hub']);
}
/** Several at once: most of their time is waiting. */
const allTried = (cases: readonly (readonly [Rule[], RegExp | null])[]) =>
  Promise.all(cases.map(([rules, error]) => tried(rules, error)));

test('what passes at a request for any file does not change the model', async () => {
  const cases: [Rule[], null][] = [];
  for (const file of FILES) {
    for (const act of [{ status: 503 }, { status: 429 }, { reset: true }] as Act[])
      cases.push([[{ kind: 'head', file, times: 1, act }], null]);
    for (const act of [
      { status: 500 },
      { reset: true },
      { cutAfter: 10 },
      { bytes: page },
      { stallAfter: 5 },
    ] as Act[])
      cases.push([[{ kind: bodyOf(file), file, times: 1, act }], null]);
  }
  await allTried(cases);
});

test('what stays is an error that says what came', async () => {
  const cases: [Act, RegExp][] = [
    [{ status: 503 }, /tokenizer\.json is not in the cache .* the Hub answered 503/],
    [{ status: 404 }, /tokenizer\.json: the Hub answered 404/],
    [{ status: 410 }, /the Hub answered 410/],
    [{ status: 403 }, /access .* is restricted/],
    [{ status: 304 }, /a redirection without an address/],
    [{ silence: true }, /no answer in 1 s/],
    [{ redirect: 'loop' }, /more than 5 redirections/],
    [{ redirect: 'file:///etc/passwd' }, /redirects to file:\/\/\/etc\/passwd, which is not followed/],
    [{ set: { 'x-repo-commit': '../../../x' } }, /X-Repo-Commit "\.\.\/\.\.\/\.\.\/x" is no commit/],
    [{ set: { 'x-repo-commit': 'd'.repeat(40) } }, /of commit d+, not of c0ffee/],
  ];
  await allTried(cases.map(([act, error]) => [[{ kind: 'head', file: 'tokenizer.json', act }], error]));
});

test('a body that breaks its promise ends in an error, after bounded bytes', async () => {
  const cases: [string, Act, RegExp][] = [
    ['model.safetensors', { cutAfter: 20_000, ignoreRange: true }, /model\.safetensors: the download failed/],
    ['model.safetensors', { endless: true }, /more than 300000 bytes came/],
    ['tokenizer.json', { endless: true }, /more than 4000 bytes came/],
    ['model.safetensors', { set: { 'content-length': '9999999' }, cutAfter: 9 }, /it has 9999999 bytes/],
    ['tokenizer.json', { bytes: page }, /it has 3000 bytes, but the Hub says 4000/],
    ['tokenizer.json', { bytes: new Uint8Array(4000) }, /its sha1 is [0-9a-f]{40}, but the Hub says/],
    ['model.safetensors', { stallAfter: 1000 }, /fewer than 1024 bytes arrived in 1 s/],
  ];
  await allTried(cases.map(([file, act, error]) => [[{ kind: bodyOf(file), file, act }], error]));
});

test('a missing file that names a folder as its commit writes nothing outside', async () => {
  mkdirSync(join(root, 'keep'));
  writeFileSync(join(root, 'keep', 'missing.json'), 'precious');
  hub = await startHub(files, [
    { kind: 'head', act: { set: { 'x-repo-commit': '../../../keep', 'x-error-code': 'EntryNotFound' } } },
  ]);
  const folder = await nodeHub.open('owner/name', [], options());
  await throws(folder.open('missing.json'), /names the commit "\.\.\/\.\.\/\.\.\/keep", which is none/);
  assert.is(readFileSync(join(root, 'keep', 'missing.json'), 'utf8'), 'precious');
  for (const path of ['../x', 'a\\b', '/etc/passwd', 'C:x', 'nul', 'a\0b'])
    await throws(folder.open(path), /impossible path/);
  const evil = nodeHub.open('owner/name', [], options({ revision: '../../../keep' }));
  await throws(evil, /impossible revision/);
});

test('the token does not follow a redirection to another origin', async () => {
  const rules: Rule[] = FILES.map((file) => ({
    kind: 'head',
    file,
    times: 1,
    act: { redirect: 'stranger' },
  }));
  await tried(rules, null);
  await tried([{ kind: 'get', file: 'config.json', times: 1, act: { redirect: 'stranger' } }], null);
});

test('a file without a hash is never put together from two', async () => {
  const file = 'model.safetensors';
  const other = files[file].map((byte) => byte ^ 1);
  const opaque: Rule = { kind: 'head', file, act: { set: { 'x-linked-etag': '"v1"' } } };
  for (const set of [{}, { etag: null }, { etag: 'W/"weak"' }] as Record<string, string | null>[])
    await tried(
      [opaque, { kind: 'storage', file, times: 1, act: { bytes: other, cutAfter: 20_000, set } }],
      null,
    );
});

test('what a killed download left is resumed with If-Range', async () => {
  hub = await startHub(files, [{ kind: 'storage', act: { cutAfter: 100_000 } }]);
  const controller = new AbortController();
  const onProgress = ({ loaded = 0 }: { loaded?: number }) => {
    if (loaded > 50_000) controller.abort(new Error('killed'));
  };
  await throws(load({ signal: controller.signal, onProgress }), /killed/);
  hub.rules = [];
  hub.log.length = 0;
  assert.equal(await load(), RIGHT);
  const [resumed] = hub.log.filter(({ at }) => at === 'storage');
  assert.match(resumed.range!, /^bytes=[1-9]\d*-$/);
  assert.is(resumed.ifRange, `"${sha256(files['model.safetensors'])}"`);
  assert.equal(readdirSync(join(root, REPO, 'blobs')).length, 3, 'nothing else is left');
});

test('Retry-After is waited for up to a minute', async () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const wait = (value: string) => retryAfterMs(new Headers({ 'retry-after': value }), now);
  assert.equal(
    ['2', 'Thu, 01 Jan 2026 00:00:05 GMT', 'Thu, 01 Jan 1970 00:00:00 GMT'].map(wait),
    [2000, 5000, 0],
  );
  assert.equal(['soon', '-5', '', '1.5'].map(wait), [undefined, undefined, undefined, undefined]);
  const busy = (seconds: string): Rule => ({
    kind: 'head',
    file: 'tokenizer.json',
    times: 1,
    act: { status: 429, set: { 'retry-after': seconds } },
  });
  await tried([busy('61')], /asks to wait 61 s, and 60 s is the limit/);
  const started = performance.now();
  await tried([busy('1')], null);
  assert.ok(performance.now() - started >= 1000, 'not asked before');
});

test('an interrupted update leaves the model that was there', async () => {
  const old = 'a'.repeat(40);
  hub = await startHub(files);
  for (const name of ['refs', join('snapshots', old)]) mkdirSync(join(root, REPO, name), { recursive: true });
  writeFileSync(join(root, REPO, 'refs', 'main'), old);
  for (const name of FILES) writeFileSync(join(root, REPO, 'snapshots', old, name), 'old');
  hub.rules = [{ kind: 'head', file: 'tokenizer.json', act: { status: 503 } }];
  await throws(load(), /503/);
  const offline = await load({ localFilesOnly: true });
  assert.equal(offline['config.json'], text('old'));
  assert.equal(offline['model.safetensors'], text('old'));
});

test('a snapshot that Python filled holds all the repository has', async () => {
  const folder = join(root, REPO, 'snapshots', COMMIT);
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(root, REPO, 'refs'));
  writeFileSync(join(root, REPO, 'refs', 'main'), COMMIT);
  for (const name of FILES) writeFileSync(join(folder, name), files[name]);
  hub = await startHub(files, [{ kind: 'head', act: { status: 503 } }]);
  assert.equal(await load(), RIGHT);
  hub.rules = [{ kind: 'head', file: 'tokenizer_config.json', act: { status: 503 } }];
  await throws(load(), /tokenizer_config\.json is not in the cache/);
});

test('a cache that cannot be written is read', async () => {
  hub = await startHub(files);
  await load();
  rmSync(join(root, REPO, 'refs'), { recursive: true });
  rmSync(join(root, REPO, '.no_exist'), { recursive: true });
  rmSync(join(root, REPO, 'snapshots', COMMIT, 'config.json')); // its contents are in blobs/
  const folders = readdirSync(join(root, REPO), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const folder of [join(root, REPO), ...folders]) chmodSync(folder, 0o555);
  try {
    assert.equal(await load(), RIGHT);
  } finally {
    for (const folder of [join(root, REPO), ...folders]) chmodSync(folder, 0o755);
  }
});

test("the folder of a repository's other name is used", async () => {
  hub = await startHub(files);
  await load();
  hub.log.length = 0;
  assert.equal(await load({}, 'old/name'), RIGHT);
  assert.equal(
    hub.log.filter(({ kind }) => kind !== 'head'),
    [],
  );
  assert.not(existsSync(join(root, 'hub', 'models--old--name', 'blobs')));
});

test('an ETag that is no hash names contents of its own file only', async () => {
  const set = { etag: '"same"' };
  const two = { 'a.json': text('{"a":1}'), 'b.json': text('{"b":2}') };
  hub = await startHub(two, [
    { kind: 'head', act: { set } },
    { kind: 'get', act: { set } },
  ]);
  const folder = await nodeHub.open('owner/name', [], options());
  for (const [name, bytes] of Object.entries(two)) {
    const file = await folder.open(name);
    assert.equal(await file!.read(0, file!.size), bytes, name);
  }
});

test('the list of files: a passing failure is not an empty list, and paths that cannot be are left out', async () => {
  const listing = JSON.stringify({
    sha: COMMIT,
    siblings: ['ok.pth', '../up.pth', 'a\\b.pth', '/abs.pth', 5].map((rfilename) => ({ rfilename })),
  });
  hub = await startHub(files, [
    { kind: 'list', times: 1, act: { status: 503 } },
    { kind: 'list', times: 1, act: { bytes: text(listing) } },
    { kind: 'list', act: { reset: true } },
  ]);
  const folder = await nodeHub.open('owner/name', [], options());
  await folder.open('config.json');
  assert.equal(await folder.list!(), ['ok.pth']);
  await throws(folder.list!() as Promise<unknown>, /api\/models\/owner\/name/);
});

/** A browser's cache. */
function memoryCache() {
  const kept = new Map<string, Uint8Array<ArrayBuffer>>();
  return {
    kept,
    match: async (key: string) => (kept.has(key) ? new Response(kept.get(key)) : undefined),
    put: async (key: string, response: Response) =>
      void kept.set(key, new Uint8Array(await response.arrayBuffer())),
    delete: async (key: string) => kept.delete(key),
  };
}

test('in a page: passing failures pass, and a file that the Hub lists is never taken for missing', async () => {
  const read = async (mine: Hub, cache = memoryCache()) => {
    const folder = await openRepo('owner/name', cache, options({}, mine));
    const file = await folder.open('tokenizer.json');
    return file?.read(0, file.size);
  };
  const acts: [Act, RegExp][] = [
    [{ status: 503 }, /503/],
    [{ reset: true }, /tokenizer\.json/],
    [{ status: 404 }, /the Hub lists it and does not give it/],
    [{ bytes: page }, /the Hub lists it and does not give it/],
    [{ stallAfter: 10 }, /fewer than 1024 bytes/],
  ];
  const one = async ([act, error]: [Act, RegExp]) => {
    const mine = await startHub(files, [{ kind: 'get', act }]);
    await throws(read(mine), error);
    mine.rules = [{ kind: 'get', times: act.status === 404 || act.bytes ? 0 : 1, act }];
    assert.equal(await read(mine), files['tokenizer.json'], JSON.stringify(act));
    assert.ok(mine.log.every(({ authorization }) => authorization === 'Bearer hf_secret'));
    await mine.close();
  };
  await Promise.all(acts.map(one));
  hub = await startHub(files, [{ kind: 'list', times: 1, act: { status: 503 } }]);
  assert.equal(await read(hub), files['tokenizer.json']);
  hub.rules = [{ kind: 'list', act: { endless: true } }];
  await throws(read(hub), /longer than 32000000 bytes/);
});

test("a damaged file in the page's cache is fetched again", async () => {
  hub = await startHub(files);
  const cache = memoryCache();
  const read = async () => {
    const file = await (await openRepo('owner/name', cache, options())).open('config.json');
    return file!.read(0, file!.size);
  };
  await read();
  const [key] = [...cache.kept.keys()].filter((name) => name.endsWith('config.json'));
  cache.kept.set(key, cache.kept.get(key)!.slice(0, 5));
  assert.equal(await read(), files['config.json']);
  cache.kept.set(key, cache.kept.get(key)!.slice(0, 5));
  await hub.close();
  await throws(read(), /config\.json is not whole in this browser's cache, and http/);
});

assert.is(gitSha(text('')), 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'); // git's empty blob
test.run();
