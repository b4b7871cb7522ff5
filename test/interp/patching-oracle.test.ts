/** TransformerLens' patching family agrees with loops of whole forward passes in float64. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { kl, logitDiff, logProb, loss, type Metric, prob, rank } from '../../interp/logits/metrics.js';
import { counterfactuals } from '../../interp/patching/counterfactuals.js';
import { patch } from '../../interp/patching/patching.js';
import { allClose } from '../helpers.js';
import { oracle, oracleModel } from './oracle.js';

for (const { model: about, clean, corrupted, correct, wrong, sweeps, metrics, ...expected } of oracle(
  'patching',
)) {
  const changed = corrupted.map((row, i) => row.filter((t, p) => t !== clean[i][p]).length);
  const prompts = `${about.config.name}, ${clean.length} pairs that differ in ${changed.join(', ')} tokens`;

  for (const { at, by, shape, values } of sweeps)
    test(`${prompts}: patching ${at} by ${by.join(' × ')}`, async () => {
      const model = await oracleModel(about);
      const metric = logitDiff(correct, wrong);
      const map = await patch(model, { clean, corrupted, at, by, metric });
      assert.equal(map.shape, shape);
      assert.equal(
        map.axes.map((axis) => axis.name),
        by,
      );
      allClose(map.values, values, { atol: 2e-5, rtol: 0 });
      allClose([map.meta.clean, map.meta.corrupted] as number[], [
        expected.cleanValue,
        expected.corruptedValue,
      ]);
    });

  const per = 'prompt' as const;
  const made: Record<string, Metric> = {
    logProb: logProb(correct, { per }),
    prob: prob(correct, { per }),
    rank: rank(correct, { per }),
    klFromBase: kl('base', { per }),
    klFromClean: kl('clean', { per }),
    loss: loss({ per }),
  };
  for (const { metric, values } of metrics)
    test(`${prompts}: ${metric} of every prompt, when resid_pre is patched by layer × pos`, async () => {
      const model = await oracleModel(about);
      const positions = clean[0].map((_, pos) => pos);
      const cells = Array.from({ length: model.config.nLayers }, (_, layer) =>
        positions.map((pos) => [{ at: 'resid_pre', layer, pos, set: { from: 'clean' } }]),
      ).flat();
      const base = { input: corrupted, sources: { clean } };
      const result = await counterfactuals(model, base, cells, made[metric]);
      assert.equal(result.shape, [cells.length, clean.length]);
      allClose(result.values, values, { atol: 2e-5, rtol: 2e-5 });
    });
}

test.run();
