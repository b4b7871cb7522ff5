import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LoadOptions } from '../../weights/files/platform.js';
import type { LoadProgress } from '../../weights/files/progress.js';
import { type CacheStore, openRepo } from '../../weights/hub/hub-web.js';
import { throws } from '../helpers.js';
import { type SendOptions, send, serve, type TestServer } from './http.js';

const COMMIT = 'c0ffee'.padEnd(40, '0');
const config = new TextEncoder().encode('{}');
const model = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 253);

/** A browser's cache: keeps bodies, and only whole ones. */
function memoryCache(quota = Number.POSITIVE_INFINITY): CacheStore & { keys(): string[] } {
  const kept = new Map<string, ArrayBuffer>();
  return {
    keys: () => [...kept.keys()],
    async match(key) {
      const body = kept.get(key);
      return body && new Response(body);
    },
    async delete(key) {
      return kept.delete(key);
    },
    async put(key, response) {
      const body = await response.arrayBuffer();
      if (body.byteLength > quota) throw new DOMException('full', 'QuotaExceededError');
      kept.set(key, body);
    },
  };
}

let hub: TestServer | undefined;
async function startHub({
  size = model.length,
  habits = (): SendOptions => ({}),
} = {}): Promise<LoadOptions> {
  const siblings = [
    { rfilename: 'config.json', size: config.length },
    { rfilename: 'model.safetensors', size },
  ];
  hub = await serve((request, response, path) => {
    if (path === '/api/models/o/n/revision/main') response.end(JSON.stringify({ sha: COMMIT, siblings }));
    else if (path === `/o/n/resolve/${COMMIT}/config.json`) send(request, response, config);
    else if (path === `/o/n/resolve/${COMMIT}/model.safetensors`) send(request, response, model, habits());
    else response.writeHead(404, { 'x-error-code': 'RepoNotFound' }).end();
  });
  return { endpoint: hub.url };
}
test.after.each(async () => {
  await hub?.close();
  hub = undefined;
});

const contents = async (cache: CacheStore | null, file: string, options: LoadOptions) => {
  const opened = await (await openRepo('o/n', cache, options)).open(file);
  return opened ? opened.read(0, opened.size) : null;
};

test('a file is downloaded once, kept under its commit, and there without the Hub', async () => {
  const options = await startHub();
  const cache = memoryCache();
  assert.equal(await contents(cache, 'model.safetensors', options), model);
  assert.ok(cache.keys().includes(`${hub!.url}/o/n/resolve/${COMMIT}/model.safetensors`));
  hub!.requests.length = 0;
  assert.equal(await contents(cache, 'model.safetensors', options), model);
  assert.equal(hub!.requests, ['GET /api/models/o/n/revision/main']);
  await hub!.close();
  assert.equal(await contents(cache, 'model.safetensors', options), model);
  await throws(contents(cache, 'config.json', options), /config\.json is not whole in this browser's cache/);
  assert.is(await contents(cache, 'tokenizer.json', options), null, 'the Hub did not list it');
});

test('without storage, or with a full one, files are read in ranges', async () => {
  const options = await startHub();
  const address = `/o/n/resolve/${COMMIT}/model.safetensors`;
  for (const cache of [null, memoryCache(1000)]) {
    assert.equal(await contents(cache, 'model.safetensors', options), model);
    const file = await (await openRepo('o/n', cache, options)).open('model.safetensors');
    hub!.requests.length = 0;
    assert.equal(await file!.read(70_000, 1000), model.subarray(70_000, 71_000));
    assert.equal(hub!.requests, [`GET ${address} bytes=70000-70999`]);
  }
});

test('a file that the repository does not list is not asked for', async () => {
  const options = await startHub();
  assert.is(await contents(memoryCache(), 'tokenizer.json', options), null);
  assert.is(hub!.requests.length, 1);
});

test('a broken connection costs one chunk; nothing incomplete is kept', async () => {
  let count = 0;
  const options = await startHub({ habits: () => (count++ === 1 ? { cutAfter: 50_000 } : {}) });
  assert.equal(await contents(memoryCache(), 'model.safetensors', options), model);

  const controller = new AbortController();
  const cache = memoryCache();
  const onProgress = ({ status, file }: LoadProgress) => {
    if (status === 'download' && file === 'model.safetensors') controller.abort(new Error('enough'));
  };
  const aborted = contents(cache, 'model.safetensors', { ...options, onProgress, signal: controller.signal });
  await throws(aborted, /enough/);
  assert.not(cache.keys().some((key) => key.endsWith('model.safetensors')));
});

test('a file of another size than the Hub says is refused', async () => {
  const options = await startHub({ size: 5 });
  await throws(
    contents(memoryCache(), 'model.safetensors', options),
    /300000 bytes are there, but the Hub says 5/,
  );
});

test('refusals and absence are explained', async () => {
  const options = await startHub();
  await throws(openRepo('no/such', memoryCache(), options), /no repository no\/such/);
  await throws(
    openRepo('o/n', memoryCache(), { ...options, localFilesOnly: true }),
    /not in this browser's cache/,
  );
});

test.run();
