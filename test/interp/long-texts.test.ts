/** Long texts: blocks of queries give the same numbers as whole runs, chosen parts are those of the whole, and what does not fit says so. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attentionAttribution,
  attentionPatterns,
  detectHeads,
  headScores,
  type Labelled,
  logProb,
  randomModel,
  signedHeads,
} from '../../index.js';
import { allClose, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const settings = { nLayers: 2, nHeads: 4, dModel: 16, dHead: 4, dMlp: 24, nCtx: 160, dVocab: 40 };
const learned = await randomModel(settings, { seed: 1 });
const rotary = await randomModel(
  {
    ...settings,
    nKeyValueHeads: 2,
    positionEmbedding: 'rotary',
    rotary: { pairs: 'halves', dims: 4 },
    windows: [30, null],
  },
  { seed: 2 },
);
test.after(() => {
  learned.dispose();
  rotary.dispose();
});
const n = 150;
const tokens = rng(4).tokens(n, 40);
/** Blocks of 40 queries. */
const blockBytes = 4 * 4 * n * 40;
const metric = logProb(3);

/** A part of [layer, head, query, key] (behind prompts). */
function part(
  { values, shape }: Labelled,
  layers: number[],
  heads: number[],
  q: [number, number],
  k: [number, number],
) {
  const out: number[] = [];
  const [H, Q, K] = shape.slice(-3);
  for (const l of layers)
    for (const h of heads)
      for (let i = q[0]; i < q[1]; i++)
        for (let j = k[0]; j < k[1]; j++) out.push(values[((l * H + h) * Q + i) * K + j]);
  return out;
}

for (const [name, model] of [
  ['learned positions', learned],
  ['shared keys, rotary positions, a window', rotary],
] as const) {
  test(`${name}: patterns in blocks are those of the whole, weighted or not, and so is a part of them`, async () => {
    const before = model.gpu.memory().bytes;
    for (const weight of ['pattern', 'value'] as const) {
      const whole = await attentionPatterns(model, tokens, { weight });
      const blocks = await attentionPatterns(model, tokens, { weight, blockBytes });
      allClose(blocks.values, whole.values, { atol: 1e-6, rtol: 1e-5 });
      const chosen = { layers: [1], heads: [3, 1], queries: [-60, -3], keys: [50, 140] } as const;
      const some = await attentionPatterns(model, tokens, { weight, blockBytes, ...chosen });
      assert.equal(some.shape, [1, 2, 57, 90]);
      allClose(some.values, part(whole, [1], [3, 1], [90, 147], [50, 140]), { atol: 1e-6, rtol: 1e-5 });
      assert.is(some.axes[3].labels[0].split(':')[0], '50');
      assert.equal(some.axes[1].labels, ['H3', 'H1']);
    }
    givenBack(model.gpu, before);
  });

  test(`${name}: attention attribution in blocks is that of the whole`, async () => {
    const clean = [tokens, [...tokens].reverse()];
    const whole = await attentionAttribution(model, { clean, metric });
    const blocks = await attentionAttribution(model, { clean, metric, blockBytes });
    const largest = whole.values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    assert.ok(largest > 0);
    allClose(blocks.values, whole.values, { atol: 1e-5 * largest, rtol: 1e-5 });
    const some = await attentionAttribution(model, {
      clean: tokens,
      metric,
      layers: [1],
      heads: [2],
      queries: [-1, n],
    });
    const alone = await attentionAttribution(model, { clean: tokens, metric });
    allClose(some.values, part(alone, [1], [2], [149, 150], [0, n]), { atol: 1e-5 * largest, rtol: 1e-5 });
    assert.match(signedHeads(some, { top: 1 }).axes[0].labels[0], /^L1H2[+-]$/);
  });
}

