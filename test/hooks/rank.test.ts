/** The order of a sweep is the reader's business; its numbers are not. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, logitDiff, patch } from '../../index.js';
import { allClose } from '../helpers.js';

const pair = {
  clean: 'When John and Mary went to the shops, John gave the bag to',
  corrupted: 'When John and Mary went to the shops, Mary gave the bag to',
  metric: logitDiff(' Mary', ' John'),
};

test('counterfactuals come in the order of their ranks, which may change on the way, and give the same', async () => {
  const model = await HookedTransformer.fromPretrained('tiny');
  const usual = await patch(model, pair);
  let wanted = 44; // L2, the last token
  const seen: number[] = [];
  const sweep = patch(model, { ...pair, maxTokens: 1, rank: (index) => Math.abs(index - wanted) });
  for await (const { index, at } of sweep) {
    if (at[1] < 10) continue; // nothing to run there: they come first
    seen.push(index);
    if (seen.length === 3) wanted = 10;
  }
  assert.equal(seen.slice(0, 3), [44, 43, 42]);
  assert.ok(seen.indexOf(10) <= 5, `turned to 10: ${seen}`);
  const all = Array.from({ length: 20 }, (_, i) => 15 * Math.floor(i / 5) + 10 + (i % 5)); // 4 layers, 5 positions
  assert.equal(
    [...seen].sort((a, b) => a - b),
    all,
  );
  assert.is(new Set(seen).size, 20);
  allClose((await sweep).values, usual.values, { atol: 1e-5, rtol: 0 });
  model.dispose();
});

test.run();
