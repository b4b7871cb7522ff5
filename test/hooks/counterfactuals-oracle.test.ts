/** Interventions of every kind at every kind of hook point give what whole forward passes in float64 give. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { describeIntervention } from '../../hooks/interventions/describe.js';
import { logitDiff, loss } from '../../interp/logits/metrics.js';
import { counterfactuals } from '../../interp/patching/counterfactuals.js';
import { allClose } from '../helpers.js';
import { oracle, oracleModel } from '../interp/oracle.js';
import { givenBack } from '../memory.js';

for (const { model: about, base, correct, wrong, value, counterfactuals: list, ...expected } of oracle(
  'free',
)) {
  const lengths = base.input.map((row) => row.length).join(', ');
  const where = `${about.config.name}, prompts of ${lengths} tokens`;
  const metric = logitDiff(correct, wrong, { per: 'prompt' });

  for (const { interventions, values } of list)
    test(`${where}: ${describeIntervention(interventions)}`, async () => {
      const model = await oracleModel(about);
      const before = model.gpu.memory().bytes;
      const result = await counterfactuals(model, base, [interventions], metric);
      assert.equal(result.shape, [1, base.input.length]);
      allClose(result.values, values, { atol: 5e-5, rtol: 2e-5 });
      givenBack(model.gpu, before);
    });

  const all = list.map((c) => c.interventions);
  for (const maxTokens of [undefined, 20])
    test(`${where}: all of them at once, ${maxTokens ?? 'all'} tokens at a time`, async () => {
      const model = await oracleModel(about);
      const result = await counterfactuals(model, base, [...all, []], metric, { maxTokens });
      allClose(result.values, [...list.flatMap((c) => c.values), ...value], { atol: 5e-5, rtol: 2e-5 });
    });

  test(`${where}: what all of them do to predictions everywhere`, async () => {
    const model = await oracleModel(about);
    const result = await counterfactuals(model, base, all, loss({ per: 'prompt' }));
    allClose(
      result.values,
      list.flatMap((c) => c.losses),
      { atol: 5e-5, rtol: 2e-5 },
    );
    allClose(result.meta.base as number[], expected.loss);
  });
}

test.run();
