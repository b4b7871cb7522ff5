/**
 * Addresses and folders from strangers: nothing that they say runs, and nothing is asked of another host
 * before the reader says yes. Pages and reports are opened under their Content-Security-Policy. Where a
 * machine cannot run Chromium, the tests are skipped and the reason is printed.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { test as uvu } from 'uvu';
import * as assert from 'uvu/assert';
import { NoBrowserError } from '../../scripts/chromium.js';
import { contentOf, type Demo, fakeHub, mapDone, openDemo } from './page.js';

const CLEAN = 'When John and Mary went to the shops, John gave the bag to';
const CORRUPTED = 'When John and Mary went to the shops, Mary gave the bag to';

let demo: Demo | null = null;
try {
  demo = await openDemo();
} catch (e) {
  if (!(e instanceof NoBrowserError)) throw e;
  console.log(`   SKIPPED: addresses of strangers are not tried here. ${e.message}`);
}
const test = demo ? uvu : uvu.skip;
const page = demo?.page as Page;
uvu.after(() => demo?.close());

/** Requests of page and worker to anybody else, and whatever a script of a stranger would do. */
const asked: string[] = [];
if (demo) {
  demo.context.on('request', (r) => {
    if (!/^(blob:|data:)/.test(r.url()) && !r.url().startsWith(demo!.url)) asked.push(r.url());
  });
  page.on('dialog', (d) => {
    asked.push(`dialog ${d.message()}`);
    d.dismiss();
  });
}

/** Opens an address in the page that is there, as a click on a link to it would. */
async function open(fields: Record<string, string> | string): Promise<void> {
  const given = typeof fields === 'string' ? fields : String(new URLSearchParams(fields));
  await page.evaluate('location.hash = ""');
  await page.evaluate(`location.hash = ${JSON.stringify(given)}`);
}

const experiment = { format: '1', clean: CLEAN, corrupted: CORRUPTED, answer: ' Mary', wrong: ' John' };
const EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>';

test('a model from another host is loaded only after a click on a button that names the host', async () => {
  await mapDone(page);
  for (const model of [
    'https://evil.example/model',
    'http://evil.example:8080/m/model.safetensors',
    'HTTPS://EVIL.example/x',
    '//evil.example/x',
    '\\\\evil.example\\x',
    'https://huggingface.co.evil.example/owner/name',
    'https://huggingface.co@evil.example/owner/name',
    `https://evil.example/${EVIL}`,
    'http://127.0.0.1:9/model',
    './folder',
    '/etc',
  ]) {
    await open({ ...experiment, model });
    const host = /evil/i.test(model)
      ? /[\w.]*evil\.example(:8080)?/i.exec(model)![0].toLowerCase()
      : /:9\//.test(model)
        ? '127.0.0.1:9'
        : new URL(demo!.url).host;
    await page.locator('#model-yes', { hasText: `Load it from ${host}` }).waitFor();
    assert.is(await page.locator('#patching .cell').count(), 0, 'nothing of another model is shown');
    assert.equal(asked, [], model);
  }
  await demo!.context.route('https://evil.example/**', (route) => route.fulfill({ status: 404 }));
  await open({ ...experiment, model: 'https://evil.example/model' });
  await page.click('#model-yes');
  await page.locator('#model-notice').waitFor();
  assert.ok(
    asked.length > 0 && asked.every((url) => url.startsWith('https://evil.example/model/')),
    asked.join(' '),
  );
  asked.length = 0;
});

test('what is no address of a model is refused in a sentence, and nothing is asked', async () => {
  for (const model of [
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    'file:///etc/passwd',
    'blob:null/0',
    'ftp://evil.example/x',
    'https://',
    '../../..//x\u0000'.replace('../../..//', 'a/../b/'),
    EVIL,
    'x'.repeat(50_000),
    'C:\\models\\x',
    '\u202Egnp.tpg',
  ]) {
    await open({ ...experiment, model });
    await page.locator('#model-notice', { hasText: 'this page cannot load' }).waitFor();
    const told = await page.innerText('#model-notice p');
    assert.ok(told.length < 400, told);
    assert.not.match(told, /[\p{Cc}\p{Cf}]/u);
  }
  assert.equal(asked, []);
});

test('a download of more than 50 MB waits for a click that names its size; a small one of the Hub does not', async () => {
  await demo!.context.route('https://huggingface.co/**', fakeHub);
  await open({ ...experiment, model: 'gpt2-xl' });
  await page.locator('#model-yes', { hasText: 'Download 6.4 GB' }).waitFor();
  assert.equal(asked, [], 'its size is known here');
  await demo!.context.route('https://huggingface.co/api/models/big/**', (route) =>
    route.fulfill({
      headers: { 'access-control-allow-origin': '*' },
      json: { sha: 'a'.repeat(40), siblings: [{ rfilename: 'model.safetensors', size: 51e6 }] },
    }),
  );
  for (const model of ['big/model', 'https://huggingface.co/big/model']) {
    await open({ ...experiment, model });
    await page.locator('#model-yes', { hasText: 'Download 51 MB' }).waitFor();
  }
  assert.ok(
    asked.every((url) => url.startsWith('https://huggingface.co/api/')),
    asked.join(' '),
  );
  await open({ ...experiment, model: 'small/model' });
  await mapDone(page);
  await open({ ...experiment, model: 'tiny' });
  await mapDone(page);
  await open({ ...experiment, model: 'small/model' }); // kept now
  await mapDone(page);
  await demo!.context.unroute('https://huggingface.co/**');
  asked.length = 0;
});

