/** Who does the model know? Names after a common beginning, and what is said of them. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { consistency, HookedTransformer, scoreTexts, type TextsWork } from '../../index.js';
import { allClose, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromPretrained('tiny');
const first = ['James', 'Martha', 'Beverly', 'Stephen', 'Quill', 'Bruce', 'Zenobia', 'Emma'];
const last = ['Stewart', 'King', 'Cooper', 'Lee', 'Watson', 'Jackson', 'Smithers', 'Vandermeer'];
const names = first.flatMap((f) => last.map((l) => `${f} ${l}`));
const templates = [
  '. {}, the well-known',
  '. {} is a professional',
  '. {} is a professional in the field of',
];

test('a name scores the sum of −log p of its tokens after the first, as one by one', async () => {
  for (const prependBos of [false, true]) {
    const { entries } = await scoreTexts(model, names, { prefix: 'About ', prependBos });
    for (const { text, score, perToken, tokens } of entries.filter((_, i) => i % 7 === 0)) {
      assert.equal(tokens, model.toTokens(`About ${text}`, { prependBos })[0]);
      const [alone] = await model.logProbs([tokens]);
      allClose(perToken, alone, { atol: 1e-5, rtol: 1e-5 });
      allClose([score], [-alone.reduce((a, b) => a + b, 0)], { atol: 1e-5 });
    }
  }
});

test('the default is the notebook’s: no beginning-of-text token for GPT-2’s tokenizer, and the result says so', async () => {
  const scores = await scoreTexts(model, names.slice(0, 2), { prefix: 'About ' });
  assert.equal(
    scores.entries.map((e) => e.tokens),
    scores.entries.map((e) => model.toTokens(`About ${e.text}`, { prependBos: false })[0]),
  );
  const asked = await consistency(model, names.slice(0, 2), templates);
  assert.equal([scores.meta.bos, asked.meta.bos], [false, false]);
  const without = await consistency(model, names.slice(0, 2), templates, { prependBos: false });
  allClose(asked.values, without.values, { atol: 0, rtol: 0 });
});

test('scores ascend, and equal scores are sorted by text', async () => {
  const texts = [...names, names[3], names[0]];
  const { entries, values, axes, shape } = await scoreTexts(model, texts, { prefix: 'About ' });
  assert.equal(shape, [texts.length]);
  assert.equal(axes, [{ name: 'text', labels: entries.map((e) => e.text) }]);
  entries.forEach((e, i) => {
    assert.is(values[i], Math.fround(e.score));
    const before = entries[i - 1];
    if (before) assert.ok(before.score < e.score || (before.score === e.score && before.text <= e.text));
  });
  assert.equal(entries.map((e) => e.text).sort(), [...texts].sort());
});

test('names after a common beginning take at most 60 % of the tokens', async () => {
  const { meta } = await scoreTexts(model, names, { prefix: 'About ', prependBos: false });
  const { tokens, naiveTokens, batches } = meta.work as TextsWork;
  assert.is(
    naiveTokens,
    names.reduce((n, name) => n + model.toTokens(`About ${name}`, { prependBos: false })[0].length, 0),
  );
  assert.ok(tokens <= 0.6 * naiveTokens, `${tokens} of ${naiveTokens}`);
  assert.is(batches, 1);
  assert.is(meta.bos, false);
});

test('the most probable next words of every template, joined with blanks', async () => {
  const few = names.slice(0, 10);
  const { entries, values, shape, meta } = await consistency(model, few, templates, { prependBos: false });
  assert.equal(shape, [10, 3]);
  for (const [n, { name, words, text }] of entries.entries()) {
    assert.is(name, few[n]);
    assert.is(text, words.join(' '));
    for (const [t, template] of templates.entries()) {
      const logits = await model.forward(template.replace('{}', name), { prependBos: false });
      const probs = logits.slice([0, -1]).softmax();
      const { values: p, indices } = probs.topk(1);
      assert.is(words[t], model.toString([await indices.item()]));
      allClose([values[3 * n + t]], [await p.item()], { atol: 1e-5 });
      for (const x of [logits, probs, p, indices]) x.dispose();
    }
  }
  const { tokens, naiveTokens } = meta.work as TextsWork;
  assert.ok(tokens < 0.7 * naiveTokens, 'templates share their beginnings too');
});

test('of nobody, nothing is said', async () => {
  assert.equal((await scoreTexts(model, [])).entries, []);
  const none = await consistency(model, [], templates);
  assert.equal(none.shape, [0, 3]);
  assert.equal((none.meta.work as TextsWork).tokens, 0);
});

test('a template says where the name goes, and a text is not empty', async () => {
  await throws(consistency(model, names, ['. is a professional']), /"\. is a professional": write \{\}/);
  await throws(scoreTexts(model, ['James', ''], { prependBos: false }), /empty prompt/);
});

test('nothing is left in memory, also when cancelled', async () => {
  const { bytes } = model.gpu.memory();
  await scoreTexts(model, names);
  await throws(consistency(model, names, templates, { signal: AbortSignal.abort(new Error('no')) }), /^no$/);
  givenBack(model.gpu, bytes);
  model.dispose();
});

test.run();
