/** What the environment says: the login, the cache's folder, proxies. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeFetch } from '../../weights/files/proxy-node.js';
import { hubCacheDir } from '../../weights/hub/cache-node.js';
import { nodeHub } from '../../weights/hub/hub-node.js';
import { accessToken } from '../../weights/hub/login-node.js';
import { throws } from '../helpers.js';
import { serve, type TestServer } from './http.js';
import { startHub } from './hub-server.js';

const root = mkdtempSync(join(tmpdir(), 'glassbox-login-'));
const saved = { ...process.env };
const VARIABLES = /^(HF_|HUGGING|TRANSFORMERS_CACHE|PYTORCH_|XDG_CACHE|(https?|all|no)_proxy$)/i;
test.before.each(() => {
  for (const key of Object.keys(process.env)) if (VARIABLES.test(key)) delete process.env[key];
});
test.after.each(() => {
  for (const key of Object.keys(process.env)) if (VARIABLES.test(key)) delete process.env[key];
  Object.assign(process.env, saved);
});
test.after(() => rmSync(root, { recursive: true }));

test('the login is where Python keeps it: HF_TOKEN, HF_TOKEN_PATH, HF_HOME/token', async () => {
  const home = join(root, 'home');
  mkdirSync(home);
  writeFileSync(join(home, 'token'), 'hf_login\n');
  writeFileSync(join(root, 'other'), 'hf_other');
  assert.is(await accessToken(undefined, { HF_HOME: join(root, 'nobody') }), undefined);
  assert.is(await accessToken(undefined, { HF_HOME: home }), 'hf_login');
  assert.is(await accessToken(undefined, { HF_HOME: '$PLACE/home', PLACE: root }), 'hf_login');
  assert.is(await accessToken(undefined, { HF_HOME: home, HF_TOKEN_PATH: join(root, 'other') }), 'hf_other');
  assert.is(await accessToken(undefined, { HF_HOME: home, HUGGING_FACE_HUB_TOKEN: 'hf_old' }), 'hf_old');
  assert.is(await accessToken(undefined, { HF_HOME: home, HF_TOKEN: ' hf_new\n' }), 'hf_new');
  assert.is(await accessToken('hf_mine', { HF_HOME: home, HF_TOKEN: 'hf_new' }), 'hf_mine');
  assert.is(await accessToken(false, { HF_HOME: home, HF_TOKEN: 'hf_new' }), undefined);
  assert.is(await accessToken(undefined, { HF_HOME: home, HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }), undefined);
});

test('a token that cannot be one is refused, and not shown', async () => {
  writeFileSync(join(root, 'bad'), 'hf_secret\nsecond line');
  for (const env of [{ HF_TOKEN: 'hf_sécret' }, { HF_TOKEN_PATH: join(root, 'bad') }])
    await throws(
      accessToken(undefined, { HF_HOME: root, ...env }),
      /^the Hub's access token in (?!.*secret).* is none/,
    );
});

test('the login arrives at the Hub', async () => {
  const hub = await startHub({ 'config.json': new TextEncoder().encode('{}') });
  const path = join(root, 'arrives');
  writeFileSync(path, 'hf_login');
  Object.assign(process.env, { HF_TOKEN_PATH: path, HF_ENDPOINT: hub.url });
  await (await nodeHub.open('owner/name', [], { cacheDir: join(root, 'a') })).open('config.json');
  await (await nodeHub.open('owner/name', [], { cacheDir: join(root, 'b'), token: false })).open(
    'config.json',
  );
  assert.equal(
    hub.log.map(({ kind, authorization }) => [kind, authorization]),
    [
      ['head', 'Bearer hf_login'],
      ['get', 'Bearer hf_login'],
      ['head', undefined],
      ['get', undefined],
    ],
  );
  await hub.close();
});

test("the cache is where Python's libraries have it, the newest name first", () => {
  const env: NodeJS.ProcessEnv = {};
  for (const [key, value, expected] of [
    ['XDG_CACHE_HOME', '~/x', join(homedir(), 'x/huggingface/hub')],
    ['HF_HOME', '/home', '/home/hub'],
    ['PYTORCH_TRANSFORMERS_CACHE', '/oldest', '/oldest'],
    ['TRANSFORMERS_CACHE', '/old', '/old'],
    ['HUGGINGFACE_HUB_CACHE', '$HF_HOME/older', '/home/older'],
    ['HF_HUB_CACHE', '/new', '/new'],
  ]) {
    env[key] = value; // each goes before those set earlier
    assert.is(hubCacheDir(undefined, env), expected);
  }
});

/** A proxy: forwards what is asked of it by its whole address, and tunnels. */
async function proxy(seen: string[]): Promise<TestServer> {
  const server = await serve(async (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
    const answer = await fetch(request.url!, { headers: { range: request.headers.range ?? 'bytes=0-' } });
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  });
  return server;
}

test('a proxy of the environment is used, with its login, except for the hosts of NO_PROXY', async () => {
  const seen: string[] = [];
  const target = await serve((_, response) => response.end('body'));
  const through = await proxy(seen);
  const ask = async () => (await nodeFetch(`${target.url}/x`, {})).text();
  assert.is(await ask(), 'body');
  assert.equal(seen, []);
  const address = through.url.replace('http://', '');
  const login = `Basic ${Buffer.from('me:p w').toString('base64')}`;
  for (const [name, value, log] of [
    ['http_proxy', through.url, `GET ${target.url}/x`],
    ['HTTP_PROXY', address, `GET ${target.url}/x`],
    ['ALL_PROXY', `http://me:p%20w@${address}`, `GET ${target.url}/x ${login}`],
  ]) {
    process.env[name] = value;
    seen.length = 0;
    assert.is(await ask(), 'body');
    assert.equal(seen, [log], name);
    for (const except of ['127.0.0.1', '*', `other, 127.0.0.1:${new URL(target.url).port}`, '.0.0.1']) {
      process.env.no_proxy = except;
      await ask();
    }
    assert.equal(seen, [log], 'NO_PROXY');
    process.env.NO_PROXY = process.env.no_proxy = '127.0.0.1:1,example.com';
    await ask();
    assert.is(seen.length, 2, 'another host or port');
    for (const key of [name, 'no_proxy', 'NO_PROXY']) delete process.env[key];
  }
  process.env.https_proxy = 'socks5://me:secret@host:1080';
  await throws(nodeFetch(target.url), /https_proxy is socks5:\/\/host:1080: only proxies with http/);
  await Promise.all([target.close(), through.close()]);
});

test('https goes through a tunnel', async () => {
  const seen: string[] = [];
  const server = createServer().on('connect', (request, socket) => {
    seen.push(`CONNECT ${request.url}`);
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  process.env.HTTPS_PROXY = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  await throws(nodeFetch('https://huggingface.co/x'), /fetch failed/);
  assert.is(seen[0], 'CONNECT huggingface.co:443');
  server.closeAllConnections();
  server.close();
});

test.run();
