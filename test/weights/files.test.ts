import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { FileSource, RandomAccess } from '../../weights/files/files.js';
import { readJson } from '../../weights/files/files.js';
import { blobFolder } from '../../weights/files/files-blob.js';
import { urlFiles, urlFolder } from '../../weights/files/files-web.js';
import { openCheckpoint } from '../../weights/formats/open.js';
import { writeSafetensors } from '../../weights/formats/safetensors-write.js';
import { resolveModel } from '../../weights/load/resolve.js';
import { nodeFolder, registerNodeFiles, saveSafetensors } from '../../weights/node/files-node.js';
import { throws } from '../helpers.js';
import { send, serve } from './http.js';

const folder = mkdtempSync(join(tmpdir(), 'glassbox-files-'));
test.after(() => rmSync(folder, { recursive: true }));
registerNodeFiles();

const retry = { attempts: 3, delay: 1 };
/** Larger than what is read ahead when a URL is opened. */
const big = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7) % 251);
const tensors = { x: { shape: [50_000], data: Float32Array.from({ length: 50_000 }, (_, i) => i) } };
const model = writeSafetensors(tensors);

async function checkReads(file: RandomAccess | null): Promise<void> {
  assert.is(file!.size, big.length);
  for (const [offset, length] of [
    [0, 8],
    [8, 100],
    [65_000, 2000],
    [100_000, 5],
    [199_999, 1],
    [200_000, 0],
    [0, 200_000],
  ])
    assert.equal(await file!.read(offset, length), big.slice(offset, offset + length), `${offset}+${length}`);
  await throws(file!.read(199_999, 2), /bytes 199999–200001 were wanted, but the file has 200000/);
}

writeFileSync(join(folder, 'big'), big);
writeFileSync(join(folder, 'model.safetensors'), model);

test('a folder, a URL, a server without ranges and a Blob all give the same bytes', async () => {
  const server = await serve((request, response, path) => {
    if (path === '/with/big') send(request, response, big);
    else if (path === '/without/big') send(request, response, big, { ignoreRange: true });
    else response.writeHead(404).end();
  });
  const sources: FileSource[] = [
    await nodeFolder(folder),
    await nodeFolder(pathToFileURL(folder).href),
    urlFolder(`${server.url}/with`),
    urlFolder(`${server.url}/without/`),
    urlFiles('files', { big: `${server.url}/with/big` }),
    blobFolder(new Map([['some/big', new Blob([big])]])),
  ];
  for (const source of sources) {
    await checkReads(await source.open('big'));
    assert.is(await source.open('small'), null);
  }
  const whole = server.requests.filter((request) => request.startsWith('GET /without/big'));
  assert.is(whole.length, 1, 'a whole file is fetched once');
  await server.close();
});

test('a checkpoint on a server is read header first, then tensor by tensor', async () => {
  const server = await serve((request, response, path) =>
    path === '/model.safetensors' ? send(request, response, model) : response.writeHead(404).end(),
  );
  const source = await openCheckpoint(urlFolder(server.url));
  assert.equal(server.requests, ['GET /model.safetensors bytes=0-65535']);
  assert.equal(await source.read('x'), tensors.x.data);
  const start = model.length - 200_000;
  assert.is(server.requests[1], `GET /model.safetensors bytes=${start}-${model.length - 1}`);
  await server.close();
});

test('a page in place of a missing file is not taken for the file', async () => {
  const server = await serve((request, response) =>
    send(request, response, new TextEncoder().encode('<!doctype html><title>app</title>'), {
      headers: request.url === '/typed' ? { 'content-type': 'text/html; charset=utf-8' } : {},
    }),
  );
  const source = urlFolder(server.url);
  assert.is(await source.open('typed'), null);
  assert.is(await source.open('untyped'), null);
  await server.close();
});

test('busy answers and broken connections are tried again; refusals are not', async () => {
  let count = 0;
  const server = await serve((request, response, path) => {
    count++;
    if (path === '/busy' && count < 3) response.writeHead(503).end();
    else if (path === '/cut' && count < 3) send(request, response, big, { cutAfter: 100 });
    else if (path === '/secret') response.writeHead(403).end();
    else if (path === '/down') response.writeHead(500).end();
    else send(request, response, big);
  });
  const source = urlFolder(server.url, { retry });
  await checkReads(await source.open('busy'));
  count = 0;
  await checkReads(await source.open('cut'));
  server.requests.length = 0;
  await throws(source.open('secret'), /\/secret: the server answered 403/);
  assert.is(server.requests.length, 1);
  await throws(source.open('down'), /\/down: the server answered 500/);
  assert.is(server.requests.length, 1 + retry.attempts);
  await server.close();
});

