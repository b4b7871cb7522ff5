/**
 * The views that read a run, in Chromium: their numbers are those of the library in Node, a selection in one
 * lights up in the others. Where a machine cannot run Chromium, the tests are skipped and the reason is
 * printed.
 */
import type { Page } from 'playwright-core';
import { test as uvu } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attentionPatterns,
  causalTrace,
  directLogitAttribution,
  HookedTransformer,
  logitLens,
  slices,
} from '../../index.js';
import { fromJson } from '../../interp/results/export.js';
import { exact } from '../../interp/results/text.js';
import { NoBrowserError } from '../../scripts/chromium.js';
import { allClose } from '../helpers.js';
import { type Demo, openDemo, take } from './page.js';

const CLEAN = 'When John and Mary went to the shops, John gave the bag to';
const CORRUPTED = 'When John and Mary went to the shops, Mary gave the bag to';
const NEEDLE = 'The Space Needle is in downtown';
const close = { atol: 1e-5, rtol: 0 };

let demo: Demo | null = null;
try {
  demo = await openDemo();
} catch (e) {
  if (!(e instanceof NoBrowserError)) throw e;
  console.log(`   SKIPPED: the views are not tried here. ${e.message}`);
}
const test = demo ? uvu : uvu.skip;
const page = demo?.page as Page;
const model = demo ? await HookedTransformer.fromPretrained('tiny') : null;
uvu.after(async () => {
  model?.dispose();
  await demo?.close();
});

const cell = (view: string, row: number, column: number, grid = '') =>
  page.locator(`#${view} ${grid} [data-cell="${row},${column}"]`).first();
const label = (view: string, row: number, column: number, grid = '') =>
  cell(view, row, column, grid).getAttribute('aria-label');
const json = async (view: string) => fromJson((await take(page, view, 'json')).toString());

/** Scrolls to a view, which begins then, and waits until it is not busy any more. */
async function see(view: string): Promise<void> {
  await page.locator(`#${view}`).scrollIntoViewIfNeeded();
  await page.locator(`#${view} .foot:not(:empty)`).waitFor();
  await page.locator(`#${view} .body[aria-busy="false"]`).waitFor();
}

test('the lens is the library’s, and a click pins what a cell says', async () => {
  await see('lens');
  const own = await logitLens(model!, CLEAN, { inclMid: true });
  const there = await json('lens');
  assert.equal(there.axes, own.axes);
  allClose(there.values, own.values, close);
  assert.is(await label('lens', 8, 14), `3_post, 14:␣to: ␣Mary, ${exact(own.values.at(-1)!)}`);
  assert.is(await page.locator('#lens .pins li').count(), 2);
  assert.match(await page.innerText('#lens .pins'), /␣Mary\s+after 14:␣to\s+99\.\d%/);
  const top = own.top[7][9][0].text.replace(' ', '␣');
  await cell('lens', 7, 9).click();
  await page.locator('#lens .pins li', { hasText: new RegExp(`${top}\\s*after 9:,`) }).waitFor();
  await page.locator('#lens .pins li:nth-child(3) .num', { hasText: '%' }).waitFor();
  assert.is(await page.locator('#lens .chart path').count(), 3);
  await page.click('#lens [data-value=rank]');
  await page.locator('#lens .pins li:first-child .num', { hasText: 'rank 0' }).waitFor();
  await page.click('#lens .pins li:nth-child(3) button');
  assert.is(await page.locator('#lens .chart path').count(), 2);
  await page.keyboard.press('Escape');
});

test('attention is the library’s: as it is, and weighted by values; of the run that is read', async () => {
  await see('attention');
  await cell('attention', 1, 2, '.thumbs').click();
  for (const [weight, reading, prompt] of [
    ['pattern', 'clean', CLEAN],
    ['value', 'corrupted', CORRUPTED],
  ] as const) {
    await page.click(`#attention [data-value=${reading}]`);
    await page.click(`#attention [data-value=${weight}]`);
    const own = slices(slices(await attentionPatterns(model!, prompt, { layers: [1], weight }))[0])[2];
    const value = exact(own.values[14 * 15 + 4]);
    const [from, to] = [own.axes[0].labels[14], own.axes[1].labels[4]];
    await page.locator(`#attention .zoom [aria-label="${from}, ${to}: ${value}"]`).waitFor();
    const there = await json('attention');
    assert.is(there.meta.head, 'L1H2');
    assert.equal(there.axes, own.axes);
    allClose(there.values, own.values, close);
  }
  await page.click('#attention [data-value=clean]');
  await page.click('#attention [data-value=pattern]');
  await page.locator('#attention .zoom [aria-label^="14:␣to, 4:␣Mary: 0.9"]').waitFor();
});

