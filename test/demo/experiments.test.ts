/**
 * Nothing false leaves the workbench: whatever is changed while something is computed, every export, the
 * report and the shared address are of what the fields say, or they are refused. All exports are taken inside
 * the page, in the very task of the change, shortly after it, and when all is computed. Where a machine
 * cannot run Chromium, the tests are skipped and the reason is printed.
 */
import type { Page } from 'playwright-core';
import { test as uvu } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import { fromJson, toCsv } from '../../interp/results/export.js';
import { NoBrowserError } from '../../scripts/chromium.js';
import { type Demo, openDemo, until } from './page.js';

/** What the fields say. */
interface Fields {
  readonly clean: string;
  readonly corrupted: string;
  readonly answer: string;
  readonly wrong: string;
  readonly bos: boolean;
  readonly at: string;
  readonly metric: string;
  readonly reading: 'clean' | 'corrupted';
  readonly subject: string;
}

/** Everything that left the page: `lens json` → the file's text. */
type Taken = Readonly<Record<string, string>>;

let demo: Demo | null = null;
try {
  demo = await openDemo();
} catch (e) {
  if (!(e instanceof NoBrowserError)) throw e;
  console.log(`   SKIPPED: exports of the workbench are not tried here. ${e.message}`);
}
const test = demo ? uvu : uvu.skip;
const page = demo?.page as Page;
const model = demo ? await HookedTransformer.fromPretrained('tiny') : null;
uvu.after(async () => {
  model?.dispose();
  await demo?.close();
});

/**
 * In the page: files and copied texts are kept instead of saved, and all of them are asked for with
 * `takeAll`.
 */
const SPY = `{
  let label = '';
  let kept = {};
  const waits = [];
  HTMLAnchorElement.prototype.click = () => {};
  const create = URL.createObjectURL;
  URL.createObjectURL = (blob) => {
    const own = label;
    if (own && !own.endsWith(' png')) waits.push(blob.text().then((text) => { kept[own] = text; }));
    return create.call(URL, blob);
  };
  Object.defineProperty(navigator, 'clipboard', {
    value: { writeText: async (text) => { kept[label] = text; } },
  });
  window.takeAll = async () => {
    kept = {};
    const into = kept;
    for (const button of document.querySelectorAll('[data-take]:not([data-take=pdf])')) {
      label = button.closest('.card').id + ' ' + button.dataset.take;
      button.click();
    }
    label = 'share';
    document.getElementById('share').click();
    label = 'report';
    document.getElementById('report').click();
    label = '';
    await Promise.all(waits.splice(0));
    await new Promise((done) => setTimeout(done, 20));
    return into;
  };
}`;

const quote = (text: string) => `'${text.replaceAll("'", "\\'")}'`;
const ids = (fields: Fields, name: 'clean' | 'corrupted') =>
  model!.toTokens(fields[name], { prependBos: fields.bos })[0];

/** Each that left is of these fields. */
function agree(taken: Taken, fields: Fields, when: string): void {
  for (const [label, content] of Object.entries(taken)) {
    const [view, form] = label.split(' ');
    const what = `${label}, ${when}`;
    if (view === 'share') shared(content, taken, fields, what);
    else if (view === 'report') reported(content, taken, fields, what);
    else if (form === 'json') numbers(view, fromJson(content), fields, what);
    else if (form === 'csv') {
      const result = fromJson(taken[`${view} json`]);
      const columns = result.meta.experiment as Record<string, string>;
      assert.is(content, toCsv(result, { columns }), `${what}: not what JSON holds`);
    } else if (form === 'code' || form === 'command') program(view, form, content, fields, what);
    else assert.ok(taken[`${view} json`], `${what}: a picture of numbers that are not there`);
  }
}

