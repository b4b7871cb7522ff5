/** Averages over facts: rows are sorted by what their token is to the subject. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { labelled } from '../../interp/results/result.js';
import { averageTraces } from '../../interp/tracing/average-traces.js';
import type { CausalTrace, WrongAnswer } from '../../interp/tracing/causal-trace.js';
import { allClose, throws } from '../helpers.js';

const L = 2;

/** A trace whose score at position p and layer l is 10 p + l + shift. */
function made(n: number, subject: [number, number], shift: number, lowScore: number): CausalTrace {
  const values = Float32Array.from({ length: n * L }, (_, i) => 10 * Math.floor(i / L) + (i % L) + shift);
  const axes = [
    { name: 'pos', labels: Array.from({ length: n }, (_, p) => `${p}`) },
    { name: 'layer', labels: ['L0', 'L1'] },
  ];
  const positions = Array.from({ length: n }, (_, p) => p);
  return {
    ...{
      correct: true,
      scores: labelled(values, axes, { model: 'made', tokens: positions, metric: 'p(#0)' }),
      subject,
      positions,
    },
    ...{
      tokens: positions,
      lowScore,
      highScore: 100,
      answer: { token: 0, text: 'a' },
      kind: null,
      window: 1,
      noise: 0.1,
    },
  };
}

const wrong: WrongAnswer = { correct: false, answer: { token: 1, text: 'b' }, highScore: 1 };
const long = made(9, [1, 5], 0, 2);
const short = made(4, [0, 2], 1, 4);

test('rows of equal role are averaged, the mean low score is subtracted', () => {
  const { effect, rows, traces, lowScore, highScore, totalEffect } = averageTraces([long, wrong, short]);
  const positions = [
    [10, 1],
    [20, 30],
    [40, 11],
    [50, 21],
    [60, 70],
    [80, 31],
  ];
  const expected = positions.flatMap((at) => [0, 1].map((l) => (at[0] + at[1]) / 2 + l - 3));
  allClose(effect.values, expected, { atol: 1e-5 });
  assert.equal(rows, [2, 2, 2, 2, 2, 2]);
  assert.equal([traces, lowScore, highScore, totalEffect], [2, 3, 100, 97]);
  assert.equal(
    effect.axes.map((a) => a.name),
    ['role', 'layer'],
  );
  assert.is(effect.meta.tokens, undefined);
  assert.match(String(effect.meta.metric), /^probability of the answer/); // not of one trace's
});

test('the band is 1.96 standard deviations over the root of the number of traces, however many rows a role has', () => {
  const { band, rows } = averageTraces([long, made(9, [1, 5], 0, 2), long]);
  assert.equal(rows, [3, 6, 3, 3, 6, 3]);
  const sigma = [0, 5, 0, 0, 5, 0];
  allClose(
    band.values,
    sigma.flatMap((s) => [0, 1].map(() => (1.96 * s) / Math.sqrt(3))),
    { atol: 1e-5 },
  );
});

test('a role that no prompt has is no number', () => {
  const { effect, rows } = averageTraces([made(4, [0, 2], 0, 0)]);
  assert.equal(rows, [1, 0, 1, 1, 0, 1]);
  assert.ok(Number.isNaN(effect.values[L]) && Number.isNaN(effect.values[4 * L]));
});

test('traces that do not belong together are refused', () => {
  throws(() => averageTraces([wrong]), /none of 1 traces has the right answer/);
  throws(() => averageTraces([long, { ...short, kind: 'mlp' }]), /trace 1 differs from the first in kind/);
  throws(() => averageTraces([{ ...long, positions: [4] }]), /trace 0 has not all tokens/);
});

test.run();
