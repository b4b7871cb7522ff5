/** A sweep that is recorded can be cut off and goes on; shards of it, put together, are the whole. */

import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readRecord } from '../../hooks/sweep/record/record.js';
import {
  type Counterfactual,
  counterfactuals,
  custom,
  HookedTransformer,
  jsonLines,
  logitDiff,
  mergeRecords,
  patch,
  type RecordStore,
  recordResult,
} from '../../index.js';
import { allClose, randomGpt2, rng, throws, twoLayers } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 3));
const clean = [rng(1).tokens(6, 101), rng(2).tokens(6, 101)];
const corrupted = clean.map((t) => t.map((x, p) => (p === 2 ? (x + 1) % 101 : x)));
const base = { input: corrupted, sources: { clean } };
const metric = logitDiff(4, 9, { per: 'prompt' });
const list: Counterfactual[] = [0, 1].flatMap((layer) =>
  corrupted[0].map((_, pos): Counterfactual => [{ at: 'resid_pre', layer, pos, set: { from: 'clean' } }]),
);
const whole = await counterfactuals(model, base, list, metric);

const folder = await mkdtemp(join(tmpdir(), 'glassbox-record-'));
test.after(() => {
  model.dispose();
  return rm(folder, { recursive: true });
});
let files = 0;
const newPath = () => join(folder, `${files++}.jsonl`);

/** A record in memory. */
function memory(lines: string[] = []): RecordStore & { lines: string[] } {
  return {
    lines,
    read: async () => lines,
    append: async (more) => void lines.push(...more),
  };
}

/** Other batches of the same cells may take another kernel. */
const same = (a: Float32Array, b: Float32Array, what?: string) =>
  allClose(a, b, { atol: 1e-6, rtol: 1e-6, what });

/** Dispatches of a run. */
async function work(run: () => Promise<unknown>): Promise<number> {
  const before = model.gpu.stats.dispatches;
  await run();
  return model.gpu.stats.dispatches - before;
}

test('a record holds every cell, those that cannot change too', async () => {
  const record = memory();
  await counterfactuals(model, base, list, metric, { record });
  const { header, cells, runs } = readRecord(record.lines);
  assert.is(header!.cells, list.length);
  assert.equal(
    [...cells.keys()].sort((a, b) => a - b),
    [...list.keys()],
  );
  assert.equal(runs!.base, whole.meta.base);
  for (const [i, value] of cells) assert.equal(value, [...whole.values.slice(2 * i, 2 * i + 2)], `cell ${i}`);
});

test('a finished record is the result, without running a cell', async () => {
  const path = newPath();
  await counterfactuals(model, base, list, metric, { record: jsonLines(path) });
  const runs = await work(() => counterfactuals(model, base, [[]], metric)); // the base and the sources
  let calls = 0;
  const again = counterfactuals(model, base, list, metric, {
    record: jsonLines(path),
    onProgress: () => calls++,
  });
  const dispatches = await work(() => again);
  assert.equal((await again).values, whole.values);
  assert.is(calls, 0);
  assert.is(dispatches, runs);
  const lines = await jsonLines(path).read();
  assert.is(lines.length, 2 + list.length, 'nothing is written twice');
  const merged = recordResult(mergeRecords([{ name: path, lines }]));
  assert.equal(merged.values, whole.values);
  assert.equal(merged.axes, whole.axes);
});