function numbers(view: string, { meta, axes }: ReturnType<typeof fromJson>, fields: Fields, what: string) {
  const clean = ids(fields, 'clean');
  const read = ids(fields, fields.reading);
  const corrupted = fields.corrupted === '' ? null : ids(fields, 'corrupted');
  if (view === 'patching') {
    assert.equal([meta.cleanTokens, meta.tokens, meta.at], [clean, corrupted, fields.at], what);
    const [answer, wrong] = [fields.answer, fields.wrong].map((t) => JSON.stringify(t));
    const names: Record<string, string> = {
      'logit-diff': `logit(${answer}) − logit(${wrong})`,
      'log-prob': `log p(${answer})`,
      prob: `p(${answer})`,
    };
    assert.is(meta.metric, names[fields.metric], what);
  } else if (view === 'counterfactual') {
    assert.equal([meta.cleanTokens, meta.tokens], [clean, corrupted], what);
    assert.is(meta.answer, model!.toSingleToken(fields.answer), what);
  } else if (view === 'next-tokens') {
    assert.equal(meta.prompts, corrupted ? [clean, corrupted] : [clean], what);
    if (fields.answer) assert.ok(axes[1].labels.includes(fields.answer), what);
  } else if (view === 'trace') {
    const clean = model!.toTokens(fields.clean, { prependBos: false })[0]; // as ROME's notebooks
    assert.equal(meta.tokens, clean, what);
    if (fields.answer) assert.is((meta.answer as { text: string }).text, fields.answer, what);
    const [start, end] = meta.subject as [number, number];
    assert.is(model!.toString(clean.slice(start, end)).trim(), fields.subject, what);
  } else if (view === 'writing' || view === 'changes') assert.equal(meta.tokens, clean, what);
  else assert.equal(meta.tokens, read, what);
  if (view === 'attribution') assert.ok(String(meta.metric).includes(JSON.stringify(fields.answer)), what);
}

function program(view: string, form: string, text: string, fields: Fields, what: string) {
  const uses = (value: string) => assert.ok(text.includes(value), `${what}: no ${value} in ${text}`);
  const shell = (value: string) => uses(/^[\w./:=,-]+$/.test(value) ? ` ${value}` : `'${value}'`);
  const say = form === 'code' ? (value: string) => uses(quote(value)) : shell;
  const single = view === 'lens' || view === 'attention' || view === 'attribution';
  say(single ? fields[fields.reading] : fields.clean);
  if (view === 'patching' || view === 'counterfactual') say(fields.corrupted);
  if (view === 'patching') {
    say(fields.answer);
    uses(form === 'code' ? `at: '${fields.at}'` : `--at ${fields.at}`);
    if (fields.metric === 'logit-diff') say(fields.wrong);
  }
  if (view === 'trace') uses(fields.subject);
  assert.is(/no-bos|prependBos: false/.test(text), !fields.bos, what);
}

function shared(address: string, taken: Taken, fields: Fields, what: string) {
  const at = new URLSearchParams(new URL(address).hash.slice(1));
  for (const name of ['clean', 'corrupted', 'answer', 'wrong', 'at', 'metric'] as const)
    assert.is(at.get(name), fields[name], `${what}: ${name}`);
  assert.is(at.get('bos') !== '0', fields.bos, what);
  assert.is(at.has('numbers'), taken['patching json'] !== undefined, `${what}: numbers`);
  if (!at.has('numbers')) return;
  const map = fromJson(taken['patching json']);
  const bytes = Buffer.from(at.get('numbers')!.split('.')[1], 'base64url');
  assert.is(bytes.length, 2 * map.values.length, what);
  map.values.forEach((v, i) => {
    assert.ok(Math.abs(bytes.readInt16LE(2 * i) / 4096 - Math.max(-8, Math.min(8, v))) < 2.5e-4, what); // 8 is 32767 / 4096
  });
}

const TITLES = { patching: 'Patching map', lens: 'Logit lens', trace: 'Causal trace' };

function reported(html: string, taken: Taken, fields: Fields, what: string) {
  const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
  assert.ok(html.includes(`<h1>${escaped(fields.clean + fields.answer)}</h1>`), `${what}: title`);
  for (const [view, title] of Object.entries(TITLES))
    assert.is(
      html.includes(`</span>${title}</h2>`),
      taken[`${view} json`] !== undefined,
      `${what}: section ${title}`,
    );
  assert.is(html.includes(' glassbox patch'), taken['patching json'] !== undefined, what);
}

/** Makes a change and takes everything: at once, soon, and later. */
async function tried(name: string, change: string, fields: Fields): Promise<void> {
  agree(await page.evaluate<Taken>(`(() => { ${change}; return takeAll(); })()`), fields, `${name}, at once`);
  for (const ms of [30, 400]) {
    await page.waitForTimeout(ms);
    agree(await page.evaluate<Taken>('takeAll()'), fields, `${name}, after ${ms} ms`);
  }
}

