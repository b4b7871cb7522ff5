/**
 * The page of benchmarks, in Chromium: it measures what it is asked for, compares results with another
 * library's before it times them, stops, and hands out what it measured. Where a machine cannot run Chromium,
 * the tests are skipped and the reason is printed.
 */
import type { Page } from 'playwright-core';
import { test as uvu } from 'uvu';
import * as assert from 'uvu/assert';
import type { Report } from '../../scripts/bench/report.js';
import { NoBrowserError } from '../../scripts/chromium.js';
import { contentOf, type Demo, openDemo } from './page.js';

let demo: Demo | null = null;
try {
  demo = await openDemo('bench.html');
} catch (e) {
  if (!(e instanceof NoBrowserError)) throw e;
  console.log(`   SKIPPED: the page of benchmarks is not tried here. ${e.message}`);
}
const test = demo ? uvu : uvu.skip;
const page = demo?.page as Page;
uvu.after(() => demo?.close());

/** Entries of ceilings and products, once they were measured to the end. */
let all = 0;

/** Ticks these sections and no others, and begins. */
async function measure(...ids: string[]): Promise<void> {
  for (const box of await page.locator('input[id^="only-"]').all())
    await box.setChecked(ids.includes((await box.getAttribute('id'))!.slice('only-'.length)));
  await page.click('#run');
}

const done = () => page.locator('#status', { hasText: /^done, on / }).waitFor();
const cells = (section: string, row: string) =>
  page.locator(`#${section} tr`, { hasText: row }).locator('td');

async function json(): Promise<Report> {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#json')]);
  return JSON.parse((await contentOf(download)).toString());
}

test('nothing chosen is a sentence, not a run', async () => {
  await measure();
  assert.is(await page.textContent('#status'), 'Choose something to measure.');
});

test('the adapter’s ceilings are measured, shown and saved', async () => {
  await measure('ceilings');
  await done();
  const { adapter, entries } = await json();
  assert.match((await page.textContent('#status'))!, adapter);
  assert.is(await page.locator('#ceilings tbody tr').count(), entries.length);
  const [{ name, figures }] = entries;
  assert.is(await cells('ceilings', name).first().textContent(), figures.gflops.toFixed(1));
  assert.ok(figures.gflops > 0);
});

test('another library’s results are compared first, then both are timed', async () => {
  await page.selectOption('#size', 'slim');
  await page.check('#peer-jax');
  await measure('products');
  await done();
  const { entries, peers } = await json();
  all = 5 + entries.length;
  assert.equal(
    peers.map((p) => p.name),
    ['jax-js'],
  );
  for (const { name, figures, failures } of entries) {
    assert.equal(failures ?? {}, {}, name);
    assert.ok(figures['jax.times'] > 0, name);
  }
  assert.ok(await page.locator('#products th', { hasText: 'jax-js' }).isVisible());
});

test('Stop ends a run, and what was measured stays', async () => {
  await page.uncheck('#peer-jax');
  await measure('ceilings', 'products');
  await page.locator('#products').waitFor();
  await page.click('#stop');
  assert.is(await page.textContent('#status'), 'stopped');
  assert.ok(await page.locator('#run').isVisible());
  const kept = (await json()).entries.map((e) => e.section);
  assert.is(kept.filter((section) => section === 'ceilings').length, 5);
  assert.ok(kept.length < all, 'it was stopped before its end');
});

test('the page asks nobody else for anything, and no error is left', () => {
  assert.equal(demo!.complaints, []);
});

uvu.run();
