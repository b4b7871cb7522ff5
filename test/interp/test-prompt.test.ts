/** TransformerLens' test_prompt: numbers against all logits, and the printout to the letter. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, testPrompt } from '../../index.js';
import { allClose, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromPretrained('tiny');
const PROMPT = 'When John and Mary went to the shops, John gave the bag to';

/** Logits at a position, from a run of its own. */
async function logitsAt(tokens: readonly number[], pos: number): Promise<Float32Array> {
  using all = await model.forward([...tokens]);
  using row = all.slice([0, pos]);
  return (await row.data()) as Float32Array;
}

/** Rank, logit and probability, the slow way in float64. */
function placeOf(logits: Float32Array, token: number) {
  const max = logits.reduce((m, x) => Math.max(m, x), -Infinity);
  const sum = logits.reduce((s, x) => s + Math.exp(x - max), 0);
  const rank = logits.reduce(
    (n, x, i) => n + Number(x > logits[token] || (x === logits[token] && i < token)),
    0,
  );
  return { rank, logit: logits[token], prob: Math.exp(logits[token] - max) / sum };
}

test('an answer of several tokens: each is predicted from the right ones before it', async () => {
  const { steps, answers, prompt } = await testPrompt(model, PROMPT, 'Mary and a garden', { topK: 4 });
  const start = model.toTokens(PROMPT)[0];
  const ids = model.toTokens(' Mary and a garden', { prependBos: false })[0];
  assert.is(prompt.length, start.length);
  assert.equal(answers, [[' Mary', ' and', ' a', ' garden']]);
  assert.is(steps.length, ids.length);
  for (const [i, { answers, top }] of steps.entries()) {
    const logits = await logitsAt([...start, ...ids], start.length - 1 + i);
    const [{ token, text, rank, logit, prob }] = answers;
    const expected = placeOf(logits, ids[i]);
    assert.is(token, ids[i]);
    assert.is(text, model.toString([ids[i]]));
    assert.is(rank, expected.rank);
    allClose([logit, prob], [expected.logit, expected.prob]);
    const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b).slice(0, 4);
    assert.equal(
      top.map((t) => t.token),
      order,
    );
    for (const t of top) {
      const place = placeOf(logits, t.token);
      allClose([t.logit, t.prob], [place.logit, place.prob]);
    }
  }
});

test('of several answers the first tokens compete at one position', async () => {
  const { steps, lines } = await testPrompt(model, PROMPT, [' John and', 'Mary'], { topK: 1 });
  assert.is(steps.length, 1);
  const logits = await logitsAt(model.toTokens(PROMPT)[0], 14);
  assert.equal(
    steps[0].answers.map((a) => [a.text, a.rank]),
    [' John', ' Mary'].map((text) => [text, placeOf(logits, model.toSingleToken(text)).rank]),
  );
  const [john, mary] = steps[0].answers;
  const printed = lines();
  assert.is(printed[1], "Tokenized answers: [[' John', ' and'], [' Mary']]");
  assert.is(printed[2], 'Performance on answer tokens:');
  assert.is(
    printed.at(-1),
    `Ranks of the answer tokens: [[(' John', ${john.rank}), (' Mary', ${mary.rank})]]`,
  );
});

test('the printout is TransformerLens’, blank for blank', async () => {
  const found = await testPrompt(model, 'a\tb\'c "d"\\', 'x', { prependBos: false, topK: 2 });
  const [{ answers, top }] = found.steps;
  const numbers = (t: { logit: number; prob: number; text: string }) =>
    `Logit: ${t.logit.toFixed(2).padStart(5)} Prob: ${(100 * t.prob).toFixed(2).padStart(5)}% Token: |${t.text}|`;
  const lines = found.toString().split('\n');
  assert.is(lines[0], String.raw`Tokenized prompt: ['a', '\t', 'b', "'", 'c', ' ', '"', 'd', '"', '\\']`);
  assert.is(lines[1], `Tokenized answer: [${found.answers[0].map((t) => `'${t}'`).join(', ')}]`);
  assert.is(lines[2], 'Performance on answer token:');
  assert.is(lines[3], `Rank: ${String(answers[0].rank).padEnd(8)} ${numbers(answers[0])}`);
  assert.is(lines[4], `Top 0th token. ${numbers(top[0])}`);
  assert.is(lines[5], `Top 1th token. ${numbers(top[1])}`);
  assert.is(
    lines.at(-1),
    `Ranks of the answer tokens: [${found.steps.map((s) => `('${s.answers[0].text}', ${s.answers[0].rank})`).join(', ')}]`,
  );
});

test('a blank is put before an answer unless it has one, or is not wanted', async () => {
  const text = async (answer: string, prependSpaceToAnswer?: boolean) =>
    (await testPrompt(model, PROMPT, answer, { prependSpaceToAnswer })).answers[0].join('');
  assert.equal(
    [await text('Mary'), await text(' Mary'), await text('Mary', false)],
    [' Mary', ' Mary', 'Mary'],
  );
});

test('what cannot be tested is said', async () => {
  await throws(testPrompt(model, PROMPT, []), /there is no answer; nextTokenTable/);
  await throws(testPrompt(model, PROMPT, '', { prependSpaceToAnswer: false }), /empty answer/);
  await throws(testPrompt(model, PROMPT, 'a', { topK: -1 }), /topK is -1: a whole number, 0 or more/);
  await throws(testPrompt(model, 'a '.repeat(200), 'a'), /this model reads at most 128/);
});

test('all memory comes back', async () => {
  await testPrompt(model, PROMPT, 'Mary');
  const before = model.gpu.memory().bytes;
  await testPrompt(model, PROMPT, ['Mary', 'John']);
  givenBack(model.gpu, before);
});

test.after(() => model.dispose());
test.run();
