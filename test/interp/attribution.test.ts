/** Facts about attribution patching: where it is exact, what adds up, and what it says of itself. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  agreement,
  attentionAttribution,
  attributeHeads,
  attributionPatch,
  compareWithPatching,
  counterfactuals,
  figure,
  HookedTransformer,
  headPathAttribution,
  inputAttribution,
  kl,
  type Labelled,
  logitDiff,
  logProb,
  patch,
  patchHeads,
  pathPatchDirect,
  rank,
  scatterFigure,
  signedHeads,
  slices,
  tokenFigure,
} from '../../index.js';
import { labelled } from '../../interp/results/result.js';
import { allClose, threeLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const linearConfig = { ...config, attnOnly: true, normalization: 'none' } as const;
const linear = await HookedTransformer.fromWeights(linearConfig, randomGpt2(linearConfig, 6));
const clean = rng(3).tokens(7, 101);
const corrupted = clean.map((t, i) => (i === 3 || i === 5 ? (t + 7) % 101 : t));
const metric = logitDiff(4, 9);
const pair = { clean, corrupted, metric };
const last = config.nLayers - 1;
const exactly = { atol: 2e-4, rtol: 2e-4 };

/** The memory is back where it was. */
async function free<T>(of: HookedTransformer, run: () => Promise<T>): Promise<T> {
  const { bytes } = of.gpu.memory();
  const out = await run();
  givenBack(of.gpu, bytes);
  return out;
}

const sumOver = (map: Labelled, axis: number): number[] => {
  const parts = slices(map, axis);
  return [...parts[0].values].map((_, i) => parts.reduce((sum, part) => sum + part.values[i], 0));
};

for (const at of ['resid_post', 'attn_out', 'z', 'v', 'pattern']) {
  test(`an affine path: without layer norms, ${at} of the last layer is attributed exactly`, async () => {
    const where = { ...pair, at, only: { layer: last } };
    const attributed = await free(linear, () => attributionPatch(linear, where));
    const exact = await patch(linear, where);
    assert.equal(attributed.axes, exact.axes);
    allClose(attributed.values, exact.values, exactly);
  });
}

test('the last layer norm alone stands between the stream and the answer: with its scale frozen, attribution is exact', async () => {
  const at = `blocks.${last}.hook_resid_post`;
  const runs = await counterfactuals(
    model,
    { input: corrupted, sources: { clean } },
    [
      [
        { at, pos: -1, set: { from: 'clean' } },
        { at: 'ln_final.hook_scale', pos: -1, freeze: true },
      ],
    ],
    metric,
  );
  const attributed = await attributionPatch(model, {
    ...pair,
    at: 'resid_post',
    constant: ['scale'],
    only: { layer: last },
  });
  const { clean: high, corrupted: low } = attributed.meta as { clean: number; corrupted: number };
  allClose([attributed.values.at(-1)!], [(runs.values[0] - low) / (high - low)], exactly);
});

test('swapping the prompts, and with them whose gradients are taken, changes nothing', async () => {
  const there = await attributionPatch(model, { ...pair, at: 'mlp_out' });
  const back = await attributionPatch(model, {
    metric,
    clean: corrupted,
    corrupted: clean,
    at: 'mlp_out',
    gradientsOf: 'clean',
  });
  allClose(back.values, there.values, exactly);
  assert.is(there.meta.clean, back.meta.corrupted);
});

test('parts add up: heads to the attention layer, neurons to the MLP, positions to all of them', async () => {
  const attn = await attributionPatch(model, { ...pair, at: 'attn_out' });
  for (const at of ['z', 'result']) {
    const heads = await free(model, () =>
      attributionPatch(model, { ...pair, at, by: ['layer', 'head', 'pos'] }),
    );
    allClose(sumOver(heads, 1), attn.values, { ...exactly, what: at });
  }
  const byLayer = await attributionPatch(model, { ...pair, at: 'attn_out', by: ['layer'] });
  allClose(sumOver(attn, 1), byLayer.values, exactly);
  const dims = await attributionPatch(model, {
    ...pair,
    at: 'mlp_out',
    by: ['neuron', 'layer'],
    only: { pos: [3, -1] },
  });
  const some = await attributionPatch(model, { ...pair, at: 'mlp_out', only: { pos: [3, -1] } });
  assert.equal(dims.shape, [config.dModel, 3]);
  allClose(sumOver(dims, 0), sumOver(some, 1), exactly);
});

test('scores and patterns: the softmax between them passes small changes on', async () => {
  const by = ['layer', 'query'] as const;
  const close = { clean, corrupted: clean.map((t, i) => (i === 3 ? (t + 1) % 101 : t)), metric };
  const scores = await free(model, () => attributionPatch(model, { ...close, at: 'attn_scores', by }));
  assert.ok(scores.values.every(Number.isFinite));
  const held = await attributionPatch(model, { ...close, at: 'attn_scores', by, constant: ['pattern'] });
  allClose(held.values, Array(3 * 7).fill(0));
});

