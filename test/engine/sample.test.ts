/** The choice of the next token, by hand: four logits, and the random number given. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { logSumExp, type SamplingOptions, sample } from '../../engine/tokens/sample.js';
import { rng } from '../helpers.js';

// Probabilities 0.1, 0.4, 0.2, 0.3 at temperature 1, so the order by probability is 1, 3, 2, 0.
const P = [0.1, 0.4, 0.2, 0.3];
const logits = Float32Array.from(P, (p) => Math.log(p) + 5);
const draw = (options: SamplingOptions, random: number, from = logits) =>
  sample(from, options, () => random).token;
/** Which tokens come, as the random number goes from 0 to 1 in hundredths (their middles). */
const shares = (options: SamplingOptions, from = logits): number[] => {
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 1000; i++) counts[draw(options, (i + 0.5) / 1000, from)]++;
  return counts.map((n) => n / 1000);
};
const near = (got: readonly number[], wanted: readonly number[], what: string) =>
  assert.ok(
    got.every((x, i) => Math.abs(x - wanted[i]) <= 0.0011),
    `${what}: ${got}, not ${wanted}`,
  );

test('temperature 0 takes the most probable token; of equal ones the first', () => {
  assert.is(draw({}, 0.99), 1);
  assert.is(draw({ temperature: 0, topK: 1 }, 0), 1);
  assert.is(draw({}, 0.99, Float32Array.of(2, 7, 7, 1)), 1);
});

test('the log-probability is that of the model, before temperature, top-k and top-p', () => {
  for (const options of [
    {},
    { temperature: 3 },
    { temperature: 1, topK: 1 },
    { temperature: 0.5, topP: 0.1 },
  ]) {
    const { token, logProb } = sample(logits, options, () => 0);
    assert.ok(Math.abs(logProb - Math.log(P[token])) < 1e-6);
  }
  assert.is(logSumExp([1000, 1000]), 1000 + Math.log(2));
});

test('temperature 1 draws by the probabilities, in the order of the ids', () => {
  near(shares({ temperature: 1 }), P, 'shares');
  for (const [random, token] of [
    [0, 0],
    [0.0999, 0],
    [0.1001, 1],
    [0.4999, 1],
    [0.5001, 2],
    [0.6999, 2],
    [0.7001, 3],
    [0.9999, 3],
  ])
    assert.is(draw({ temperature: 1 }, random), token, `${random}`);
});

test('logits are divided by the temperature', () => {
  // p^(1/T), normalised: T = 2 takes roots, T = ½ squares
  for (const [temperature, power] of [
    [2, 0.5],
    [0.5, 2],
  ]) {
    const weights = P.map((p) => p ** power);
    const total = weights.reduce((a, b) => a + b);
    near(
      shares({ temperature }),
      weights.map((w) => w / total),
      `temperature ${temperature}`,
    );
  }
});

test('top-k keeps exactly the k most probable', () => {
  near(shares({ temperature: 1, topK: 1 }), [0, 1, 0, 0], 'k = 1');
  near(shares({ temperature: 1, topK: 2 }), [0, 4 / 7, 0, 3 / 7], 'k = 2');
  near(shares({ temperature: 1, topK: 3 }), [0, 4 / 9, 2 / 9, 3 / 9], 'k = 3');
  near(shares({ temperature: 1, topK: 9 }), P, 'more than there are');
  assert.is(draw({ temperature: 1, topK: 2 }, 4 / 7 - 0.001), 1, 'the most probable first');
  assert.is(draw({ temperature: 1, topK: 2 }, 4 / 7 + 0.001), 3);
  near(
    shares({ temperature: 1, topK: 2 }, Float32Array.of(1, 1, 1, 1)),
    [0.5, 0.5, 0, 0],
    'ties: the lower ids',
  );
});

test('top-p keeps the fewest tokens that reach p, never none', () => {
  near(shares({ temperature: 1, topP: 0.01 }), [0, 1, 0, 0], 'p = 0.01');
  near(shares({ temperature: 1, topP: 0.39 }), [0, 1, 0, 0], 'p = 0.39');
  near(shares({ temperature: 1, topP: 0.41 }), [0, 4 / 7, 0, 3 / 7], 'p = 0.41');
  near(shares({ temperature: 1, topP: 0.71 }), [0, 4 / 9, 2 / 9, 3 / 9], 'p = 0.71');
  near(shares({ temperature: 1, topP: 1 }), P, 'p = 1');
  near(
    shares({ temperature: 1, topP: 0.5 }, Float32Array.of(0, 0, 0, 0)),
    [0.5, 0.5, 0, 0],
    'p is just reached',
  );
});

test('top-p counts after the temperature and after top-k', () => {
  // squares: 0.01, 0.16, 0.04, 0.09 of 0.3, so the first has 0.533 and the first two 0.833
  near(shares({ temperature: 0.5, topP: 0.5 }), [0, 1, 0, 0], 'first of the sharpened');
  near(shares({ temperature: 0.5, topP: 0.8 }), [0, 16 / 25, 0, 9 / 25], 'first two of the sharpened');
  // of the two that top-k leaves the first has 4/7 = 0.571
  near(shares({ temperature: 1, topK: 2, topP: 0.56 }), [0, 1, 0, 0], 'of what top-k leaves');
  near(shares({ temperature: 1, topK: 2, topP: 0.58 }), [0, 4 / 7, 0, 3 / 7], 'of what top-k leaves');
});

/** The definition: the whole vocabulary sorted. */
function sorted(x: Float32Array, { temperature = 1, topK, topP }: SamplingOptions, random: number): number {
  let ids = Array.from(x.keys()).sort((a, b) => x[b] - x[a] || a - b);
  ids = ids.slice(0, topK ?? ids.length);
  const weights = ids.map((i) => Math.exp((x[i] - x[ids[0]]) / temperature));
  let total = weights.reduce((a, b) => a + b, 0);
  let n = 0;
  for (let sum = 0; n < ids.length && sum < (topP ?? 1) * total; n++) sum += weights[n];
  total = weights.slice(0, n).reduce((a, b) => a + b, 0);
  let left = random * total;
  for (let i = 0; i < n; i++) if ((left -= weights[i]) < 0) return ids[i];
  return ids[n - 1];
}

test('a large vocabulary gives the tokens that sorting it would give, ties included', () => {
  const random = rng(7);
  for (const spread of [0, 0.5, 4]) {
    const x = random.array(5000).map((v) => Math.round(8 * spread * v) / 8);
    for (const options of [
      { temperature: 0.8, topK: 50 },
      { temperature: 1.5, topK: 50, topP: 0.9 },
      { temperature: 1, topP: 0.3 },
      { temperature: 1, topP: 0.99 },
      { temperature: 0.7, topK: 4999 },
    ])
      for (const at of [0, 0.1, 0.5, 0.9, 0.999999])
        assert.is(draw(options, at, x), sorted(x, options, at), JSON.stringify({ spread, options, at }));
  }
});

test.run();