test('on the text, a head looks at its sources, or is seen by its destinations', async () => {
  const word = (i: number) => page.locator(`#attention .word[data-cell="0,${i}"]`);
  assert.match((await word(4).getAttribute('aria-label'))!, /^4:␣Mary: 9\d\.\d%$/);
  await page.click('#attention [data-value=to]');
  await word(4).click();
  assert.match((await word(14).getAttribute('aria-label'))!, /^14:␣to: 9\d\.\d%$/);
  assert.match((await word(1).getAttribute('aria-label'))!, /not seen$/);
  await page.click('#attention [data-value=from]');
});

test('a head that is chosen in one view lights up in the others', async () => {
  await page.click('#patching [data-value=z]');
  await see('attribution');
  await cell('attribution', 2, 3, '.grid').click();
  await page.mouse.move(2, 2); // what is pointed at comes before what is locked
  const lit = (selector: string) => page.locator(`${selector}[aria-selected=true]`);
  assert.is(await lit('#attention .thumbs .cell').getAttribute('data-cell'), '2,3');
  assert.is(await page.innerText('#attention .head-name'), 'L2H3');
  assert.match((await lit('#attribution .bars .cell').getAttribute('aria-label'))!, /^L2H3: .?\d*\.\d/);
  await page.locator('#patching [data-cell="2,3"][aria-selected=true]').waitFor();
  await cell('attention', 1, 0, '.thumbs').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  assert.is(await lit('#attribution .grid .cell').getAttribute('data-cell'), '1,1');
  assert.is(await lit('#patching .cell').getAttribute('data-cell'), '1,1');
  await page.keyboard.press('Escape');
  assert.is(await page.locator('.thumbs .cell.locked').count(), 0);
  await page.click('#patching [data-value=resid_pre]');
});

test('attributions are the library’s, and sum to the logit difference', async () => {
  const own = await directLogitAttribution(model!, CLEAN, { tokens: [' Mary', ' John'] });
  const there = await json('attribution');
  assert.equal(there.axes, own.axes);
  allClose(there.values, own.values, close);
  const { heads } = await directLogitAttribution(model!, CLEAN, { tokens: [' Mary', ' John'], by: 'head' });
  assert.is(await label('attribution', 2, 3, '.grid'), `L2, H3: ${exact(heads!.values[11])}`);
  assert.match(
    await page.innerText('#attribution .foot'),
    /= \+10\.\d+ as the model computes it; the bars sum to/,
  );
});

test('the three maps of a trace are the library’s; it is cancelled, and goes on with another subject', async () => {
  await page.locator('#trace').scrollIntoViewIfNeeded();
  await page.fill('#trace-subject', 'Mary');
  await page.click('#trace .run >> text=Cancel');
  await page.locator('#trace .run-text', { hasText: 'cancelled' }).waitFor();
  await page.selectOption('#preset', '1');
  await page.fill('#trace-subject', 'Needle of space');
  await page.locator('#trace .problem', { hasText: 'does not occur in the clean prompt' }).waitFor();
  await page.fill('#trace-subject', 'Space Needle');
  await see('trace');
  await page.locator('#trace .foot', { hasText: '␣Seattle' }).waitFor();
  const there = await json('trace');
  const own = [];
  for (const kind of [null, 'mlp', 'attn'] as const)
    own.push(await causalTrace(model!, { prompt: NEEDLE, subject: 'Space Needle', kind, window: 1 }));
  assert.equal(there.axes.slice(1), own[0].scores.axes);
  allClose(
    there.values,
    own.flatMap((t) => [...t.scores.values]),
    close,
  );
  // the trace has no beginning-of-text token, the other views have: its token 2 is theirs of position 3;
  // the state after layer 1 is the one before layer 2, and neither what the MLP adds nor what attention does
  await page.locator('#trace .traces > div:first-child [data-cell="2,1"]').click();
  assert.is(await page.locator('#trace [aria-selected=true]').count(), 1);
  assert.is(await page.locator('.token.locked').getAttribute('data-pos'), '3');
  await page.locator('#patching [data-cell="2,3"][aria-selected=true]').waitFor();
});

test('every view can be taken away, as picture, program and command', async () => {
  for (const view of ['lens', 'attention', 'attribution', 'trace']) {
    assert.match((await take(page, view, 'svg')).toString(), /^<svg xmlns/);
    assert.match((await take(page, view, 'csv')).toString(), /^(layer|query|component|kind),/);
  }
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#report')]);
  const html = (await import('./page.js').then(({ contentOf }) => contentOf(download))).toString();
  for (const title of ['Logit lens', 'Attention heads', 'Direct logit attribution', 'Causal trace'])
    assert.match(html, title);
});

test('the views ask nobody but their own host, and throw nothing', () => {
  assert.equal(demo!.complaints, []);
});

uvu.run();
