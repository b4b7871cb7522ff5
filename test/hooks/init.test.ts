/** Random weights, and where a text stands among tokens. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, randomWeights } from '../../index.js';
import { parseConfig } from '../../weights/load/config.js';
import { allClose, throws } from '../helpers.js';

const config = parseConfig({ nLayers: 2, nHeads: 2, dModel: 64, nCtx: 32, dVocab: 50 });
const spread = ({ data }: { data: ArrayLike<number> }) => {
  const mean = Array.from(data).reduce((a, b) => a + b, 0) / data.length;
  return Math.sqrt(Array.from(data).reduce((a, x) => a + (x - mean) ** 2, 0) / data.length);
};

test('random weights have the spread asked for; what writes into the stream is smaller by √(2 · layers)', () => {
  const weights = randomWeights(config, { seed: 3, std: 0.1, embeddingStd: 0.5 });
  for (const [name, std] of [
    ['wte.weight', 0.5],
    ['wpe.weight', 0.1],
    ['h.1.attn.c_attn.weight', 0.1],
    ['h.1.mlp.c_fc.weight', 0.1],
    ['h.0.attn.c_proj.weight', 0.1 / 2],
    ['h.1.mlp.c_proj.weight', 0.1 / 2],
  ] as const)
    allClose([spread(weights[name])], [std], { rtol: 0.06, atol: 0, what: name });
  assert.is(randomWeights(config, { seed: 3 })['wpe.weight'].data.length, 32 * 64);
  allClose(
    [spread(randomWeights({ ...config, attnOnly: true }, { std: 0.1 })['h.0.attn.c_proj.weight'])],
    [0.1 / Math.SQRT2],
    { rtol: 0.06, atol: 0 },
  );
});

test('biases begin at 0 and gains at 1; the same seed gives the same bits, another seed others', () => {
  const [a, b, c] = [1, 1, 2].map((seed) => randomWeights(config, { seed }));
  assert.equal(a, b);
  assert.is.not(a['wte.weight'].data[0], c['wte.weight'].data[0]);
  for (const [name, { data }] of Object.entries(a)) {
    const values = new Set(data as Float32Array);
    if (name.endsWith('.bias')) assert.equal([...values], [0], name);
    if (/ln_\w+\.weight$/.test(name)) assert.equal([...values], [1], name);
  }
  assert.is('lm_head.weight' in a, false);
  assert.equal(randomWeights(config, { tied: false })['lm_head.weight'].shape, [50, 64]);
});

test('the position code is sines and cosines in turn, of the root mean square asked for', () => {
  const { data } = randomWeights(config, { std: 0.1, positions: 'sinusoidal' })['wpe.weight'];
  const angle = (pos: number, i: number) => pos / 10000 ** (i / 64);
  allClose(
    [data[0], data[1], data[5 * 64 + 6], data[5 * 64 + 7]],
    [0, 1, Math.sin(angle(5, 6)), Math.cos(angle(5, 6))].map((x) => 0.1 * Math.SQRT2 * x),
    { atol: 1e-7 },
  );
  allClose([Math.hypot(...(data as Float32Array)) / Math.sqrt(data.length)], [0.1], { rtol: 1e-4, atol: 0 });
});

test('tokenRange gives the tokens that hold a text, the first time it occurs', async () => {
  const model = await HookedTransformer.fromPretrained('tiny');
  const prompt = 'When John and Mary went to the shops, John gave the bag to';
  const [tokens] = model.toTokens(prompt);
  const words = (text: string) => {
    const [start, end] = model.tokenRange(text, tokens, prompt);
    return model.toStrTokens(tokens.slice(start, end)).join('');
  };
  assert.equal(model.tokenRange(' Mary', tokens), [4, 5]);
  assert.equal(model.tokenRange('John', tokens, prompt), [2, 3]);
  assert.is(words('John and Mary'), ' John and Mary');
  assert.is(words('the bag'), ' the bag');
  throws(() => model.tokenRange('Paul', tokens), /"Paul" does not occur/);
  throws(() => model.tokenRange('', tokens), /empty text/);
  model.dispose();
});

test.run();
