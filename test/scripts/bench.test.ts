/**
 * The benchmark, at a size where it takes a second: every part of it measures something, and wrong results
 * are errors.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Gpu } from '../../engine/gpu/gpu.js';
import { SMALL } from '../../scripts/bench/model.js';
import { contest, type Peer } from '../../scripts/bench/peers/peer.js';
import { ourProduct, type ProductCandidate } from '../../scripts/bench/products.js';
import { type Report, tablesOf, tableText } from '../../scripts/bench/report.js';
import { Bench, type Entry } from '../../scripts/bench/section.js';
import { sections } from '../../scripts/bench/sections.js';
import { throws } from '../helpers.js';
import { hasTiny } from './seed.js';

const gpu = await Gpu.open();
const size = { ...SMALL, name: 'little', nLayers: 2, dModel: 32, nHeads: 2, dMlp: 64, dVocab: 503, nCtx: 64 };

const settings = {
  gpu,
  size,
  tokens: [1, 15],
  rounds: 1,
  minMs: 0,
  budgetMs: 1000,
  clock: 'wall' as const,
  peers: [] as Peer[],
  quick: true,
};

const needsTiny = hasTiny ? test : test.skip;

needsTiny('every section fills a table, and gives its memory back', async () => {
  const bench = new Bench(settings);
  await bench.model();
  const before = gpu.memory();
  const entries: Entry[] = [];
  for (const section of sections) {
    for await (const entry of section.run(bench)) entries.push(entry);
    assert.ok(gpu.memory().buffers <= before.buffers, section.id);
  }
  for (const { section, name, figures } of entries)
    for (const [key, value] of Object.entries(figures))
      assert.ok(Number.isFinite(value), `${section}, ${name}: ${key} is ${value}`);
  const about = { adapter: gpu.adapter.text, date: '', platform: '', clock: 'wall', rounds: 1, peers: [] };
  const report = JSON.parse(JSON.stringify({ ...about, entries })) as Report;
  const tables = tablesOf(report);
  assert.equal(
    tables.map((t) => t.id),
    sections.map((s) => s.id),
  );
  for (const table of tables) assert.ok(tableText(table).includes(table.rows[0][0]));
  const [pass] = entries.filter((e) => e.section === 'forward');
  assert.is(pass.figures.submits, 1);
  assert.is(pass.figures.bindGroups, 0, 'a repeated forward pass makes no bind groups');
  await bench.dispose();
});

const shape = { rows: 3, inner: 8, cols: 12, unembed: false };
const peer = (id: string, product: Peer['product']): Peer => ({
  id,
  name: id,
  version: '1',
  product,
  forward: () => Promise.reject(new Error('not asked')),
});

test('a peer that computes something else is an error, one that cannot is reported', async () => {
  const ours = ourProduct(gpu, shape);
  const changed: ProductCandidate = {
    ...ourProduct(gpu, shape),
    result: async () => (await ours.result()).map((x, i) => (i === 17 ? x + 0.01 : x)),
  };
  const same = peer('same', async (s) => ourProduct(gpu, s));
  const unable = peer('unable', () => Promise.reject(new Error('too large')));
  const run = (peers: Peer[]) => contest('products', ours, peers, (p) => p.product(shape), 1e-4);
  const { candidates, failures, dispose } = await run([unable, same]);
  assert.equal(
    candidates.map((c) => c.peer.id),
    ['same'],
  );
  assert.equal(failures, { unable: 'too large' });
  dispose();
  await throws(run([peer('wrong', async () => changed)]), /products: Glassbox gives .* and wrong .* at 17/);
  ours.dispose();
});

test.run();