test('addresses that are damaged or of another format say what was not understood', async () => {
  const unread = (text: string | RegExp) => page.locator('#unread', { hasText: text }).waitFor();
  for (const [fields, text] of [
    [{ ...experiment, at: 'resid_post' }, 'at="resid_post" is none of resid_pre'],
    [{ ...experiment, metric: 'kl' }, 'metric="kl" is none of'],
    [{ ...experiment, how: 'noise' }, 'how="noise" is none of'],
    [{ ...experiment, select: 'xyz' }, 'select="xyz" is no place'],
    [{ ...experiment, colour: 'red' }, '"colour", which this page does not know'],
    [{ format: '1', clean: CLEAN }, 'it has no corrupted prompt'],
    [{ ...experiment, format: '2' }, 'has the format "2"; this page reads format 1'],
    [{ ...experiment, hash: '0'.repeat(16), ends: '1,2', numbers: '1.AAA$' }, 'damaged or were cut off'],
    [{ ...experiment, hash: '0'.repeat(16), ends: '1', numbers: '1.AAA' }, 'damaged or were cut off'],
    [{ [EVIL]: EVIL }, 'holds no experiment'],
    [{ ...experiment, at: EVIL }, 'is none of'],
    [{ ...experiment, clean: 'a'.repeat(100_001) }, 'of which it may have 100000'],
    [`${new URLSearchParams(experiment)}&clean=other`, 'more than once'],
    ['%FF%00=%', 'holds no experiment'],
  ] as const) {
    await open(fields);
    await unread(text);
    assert.is(await page.locator('#agreement').count(), 0, 'no numbers are promised');
  }
  assert.equal(asked, []);
});

test('prompts, answers and selections of strangers are text, whatever they hold', async () => {
  for (const text of [
    EVIL,
    '"><svg onload=alert(1)>',
    `\u0000\u0001\u202E${EVIL}`,
    '{{7*7}}#{7*7}',
    "');alert(1)//",
  ]) {
    await open({
      ...experiment,
      model: 'tiny',
      clean: text,
      corrupted: text,
      answer: text,
      wrong: text,
      subject: text,
    });
    await page.locator('#patching .problem:visible').waitFor();
    assert.is(await page.locator('img, #app script, svg[onload]').count(), 0, text);
  }
  await open({ ...experiment, model: 'tiny', select: 'L99999999999H9999P999999K99999' });
  await mapDone(page);
  await open({ ...experiment, model: 'tiny', clean: 'word '.repeat(15_000), corrupted: CORRUPTED });
  await page.locator('#clean-problem', { hasText: 'this model reads at most' }).waitFor();
  assert.equal(asked, []);
});

test('a folder of hostile names is read as names', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'glassbox-names-'));
  const inside = path.join(folder, '<b onmouseover=alert(1)>x');
  mkdirSync(inside);
  for (const name of [
    'config.json',
    '<img src=x onerror=alert(1)>.safetensors',
    'javascript:alert(1)',
    'n'.repeat(200),
  ])
    writeFileSync(
      path.join(inside, name),
      name === 'config.json' ? `{"model_type":${JSON.stringify(EVIL)}}` : EVIL,
    );
  await page.click('.model-button');
  await page.locator('input[webkitdirectory]').setInputFiles(inside);
  await page.locator('#model-notice').waitFor({ state: 'attached' });
  await page.keyboard.press('Escape');
  assert.is(await page.locator('img, b, #app script').count(), 0);
  assert.ok((await page.innerText('#model-notice p')).length < 600);
  assert.equal(asked, []);
  rmSync(folder, { recursive: true });
  await page.click('#model-notice >> text=Use the shipped model');
});

test('a report runs its own script under its policy, and no other; it loads nothing', async () => {
  await open({ ...experiment, model: 'tiny' });
  await mapDone(page);
  await page.locator('#attention').scrollIntoViewIfNeeded();
  await page.locator('#attention .foot:not(:empty)').waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#report')]);
  const html = (await contentOf(download)).toString();
  assert.match(html, /<meta name="referrer" content="no-referrer">/);
  const complaints: string[] = [];
  const reached: string[] = [];
  await demo!.context.route('http://evil.example/**', (route) => {
    reached.push(route.request().url());
    return route.abort();
  });
  await demo!.context.route('http://report.test/', (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: html.replace(
        '</main>',
        `</main><script>window.ran = 1</script><img src="http://evil.example/x" onerror="window.ran = 2">`,
      ),
    }),
  );
  const report = await demo!.context.newPage();
  report.on('console', (m) => m.type() === 'error' && complaints.push(m.text()));
  await report.goto('http://report.test/');
  assert.is(await report.evaluate('window.ran'), undefined, 'a script that was put in does not run');
  assert.is(await report.locator('.tip').count(), 1, 'its own does');
  assert.is(await report.locator('#attention .tok.from').count(), 1);
  assert.ok(
    complaints.length >= 2 && complaints.every((c) => /Content.Security.Policy/i.test(c)),
    complaints.join('\n'),
  );
  assert.equal(reached, [], 'the policy stops requests before they leave');
  asked.length = 0; // the page's own address and the picture that was stopped
  await report.close();
});

test('in the page neither eval nor inline scripts run', async () => {
  const ran = await page.evaluate(`(async () => {
    const script = document.createElement('script');
    script.textContent = 'window.ran = 1';
    document.body.append(script);
    const button = document.createElement('button');
    button.setAttribute('onclick', 'window.ran = 2');
    document.body.append(button);
    button.click();
    for (const e of [script, button]) e.remove();
    return window.ran;
  })()`);
  assert.is(ran, undefined);
  assert.match(await page.content(), /<meta name="referrer" content="no-referrer">/);
});

uvu.run();
