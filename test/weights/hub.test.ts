import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LoadOptions } from '../../weights/files/platform.js';
import type { LoadProgress } from '../../weights/files/progress.js';
import { hubCacheDir } from '../../weights/hub/cache-node.js';
import { nodeHub } from '../../weights/hub/hub-node.js';
import { throws } from '../helpers.js';
import { type SendOptions, send, serve, type TestServer } from './http.js';

const COMMIT = 'c0ffee'.padEnd(40, '0');
const REPO = 'owner/name';
const FOLDER = 'models--owner--name';
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const gitSha = (bytes: Uint8Array) =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

const config = new TextEncoder().encode('{"model_type":"gpt2"}');
const model = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 253);

/** What the mock Hub does besides serving. */
interface Habits {
  /** For the large file's body. */
  send?: (count: number) => SendOptions;
  /** The large file's bytes, if not the promised ones. */
  body?: Uint8Array;
  /** An answer to everything. */
  refuse?: { status: number; code?: string };
}

let cache = '';
let hub: TestServer | undefined;
const saved = { ...process.env };

/**
 * A Hub with one repository, laid out as the real one: small files by git hash, large ones redirected to a
 * storage.
 */
async function startHub(habits: Habits = {}): Promise<void> {
  let count = 0;
  hub = await serve((request, response, path) => {
    const { refuse } = habits;
    if (refuse) {
      const code: Record<string, string> = refuse.code ? { 'x-error-code': refuse.code } : {};
      response.writeHead(refuse.status, code).end();
      return;
    }
    if (path === '/storage') {
      assert.is(request.headers.authorization ?? 'none', 'none');
      send(request, response, habits.body ?? model, request.method === 'GET' ? habits.send?.(count++) : {});
      return;
    }
    const [, repo, revision, file] = /^\/(.+)\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const common = { 'x-repo-commit': COMMIT };
    if (repo === 'old/name') response.writeHead(307, { location: path.replace('old/', 'owner/') }).end();
    else if (repo !== REPO) response.writeHead(404, { 'x-error-code': 'RepoNotFound' }).end();
    else if (revision !== 'main' && revision !== COMMIT)
      response.writeHead(404, { 'x-error-code': 'RevisionNotFound' }).end();
    else if (file === 'config.json')
      send(request, response, config, { headers: { ...common, etag: `"${gitSha(config)}"` } });
    else if (file === 'model.safetensors')
      response
        .writeHead(302, {
          ...common,
          location: `${hub!.url.replace('127.0.0.1', 'localhost')}/storage`, // another origin
          'x-linked-etag': `"${sha256(model)}"`,
          'x-linked-size': String(model.length),
        })
        .end();
    else response.writeHead(404, { ...common, 'x-error-code': 'EntryNotFound' }).end();
  });
  process.env.HF_ENDPOINT = hub.url;
}

test.before.each(() => {
  cache = mkdtempSync(join(tmpdir(), 'glassbox-hub-'));
  for (const key of Object.keys(process.env))
    if (/^(HF_|HUGGING|XDG_CACHE)/.test(key)) delete process.env[key];
});
test.after.each(async () => {
  await hub?.close();
  hub = undefined;
  rmSync(cache, { recursive: true, force: true });
  for (const key of ['HF_ENDPOINT', 'HF_HUB_OFFLINE', 'HF_TOKEN']) delete process.env[key];
  Object.assign(process.env, saved);
});

const open = (options: LoadOptions = {}, repo = REPO, aliases: string[] = []) =>
  nodeHub.open(repo, aliases, { cacheDir: cache, ...options });
const contents = async (file: string, options?: LoadOptions) => {
  const folder = await open(options);
  const opened = await folder.open(file);
  await folder.finished?.();
  return opened ? opened.read(0, opened.size) : null;
};
const blobs = () => readdirSync(join(cache, FOLDER, 'blobs')).sort();

test("the cache is laid out as Python's huggingface_hub lays it out", async () => {
  await startHub();
  assert.equal(await contents('config.json'), config);
  assert.equal(await contents('model.safetensors'), model);
  assert.is(readFileSync(join(cache, FOLDER, 'refs/main'), 'utf8'), COMMIT);
  assert.equal(blobs(), [gitSha(config), sha256(model)].sort());
  const snapshot = join(cache, FOLDER, 'snapshots', COMMIT);
  assert.equal(readdirSync(snapshot).sort(), ['config.json', 'model.safetensors']);
  assert.is(readlinkSync(join(snapshot, 'model.safetensors')), `../../blobs/${sha256(model)}`);
  assert.equal(readdirSync(join(cache, FOLDER)).sort(), ['.no_exist', 'blobs', 'refs', 'snapshots']);
});

