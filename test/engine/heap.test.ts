/** What is done again and again keeps nothing in the heap, and what was dropped is found. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { collectGarbage } from '../../engine/gpu/collector-node.js';
import { HookedTransformer } from '../../index.js';
import { twoLayers as config, randomGpt2 } from '../helpers.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
test.after(() => model.dispose());

/**
 * Bytes of the heap that each call keeps: the least of some rounds, as code is compiled and caches fill in
 * the first ones.
 */
async function kept(f: () => Promise<void>, times: number): Promise<number> {
  const measure = async () => {
    for (let i = 0; i < 3; i++) {
      collectGarbage();
      await new Promise((done) => setImmediate(done));
    }
    return process.memoryUsage().heapUsed;
  };
  let least = Infinity;
  for (let round = 0; round < 5; round++) {
    const before = await measure();
    for (let i = 0; i < times; i++) await f();
    least = Math.min(least, ((await measure()) - before) / times);
  }
  return least;
}

test('a read keeps nothing: less than 25 bytes', async () => {
  const t = model.tensor([1, 2, 3]);
  const each = await kept(async () => void (await t.data()), 1500);
  assert.ok(each < 25, `${each} bytes a read`);
  t.dispose();
});

test('a run without a read keeps nothing, whether or not the event loop turns', async () => {
  const forward = async () => (await model.forward([1, 2, 3, 4])).dispose();
  const each = await kept(forward, 200);
  assert.ok(each < 600, `${each} bytes a run`);
  const turning = await kept(async () => {
    await forward();
    await new Promise((done) => setImmediate(done));
  }, 200);
  assert.ok(turning < 600, `${turning} bytes a run and a turn`);
});

test('a run short of memory waits for what was dropped', async () => {
  const before = model.gpu.memory().bytes;
  const drop = () => void model.tensor(new Float32Array(2 ** 20)); // 4 MiB
  let most = 0;
  for (let i = 0; i < 40; i++) {
    drop();
    (await model.forward([1])).dispose();
    most = Math.max(most, model.gpu.memory().bytes - before);
  }
  assert.ok(most < 64 * 2 ** 20, `${most / 2 ** 20} MiB of 160 were held`);
});

test.run();