test('cut off anywhere, also in the middle of a line, a sweep goes on and is the same', async () => {
  const path = newPath();
  await counterfactuals(model, base, list, metric, { record: jsonLines(path), maxTokens: 6 });
  const text = await readFile(path, 'utf8');
  const ends = [...text.matchAll(/\n/g)].map((m) => m.index);
  const cuts = [
    0,
    1,
    12,
    ends[0] - 5,
    ends[0],
    ends[0] + 1,
    ends[1] - 1,
    ends[3] + 4,
    ends[5] + 1,
    text.length - 2,
  ];
  for (const cut of cuts) {
    await writeFile(path, text.slice(0, cut));
    const has = ends.filter((e, i) => i > 1 && e < cut).length;
    const result = await counterfactuals(model, base, list, metric, { record: jsonLines(path) });
    same(result.values, whole.values, `cut at ${cut}`);
    const { cells } = readRecord(await jsonLines(path).read());
    assert.is(cells.size, list.length);
    const written = (await readFile(path, 'utf8')).match(/^\{"index"/gm)!.length;
    const torn = text.slice(0, cut).split('\n').at(-1)!.startsWith('{"index"') ? 1 : 0;
    assert.is(written - torn, list.length, `cut at ${cut}: the ${has} cells that were there ran again`);
    const once = await counterfactuals(model, base, list, metric, { record: jsonLines(path) });
    assert.equal(once.values, result.values);
  }
});

test('a map resumed from its record has the same cells', async () => {
  const record = memory();
  const options = { clean, corrupted, metric: logitDiff(4, 9), record, maxTokens: 5 };
  const seen: number[] = [];
  for await (const { index } of patch(model, options)) {
    seen.push(index);
    if (seen.length === 6) break;
  }
  const had = readRecord(record.lines).cells.size;
  assert.ok(had >= 6 && had < 12);
  const rest = await patch(model, options);
  same(rest.values, (await patch(model, { ...options, record: undefined })).values);
  assert.is(readRecord(record.lines).cells.size, 12);
  assert.equal(recordResult(mergeRecords([{ name: 'a', lines: record.lines }])).values, rest.values);
});

test('shards, put together in any order, are the whole', async () => {
  const n = 3;
  const records = Array.from({ length: n }, () => memory());
  let cells = 0;
  for (const [index, record] of records.entries()) {
    const part = await counterfactuals(model, base, list, metric, { record, shard: { index, of: n } });
    for (const i of list.keys()) {
      const given = !Number.isNaN(part.values[2 * i]);
      assert.is(given, i % n === index, `cell ${i} of shard ${index}`);
      if (given) cells++;
    }
  }
  assert.is(cells, list.length);
  const named = records.map(({ lines }, i) => ({ name: `shard-${i}`, lines }));
  for (const order of [named, [...named].reverse(), [...named, named[1]]]) {
    const merged = recordResult(mergeRecords(order));
    same(merged.values, whole.values);
    assert.equal(merged.axes, whole.axes);
    assert.equal(merged.meta.unchanged, whole.meta.unchanged);
  }
  await throws(() => mergeRecords(named.slice(1)), /4 of 12 cells are missing \(the first is 0\): a shard/);
  await throws(() => mergeRecords([]), /no records were given/);
  await throws(() => mergeRecords([named[0], { name: 'empty', lines: [] }]), /^empty: it is empty/);
  const other = memory();
  await counterfactuals(model, base, list.slice(1), metric, { record: other });
  const foreign = { name: 'foreign', lines: other.lines };
  await throws(() => mergeRecords([...named, foreign]), /foreign: of another sweep than shard-0/);
});

const changes: [what: string, run: (record: RecordStore) => Promise<unknown>][] = [
  ['prompt', (record) => counterfactuals(model, { ...base, input: clean }, list, metric, { record })],
  [
    'clean prompt',
    (record) => counterfactuals(model, { ...base, sources: { clean: corrupted } }, list, metric, { record }),
  ],
  [
    'base run',
    (record) =>
      counterfactuals(model, { ...base, interventions: [{ at: 'hook_embed', scale: 2 }] }, list, metric, {
        record,
      }),
  ],
  ['list', (record) => counterfactuals(model, base, [...list].reverse(), metric, { record })],
  [
    'value',
    (record) =>
      counterfactuals(model, base, [[{ at: 'hook_embed', set: 1 }], ...list.slice(1)], metric, { record }),
  ],
  ['metric', (record) => counterfactuals(model, base, list, logitDiff(4, 8), { record })],
];
for (const [what, run] of changes)
  test(`the record of a sweep with another ${what} is refused, and stays as it is`, async () => {
    const record = memory();
    await counterfactuals(model, base, list, metric, { record });
    const before = record.lines.join('\n');
    const held = model.gpu.memory().bytes;
    await throws(() => run(record), /record is of another sweep/);
    assert.is(record.lines.join('\n'), before);
    givenBack(model.gpu, held);
  });

test('metrics of one name that give other numbers do not share a record', async () => {
  const record = memory();
  const third = (k: number) => custom('mine', (logits) => logits.slice([null, k]));
  await counterfactuals(model, base, list, third(3), { record });
  await throws(() => counterfactuals(model, base, list, third(4), { record }), /of another sweep/);
});

test('a model with other weights does not share a record', async () => {
  const record = memory();
  await counterfactuals(model, base, list, metric, { record });
  const other = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 4));
  await throws(() => counterfactuals(other, base, list, metric, { record }), /record is of another sweep/);
  other.dispose();
});

