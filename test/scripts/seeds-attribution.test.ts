/** What was published on attribution patching hangs together. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pearson } from '../../interp/results/correlation.js';
import { published } from '../../scripts/seeds/attribution-patching-published.js';
import { allClose } from '../helpers.js';

test('the published arrays hang together, and correlate as the notebook says', () => {
  const { heads, vectors, blocks, byPos, patternsByPos, paths, factual, attention } = published;
  const sum = (row: readonly number[]) => row.reduce((a, b) => a + b, 0);
  for (const [i, x] of (['z', 'q', 'k', 'v'] as const).entries())
    allClose(vectors[x].map(sum), heads.attributed[i].flat(), { atol: 1e-4, what: x });
  allClose(patternsByPos.map(sum), heads.attributed[4].flat(), { atol: 1e-4 });
  const correlations = heads.exact.map((exact, i) => pearson(exact.flat(), heads.attributed[i].flat()));
  allClose(correlations, [0.983, 0.869, 0.821, 0.995, 0.979], { atol: 6e-4, rtol: 0 });
  // with the 1440 cells before the first difference, which are 0
  const padded = (grid: readonly (readonly number[])[]) => [...grid.flat(), ...Array(1440).fill(0)];
  const z = pearson(padded(byPos[0]), padded(vectors.z));
  allClose([z], [0.982], { atol: 6e-4, rtol: 0 });
  const before = Array(120).fill(0);
  const perBlock = blocks.exact.map((exact, i) =>
    pearson([...exact.flat(), ...before], [...blocks.attributed[i].flat(), ...before]),
  );
  allClose(perBlock, [0.735, 0.982, 0.436], { atol: 6e-4, rtol: 0 });
  for (const [receiver, senders] of paths)
    for (const sender of senders) assert.ok(Math.floor(sender / 12) < Math.floor(receiver / 36));
  for (const pattern of attention.patterns.flat())
    allClose(pattern.map(sum), Array(15).fill(1), { atol: 2e-4 });
  assert.equal([factual.residual.length, factual.residual[0].length], [48, 12]);
});

test.run();
