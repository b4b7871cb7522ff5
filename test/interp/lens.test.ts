/** The logit lens reads every layer with the model's own unembedding. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, logitLens } from '../../index.js';
import { allClose, threeLayers as config, randomGpt2, rng } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const prompt = rng(3).tokens(7, 101);

test('after the last layer, the lens is the model', async () => {
  const lens = await logitLens(model, prompt, { k: 3 });
  const logits = await model.forward(prompt);
  const probs = logits.softmax();
  const { values, indices } = probs.topk(3);
  const last = lens.top[3].flat();
  assert.equal(
    last.map((t) => t.token),
    [...(await indices.data())],
  );
  allClose(
    last.map((t) => t.prob),
    await values.data(),
    { atol: 1e-6 },
  );
  for (const t of [logits, probs, values, indices]) t.dispose();
});

test('there is a row for the stream before every block and one after the last, most probable tokens first', async () => {
  const lens = await logitLens(model, prompt);
  assert.equal(lens.shape, [4, 7]);
  assert.equal(lens.axes[0].labels, ['0_pre', '1_pre', '2_pre', 'final_post']);
  assert.ok(
    lens.top.every((row) => row.every((cell) => cell.every((t, i) => i === 0 || t.prob <= cell[i - 1].prob))),
  );
  assert.equal(
    [...lens.values],
    lens.top.flat().map((cell) => Math.fround(cell[0].prob)),
  );
});

test('the lens leaves no memory behind', async () => {
  const before = model.gpu.memory().bytes;
  await logitLens(model, prompt);
  givenBack(model.gpu, before);
});

test.run();
