/**
 * Attention patterns are those of the run; weighted by values, they are how much each token's value moves the
 * stream.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { attentionPatterns, HookedTransformer } from '../../index.js';
import { allClose, threeLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const prompt = rng(3).tokens(7, 101);
const { nLayers, nHeads, dHead, dModel } = config;
const n = prompt.length;

test('every query spreads an attention of 1 over itself and what comes before it', async () => {
  const before = model.gpu.memory().bytes;
  const { values, shape } = await attentionPatterns(model, prompt);
  assert.equal(shape, [nLayers, nHeads, n, n]);
  for (let row = 0; row < values.length; row += n) {
    const query = (row / n) % n;
    const keys = values.subarray(row, row + n);
    allClose([keys.reduce((a, b) => a + b, 0)], [1], { atol: 1e-5 });
    assert.ok(keys.subarray(query + 1).every((p) => p === 0));
  }
  givenBack(model.gpu, before);
});

test('weighted by values, a weight is the length of what the head writes from that token', async () => {
  const [l, h] = [1, 0];
  const plain = await attentionPatterns(model, prompt, { layers: [l] });
  const weighted = await attentionPatterns(model, prompt, { layers: [l], weight: 'value' });
  const { cache, logits } = await model.runWithCache(prompt, { names: 'v' });
  const v = await cache.get('v', l).data();
  const W_O = model.weights.W_O[l].data;
  const lengths = Array.from({ length: n }, (_, key) => {
    const at = (key * nHeads + h) * dHead;
    const written = Array.from({ length: dModel }, (_, d) => {
      let sum = 0;
      for (let i = 0; i < dHead; i++) sum += v[at + i] * W_O[(h * dHead + i) * dModel + d];
      return sum;
    });
    return Math.hypot(...written);
  });
  const from = h * n * n;
  allClose(
    weighted.values.subarray(from, from + n * n),
    [...plain.values.subarray(from, from + n * n)].map((p, i) => p * lengths[i % n]),
    { atol: 1e-6, rtol: 1e-5 },
  );
  cache.dispose();
  logits.dispose();
});

test('what is no layer, no weight, or several prompts is refused', async () => {
  await throws(() => attentionPatterns(model, prompt, { layers: [9] }), /layer 9: this model has layers 0–2/);
  await throws(() => attentionPatterns(model, prompt, { weight: 'norm' as 'value' }), /'pattern' or 'value'/);
  await throws(() => attentionPatterns(model, [prompt, prompt] as never), /one prompt, 2 were given/);
});

test.run();