test('a file that changes on the server while it is read is noticed', async () => {
  let size = big.length;
  const server = await serve((request, response) => send(request, response, big.subarray(0, size)));
  const file = await urlFolder(server.url).open('big');
  size -= 1000;
  await throws(file!.read(100_000, 5), /changed while it was read \(200000 bytes, now 199000\)/);
  await server.close();
});

test('an abort ends a request', async () => {
  const server = await serve(() => {}); // never answers
  const controller = new AbortController();
  const opening = urlFolder(server.url, { signal: controller.signal }).open('x');
  setTimeout(() => controller.abort(new Error('enough')), 20);
  await throws(opening, /enough/);
  await server.close();
});

test('a file that is cut short on disk after opening is noticed', async () => {
  const path = join(folder, 'shrinks');
  writeFileSync(path, big);
  const file = await (await nodeFolder(folder)).open('shrinks');
  truncateSync(path, 10);
  await throws(file!.read(0, 20), /shrinks: ends at byte 10, it had 200000 when it was opened/);
});

test('broken JSON is reported with its file', async () => {
  const source = blobFolder(
    new Map(Object.entries({ a: '{"x":', b: ' ', c: '\ufeff{"x":1}' }).map(([k, v]) => [k, new Blob([v])])),
  );
  await throws(readJson((await source.open('a'))!), /^a: not JSON: it ends too early/);
  await throws(readJson((await source.open('b'))!), /^b: not JSON: it is empty/);
  assert.equal(await readJson((await source.open('c'))!), { x: 1 });
  const latin = blobFolder(new Map([['d', new Blob([Uint8Array.of(0x22, 0xe9, 0x22)])]]));
  await throws(readJson((await latin.open('d'))!), /^d: not UTF-8/);
});

test('a saved file is complete or absent', async () => {
  const path = join(folder, 'saved.safetensors');
  const wrong = { ...tensors, y: { shape: [3], data: new Float32Array(2) } };
  await throws(saveSafetensors(path, wrong), /tensor "y": shape \[3\]/);
  assert.not(existsSync(path));
  await saveSafetensors(path, tensors, { metadata: { a: 'b' } });
  assert.equal(new Uint8Array(readFileSync(path)), writeSafetensors(tensors, { metadata: { a: 'b' } }));
  await saveSafetensors(path, tensors);
  assert.equal(new Uint8Array(readFileSync(path)), model);
  assert.equal(
    readdirSync(folder).filter((name) => name.startsWith('.')),
    [],
    'nothing temporary is left',
  );
  await throws(saveSafetensors(join(folder, 'nowhere', 'x'), tensors), /ENOENT/);
});

test('a name means the shipped model, a folder, a URL, the Hub or picked files', async () => {
  assert.match((await resolveModel('tiny')).name, /weights.tiny$/);
  assert.is((await resolveModel(folder)).name, folder);
  assert.is((await resolveModel('./test')).name, join(process.cwd(), 'test'));
  assert.is(
    (await resolveModel('http://localhost/some/model.safetensors?a=b')).name,
    'http://localhost/some/?a=b',
  );
  assert.is((await resolveModel('gpt2')).name, 'openai-community/gpt2');
  assert.is((await resolveModel('gpt2-small')).name, 'openai-community/gpt2');
  assert.is((await resolveModel('distilgpt2')).name, 'distilbert/distilgpt2');
  assert.is((await resolveModel('owner/name')).name, 'owner/name');
  assert.is((await resolveModel('https://huggingface.co/owner/name/tree/main')).name, 'owner/name');
  const at = async (rest: string) => {
    const { name, weights } = await resolveModel(`https://huggingface.co/owner/name/${rest}`);
    return [name, weights];
  };
  assert.equal(await at('tree/main/sub/folder'), ['owner/name/sub/folder', undefined]);
  assert.equal(await at('tree/v1/a%20b/'), ['owner/name/a b', undefined]);
  assert.equal(await at('blob/main/config.json'), ['owner/name', undefined]);
  assert.equal(await at('resolve/main/sub/x.pth?download=true'), ['owner/name/sub', 'x.pth']);
  await throws(at('tree/main/..%2f..%2fx'), /impossible path/);
  const picked = await resolveModel([new File(['{}'], 'config.json')]);
  assert.equal(await readJson((await picked.open('config.json'))!), {});
});

test('a name that means nothing gets the choices', async () => {
  await throws(
    resolveModel('gpt3'),
    /unknown model "gpt3": known names are tiny, tiny-llama, gpt2, .*owner\/name.*\.\/name/,
  );
  await throws(resolveModel('a/../b'), /unknown model/);
  await throws(resolveModel(join(folder, 'none')), /no folder .*none: a model's folder holds config\.json/);
  await throws(resolveModel(join(folder, 'big')), /is not a folder/);
});

test.run();