test('scores of heads in blocks are those of the whole', async () => {
  const before = learned.gpu.memory().bytes;
  const whole = await headScores(learned, { on: tokens });
  allClose((await headScores(learned, { on: tokens, blockBytes })).values, whole.values, {
    atol: 1e-6,
    rtol: 1e-5,
  });
  for (const errorMeasure of ['mul', 'abs'] as const) {
    const options = { errorMeasure, excludeBos: true } as const;
    const detected = await detectHeads(learned, tokens, 'duplicate_token_head', options);
    const blocks = await detectHeads(learned, tokens, 'duplicate_token_head', { ...options, blockBytes });
    allClose(blocks.values, detected.values, { atol: 1e-6, rtol: 1e-5 });
  }
  givenBack(learned.gpu, before);
});

test('blocks take less memory, at most so much as is said', async () => {
  const peakOf = async (options: object) => {
    const end = learned.gpu.watchPeak();
    const held = learned.gpu.memory().bytes;
    await attentionPatterns(learned, tokens, { layers: [1], heads: [0], queries: [140, 150], ...options });
    return end() - held;
  };
  await peakOf({});
  const [whole, blocks] = [await peakOf({}), await peakOf({ blockBytes })];
  const store = 2 * 2 * 16 * n * 4;
  assert.ok(blocks < store + 8 * blockBytes + 2 ** 20, `${blocks}`);
  assert.ok(blocks < whole, `${blocks} of ${whole}`);
});

test('edited models in blocks: data at positions of the whole text; functions see whole rows', async () => {
  const edited = learned.with({
    interventions: [
      { at: 'pattern', layer: 0, head: 1, pos: 100, zero: true },
      { at: 'resid_pre', layer: 1, pos: -1, zero: true },
    ],
  });
  const whole = await attentionPatterns(edited, tokens);
  const blocks = await attentionPatterns(edited, tokens, { blockBytes });
  allClose(blocks.values, whole.values, { atol: 1e-6, rtol: 1e-5 });
  const called = learned.with({ hooks: [['blocks.0.hook_resid_pre', (x) => x.mul(x.shape[1] / 100)]] });
  const own = await attentionPatterns(called, tokens, { layers: [1] });
  allClose((await attentionPatterns(called, tokens, { layers: [1], blockBytes })).values, own.values);
});

test('what does not fit says how much it needs, and what would fit', async () => {
  const maxBytes = 500_000;
  await throws(
    attentionPatterns(learned, tokens, { maxBytes }),
    /2 layers × 4 heads × 150 queries × 150 keys need 720000 bytes, and maxBytes is 500000 bytes: choose layers, heads, queries or keys; queries: \[46, 150\] would fit/,
  );
  await attentionPatterns(learned, tokens, { maxBytes, queries: [46, 150] });
  await throws(
    attentionPatterns(learned, tokens, { maxBytes: 1000 }),
    /layers: \[0\], heads: \[0\], queries: \[149, 150\] is the least/,
  );
  await throws(
    attentionAttribution(learned, { clean: tokens, metric, maxBytes }),
    /attentionAttribution: 2 layers.* would fit/,
  );
  await throws(
    attentionPatterns(learned, tokens, { queries: [5, 5] }),
    /queries \[5,5\]: the prompt has 150 positions/,
  );
  await throws(attentionPatterns(learned, tokens, { heads: [4] }), /head 4: this model has heads 0–3/);
});

test('captures that do not fit are refused before they run', async () => {
  const dispatches = learned.gpu.stats.dispatches;
  await throws(
    learned.runWithCache(tokens, { maxBytes: 1e6 }),
    /runWithCache: \d+ hook points at 150 positions need \d\.\d MiB, and maxBytes is 1\.0 MiB: give names .*; without patterns and scores it is 0\.\d MiB/,
  );
  await throws(
    learned.runWithResidual(tokens, { names: 'pattern', maxBytes: 1e5, pos: [0, 100] }),
    /2 hook points at 100 positions/,
  );
  assert.is(learned.gpu.stats.dispatches, dispatches);
  const { cache, logits } = await learned.runWithCache(tokens, { names: 'pattern', maxBytes: 1e5, pos: -1 });
  cache.dispose();
  logits.dispose();
});

test.run();
