/**
 * The workbench, driven as a reader drives it, in Chromium on its own WebGPU: one browser, one page. Where a
 * machine cannot run Chromium, the tests are skipped and the reason is printed.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { test as uvu } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, logitDiff, patch } from '../../index.js';
import { fromJson } from '../../interp/results/export.js';
import { NoBrowserError } from '../../scripts/chromium.js';
import { allClose } from '../helpers.js';
import { type Demo, fakeHub, mapDone, openDemo, take, until } from './page.js';

const CLEAN = 'When John and Mary went to the shops, John gave the bag to';
const CORRUPTED = 'When John and Mary went to the shops, Mary gave the bag to';

let demo: Demo | null = null;
try {
  demo = await openDemo();
} catch (e) {
  if (!(e instanceof NoBrowserError)) throw e;
  console.log(`   SKIPPED: the workbench is not tried here. ${e.message}`);
}
const test = demo ? uvu : uvu.skip;
const page = demo?.page as Page;
uvu.after(() => demo?.close());

const text = (selector: string) => page.locator(selector).innerText();
const cell = (row: number, column: number) => page.locator(`#patching [data-cell="${row},${column}"]`);
const visible = (selector: string) => page.locator(selector).waitFor();

test('the page is alive at once: the shipped model, a worked example, its map and its next tokens', async () => {
  assert.match(await mapDone(page), /^60 cells in/);
  assert.match(await text('.model-button'), /tiny/);
  assert.match(
    (await cell(0, 10).getAttribute('aria-label'))!,
    /^0_pre, 10:␣John \| ␣Mary: (1|1\.0\d*|0\.99\d*)$/,
  );
  await visible('#next-tokens tbody tr.answer');
  assert.match(await text('#next-tokens tbody tr:first-child'), /␣Mary\s+99\.\d%\s+0\.\d+%/);
});

test('the map’s numbers are those of the library in Node', async () => {
  const map = fromJson((await take(page, 'patching', 'json')).toString());
  const model = await HookedTransformer.fromPretrained('tiny');
  const metric = logitDiff(' Mary', ' John');
  for (const [site, by] of [['resid_pre', ['layer', 'pos']] as const, ['z', ['layer', 'head']] as const]) {
    const own = await patch(model, { clean: CLEAN, corrupted: CORRUPTED, metric, at: site, by });
    let there = map;
    if (site === 'z') {
      await page.click('#patching [data-value="z"]');
      await page.locator('#patching .run-text', { hasText: /^16 cells in/ }).waitFor();
      there = fromJson((await take(page, 'patching', 'json')).toString());
    }
    assert.equal(there.axes, own.axes);
    allClose(there.values, own.values, { atol: 1e-5, rtol: 0 });
    assert.equal(
      { ...there.meta, adapter: '', work: 0, clean: 0, corrupted: 0, experiment: 0 },
      {
        ...JSON.parse(JSON.stringify(own.meta)),
        adapter: '',
        work: 0,
        clean: 0,
        corrupted: 0,
        experiment: 0,
      },
    );
  }
  model.dispose();
  await page.click('#patching [data-value="resid_pre"]');
  await cell(0, 14).waitFor();
});

test('pointing previews, a click locks, Esc unlocks; the counterfactual is the one that is locked', async () => {
  await cell(1, 10).hover();
  assert.match(await text('.tip'), /restored\s+−?[01]\.\d+[\s\S]*corrupted\s+−5\.\d+\s+clean\s+10\.\d+/);
  assert.is(await page.locator('.token.shown').getAttribute('data-pos'), '10');
  await cell(0, 10).click();
  await page.locator('#counterfactual .shift', { hasText: /^100%/ }).waitFor();
  assert.match(await text('#counterfactual tbody tr.answer'), /0\.\d+%\s+99\.\d%/);
  assert.is(await cell(0, 10).getAttribute('aria-selected'), 'true');
  assert.is(await page.locator('.token.locked').getAttribute('data-pos'), '10');
  await page.click('#counterfactual [data-value="zero"]');
  await page.locator('#counterfactual .what', { hasText: 'set to zero' }).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#counterfactual .problem', { hasText: 'Nothing is selected' }).waitFor();
  assert.is(await page.locator('#patching .cell.locked').count(), 0);
  assert.is(await page.locator('.token.locked').count(), 0);
});

test('the grid is walked with the keyboard, and every cell says its place and value', async () => {
  await cell(0, 0).focus();
  for (const key of ['ArrowDown', 'ArrowDown', 'End', 'ArrowLeft', 'Enter']) await page.keyboard.press(key);
  const at = await page.evaluate('document.activeElement.dataset.cell');
  assert.is(at, '2,13');
  assert.is(await cell(2, 13).getAttribute('aria-selected'), 'true');
  await visible('#counterfactual .shift');
  await page.keyboard.press('Escape');
  const labels = await page
    .locator('#patching [role=gridcell]')
    .evaluateAll((cells) => cells.map((c) => c.getAttribute('aria-label')));
  assert.is(labels.length, 60);
  assert.ok(
    labels.every((label) => /^\d_pre, \d+:\S+( \| \S+)?: −?[\d.]+(e−\d+)?$/.test(label!)),
    labels.join('\n'),
  );
});

test('what is typed is read at once: lengths, differing tokens, tokens that are none, and what would be one', async () => {
  await page.fill('#corrupted', 'When John and Mary went to the shops, Mary gave to');
  await visible('#pair-problem');
  assert.match(await text('#pair-problem'), /clean prompt has 15 tokens, the corrupted one 13/);
  await page.fill('#corrupted', CLEAN);
  await page.locator('#pair-problem', { hasText: 'are the same' }).waitFor();
  await page.fill('#corrupted', '');
  await page.locator('#patching .problem', { hasText: 'needs the corrupted prompt' }).waitFor();
  assert.is(await page.locator('#corrupted-problem:visible').count(), 0, 'one prompt is enough');
  await page.fill('#corrupted', 'When Mary and John went to the shops, Mary gave the bag to');
  await page.locator('.strip-title', { hasText: 'different at positions 2, 4, 10' }).waitFor();
  await page.fill('#answer', ' Mary John');
  await page.locator('#answer-problem', { hasText: 'This is 2 tokens (␣Mary · ␣John)' }).waitFor();
  await page.fill('#answer', 'shops');
  await page.click('#answer-problem .fix');
  assert.is(await page.inputValue('#answer'), ' shops');
  await page.locator('#answer-problem').waitFor({ state: 'hidden' });
  await page.fill('#answer', ' John');
  await page.fill('#wrong', ' John');
  await page.locator('#patching .problem', { hasText: 'there is no difference to restore' }).waitFor();
  assert.is(await page.locator('#patching .cell').count(), 0, 'no cell of another map is left');
});

test('every example can be patched: as many tokens in both prompts, answers of one token', async () => {
  for (let i = 4; i >= 0; i--) {
    await page.selectOption('#preset', String(i));
    await page.locator('.strip-title', { hasText: /^\d+ tokens each, different at position/ }).waitFor();
    await page.locator('#answer-problem, #wrong-problem, #pair-problem').first().waitFor({ state: 'hidden' });
    assert.is(await page.locator('.prompts .problem:visible').count(), 0);
  }
});

test('a long sweep fills live, pauses, turns to the cell under the cursor, and is cancelled', async () => {
  const many = (name: string) =>
    `${name} went to the shops, ${'and then to the park, '.repeat(16)}and John gave the bag to`;
  await page.fill('#clean', many('Mary'));
  await page.fill('#corrupted', many('Amy'));
  await page.fill('#answer', ' Mary');
  await page.click('#patching .run >> text=Pause'); // as soon as there is something to pause
  await page.locator('#patching .run-text', { hasText: 'paused' }).waitFor();
  let before = '';
  while (before !== (before = await text('#patching .run-text'))) await page.waitForTimeout(1500); // a batch is under way
  await page.waitForTimeout(500);
  assert.is(await text('#patching .run-text'), before);
  assert.ok(
    (await page.locator('#patching .cell:is(.empty, .estimate)').count()) > 0,
    'some cells are not yet known',
  );
  await page.locator('#patching .cell:is(.empty, .estimate)').last().hover();
  await page.click('#patching .run >> text=Go on');
  await page.click('#patching .run >> text=Cancel');
  await page.locator('#patching .run-text', { hasText: 'cancelled' }).waitFor();
  const left = await page.locator('#patching .cell:is(.empty, .estimate)').count();
  assert.ok(left > 0, 'cells are left');
  await page.selectOption('#preset', '0');
  assert.match(await mapDone(page), /^60 cells in/);
});

test('the address holds the experiment: opened again it computes, and says whether the numbers agree', async () => {
  await page.goto('about:blank');
  await page.goto(demo!.url);
  await mapDone(page);
  await cell(3, 14).click();
  await page.click('#share');
  const hash = new URL(page.url()).hash;
  assert.match(hash, /^#format=1&model=tiny&clean=When\+John.*select=L3P14.*numbers=/);
  await page.goto('about:blank');
  await page.goto(demo!.url + hash);
  await page.locator('#agreement[data-agrees=true]').waitFor();
  assert.is(await cell(3, 14).getAttribute('aria-selected'), 'true');
  const ends = /ends=([^&]+)/.exec(hash)![1];
  const false_ = hash.replace(ends, encodeURIComponent('10,-12'));
  await page.goto('about:blank');
  await page.goto(demo!.url + false_);
  await page.locator('#agreement[data-agrees=false]').waitFor();
  assert.match(await text('#agreement'), /do not agree/);
});

test('a view is taken away as SVG, PNG, PDF, CSV, TypeScript and a command; the page as one HTML file', async () => {
  await mapDone(page);
  assert.match((await take(page, 'patching', 'svg')).toString(), /^<svg xmlns/);
  assert.is((await take(page, 'patching', 'png')).subarray(1, 4).toString(), 'PNG');
  const loaded = () =>
    page.evaluate<boolean>("performance.getEntriesByType('resource').some((r) => /jspdf/i.test(r.name))");
  assert.not(await loaded(), 'jsPDF is loaded with the first PDF');
  const pdf = await take(page, 'patching', 'pdf');
  assert.ok(await loaded());
  assert.match(pdf.subarray(0, 8).toString('latin1'), /^%PDF-1\./);
  assert.ok(pdf.includes('/FontFile2'), 'its text is set in a font of its own');
  assert.match(
    (await take(page, 'patching', 'csv')).toString(),
    /^layer,pos,value,clean,corrupted,metric,model,weights,adapter,beginning-of-text\nL0,0:<\|endoftext\|>,0,/,
  );
  await demo!.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const copied = async (what: string) => {
    await page.click('#patching .menu > summary');
    await page.click(`#patching [data-take="${what}"]`);
    await page.locator('.toast.on', { hasText: 'copied' }).waitFor();
    return page.evaluate<string>('navigator.clipboard.readText()');
  };
  assert.match(
    await copied('command'),
    /^npx --no-install glassbox patch --clean 'When John .* --at resid_pre --by layer,pos$/,
  );
  assert.match(await copied('code'), /patch\(model, \{[\s\S]*metric: logitDiff\(' Mary', ' John'\)/);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#report')]);
  const html = await import('./page.js').then(({ contentOf }) => contentOf(download));
  assert.match(html.toString(), /Patching map[\s\S]*<svg/);
  assert.not.match(html.toString(), /(src|href)="http/);
});

test('a lost GPU is a sentence and a button, and nothing typed is gone', async () => {
  await page.click('.model-button');
  await page.locator('.facts dd', { hasText: /MB in use/ }).waitFor();
  await page.click('#release');
  await page.locator('#model-notice', { hasText: 'the device was lost' }).waitFor();
  assert.is(await page.inputValue('#clean'), CLEAN);
  await page.click('#restart');
  await page.locator('#model-notice').waitFor({ state: 'detached' });
  assert.match(await mapDone(page), /^60 cells in/);
});

test('a model of the Hub is downloaded with its progress, kept, used without the network, and removed', async () => {
  await demo!.context.route('https://huggingface.co/**', fakeHub);
  await page.click('.model-button');
  assert.match(await text('[data-model=distilgpt2]'), /353 MB download/);
  await page.click('[data-model=distilgpt2]');
  await page.locator('.used [data-model=distilgpt2]').waitFor();
  assert.match(await text('[data-model=distilgpt2]'), /loaded/);
  await page.click('[data-model=tiny]');
  await page.locator('.used [data-model=tiny]').waitFor();
  assert.match(await text('[data-model=distilgpt2]'), /kept here/);
  await page.click('.models >> text=Remove');
  await page.locator('[data-model=distilgpt2]', { hasText: 'download' }).waitFor();
  await demo!.context.unroute('https://huggingface.co/**');
  await demo!.context.route('https://huggingface.co/**', (route) => route.abort());
  await page.click('[data-model=gpt2]');
  await page.locator('#model-notice').waitFor({ state: 'attached' });
  await page.keyboard.press('Escape');
  assert.match(await text('#model-notice'), /was not reached/);
  await page.click('#model-notice >> text=Use the shipped model');
  await page.locator('#model-notice').waitFor({ state: 'detached' });
});

test('a model for which the GPU has no room is a sentence that names one that fits', async () => {
  await demo!.context.unroute('https://huggingface.co/**');
  await demo!.context.route('https://huggingface.co/**', fakeHub);
  // Of the three scopes around a creation the one for memory answers as on a GPU that is full.
  const worker = page.workers()[0];
  await worker.evaluate(`{
    const { popErrorScope } = GPUDevice.prototype;
    let popped = 0;
    GPUDevice.prototype.popErrorScope = function () {
      const answer = popErrorScope.call(this);
      return popped++ % 3 === 1 ? answer.then(() => new GPUOutOfMemoryError('full')) : answer;
    };
    globalThis.makeRoom = () => { GPUDevice.prototype.popErrorScope = popErrorScope; };
  }`);
  await page.click('.model-button');
  await page.click('[data-model=gpt2]');
  await page.locator('#model-notice').waitFor({ state: 'attached' });
  await page.keyboard.press('Escape');
  assert.match(
    await text('#model-notice'),
    /out of GPU memory while .*gpt2 takes 548 MB of GPU memory\. distilgpt2 takes 353 MB\./,
  );
  assert.is(await page.inputValue('#clean'), CLEAN);
  await worker.evaluate('makeRoom()');
  await page.click('#model-notice >> text=Use the shipped model');
  await page.locator('#model-notice').waitFor({ state: 'detached' });
  assert.match(await mapDone(page), /^60 cells in/);
});

test('a folder of one’s own is read where it is', async () => {
  // Another folder's name and other weights: nothing of the shipped model that is loaded answers for them.
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'glassbox-own-')), 'mine');
  cpSync('weights/tiny', folder, { recursive: true });
  const file = path.join(folder, 'model.safetensors');
  const bytes = readFileSync(file);
  bytes.fill(0, bytes.length - 64);
  writeFileSync(file, bytes);
  const hashOf = async () => /[0-9a-f]{16}/.exec(await text('.facts'))?.[0];
  await page.click('.model-button');
  await page.locator('.facts dd', { hasText: /hash [0-9a-f]{16}/ }).waitFor();
  const shipped = await hashOf();
  await page.locator('input[webkitdirectory]').setInputFiles(folder);
  await page.locator('.models li.used').waitFor({ state: 'detached' }); // none of the list: a model of one's own
  await until(
    page,
    `!document.querySelector('.facts').innerText.includes('${shipped}') && /hash [0-9a-f]{16}/.test(document.querySelector('.facts').innerText)`,
  );
  await page.keyboard.press('Escape');
  assert.match(await mapDone(page), /^60 cells in/);
  const there = fromJson((await take(page, 'patching', 'json')).toString());
  const own = await HookedTransformer.fromPretrained(folder);
  assert.is(there.meta.hash, own.hash);
  assert.is(there.meta.model, './mine');
  assert.is.not(there.meta.hash, shipped);
  own.dispose();
  rmSync(path.dirname(folder), { recursive: true });
  await page.click('.model-button');
  await page.click('[data-model=tiny]');
  await page.locator('.used [data-model=tiny]').waitFor();
  await page.keyboard.press('Escape');
  assert.match(await mapDone(page), /^60 cells in/);
});

test('light and dark follow the system, and the reader’s choice', async () => {
  const paper = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
  await page.click('.tools [data-value=light]');
  const light = await paper();
  await page.click('.tools [data-value=dark]');
  const dark = await paper();
  assert.is.not(light, dark);
  await page.click('.tools [data-value=auto]');
  await page.emulateMedia({ colorScheme: 'dark' });
  await until(page, `document.documentElement.dataset.theme === 'dark'`);
  assert.is(await paper(), dark);
  await page.emulateMedia({ colorScheme: 'light' });
  await until(page, `document.documentElement.dataset.theme === 'light'`);
});

test('without WebGPU the page says which browsers have it', async () => {
  await demo!.context.addInitScript('delete Navigator.prototype.gpu');
  const plain = await demo!.open();
  assert.match(await plain.innerText('main'), /no WebGPU[\s\S]*Chrome or Edge[\s\S]*Safari 26/);
  await plain.close();
});

test('the page asks nobody but its own host, and throws nothing', () => {
  const expected = /huggingface\.co|net::ERR_FAILED/; // the models of the Hub above
  assert.equal(
    demo!.complaints.filter((c) => !expected.test(c)),
    [],
  );
});

uvu.run();
