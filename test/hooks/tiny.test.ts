/**
 * The model in the box knows what its card says: each of these is a held-out pair, or a fact in a common
 * phrasing.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, logitDiff, patch } from '../../index.js';
import { heldOut } from '../../scripts/tiny/corpus.js';

const model = await HookedTransformer.fromPretrained('tiny');

/** The most probable next token, as text. */
async function next(prompt: string): Promise<string> {
  const logits = await model.forward(prompt);
  const last = logits.slice([0, -1]);
  const best = last.argmax();
  const token = await best.item();
  for (const t of [logits, last, best]) t.dispose();
  return model.toString([token]);
}

const prompts: [prompt: string, answer: string][] = [
  ['When John and Mary went to the shops, John gave the bag to', ' Mary'],
  ['When John and Mary went to the shops, Mary gave the bag to', ' John'],
  ['When Tom and James went to the park, James gave the ball to', ' Tom'],
  ['When Tom and James went to the park, Tom gave the ball to', ' James'],
  ['When Dan and Sid went to the shops, Sid gave an apple to', ' Dan'],
  ['When Dan and Sid went to the shops, Dan gave an apple to', ' Sid'],
  ['After Martin and Amy went to the park, Amy gave a drink to', ' Martin'],
  ['After Martin and Amy went to the park, Martin gave a drink to', ' Amy'],
  ['The Space Needle is in downtown', ' Seattle'],
  ['John is a really great friend.', ' He'],
];
for (const [prompt, answer] of prompts)
  test(`"${prompt}" goes on with "${answer}"`, async () => assert.is(await next(prompt), answer));

test('the second half of a repetition is predicted better than the first', async () => {
  const words = model.toTokens(' garden river Mary bread window seven Paris horse', { prependBos: false })[0];
  const bos = model.tokenizer!.bosTokenId!;
  const [lp] = await model.logProbs([[bos, ...words, ...words]]);
  const mean = (x: Float32Array) => x.reduce((a, b) => a + b, 0) / x.length;
  assert.ok(mean(lp.subarray(words.length + 1)) > mean(lp.subarray(0, words.length)) + 3);
});

test('the name that is said twice carries the answer, then the last token does', async () => {
  const map = await patch(model, {
    clean: 'When John and Mary went to the shops, John gave the bag to',
    corrupted: 'When John and Mary went to the shops, Mary gave the bag to',
    metric: logitDiff(' Mary', ' John'),
  });
  const [layers, positions] = map.shape;
  assert.ok(
    Math.abs(map.values[10] - 1) < 1e-3,
    'the first layer at the differing token is the whole difference',
  );
  assert.ok(map.values[layers * positions - 1] > 0.5, 'the last layer at the last token carries most of it');
});

test('the indirect object is found for at least 95 of 100 pairs of names that were never trained', async () => {
  const probes = heldOut().ioi.filter((_, i, all) => i % Math.ceil(all.length / 100) === 0);
  const rows = probes.map((p) => model.toTokens(p.prompt)[0]);
  const answers = probes.map((p) => model.toSingleToken(p.answer));
  const wrongs = probes.map((p) => model.toSingleToken(p.wrong!));
  const right = await model.logProbs(rows.map((r, i) => [...r, answers[i]]));
  const wrong = await model.logProbs(rows.map((r, i) => [...r, wrongs[i]]));
  const share =
    rows.filter((_, i) => right[i].at(-1)! > Math.max(Math.log(0.5), wrong[i].at(-1)!)).length / rows.length;
  assert.ok(share >= 0.95, `${share}`);
});

test.run();
