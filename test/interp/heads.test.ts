/**
 * Where heads attend agrees with float64, on texts, on random tokens said twice, and as TransformerLens'
 * head_detector has it.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import { headKinds, repetitionTargets, targetsOf } from '../../interp/heads/attention-targets.js';
import { detectHeads } from '../../interp/heads/detect-heads.js';
import { headScores } from '../../interp/heads/heads.js';
import { allClose, throws } from '../helpers.js';
import { givenBack } from '../memory.js';
import { circuitsCases } from './circuits-oracle.js';
import { oracleModel } from './oracle.js';

const within = { atol: 2e-4, rtol: 2e-4 };

for (const { model: about, rows, scores, detections } of circuitsCases) {
  const model = await oracleModel(about);
  const name = `${about.config.name}${about.processed ? ', processed' : ''}`;

  test(`${name}: attention to previous tokens, duplicates and what came after them`, async () => {
    const before = model.gpu.memory().bytes;
    const all = await headScores(model, { on: rows });
    givenBack(model.gpu, before);
    assert.equal(
      all.axes.map((a) => a.name),
      ['kind', 'layer', 'head'],
    );
    allClose(all.values, scores, within);
    const size = scores.length / 3;
    const one = await headScores(model, { on: rows, kind: 'duplicate' });
    allClose(one.values, scores.slice(size, 2 * size), within);
  });

  test(`${name}: heads that match a pattern`, async () => {
    for (const { rows: texts, pattern, values, ...options } of detections) {
      const found = await detectHeads(model, texts, pattern, options);
      allClose(found.values, values, within);
    }
    const { rows: texts, pattern, values, ...options } = detections[0];
    const { nHeads } = about.config;
    const some = await detectHeads(model, texts, pattern, { ...options, heads: { 1: [2] } });
    const same = await detectHeads(model, texts, pattern, { ...options, heads: [[1, 2]] });
    assert.equal(same.values, some.values);
    allClose(
      some.values,
      values.map((x, i) => (i === nHeads + 2 ? x : -1)),
      within,
    );
  });
}

test('tokens said twice: distances tell the same as the tokens', () => {
  const part = [5, 9, 2, 7];
  for (const bos of [[0], []])
    for (const kind of headKinds) {
      const told = repetitionTargets(kind, part.length, bos.length);
      assert.equal(told, targetsOf(kind, [...bos, ...part, ...part]));
    }
});

test('a token said twice in a row is preceded by its duplicate', () => {
  const twice = targetsOf('duplicate', [3, 3]);
  assert.equal(twice.data, targetsOf('previous', [3, 3]).data);
  assert.equal(targetsOf('induction', [3, 3]).data, Float32Array.of(0, 0, 0, 1));
});

test('the shipped model has induction heads behind a previous-token head, whatever the random tokens', async () => {
  const model = await HookedTransformer.fromPretrained('tiny');
  const { nLayers, nHeads } = model.config;
  for (const seed of [0, 1]) {
    const { values } = await headScores(model, { seed, batch: 2 });
    const score = (kind: number, layer: number, head: number) =>
      values[(kind * nLayers + layer) * nHeads + head];
    const previous = values.subarray(0, nLayers * nHeads);
    assert.is(previous.indexOf(Math.max(...previous)), 0, 'L0H0 attends to previous tokens most');
    assert.ok(previous[0] > 0.2, `${previous[0]}`);
    for (let head = 0; head < nHeads; head++)
      assert.ok(score(2, 1, head) > 0.4, `L1H${head} is an induction head: ${score(2, 1, head)}`);
    assert.equal((await headScores(model, { seed, batch: 2 })).values, values);
  }
  model.dispose();
});

test('wrong arguments are told what would be right', async () => {
  const model = await oracleModel(circuitsCases[0].model);
  await throws(headScores(model, { on: [1, 2, 3] }), /repeats nothing; ask for kind "previous"/);
  await throws(headScores(model, { kind: 'mover' as 'previous' }), /'previous', 'duplicate' or 'induction'/);
  await throws(headScores(model, { length: 13 }), /takes 2 to 12 random tokens/);
  await throws(detectHeads(model, [4], 'induction_head'), /single token/);
  await throws(detectHeads(model, [4, 5], [[1, 0]]), /pattern is 1 × 2, but the text has 2 tokens/);
  await throws(
    detectHeads(
      model,
      [4, 5],
      [
        [1, 1],
        [0, 1],
      ],
    ),
    /above the diagonal/,
  );
  await throws(
    detectHeads(model, [4, 5], 'mover' as 'induction_head'),
    /previous_token_head, duplicate_token_head/,
  );
  await throws(detectHeads(model, [4, 5], 'induction_head', { heads: [[3, 0]] }), /layer 3/);
  const odd = await detectHeads(
    model,
    [4, 5],
    [
      [0.5, 0],
      [0, 1],
    ],
  );
  assert.match(String(odd.meta.note), /other than 0 and 1/);
});

test.run();