test('positions before the first difference have no part in it', async () => {
  const map = await attributionPatch(model, pair);
  assert.is(map.meta.unchanged, 3);
  for (const row of slices(map, 0)) assert.equal([...row.values.subarray(0, 3)], [0, 0, 0]);
  assert.equal(map.meta.passes, { forward: 2, backward: 1, replaced: 21 });
});

test('a number for each prompt: what each pair alone gives, and rows of other lengths do not matter', async () => {
  const more = { clean: rng(8).tokens(5, 101), corrupted: rng(9).tokens(5, 101) };
  const each = { metric: logitDiff(4, 9, { per: 'prompt' }), at: 'z', only: { pos: -1 } } as const;
  const both = await free(model, () =>
    attributionPatch(model, { ...each, clean: [clean, more.clean], corrupted: [corrupted, more.corrupted] }),
  );
  assert.equal(both.shape, [3, config.nHeads, 2]);
  for (const [i, one] of [pair, more].entries()) {
    const alone = await attributionPatch(model, { ...each, ...one, metric });
    allClose(slices(both, 2)[i].values, alone.values, exactly);
  }
});

test('a batch is the mean of its pairs', async () => {
  const more = { clean: rng(8).tokens(7, 101), corrupted: rng(9).tokens(7, 101) };
  const batch = { clean: [clean, more.clean], corrupted: [corrupted, more.corrupted] };
  const both = await attributeHeads(model, { ...batch, metric });
  const gap = ({ meta }: Labelled) => (meta.clean as number) - (meta.corrupted as number);
  const alone = [await attributeHeads(model, pair), await attributeHeads(model, { ...more, metric })];
  const total = alone[0].values.map((v, i) => (v * gap(alone[0]) + alone[1].values[i] * gap(alone[1])) / 2);
  allClose(
    both.values,
    total.map((v) => v / gap(both)),
    exactly,
  );
  const exact = await patchHeads(model, { ...batch, metric });
  assert.equal(both.axes, exact.axes);
  assert.is(agreement(both, exact).cells, both.values.length);
});

test('the top is verified exactly, and nothing else is run', async () => {
  const options = { ...pair, at: 'z', by: ['layer', 'head', 'pos'] } as const;
  const whole = await free(model, () => compareWithPatching(model, options));
  const top = await free(model, () => compareWithPatching(model, { ...options, verify: 4 }));
  assert.is(top.agreement.cells, 4);
  const { labels } = top.exact.axes[0];
  const sizes = [...whole.attributed.values].map(Math.abs);
  assert.is(Math.abs(top.checked.values[0]), Math.max(...sizes));
  const work = (r: Labelled) => (r.meta.work as { tokenLayers: number }).tokenLayers;
  assert.ok(work(top.exact) < work(whole.exact));
  for (const [i, value] of top.exact.values.entries()) {
    const at = whole.attributed.values.indexOf(top.checked.values[i]);
    allClose([value], [whole.exact.values[at]], exactly);
    assert.match(labels[i], /^L\d · H\d · \d:/);
  }
  const { worst } = whole.agreement;
  assert.ok(Math.abs(worst[0].attributed - worst[0].exact) >= Math.abs(worst[1].attributed - worst[1].exact));
  scatterFigure(whole.exact, whole.checked, { title: 'z' }).svg();
});

test('agreement: correlations, ranks, signs, and the worst misses by name', () => {
  const axes = [
    { name: 'layer', labels: ['L0', 'L1'] },
    { name: 'head', labels: ['H0', 'H1'] },
  ];
  const of = (...values: number[]) => labelled(Float32Array.from(values), axes, {});
  const cubes = agreement(of(-8, 0, 1, 27), of(-2, 0, 1, 3));
  assert.is(cubes.spearman, 1);
  assert.ok(cubes.pearson < 1);
  assert.is(cubes.signs, 1);
  assert.equal(
    cubes.worst.map((m) => m.name),
    ['L1H1', 'L0H0'],
  );
  assert.is(agreement(of(2, 0, 1, -3), of(-2, 0, -1, 3)).signs, 0);
  const tied = agreement(of(1, 1, 2, 2), of(5, 5, 7, 7));
  allClose([tied.spearman, tied.pearson], [1, 1]);
  throws(() => agreement(of(1, 2, 3, 4), labelled(new Float32Array(2), [axes[0]], {})), /same axes/);
});

