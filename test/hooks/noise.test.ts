/** Noise for embeddings is what ROME draws: one stream of NumPy's normals, scaled by a rule. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RandomState } from '../../engine/random/numpy-random.js';
import { embeddingNoise, embeddingStd, type NoiseRule } from '../../hooks/interventions/noise.js';
import { HookedTransformer } from '../../index.js';
import { allClose, randomGpt2, rng, throws, twoLayers } from '../helpers.js';

const d = twoLayers.dModel;
const weights = randomGpt2(twoLayers, 4);
const model = await HookedTransformer.fromWeights(twoLayers, weights);
const raw = await HookedTransformer.fromWeights(twoLayers, weights, { centerWritingWeights: false });
const subjects = [
  [3, 4, 5],
  [70, 3],
];

test('a number is the standard deviation of the noise', () => {
  const noise = embeddingNoise(model, 0.1);
  const { shape, data } = noise.draw(3, 2);
  assert.equal(shape, [3, 2, d]);
  assert.equal(
    data,
    [...new RandomState(1).randn(3 * 2 * d)].map((z) => 0.1 * z),
  );
  assert.is(noise.level, 0.1);
});

test('the stream goes on: two draws are one of twice the samples', () => {
  const [once, twice] = [embeddingNoise(model, 0.5, { seed: 7 }), embeddingNoise(model, 0.5, { seed: 7 })];
  assert.equal([...once.draw(2, 3).data, ...once.draw(2, 3).data], twice.draw(4, 3).data);
});

test('s3 is three times the unbiased standard deviation of all numbers in the embeddings of the subjects', () => {
  const rows = subjects.flat().flatMap((t) => [...weights['wte.weight'].data.slice(t * d, (t + 1) * d)]);
  const mean = rows.reduce((a, b) => a + b) / rows.length;
  const std = Math.sqrt(rows.reduce((s, x) => s + (x - mean) ** 2, 0) / (rows.length - 1));
  allClose([embeddingStd(raw, subjects)], [std], { atol: 0, rtol: 1e-12 });
  const noise = embeddingNoise(raw, 's3', { subjects });
  allClose([noise.level!], [3 * std], { atol: 0, rtol: 1e-12 });
  allClose(
    noise.draw(1, 1).data,
    new RandomState(1).randn(d).map((z) => 3 * std * z),
    { atol: 0, rtol: 1e-12 },
  );
  assert.is(embeddingNoise(raw, 's', { subjects }).level, embeddingNoise(raw, 's1', { subjects }).level);
});

test('u2 is uniform between −2 and 2', () =>
  assert.equal(
    embeddingNoise(model, 'u2').draw(1, 1).data,
    [...new RandomState(1).uniform(-1, 1, d)].map((z) => 2 * z),
  ));

const gaussian = { mean: rng(1).array(d), factor: rng(2).array(d * d) };

test('m is the mean plus a factor of the covariance times normal numbers', () => {
  const { data } = embeddingNoise(model, 'm', { gaussian }).draw(2, 1);
  const z = new RandomState(1).randn(2 * d);
  const expected = Array.from({ length: 2 * d }, (_, i) => {
    const [vector, row] = [Math.floor(i / d), i % d];
    const terms = Array.from({ length: d }, (_, k) => gaussian.factor[row * d + k] * z[vector * d + k]);
    return gaussian.mean[row] + terms.reduce((a, b) => a + b);
  });
  allClose(data, expected, { atol: 1e-12, rtol: 1e-12 });
});

test("t5 is that times Student's factor, one a vector, the same in every draw", () => {
  const [t, m] = [embeddingNoise(model, 't5', { gaussian }), embeddingNoise(model, 'm', { gaussian })];
  const chi2 = new RandomState(2).chisquare(5, 6);
  for (let draw = 0; draw < 2; draw++) {
    const expected = m.draw(2, 3).data.map((v, i) => v * Math.sqrt(3 / chi2[Math.floor(i / d)]));
    allClose(t.draw(2, 3).data, expected, { atol: 0, rtol: 1e-12 });
  }
});

test('what is no rule, or lacks what it needs, is refused', () => {
  const draw = (rule: unknown) => () => embeddingNoise(model, rule as NoiseRule);
  for (const rule of ['x3', 's-1', '3', 'u', 't', '', Number.NaN, Infinity])
    throws(draw(rule), /a number(,| is needed,) or 's3', 'u0.2', 'm', 't5'/);
  throws(draw('s3'), /give the subjects/);
  throws(draw('m'), /needs `gaussian`/);
  throws(() => embeddingNoise(model, 't2', { gaussian }), /more than 2 are needed/);
  const short = { mean: [1], factor: [1] };
  throws(
    () => embeddingNoise(model, 'm', { gaussian: short }).draw(1, 1),
    /mean of 1 and factor of 1 numbers/,
  );
  throws(() => embeddingStd(model, [[101]]), /token 101: the vocabulary has 101/);
});

test.run();