/** Waits until every view is done or says why it is empty. */
async function allDone(): Promise<void> {
  await until(
    page,
    `[...document.querySelectorAll('.card .body')].every((b) => b.getAttribute('aria-busy') === 'false')`,
  );
}

const type = (id: string, text: string) =>
  `{ const f = document.getElementById('${id}'); f.value = ${JSON.stringify(text)}; f.dispatchEvent(new Event('input')); }`;
const pick = (selector: string) => `document.querySelector('${selector}').click()`;
const choose = (selector: string, value: string) =>
  `{ const f = document.querySelector('${selector}'); f.value = '${value}'; f.dispatchEvent(new Event('change')); }`;

const JOHN: Fields = {
  clean: 'When John and Mary went to the shops, John gave the bag to',
  corrupted: 'When John and Mary went to the shops, Mary gave the bag to',
  ...{ answer: ' Mary', wrong: ' John', bos: true, at: 'resid_pre', metric: 'logit-diff' },
  ...{ reading: 'clean', subject: 'John and Mary' },
};
const FRANCE: Fields = {
  ...JOHN,
  clean: 'The capital of Canada is Ottawa while the capital of France is',
  corrupted: 'The capital of Canada is Ottawa while the capital of Spain is',
  ...{ answer: ' Paris', wrong: ' Madrid', subject: 'France' },
};

test('all is taken, of what is shown', async () => {
  for (const view of ['attribution', 'lens', 'attention', 'trace'])
    await page.locator(`#${view}`).scrollIntoViewIfNeeded();
  await page.evaluate(SPY);
  await page.locator('#patching .run-text', { hasText: / cells in / }).waitFor();
  await page.locator('#patching [data-cell="0,10"]').click();
  await page.locator('#counterfactual .what').waitFor();
  await allDone();
  const taken = await page.evaluate<Taken>('takeAll()');
  agree(taken, JOHN, 'at rest');
  const views = ['patching', 'counterfactual', 'next-tokens', 'attribution', 'lens', 'attention', 'trace'];
  for (const view of views)
    for (const form of ['json', 'csv', 'code']) assert.ok(taken[`${view} ${form}`], `${view} ${form}`);
  assert.match(taken.report, /Causal trace/);
  assert.not.match(taken.report, /Not in this report:/);
});

test('twelve changes and more, each while something is computed: what leaves is of the fields, or nothing leaves', async () => {
  let f = FRANCE;
  await tried('an example', choose('#preset', '3'), f);
  f = { ...f, corrupted: 'The capital of Canada is Ottawa while the capital of Italy is' };
  await tried('the corrupted prompt', type('corrupted', f.corrupted), f);
  f = { ...f, at: 'z' };
  await tried('what is patched', pick('#patching [data-value=z]'), f);
  f = { ...f, metric: 'prob' };
  await tried('the metric', choose('#patching select', 'prob'), f);
  f = { ...f, wrong: '' };
  await tried('no wrong answer', type('wrong', ''), f);
  f = { ...f, reading: 'corrupted' };
  await tried('the run that is read', pick('#lens [data-value=corrupted]'), f);
  f = { ...f, bos: false };
  await tried('the beginning-of-text token', '{ const b = document.getElementById("bos"); b.click(); }', f);
  f = { ...f, answer: ' Ottawa' };
  await tried('the answer', type('answer', f.answer), f);
  f = { ...f, clean: 'The capital of Canada is Ottawa and the capital of France is' };
  await tried('the clean prompt', type('clean', f.clean), f);
  f = { ...f, subject: 'Canada' };
  await tried('the subject', type('trace-subject', 'Canada'), f);
  await tried('half layers', pick('#lens-half'), f);
  await tried('attention times values', pick('#attention [data-value=value]'), f);
  f = { ...f, at: 'mlp_out' };
  await tried('another map', pick('#patching [data-value=mlp_out]'), f);
  f = { ...JOHN, at: 'mlp_out', metric: 'prob', bos: false, reading: 'corrupted' };
  await tried('another example', choose('#preset', '0'), f);
});

