/**
 * Ablation: what is lost when a component is missing. Values against loops of whole forward passes in
 * float64.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { logitDiff } from '../../interp/logits/metrics.js';
import { type AblatedUnit, type AblateOptions, ablate } from '../../interp/patching/ablation.js';
import { allClose, throws } from '../helpers.js';
import { givenBack } from '../memory.js';
import { oracle, oracleModel } from './oracle.js';

const UNITS: Record<string, AblatedUnit> = {
  head: 'heads',
  attn: 'attention',
  mlp: 'mlps',
  layer: 'layers',
  neuron: 'neurons',
};

const cases = oracle('ablations');

for (const { model: about, rows, dataset, resample, correct, wrong, base, ablations } of cases) {
  const metric = logitDiff(correct, wrong, { per: 'prompt' });
  for (const { unit, method, neurons, values } of ablations)
    test(`${about.config.name}: each ${unit} ablated, ${method}`, async () => {
      const model = await oracleModel(about);
      const before = model.gpu.memory().bytes;
      const how: Partial<AblateOptions> =
        method === 'zero'
          ? {}
          : method === 'resample'
            ? { with: 'resample', from: resample }
            : { with: 'mean', dataset, over: method === 'mean' ? 'rows' : 'all' };
      const map = await ablate(model, rows, { of: UNITS[unit], metric, ...how });
      const all = rows.length;
      const picked = neurons?.flatMap(([layer, neuron]) => {
        const at = (layer * about.config.dMlp + neuron) * all;
        return [...map.values.subarray(at, at + all)];
      });
      allClose(picked ?? map.values, values, { atol: 5e-5, rtol: 2e-5 });
      allClose(map.meta.base as number[], base, { atol: 5e-5, rtol: 2e-5 });
      givenBack(model.gpu, before);
    });
}

const [{ model: about, rows, dataset, resample, correct, wrong }] = cases;
const model = await oracleModel(about);
const metric = logitDiff(correct, wrong);
const tight = { atol: 2e-5, rtol: 0 };

test('the change from the intact run is what ablation gives, less the metric of the intact run', async () => {
  const map = await ablate(model, rows, { of: 'mlps', metric });
  const change = await ablate(model, rows, { of: 'mlps', metric, relative: true });
  allClose(
    change.values,
    map.values.map((v) => v - (map.meta.base as number)),
    tight,
  );
});

test('a zeroed MLP is one all of whose neurons are zero, but for its bias', async () => {
  const { b_out } = model.weights;
  const all = await ablate(model, rows, { of: 'neurons', metric, by: ['layer'] });
  const [silent] = (await ablate(model, rows, { of: 'mlps', metric, only: { layer: 1 } })).values;
  assert.ok(b_out[1].data.some((b) => b !== 0));
  assert.ok(Math.abs(all.values[1] - silent) > 1e-4, 'b_out is left');
});

test('at the last position alone, the last layer loses there what it loses altogether', async () => {
  const whole = await ablate(model, rows, { of: 'mlps', metric });
  const last = await ablate(model, rows, { of: 'mlps', metric, pos: -1 });
  allClose([last.values[2]], [whole.values[2]], tight);
  assert.ok(Math.abs(last.values[0] - whole.values[0]) > 1e-3);
});

test('neurons of one layer are an axis of their own, in as many chunks as fit', async () => {
  const only = { layer: 2 };
  const map = await ablate(model, rows, { of: 'neurons', metric, only });
  assert.equal(
    map.axes.map((a) => a.name),
    ['neuron'],
  );
  const chunked = await ablate(model, rows, { of: 'neurons', metric, only, maxTokens: 16 });
  assert.ok((chunked.meta.work as { chunks: number }).chunks > 5);
  allClose(chunked.values, map.values, tight);
});

test('prompts that are missing, superfluous or of other lengths are refused before anything runs', async () => {
  const run = (options: Partial<AblateOptions>) => () =>
    ablate(model, rows, { of: 'heads', metric, ...options });
  await throws(run({ with: 'mean' }), /'mean': `dataset` says which prompts/);
  await throws(run({ with: 'resample' }), /'resample': `from` says which prompts/);
  await throws(run({ dataset }), /`dataset` has no meaning with 'zero'/);
  await throws(run({ with: 'resample', from: [resample[0]] }), /1 resampled prompts and 2 input ones/);
  await throws(run({ with: 'mean', dataset: [dataset[0], dataset[1].slice(1)] }), /differ in length/);
  await throws(run({ of: 'head' as 'heads' }), /of is "head": 'heads', 'attention'/);
  await throws(run({ by: ['neuron', 'layer', 'key'] }), /no axis "key"/);
});

test.run();
