/** One experiment over the checkpoints of a training: the numbers of each model alone, in the order of steps, stopped and resumed. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  actName,
  type Checkpoint,
  figure,
  HookedTransformer,
  overCheckpoints,
  type RecordStore,
  randomModel,
  saveModel,
} from '../../index.js';
import { throws } from '../helpers.js';

const SIZES = { nLayers: 1, nHeads: 2, dModel: 8, dHead: 4, nCtx: 8, dVocab: 11, attnOnly: true } as const;
const TOKENS = [[1, 5, 2, 7]];
const STEPS = [1000, 0, 64];
const home = mkdtempSync(path.join(os.tmpdir(), 'glassbox-steps-'));
const folders = STEPS.map((step) => path.join(home, `run7-step${step}`));
for (const [i, folder] of folders.entries()) {
  mkdirSync(folder);
  const model = await randomModel(SIZES, { seed: 20 + i, std: 1 });
  await saveModel(model, folder);
  model.dispose();
}
test.after(() => rmSync(home, { recursive: true }));

const lossOf = (model: HookedTransformer): Promise<number> => model.loss(TOKENS);

test('each checkpoint gives what it gives alone, in the order of the steps that folders name; one model at a time', async () => {
  const alone: number[] = [];
  const hashes: string[] = [];
  for (const i of [1, 2, 0]) {
    const model = await HookedTransformer.fromPretrained(folders[i]);
    alone.push(await lossOf(model));
    hashes.push(model.hash);
    model.dispose();
  }
  const seen: HookedTransformer[] = [];
  const told: string[] = [];
  const result = await overCheckpoints(
    folders,
    async (model, { step }) => {
      for (const before of seen) await throws(() => before.forward(TOKENS), /disposed/);
      seen.push(model);
      assert.type(step, 'number');
      return lossOf(model);
    },
    { name: 'loss', onProgress: (done, total) => told.push(`${done}/${total}`) },
  );
  assert.equal(result.axes, [{ name: 'step', labels: ['0', '64', '1000'] }]);
  assert.equal([...result.values], [...Float32Array.from(alone)]);
  assert.equal(result.meta.hashes, hashes);
  assert.equal(result.meta.checkpoints, [folders[1], folders[2], folders[0]]);
  assert.equal(told, ['1/3', '2/3', '3/3']);
  const svg = figure(result).svg('light');
  assert.match(svg, />step</);
  assert.match(svg, />loss</);
  assert.is(svg.match(/<circle/g)?.length, 3);
});

test('more numbers have axes, and steps are the last: a curve a series', async () => {
  const name = actName('z', 0);
  const result = await overCheckpoints(
    folders.slice(0, 2),
    async (model) => {
      const { cache, logits } = await model.runWithCache(TOKENS, { names: name });
      const z = await cache.get(name).slice({ batch: 0, pos: -1 }).data(); // [head, d_head]
      for (const held of [cache, logits]) held.dispose();
      return [z[0], z[4]];
    },
    { name: 'first of z', axes: [{ name: 'head', labels: ['H0', 'H1'] }] },
  );
  assert.equal(
    result.axes.map((a) => [a.name, ...a.labels]),
    [
      ['head', 'H0', 'H1'],
      ['step', '0', '1000'],
    ],
  );
  const model = await HookedTransformer.fromPretrained(folders[0]);
  const { cache, logits } = await model.runWithCache(TOKENS, { names: name });
  const z = await cache.get(name).slice({ batch: 0, pos: -1 }).data();
  assert.is(result.at({ head: 1, step: '1000' }), z[4]);
  for (const held of [cache, logits, model]) held.dispose();
  assert.match(figure(result).svg(), />H1</);
});

/** A record in memory that stops the run after some lines. */
function stopping(after: number, lines: string[]): RecordStore {
  return {
    read: async () => lines,
    append: async (more) => {
      if (lines.length >= after) throw new Error('stopped');
      lines.push(...more);
    },
  };
}

test('stopped, it goes on from the record without loading what is done, with the same bits; of another experiment it is refused', async () => {
  const whole = await overCheckpoints(folders, lossOf, { name: 'loss' });
  const lines: string[] = [];
  await throws(overCheckpoints(folders, lossOf, { name: 'loss', record: stopping(3, lines) }), /stopped/);
  let runs = 0;
  const counted = (model: HookedTransformer) => {
    runs++;
    return lossOf(model);
  };
  const resumed = await overCheckpoints(folders, counted, { name: 'loss', record: stopping(9, lines) });
  assert.is(runs, 1);
  assert.equal(resumed.values, whole.values);
  assert.equal(resumed.meta, whole.meta);
  const again = overCheckpoints(folders, lossOf, { name: 'another', record: stopping(9, lines) });
  await throws(again, /record is of another sweep/);
});

test('what is wrong is said with the checkpoint’s name', async () => {
  const one = { name: 'x' };
  await throws(overCheckpoints([], lossOf, one), /list of checkpoints is empty/);
  const missing = path.join(home, 'step3');
  await throws(overCheckpoints([folders[1], missing], lossOf, one), /checkpoint .*step3: /);
  const same: Checkpoint[] = [
    { source: folders[0], step: 5 },
    { source: folders[1], step: 5 },
  ];
  await throws(overCheckpoints(same, lossOf, one), /two checkpoints are of step 5/);
  let n = 0;
  const growing = () => Array(++n).fill(0);
  await throws(overCheckpoints(folders, growing, one), /checkpoint .*gives 2 numbers, one number/);
  const record = stopping(9, []);
  await throws(
    overCheckpoints(folders, () => [1, 2], { ...one, record }),
    /with a record, axes must be given/,
  );
  const failing = () => {
    throw new Error('no such head');
  };
  await throws(overCheckpoints(folders, failing, one), /checkpoint .*run7-step0: no such head/);
});

test.run();