test('a file in the cache is not downloaded again', async () => {
  await startHub();
  await contents('model.safetensors');
  hub!.requests.length = 0;
  await contents('model.safetensors');
  assert.equal(hub!.requests, [`HEAD /${REPO}/resolve/main/model.safetensors`]);
});

test('a file that the repository lacks is null, and that is remembered', async () => {
  await startHub();
  const files = await open();
  await files.open('config.json');
  assert.is(await files.open('tokenizer.json'), null);
  assert.ok(existsSync(join(cache, FOLDER, '.no_exist', COMMIT, 'tokenizer.json')));
});

test('without the Hub the cache is used, whatever kept it away', async () => {
  await startHub();
  await contents('config.json');
  await hub!.close();
  assert.equal(await contents('config.json'), config, 'not reached');
  await throws(contents('tokenizer.json'), /tokenizer\.json is not in the cache .* does not know whether/);
  await startHub({ refuse: { status: 502 } });
  assert.equal(await contents('config.json'), config, 'out of order');
  hub!.requests.length = 0;
  process.env.HF_HUB_OFFLINE = '1';
  assert.equal(await contents('config.json'), config, 'HF_HUB_OFFLINE');
  delete process.env.HF_HUB_OFFLINE;
  assert.equal(await contents('config.json', { localFilesOnly: true }), config, 'localFilesOnly');
  assert.equal(
    await contents('config.json', { localFilesOnly: true, revision: COMMIT }),
    config,
    'by commit',
  );
  assert.equal(hub!.requests, []);
});

test('without the Hub and without a cached copy the error names both', async () => {
  process.env.HF_HUB_OFFLINE = '1';
  await throws(
    contents('config.json'),
    /owner\/name \(main\) is not in the cache .*models--owner--name, and HF_HUB_OFFLINE/,
  );
});

test('a model that Python cached under its old name is used, offline too', async () => {
  const old = join(cache, 'models--gpt2');
  for (const [path, text] of [
    ['refs/main', COMMIT],
    ['blobs/abc', 'weights'],
  ]) {
    mkdirSync(dirname(join(old, path)), { recursive: true });
    writeFileSync(join(old, path), text);
  }
  mkdirSync(join(old, 'snapshots', COMMIT), { recursive: true });
  symlinkSync('../../blobs/abc', join(old, 'snapshots', COMMIT, 'model.safetensors'));
  const files = await open({ localFilesOnly: true }, 'openai-community/gpt2', ['gpt2']);
  assert.is((await files.open('model.safetensors'))!.size, 7);
});

test('a download whose connection breaks goes on where it stopped', async () => {
  await startHub({ send: (count) => (count === 0 ? { cutAfter: 100_000 } : {}) });
  assert.equal(await contents('model.safetensors'), model);
  const gets = hub!.requests.filter((request) => request.startsWith('GET /storage'));
  assert.equal(gets, ['GET /storage', 'GET /storage bytes=100000-']);
  assert.equal(blobs(), [sha256(model)]);
});

test('an aborted download leaves only what the next attempt resumes', async () => {
  await startHub({ send: (count) => (count === 0 ? { cutAfter: 120_000 } : {}) });
  const controller = new AbortController();
  const onProgress = (event: LoadProgress) => {
    if ((event.loaded ?? 0) >= 50_000) controller.abort(new Error('enough'));
  };
  await throws(contents('model.safetensors', { signal: controller.signal, onProgress }), /enough/);
  assert.ok(blobs().length === 1 && blobs()[0].endsWith('.incomplete'), String(blobs()));
  assert.not(existsSync(join(cache, FOLDER, 'snapshots', COMMIT, 'model.safetensors')));
  assert.equal(await contents('model.safetensors'), model);
  assert.match(hub!.requests.at(-1)!, /^GET \/storage bytes=\d+-$/);
  assert.equal(blobs(), [sha256(model)]);
});

test('a partial file that Python left is resumed', async () => {
  await startHub();
  const partial = join(cache, FOLDER, 'blobs', `${sha256(model)}.incomplete`);
  mkdirSync(dirname(partial), { recursive: true });
  writeFileSync(partial, model.subarray(0, 70_000));
  utimesSync(partial, 0, 0); // nobody has written to it for long
  assert.equal(await contents('model.safetensors'), model);
  assert.is(hub!.requests.at(-1), 'GET /storage bytes=70000-');
  assert.equal(blobs(), [sha256(model)]);
});

