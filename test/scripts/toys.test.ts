/** The toys learn; how far is seen in minutes, that they begin to in seconds. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { trainInduction } from '../../scripts/toys/induction.js';
import { trainModularAddition } from '../../scripts/toys/modular-addition.js';

test('the induction toy begins without induction, and is measured on the way', async () => {
  const seen: number[] = [];
  const o = {
    steps: 6,
    every: 3,
    rows: 8,
    words: 16,
    onProgress: ({ step }: { step: number }) => seen.push(step),
  };
  const { model, points, curves } = await trainInduction(o);
  assert.equal(seen, [0, 3, 6]);
  assert.equal(curves.shape, [4, 3]);
  assert.ok(points[0].induction < 0.1 && points[0].previous < 0.2);
  // Nothing is known at first: every token is as likely as any other.
  for (const loss of [points[0].first, points[0].second])
    assert.ok(Math.abs(loss - Math.log(17)) < 0.3, `${loss}`);
  assert.ok(points[2].second < points[0].second);
  model.dispose();
});

test('the addition toy learns the pairs that it is shown, and says in which frequencies', async () => {
  const { model, points, spectrum, right } = await trainModularAddition({
    p: 7,
    steps: 12,
    every: 12,
    pairs: 24,
  });
  assert.ok(points[1].trainLoss < points[0].trainLoss);
  assert.equal(spectrum.shape, [3]);
  assert.ok(Math.abs(spectrum.values.reduce((a, b) => a + b, 0) - 1) < 1e-5);
  // Of the 49 pairs 25 are trained; right of the other 24 is what is right of all but for some of the 25.
  const logits = await model.forward(Array.from({ length: 49 }, (_, i) => [Math.floor(i / 7), i % 7, 7]));
  const best = await logits.slice({ pos: -1 }).argmax().data();
  logits.dispose();
  const rightOfAll = best.reduce((n, id, i) => n + Number(id === (Math.floor(i / 7) + (i % 7)) % 7), 0);
  const hits = right * 24;
  assert.ok(Math.abs(hits - Math.round(hits)) < 1e-9 && hits <= rightOfAll, `${hits} of ${rightOfAll}`);
  assert.ok(rightOfAll - hits <= 25);
  model.dispose();
});

test.run();