test('metrics that are infinite or no number are refused, and nothing of them is recorded', async () => {
  for (const value of [Number.NEGATIVE_INFINITY, Number.NaN]) {
    const odd = custom('odd', (_, reads) => reads.map(() => value), { per: 'prompt' });
    const record = memory();
    await throws(
      counterfactuals(model, base, list, odd, { record }),
      /run "base", prompt 0, position \d+: the metric is (not a number \(NaN\)|-Infinity)/,
    );
    assert.is(record.lines.length, 1); // its header
  }
});

test('what is no record is refused before any work', async () => {
  const dispatches = model.gpu.stats.dispatches;
  const run = (record: RecordStore) => counterfactuals(model, base, list, metric, { record });
  const header = '{"glassbox":"sweep","fingerprint":"x","cells":12,"about":{}}';
  await throws(run(memory(['{"a":1}'])), /record: not the record of a sweep: its first line is "{"a":1}"/);
  await throws(run(memory(['hello'])), /record, line 1: no line of a record: "hello"/);
  await throws(run(memory(['7'])), /line 1: no line of a record/);
  await throws(run(memory([header])), /record is of another sweep.*give it another file/);
  await throws(run(memory([header, 'x', '{}'])), /line 2: no line of a record/);
  await throws(run(memory([header, '{"index":12,"value":[1]}'])), /line 2: no cell of a sweep with 12/);
  await throws(run(memory([header, header.replace('"x"', '"y"')])), /line 2: another sweep begins here/);
  await throws(run(jsonLines(folder)), /is a folder; name a file in it/);
  await throws(run(jsonLines(join(folder, 'no', 'a.jsonl'))), /there is no folder .*no; make it first/);
  const text = newPath();
  await writeFile(text, 'my notes');
  await throws(run(jsonLines(text)), /no line of a record: "my notes"/);
  assert.is(await readFile(text, 'utf8'), 'my notes');
  assert.is(model.gpu.stats.dispatches, dispatches);
});

test('a file of JSON lines takes up after a line that was cut', async () => {
  const path = newPath();
  const file = jsonLines(path);
  assert.equal(await file.read(), []);
  await file.append([]);
  await file.append(['1', '2']);
  await appendFile(path, '{"index":');
  await file.append(['3']);
  assert.is(await readFile(path, 'utf8'), '1\n2\n{"index":\n3\n');
  assert.equal(await file.read(), ['1', '2', '{"index":', '3']);
});

test('what a record says twice must agree, and every cell has as many values', async () => {
  const head = (cells: number) =>
    JSON.stringify({ glassbox: 'sweep', format: 1, fingerprint: 'f', cells, about: {} });
  const runs = (base: number) => JSON.stringify({ runs: { base: [base], sources: {} } });
  const cell = (index: number, ...value: number[]) => JSON.stringify({ index, value });
  const lines = [head(2), runs(0.5), cell(0, 1), cell(1, 2)];
  assert.equal(
    [...readRecord([...lines, ...lines]).cells],
    [
      [0, [1]],
      [1, [2]],
    ],
  );
  await throws(
    () => readRecord([...lines, runs(0.9)], 'a'),
    /^a, line 5: .*the metric of the base run is 0\.9 and 0\.5/,
  );
  await throws(() => readRecord([...lines, head(3)], 'a'), /^a, line 5: another sweep begins here/);
  await throws(
    () => readRecord([...lines.slice(0, 3), cell(1, 2, 3)], 'a'),
    /^a, line 4: cell 1 has 2 values, and others have 1/,
  );
  const twice = '{"index":1,"value":[2],"value":[3]}';
  await throws(() => readRecord([...lines.slice(0, 3), twice], 'a'), /^a, line 4: a key is there twice/);
  await throws(() => readRecord([head(2), '{"runs":null}'], 'a'), /^a, line 2: no sources/);
});

test.run();