test('a server that cannot resume sends everything once more', async () => {
  await startHub({ send: (count) => (count === 0 ? { cutAfter: 100_000 } : { ignoreRange: true }) });
  assert.equal(await contents('model.safetensors'), model);
});

test('contents with another hash are refused and deleted', async () => {
  const body = model.slice();
  body[150_000] ^= 1;
  await startHub({ body });
  await throws(
    contents('model.safetensors'),
    /owner\/name\/model\.safetensors: .*its sha256 is .* the Hub says .* deleted/,
  );
  assert.equal(blobs(), []);
  assert.not(existsSync(join(cache, FOLDER, 'snapshots', COMMIT, 'model.safetensors')));
});

test('contents of another size are refused and deleted', async () => {
  const body = new Uint8Array(model.length + 5);
  body.set(model);
  await startHub({ body });
  await throws(contents('model.safetensors'), /it has 300005 bytes, but the Hub says 300000/);
  assert.equal(blobs(), []);
});

test('a cached file that was cut short is replaced', async () => {
  await startHub();
  await contents('model.safetensors');
  writeFileSync(join(cache, FOLDER, 'blobs', sha256(model)), model.subarray(0, 10));
  assert.equal(await contents('model.safetensors'), model);
});

test('two downloads at once do not disturb each other', async () => {
  await startHub();
  const both = await Promise.all([contents('model.safetensors'), contents('model.safetensors')]);
  assert.equal(both, [model, model]);
  assert.equal(blobs(), [sha256(model)]);
});

test('refusals say what to do', async () => {
  await startHub();
  const missing = await open({}, 'no/such');
  await throws(
    missing.open('config.json'),
    /no repository no\/such, or it is private.*set HF_TOKEN.*\.\/no\/such/,
  );
  await throws(contents('config.json', { revision: 'v9' }), /has no such revision/);
  await hub!.close();
  await startHub({ refuse: { status: 401 } });
  await throws(contents('config.json'), /private or gated \(then set HF_TOKEN\)/);
  await throws(contents('config.json', { token: 'x' }), /the given token may not read it/);
  await hub!.close();
  await startHub({ refuse: { status: 403, code: 'GatedRepo' } });
  await throws(contents('config.json'), /access .* is restricted: request it on its page/);
});

test('a server that is not a Hub is recognised', async () => {
  hub = await serve((request, response) => send(request, response, config));
  process.env.HF_ENDPOINT = hub.url;
  await throws(contents('config.json'), /no X-Repo-Commit and ETag; this is not a Hugging Face Hub/);
});

test('a renamed repository is followed', async () => {
  await startHub();
  const file = await (await open({}, 'old/name')).open('config.json');
  assert.is(file!.size, config.length);
});

test('the token goes to the Hub and not to its storage', async () => {
  await startHub(); // asserts it of the storage
  process.env.HF_TOKEN = 'secret';
  assert.equal(await contents('model.safetensors'), model);
});

test("progress has the shape of transformers.js' events", async () => {
  await startHub();
  const events: LoadProgress[] = [];
  await contents('model.safetensors', { onProgress: (event) => events.push(event) });
  const statuses = events.map(({ status }) => status).filter((status, i, all) => status !== all[i - 1]);
  assert.equal(statuses, ['initiate', 'download', 'progress', 'done']);
  assert.ok(events.every(({ name, file }) => name === REPO && file === 'model.safetensors'));
  const last = events.filter(({ status }) => status === 'progress').at(-1)!;
  assert.equal([last.progress, last.loaded, last.total], [100, model.length, model.length]);
});

test('the cache is where Python has it', () => {
  assert.is(hubCacheDir(undefined, {}), join(homedir(), '.cache/huggingface/hub'));
  const env: NodeJS.ProcessEnv = {};
  for (const [key, value, expected] of [
    ['XDG_CACHE_HOME', '/x', '/x/huggingface/hub'],
    ['HF_HOME', '/home', '/home/hub'],
    ['HUGGINGFACE_HUB_CACHE', '/older', '/older'],
    ['HF_HUB_CACHE', '~/newer', join(homedir(), 'newer')],
  ]) {
    env[key] = value; // each goes before those set earlier
    assert.is(hubCacheDir(undefined, env), expected);
  }
  assert.is(hubCacheDir('/mine', env), '/mine');
});

test('a path that leads out of the repository is refused', async () => {
  await throws(contents('../../x'), /impossible path/);
});

test.run();