test('paths into the values of the last layer are exact without layer norms', async () => {
  const paths = await free(linear, () =>
    headPathAttribution(linear, { ...pair, by: ['sender', 'receiver'] }),
  );
  const { labels } = paths.axes[1];
  for (const head of [0, 1]) {
    const exact = await pathPatchDirect(linear, {
      original: corrupted,
      new: clean,
      metric,
      sender: { layer: 0, head },
      to: 'v',
    });
    for (let h = 0; h < config.nHeads; h++) {
      const value = paths.values[head * labels.length + labels.indexOf(`L${last}H${h}.v`)];
      allClose([value], [exact.values[last * config.nHeads + h]], exactly);
    }
  }
  const some = await headPathAttribution(linear, {
    ...pair,
    senders: [{ layer: 1, head: 1 }],
    receivers: [{ layer: 2, head: 0, input: 'k' }],
  });
  assert.equal(some.shape, [1, 1, 7]);
  const column = (config.nHeads + 1) * labels.length + labels.indexOf('L2H0.k');
  allClose([sumOver(some, 2)[0]], [paths.values[column]], exactly);
});

test('attention attribution: without a second prompt in units of the metric; the strongest heads first', async () => {
  const normalised = await attentionAttribution(model, pair);
  const plain = await free(model, () => attentionAttribution(model, { clean, metric }));
  const gap = normalised.meta.gap as number;
  allClose(
    plain.values,
    normalised.values.map((v) => v * gap),
    exactly,
  );
  const heads = signedHeads(plain, { top: 5 });
  assert.equal(heads.shape, [5, 7, 7]);
  assert.is(Math.max(...heads.values), 1);
  const most = slices(heads, 0).map((part) => Math.max(...part.values));
  assert.equal(
    most,
    [...most].sort((a, b) => b - a),
  );
  assert.match(heads.axes[0].labels[0], /^L\dH\d[+-]$/);
  figure(heads).svg();
});

test('input attribution: against another prompt it is the attribution of what the first block reads', async () => {
  const map = await attributionPatch(model, { ...pair, only: { layer: 0 } });
  const gap = (map.meta.clean as number) - (map.meta.corrupted as number);
  const tokens = await free(model, () =>
    inputAttribution(model, corrupted, { metric, baseline: { prompt: clean } }),
  );
  allClose(
    tokens.values,
    map.values.map((v) => -gap * v),
    exactly,
  );
  const drawn = tokenFigure(tokens);
  assert.match(drawn.svg(), /<svg/);
  assert.match(drawn.section().figure, /class="strip"/);
  assert.is(
    drawn
      .lines()
      .join('\n')
      .match(/#\d+ \(/g)!.length,
    7,
  );
});

test('input attribution: zero and mean differ by what the mean embedding brings', async () => {
  const zero = await inputAttribution(model, [clean, corrupted], { metric });
  const centred = await free(model, () =>
    inputAttribution(model, [clean, corrupted], { metric, baseline: 'mean' }),
  );
  assert.equal(zero.shape, [2, 7]);
  const { cache, grads } = await model.runWithGrads([clean, corrupted], metric, { names: ['hook_embed'] });
  const g = await grads.get('hook_embed').data();
  cache.dispose();
  grads.dispose();
  const { data, shape } = model.weights.W_E;
  const mean = Array.from({ length: shape[1] }, (_, d) => {
    let sum = 0;
    for (let t = 0; t < shape[0]; t++) sum += data[t * shape[1] + d] / shape[0];
    return sum;
  });
  const brought = Array.from({ length: 14 }, (_, i) =>
    mean.reduce((s, m, d) => s + m * g[i * mean.length + d], 0),
  );
  allClose(
    zero.values.map((v, i) => v - centred.values[i]),
    brought,
    exactly,
  );
});

test('any metric that has a slope; what has none is told', async () => {
  const away = { clean, corrupted };
  for (const m of [logProb(4), kl('clean')]) {
    const map = await free(model, () => attributionPatch(model, { ...away, metric: m }));
    const exact = await patch(model, { ...away, metric: m });
    allClose(
      [map.meta.clean as number, map.meta.corrupted as number],
      [exact.meta.clean as number, exact.meta.corrupted as number],
    );
    assert.ok(map.values.some((v) => v !== 0));
  }
  const { bytes } = model.gpu.memory();
  await throws(attributionPatch(model, { ...away, metric: rank(4) }), /no gradient/);
  await throws(attributionPatch(model, { ...away, metric: kl('base') }), /least and has no slope/);
  await throws(
    attributionPatch(model, { ...away, metric, gradientsOf: 'both' as 'clean' }),
    /'corrupted' or 'clean'/,
  );
  await throws(attributionPatch(model, { ...away, metric: logitDiff(4, 4) }), /no difference to restore/);
  await throws(attributionPatch(model, { clean, corrupted: clean, metric }), /are the same/);
  await throws(attributionPatch(model, { ...pair, at: 'z', by: ['key'] }), /no axis "key"/);
  await throws(attributionPatch(model, { ...pair, signal: AbortSignal.abort(new Error('stop')) }), /stop/);
  givenBack(model.gpu, bytes);
});

test.run();
