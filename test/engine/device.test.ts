/**
 * What the engine asks of a WebGPU device: no more than it needs, and nothing that other implementations take
 * wrongly.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import { Fingerprint } from '../../weights/processing/fingerprint.js';
import { twoLayers as config, randomGpt2, rng } from '../helpers.js';

/** A device of one's own, with a method replaced by one that is told of every call. */
async function watched<K extends 'createComputePipeline' | 'pushErrorScope'>(
  method: K,
  told: (argument: Parameters<GPUDevice[K]>[0]) => void,
): Promise<GPUDevice> {
  const { gpuProvider, requestDevice } = await import('../../engine/gpu/adapter.js');
  const device = await requestDevice(await gpuProvider().requestAdapter('auto'));
  const original = device[method].bind(device) as (argument: unknown) => unknown;
  Object.defineProperty(device, method, {
    value: (argument: Parameters<GPUDevice[K]>[0]) => {
      told(argument);
      return original(argument);
    },
  });
  return device;
}

test('every pipeline has a layout object of its own, as wgpu needs it', async () => {
  const layouts: unknown[] = [];
  const device = await watched('createComputePipeline', ({ layout }) => layouts.push(layout));
  using model = await HookedTransformer.fromWeights(config, randomGpt2(config, 1), { adapter: device });
  await model.loss([[1, 2, 3], [4]]);
  assert.ok(layouts.length > 5 && !layouts.includes('auto'));
  assert.is(new Set(layouts).size, layouts.length);
  device.destroy();
});

test('a repeated run makes no buffer, and opens error scopes for its submits only', async () => {
  let scopes = 0;
  const device = await watched('pushErrorScope', () => scopes++);
  using model = await HookedTransformer.fromWeights(config, randomGpt2(config, 1), { adapter: device });
  const run = async () => {
    using logits = await model.forward([1, 2, 3, 4, 5]);
    await logits.data();
  };
  for (let i = 0; i < 3; i++) await run();
  const submits = model.gpu.stats.submits;
  scopes = 0;
  await run();
  assert.is(scopes, 3 * (model.gpu.stats.submits - submits)); // three kinds of errors a submit
  device.destroy();
});

test('a fingerprint reads the numbers, and never lists the keys of typed arrays', () => {
  const data = rng(1).array(8);
  const part = (halves?: Uint16Array) =>
    ({
      kind: 'embed',
      weights: { W_E: { shape: [2, 4], data, halves }, W_pos: { shape: [2, 4], data } },
    }) as const;
  const text = (halves?: Uint16Array) => {
    const fingerprint = new Fingerprint();
    fingerprint.add(part(halves));
    return fingerprint.text;
  };
  const { keys } = Object;
  const listed: object[] = [];
  Object.keys = (o: object) => {
    listed.push(o);
    return keys(o);
  };
  try {
    assert.is(text(new Uint16Array(8)), text());
  } finally {
    Object.keys = keys;
  }
  assert.ok(listed.length > 0 && !listed.some((o) => ArrayBuffer.isView(o)));
});

test.run();