test('what cannot be computed is empty and says why; what does not need it goes on', async () => {
  await page.evaluate(choose('#preset', '0'));
  await page.evaluate(pick('#lens [data-value=clean]'));
  await page.evaluate('{ const b = document.getElementById("bos"); if (!b.checked) b.click(); }');
  await page.evaluate(choose('#patching select', 'logit-diff'));
  await page.evaluate(pick('#patching [data-value=mlp_out]'));
  const empty = async (view: string, why: RegExp) => {
    await page.locator(`#${view} .problem`, { hasText: why }).waitFor();
    assert.is(await page.locator(`#${view} .body *`).count(), 0, `${view} is not empty`);
    assert.is(await page.locator(`#${view} .foot`).textContent(), '');
  };
  const f: Fields = { ...JOHN, at: 'mlp_out', corrupted: 'When John and Mary went to the shops' };
  await tried('an unequal pair', type('corrupted', f.corrupted), f);
  await empty('patching', /15 tokens, the corrupted one 9/);
  await empty('counterfactual', /15 tokens, the corrupted one 9/);
  await allDone();
  const taken = await page.evaluate<Taken>('takeAll()');
  agree(taken, f, 'an unequal pair');
  for (const view of ['lens', 'attention', 'attribution', 'trace', 'next-tokens'])
    assert.ok(taken[`${view} json`], `${view} goes on`);
  assert.not.ok(taken['patching json'] || taken['patching command'] || taken['counterfactual code']);
  assert.match(taken.report, /Not in this report:<\/p><ul><li>Patching map: The clean prompt has 15 tokens/);

  await tried('no answer', type('answer', ''), { ...f, answer: '' });
  await empty('attribution', /needs the answer/);
  await allDone();
  const less = await page.evaluate<Taken>('takeAll()');
  for (const view of ['lens', 'attention', 'trace', 'next-tokens'])
    assert.ok(less[`${view} json`], `${view} goes on`);

  const one: Fields = { ...f, answer: '', corrupted: '' };
  await tried('no corrupted prompt', type('corrupted', ''), one);
  await empty('patching', /needs the corrupted prompt/);
  await allDone();
  agree(await page.evaluate<Taken>('takeAll()'), one, 'one prompt');
});

test('an address whose map cannot be computed says why, and does not promise to compute it', async () => {
  const numbers = 'hash=0123456789abcdef&ends=10.1%2C-5.2&numbers=1.AAA';
  const at = new URLSearchParams({ format: '1', model: 'tiny', clean: JOHN.clean, corrupted: 'When John' });
  await page.evaluate(`location.hash = ${JSON.stringify(`${at}&answer=+Mary&wrong=+John&${numbers}`)}`);
  await page.locator('#agreement', { hasText: 'The clean prompt has 15 tokens' }).waitFor();
  assert.not.match(await page.innerText('#agreement'), /computing them/);
});

test('an answer that the clean run does not prefer, and a pair the wrong way round, are said beside the field', async () => {
  await page.evaluate(choose('#preset', '1'));
  await page.evaluate(choose('#preset', '0'));
  await page.fill('#answer', 'Mary');
  await page.locator('#answer-hint', { hasText: 'the model prefers ␣Mary (99.6%); Mary (<0.01%)' }).waitFor();
  assert.match(await page.innerText('#answer-hint'), /They differ in the blank/);
  await page.click('#answer-hint .fix');
  assert.is(await page.inputValue('#answer'), ' Mary');
  await page.locator('#answer-hint').waitFor({ state: 'hidden' });
  await page.fill('#clean', JOHN.corrupted);
  await page.fill('#corrupted', JOHN.clean);
  await page.locator('#pair-hint', { hasText: 'the clean run prefers the answer less' }).waitFor();
  await page.locator('#patching .premise', { hasText: 'on the full scale' }).waitFor();
  assert.is(await page.locator('#counterfactual .shift').count(), 0, 'no share of a way that is none');
  await page.click('#pair-hint .fix');
  assert.is(await page.inputValue('#clean'), JOHN.clean);
  await page.locator('#patching .premise').waitFor({ state: 'hidden' });
});

test('noise that takes nothing away is said, and its colours run from 0 to 1', async () => {
  await page.fill('#trace-subject', 'shops');
  await page.locator('#trace .premise', { hasText: 'there is (almost) no difference' }).waitFor();
  const ends = await page.locator('#trace .legend').first().locator('span').allInnerTexts();
  assert.equal(ends.slice(0, 2), ['0', '1']);
});

test('no error is left', () => {
  assert.equal(demo!.complaints, []);
});

uvu.run();
