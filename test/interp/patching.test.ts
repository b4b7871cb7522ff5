/** Activation patching gives what a loop of whole forward passes gives, number for number. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, logitDiff, type PatchSite, patch, type Tensor } from '../../index.js';
import { allClose, threeLayers as config, randomGpt2, rng } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const clean = rng(3).tokens(9, 101);
const corrupted = clean.map((t, i) => (i === 3 || i === 6 ? (t + 7) % 101 : t));
const metric = logitDiff(4, 9);

async function difference(logits: Tensor): Promise<number> {
  const last = logits.slice([0, -1]);
  const data = await last.data();
  last.dispose();
  logits.dispose();
  return data[4] - data[9];
}

const sites: PatchSite[] = ['resid_pre', 'resid_mid', 'resid_post', 'attn_out', 'mlp_out'];
for (const at of sites) {
  test(`patching ${at}: every cell is the whole forward pass with that one activation replaced`, async () => {
    const before = model.gpu.memory().bytes;
    const map = await patch(model, { clean, corrupted, at, metric });
    const { cache, logits } = await model.runWithCache(clean, { names: at });
    const high = await difference(logits);
    const low = await difference(await model.forward(corrupted));
    const expected = new Float32Array(3 * 9);
    for (let l = 0; l < 3; l++)
      for (let p = 0; p < 9; p++) {
        const replace = (t: Tensor): Tensor => {
          const value = cache.get(at, l).slice([0, p]);
          const out = t.set([0, p], value);
          value.dispose();
          return out;
        };
        const run = model.runWithHooks(corrupted, { hooks: [[`blocks.${l}.hook_${at}`, replace]] });
        expected[l * 9 + p] = ((await difference(await run)) - low) / (high - low);
      }
    cache.dispose();
    allClose(map.values, expected, { atol: 1e-5, rtol: 1e-5 });
    assert.equal(map.shape, [3, 9]);
    givenBack(model.gpu, before);
  });
}

test('the last position after the last block is all that the answer needs', async () => {
  const map = await patch(model, { clean, corrupted, at: 'resid_post', metric });
  const lastRow = [...map.values.slice(2 * 9)];
  allClose(lastRow, [0, 0, 0, 0, 0, 0, 0, 0, 1], { atol: 1e-5, rtol: 0 });
});

test('where the prompts are still the same, a patch changes nothing and nothing is run', async () => {
  const map = await patch(model, { clean, corrupted, metric });
  assert.is(map.meta.unchanged, 3);
  for (let l = 0; l < 3; l++) assert.equal([...map.values.slice(l * 9, l * 9 + 3)], [0, 0, 0]);
});

test('patching costs a fraction of the loop, and says which', async () => {
  const map = await patch(model, { clean, corrupted, metric });
  const work = map.meta.work as { tokenLayers: number; naiveTokenLayers: number };
  assert.is(work.naiveTokenLayers, 3 * 9 * 9 * 3);
  assert.is(work.tokenLayers, (6 + 5 + 4 + 3 + 2 + 1) * (3 + 2 + 1));
});

test('a patch sweep can be cancelled between layers', async () => {
  const stop = new AbortController();
  const before = model.gpu.memory().bytes;
  const run = patch(model, {
    clean,
    corrupted,
    metric,
    signal: stop.signal,
    onProgress: () => stop.abort(new Error('stop')),
  });
  await run.then(
    () => assert.unreachable(),
    (e) => assert.is(e.message, 'stop'),
  );
  givenBack(model.gpu, before);
});

test.run();
