/** Parts of a cache are what a run of those rows alone keeps; on the host and back it stays what it is. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type ActivationCache, HookedTransformer } from '../../index.js';
import { allClose, randomGpt2, throws, twoLayers } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 3));
test.after(() => model.dispose());
const rows = [
  [1, 2, 3],
  [4, 5, 6, 7],
  [8, 9, 1],
];

async function same(actual: ActivationCache, expected: ActivationCache): Promise<void> {
  assert.equal(actual.names(), expected.names());
  for (const [name, t] of expected) {
    const found = actual.get(name);
    assert.equal([found.shape, found.axes], [t.shape, t.axes], name);
    allClose(await found.data(), await t.data(), { atol: 1e-5, what: name });
  }
}

for (const list of [[0, 2], [2, 1], [1], { start: 1 }] as const)
  test(`rows ${JSON.stringify(list)} of a ragged batch, patterns and stacks too`, async () => {
    const { bytes } = model.gpu.memory();
    const { cache, logits } = await model.runWithCache(rows);
    const part = cache.rows(list);
    const which = 'start' in list ? [1, 2] : list;
    const own = await model.runWithCache(which.map((i) => rows[i]));
    await same(part, own.cache);
    const stacks = [part, own.cache].map((c) => c.decomposeResid(-1, { pos: -1, applyLn: 'frozen' }));
    allClose(await stacks[0].stack.data(), await stacks[1].stack.data(), { atol: 1e-5 });
    for (const held of [...stacks, own, part, cache, logits]) held.dispose();
    givenBack(model.gpu, bytes);
  });

test('one row without the batch axis: activations, stacks, and the axis again', async () => {
  const { cache, logits } = await model.runWithCache(rows);
  const row = cache.row(1);
  const bare = row.removeBatch();
  assert.equal(bare.get('z', 0).axes, ['pos', 'head', 'd_head']);
  assert.equal(bare.get('pattern', 0).shape, [2, 4, 4]);
  for (const [name, t] of row) allClose(await bare.get(name).data(), await t.data(), { atol: 0, what: name });
  const [a, b] = [bare, row].map((c) => c.stackHeadResults(-1, { applyLn: 'frozen' }));
  assert.equal(
    [a.stack.shape, b.stack.shape],
    [
      [4, 4, 24],
      [4, 1, 4, 24],
    ],
  );
  allClose(await a.stack.data(), await b.stack.data(), { atol: 0 });
  await same(bare.row(0), row);
  await throws(() => cache.removeBatch(), /has 3 rows: take one of them/);
  for (const held of [a, b, cache, logits]) held.dispose();
});

for (const input of [rows, [rows[0], rows[2]]])
  test(`a cache of rows of ${input.map((r) => r.length)} tokens on the host and back`, async () => {
    const { cache, logits } = await model.runWithCache(input);
    const host = await cache.toHost();
    const { data, shape } = host.get('resid_post', -1);
    assert.equal(shape, cache.get('resid_post', -1).shape);
    allClose(data, await cache.get('resid_post', -1).data(), { atol: 0 });
    const back = host.toGpu();
    await same(back, cache);
    await same(back.row(1), cache.row(1));
    await throws(() => host.get('q_input', 0), /not in this cache/);
    for (const held of [back, cache, logits]) held.dispose();
  });

test.run();
