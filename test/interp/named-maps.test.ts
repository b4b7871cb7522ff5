/** The maps that bear the names of TransformerLens' functions: each is a part, a sum or a stack of others. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attributeBlocks,
  attributeHeadOutputs,
  attributeHeadPatterns,
  attributeHeads,
  attributeHeadVectors,
  attributeLayerOutputs,
  attributionPatch,
  HookedTransformer,
  type Labelled,
  logitDiff,
  patch,
  patchBlocks,
  patchHeadsByPos,
  slices,
} from '../../index.js';
import { allClose, threeLayers as config, randomGpt2, rng } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
test.after(() => model.dispose());
const { nLayers, nHeads } = config;
const clean = rng(3).tokens(7, 101);
const corrupted = clean.map((t, i) => (i === 3 || i === 5 ? (t + 7) % 101 : t));
const metric = logitDiff(4, 9);
const pair = { clean, corrupted, metric };
const close = { atol: 2e-5, rtol: 1e-4 };
const rowsOf = (map: Labelled) =>
  new Map(slices(map, 0).map((row, i) => [map.axes[0].labels[i], [...row.values]]));
const plus = (...all: ArrayLike<number>[]) => Array.from(all[0], (_, i) => all.reduce((s, a) => s + a[i], 0));

test('what heads write adds up to what their layers write, by position', async () => {
  const { bytes } = model.gpu.memory();
  const heads = rowsOf(await attributeHeadOutputs(model, pair));
  const layers = rowsOf(await attributeLayerOutputs(model, pair));
  givenBack(model.gpu, bytes);
  assert.is(heads.size, nLayers * nHeads);
  assert.equal([...layers.keys()].slice(0, 4), ['embed', 'pos_embed', '0_attn_out', '0_mlp_out']);
  for (let l = 0; l < nLayers; l++) {
    const sum = plus(...Array.from({ length: nHeads }, (_, h) => heads.get(`L${l}H${h}`)!));
    assert.ok(Math.max(...sum.map(Math.abs)) > 0.01, 'there is something to compare');
    allClose(sum, layers.get(`${l}_attn_out`)!, { ...close, what: `layer ${l}` });
  }
});

test('blocks: the stream before each is what the embeddings and all blocks before it have written, weighted alike', async () => {
  const blocks = await attributeBlocks(model, pair);
  assert.equal(blocks.axes[0].labels, ['resid_pre', 'attn_out', 'mlp_out']);
  assert.equal(blocks.shape, [3, nLayers, 7]);
  for (const [i, at] of ['resid_pre', 'attn_out', 'mlp_out'].entries()) {
    const alone = await attributionPatch(model, { ...pair, at });
    allClose(slices(blocks, 0)[i].values, alone.values, { ...close, what: at });
  }
  // Both prompts have the same positions: what differs of the first stream is what the tokens' embedding
  // brings.
  const outputs = rowsOf(await attributeLayerOutputs(model, pair));
  allClose(slices(slices(blocks, 0)[0], 0)[0].values, outputs.get('embed')!, close);
  allClose(outputs.get('pos_embed')!, Array(7).fill(0), { atol: 0, rtol: 0 });
});

test('vectors and patterns of heads, summed over positions, are what `attributeHeads` says of each', async () => {
  const heads = rowsOf(await attributeHeads(model, pair));
  const vectors = await attributeHeadVectors(model, pair);
  assert.equal(vectors.axes[0].labels, ['k', 'q', 'v', 'z']);
  for (const [x, vector] of slices(vectors, 0).entries())
    allClose(
      slices(vector, 0).map((head) => plus(...Array.from(head.values, (v) => [v]))[0]),
      heads.get(vectors.axes[0].labels[x])!,
      { ...close, what: vectors.axes[0].labels[x] },
    );
  const patterns = await attributeHeadPatterns(model, pair);
  assert.equal(patterns.shape, [nLayers * nHeads, 7, 7]);
  allClose(
    slices(patterns, 0).map((head) => head.values.reduce((a, b) => a + b, 0)),
    heads.get('pattern')!,
    close,
  );
  for (const head of slices(patterns, 0))
    for (let query = 0; query < 7; query++)
      assert.equal([...head.values.slice(7 * query + query + 1, 7 * query + 7)], Array(6 - query).fill(0));
});

test('scores: the difference of two runs times what the softmax makes of the gradient of the pattern', async () => {
  const at = 'attn_scores';
  const found = await attributionPatch(model, { ...pair, at, by: ['layer', 'head', 'query', 'key'] });
  const { cache: one, logits } = await model.runWithCache(clean, { names: [at] });
  const { cache: other, grads } = await model.runWithGrads(corrupted, metric, { names: [at, 'pattern'] });
  const { clean: high, corrupted: low } = found.meta as { clean: number; corrupted: number };
  const expected: number[] = [];
  for (let l = 0; l < nLayers; l++) {
    const [a, b, p, g] = await Promise.all(
      [one.get(at, l), other.get(at, l), other.get('pattern', l), grads.get('pattern', l)].map((t) =>
        t.data(),
      ),
    );
    for (let row = 0; row < nHeads * 7; row++) {
      let mean = 0;
      for (let key = 0; key < 7; key++) mean += p[7 * row + key] * g[7 * row + key];
      for (let key = 0; key < 7; key++) {
        const i = 7 * row + key;
        expected.push(key > row % 7 ? 0 : ((a[i] - b[i]) * p[i] * (g[i] - mean)) / (high - low));
      }
    }
  }
  for (const held of [one, other, grads, logits]) held.dispose();
  const largest = Math.max(...expected.map(Math.abs));
  assert.ok(largest > 1e-3);
  allClose(found.values, expected, { atol: 1e-5 * largest, rtol: 1e-4 });
  const layers = await attributionPatch(model, { ...pair, at, by: ['layer'] });
  const size = nHeads * 7 * 7;
  allClose(
    layers.values,
    Array.from({ length: nLayers }, (_, l) =>
      expected.slice(l * size, (l + 1) * size).reduce((x, y) => x + y, 0),
    ),
    close,
  );
});

test('patchBlocks is three maps of patch, patchHeadsByPos five', async () => {
  const blocks = await patchBlocks(model, pair);
  const by = ['layer', 'pos', 'head'] as const;
  const heads = await patchHeadsByPos(model, pair);
  assert.equal(blocks.shape, [3, nLayers, 7]);
  assert.equal(heads.shape, [5, nLayers, 7, nHeads]);
  for (const map of [blocks, heads])
    for (const [i, at] of map.axes[0].labels.entries()) {
      const axes = map === blocks ? undefined : at === 'pattern' ? (['layer', 'query', 'head'] as const) : by;
      const alone = await patch(model, { ...pair, at, by: axes });
      assert.ok(Math.max(...alone.values.map(Math.abs)) > 1e-3);
      allClose(slices(map, 0)[i].values, alone.values, { ...close, what: at });
    }
  assert.equal(blocks.axes[0].labels, ['resid_pre', 'attn_out', 'mlp_out']);
  assert.equal(heads.axes[0].labels, ['z', 'q', 'k', 'v', 'pattern']);
});

test.run();
