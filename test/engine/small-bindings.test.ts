/** What is larger than one binding of the adapter: the engine's references, with bindings of at most 96 KiB. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, hookNames } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { compare, type FixtureName, loadFixture, referenceModel } from './reference.js';

/** A device that allows no larger bindings; other limits are the adapter's. */
async function smallBindings(bytes: number): Promise<GPUDevice> {
  const { gpuProvider, requestDevice } = await import('../../engine/gpu/adapter.js');
  const device = await requestDevice(await gpuProvider().requestAdapter('auto'));
  const limits = new Proxy(device.limits, {
    get: (own, name) => (name === 'maxStorageBufferBindingSize' ? bytes : Reflect.get(own, name, own)),
  });
  Object.defineProperty(device, 'limits', { value: limits });
  return device;
}

const device = await smallBindings(96 * 1024);
test.after(() => device.destroy());

for (const name of ['dhead-13', 'wide-heads', 'attn-only'] as const satisfies FixtureName[])
  test(`${name}: every hook point, logits and log-probabilities are the reference's`, async () => {
    const fixture = loadFixture(name);
    const { config, tensors } = referenceModel(fixture);
    using model = await HookedTransformer.fromWeights(config, tensors, { ...noProcessing, adapter: device });
    assert.is(model.gpu.adapter.maxBindingBytes, 96 * 1024);
    const known = fixture.runs.raw[0].hooks;
    const names = hookNames(model.config).filter((n) => n in known);
    for (const [i, tokens] of fixture.rows.entries()) {
      using run = await model.runWithCache([tokens], { names });
      for (const [n, t] of run.cache) compare(fixture, i, n, t.shape, await t.data());
      compare(fixture, i, 'logits', run.logits.shape, await run.logits.data());
    }
    const logProbs = await model.logProbs(fixture.rows);
    for (const [i, row] of logProbs.entries())
      for (const [k, x] of fixture.runs.raw[i].logProbs.entries())
        assert.ok(Math.abs(row[k] - x) < 1e-4 + 1e-4 * Math.abs(x), `row ${i}, ${k}`);
  });

test.run();
