/** A logit is a sum over the parts of the model, and nothing is missing from it. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { directLogitAttribution, HookedTransformer } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, threeLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const raw = await HookedTransformer.fromWeights(config, randomGpt2(config, 5), noProcessing);
const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const { tokens } = rng(3);
const prompts = [5, 8, 5].map((n) => tokens(n, config.dVocab));
const tight = { atol: 1e-4, rtol: 0 };

test('processing moves biases to other rows, and changes no other part of a difference of logits', async () => {
  const [a, b] = await Promise.all(
    [raw, model].map((m) => directLogitAttribution(m, prompts[0], { tokens: [5, 9] })),
  );
  assert.equal(a.axes[0].labels.slice(-3), ['2_mlp_out', 'ln_final.b', 'b_U']);
  assert.equal(b.axes[0].labels.slice(-2), ['2_mlp_out', 'b_U']);
  allClose(a.values.subarray(0, 8), b.values.subarray(0, 8), tight);
  allClose([a.meta.logit as number], [b.meta.logit as number], tight);
});

test('of several prompts, each with its answers, there is the mean or each', async () => {
  const answers = [
    [3, 4, 5],
    [6, 7, 8],
  ] as const;
  const each = await directLogitAttribution(model, prompts, { tokens: answers, per: 'prompt' });
  const mean = await directLogitAttribution(model, prompts, { tokens: answers });
  assert.equal(
    each.axes.map((a) => a.name),
    ['component', 'prompt'],
  );
  assert.equal(mean.shape, [9]);
  for (const [i, prompt] of prompts.entries()) {
    const alone = await directLogitAttribution(model, prompt, { tokens: [answers[0][i], answers[1][i]] });
    allClose(
      each.values.filter((_, k) => k % 3 === i),
      alone.values,
      { atol: 1e-5 },
    );
  }
  allClose(
    mean.values,
    Array.from({ length: 9 }, (_, c) =>
      each.values.subarray(3 * c, 3 * c + 3).reduce((s, x) => s + x / 3, 0),
    ),
    { atol: 1e-6 },
  );
});

test('at every position the parts are the logit', async () => {
  for (const m of [raw, model])
    for (const layerNorm of ['frozen', 'none'] as const) {
      const all = await directLogitAttribution(m, prompts[1], {
        token: 7,
        pos: 'all',
        layerNorm,
        by: 'neuron',
      });
      assert.equal(
        all.axes.map((a) => a.name),
        ['component', 'pos'],
      );
      const logits = await m.forward(prompts[1]);
      const column = logits.slice([0, null, 7]);
      allClose(all.meta.sum as number[], await column.data(), tight);
      allClose(all.meta.logit as number[], await column.data(), { atol: 1e-5 });
      logits.dispose();
      column.dispose();
    }
});

test('a token and its column of W_U are the same but for b_U', async () => {
  const D = raw.tokensToResidualDirections([7]);
  const direction = await D.data();
  D.dispose();
  const token = await directLogitAttribution(raw, prompts[0], { token: 7 });
  const column = await directLogitAttribution(raw, prompts[0], { direction });
  assert.equal(column.axes[0].labels, token.axes[0].labels.slice(0, -1));
  allClose(column.values, token.values.subarray(0, -1), { atol: 1e-6 });
});

test('what a head takes from the tokens is what it gives', async () => {
  const bySource = await directLogitAttribution(raw, prompts[1], { tokens: [5, 9], by: 'source', pos: 5 });
  const byHead = await directLogitAttribution(raw, prompts[1], { tokens: [5, 9], by: 'head', pos: 5 });
  assert.equal(byHead.heads!.shape, [3, 3]);
  assert.equal([...byHead.heads!.values], [...byHead.values.subarray(0, 9)]);
  const [rows, columns] = bySource.shape;
  assert.is(columns, 7);
  assert.is(bySource.axes[1].labels.at(-1), 'no source');
  const sums = Array.from({ length: rows }, (_, r) =>
    bySource.values.subarray(r * columns, (r + 1) * columns).reduce((a, b) => a + b, 0),
  );
  allClose(sums, byHead.values, tight);
});

test('a question that is none is an error', async () => {
  const ask = (options: object) => directLogitAttribution(model, prompts[0], options);
  await throws(ask({}), /say what is attributed/);
  await throws(ask({ token: 3, tokens: [3, 4] }), /say what is attributed/);
  await throws(ask({ token: 101 }), /token id 101, but the vocabulary is 0–100/);
  await throws(ask({ token: 3, by: 'heads' }), /by is "heads": 'layer', 'component'/);
  await throws(ask({ direction: [1, 2] }), /a direction of 2 numbers: 36/);
  await throws(ask({ token: 3, by: 'source', pos: [0, 2] }), /one prompt and one position/);
});

test('nothing is left behind', async () => {
  await model.gpu.finish();
  const before = model.gpu.memory().bytes;
  for (const by of ['layer', 'component', 'head', 'neuron', 'source'] as const)
    await directLogitAttribution(raw, prompts[1], { token: 3, by });
  await throws(directLogitAttribution(raw, prompts, { token: 3, pos: 6 }), /6 of 5 positions/);
  await model.gpu.finish();
  givenBack(model.gpu, before);
});

test.run();
