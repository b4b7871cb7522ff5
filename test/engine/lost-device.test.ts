/** A device that is lost is opened again: models have their weights, recorded sweeps all their cells. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gpuProvider, setGpuProvider } from '../../engine/gpu/adapter.js';
import {
  counterfactuals,
  DeviceLostError,
  HookedTransformer,
  listAdapters,
  logitDiff,
  type RecordStore,
  Trainer,
} from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { randomGpt2, throws, twoLayers } from '../helpers.js';

const config = { ...twoLayers, attnOnly: true };
const provider = gpuProvider();
const devices: GPUDevice[] = [];
let refused = false;

/** The platform's adapters, with their devices watched. */
setGpuProvider({
  ...provider,
  async requestAdapter(...given) {
    if (refused) throw new Error('no adapter');
    const adapter = await provider.requestAdapter(...given);
    const requestDevice = async (descriptor: GPUDeviceDescriptor) => {
      const device = await adapter.requestDevice(descriptor);
      devices.push(device);
      return device;
    };
    return new Proxy(adapter, {
      get: (target, key) => (key === 'requestDevice' ? requestDevice : Reflect.get(target, key, target)),
    });
  },
});
test.after(() => setGpuProvider(provider));

/** A Gpu of its own: no other test asks for it like that. */
const own = { powerPreference: 'low-power' } as const;
const weights = randomGpt2(config, 1);
const load = (more = {}) => HookedTransformer.fromWeights(config, weights, { ...own, ...more });
const lose = () => devices.at(-1)!.destroy();
const T = [[1, 2, 3, 4, 5, 6]];

test('after a loss the next call gives the same bits, on another device', async () => {
  for (const dtype of ['f32', 'f16'] as const)
    for (const hostWeights of dtype === 'f16' ? [true] : [true, false]) {
      using model = await HookedTransformer.fromWeights(config, weights, { ...own, dtype, hostWeights });
      const before = await model.logProbs(T);
      const { bytes } = model.gpu.memory();
      const count = devices.length;
      lose();
      assert.equal(await outlived(() => model.logProbs(T)), before);
      assert.is(devices.length, count + 1);
      assert.is(model.gpu.memory().bytes, bytes);
    }
});

/** Calls again where the call finds that the device was lost while it ran. */
async function outlived<R>(call: () => Promise<R>): Promise<R> {
  try {
    return await call();
  } catch (e) {
    if (!(e instanceof DeviceLostError)) throw e;
    return call();
  }
}

test('what was on the device alone says that it is gone', async () => {
  using model = await load();
  const logits = await model.forward(T);
  const prefix = await model.prefix([1, 2]);
  const { gpu } = model;
  lose();
  await throws(() => logits.data(), /the GPU device was lost \(.*call again, and another is opened/);
  await outlived(() => model.logProbs(T));
  await throws(() => logits.data(), /a GPU device that has been lost since: .* make them again/);
  await throws(() => model.forward([3], { prefix }), /lost since: tensors, caches and prefixes are gone/);
  logits.dispose();
  prefix.dispose();
  const { bytes } = gpu.memory();
  (await model.forward(T)).dispose();
  assert.is(gpu.memory().bytes, bytes);
});

test('weights of a model in training are gone, until they have been read back', async () => {
  using model = await load(noProcessing);
  using trainer = new Trainer(model, { lr: 0.01 });
  await trainer.train([T], { steps: 1 });
  const before = await model.logProbs(T);
  lose();
  assert.equal(await outlived(() => model.logProbs(T)), before);
  using another = new Trainer(model, { lr: 0.01 });
  await another.step([T]);
  lose();
  await throws(
    () => outlived(() => model.logProbs(T)),
    /weights of a model in training, which were nowhere else/,
  );
});

test('where no device can be opened, the error says why, and the next call tries again', async () => {
  using model = await load();
  const before = await model.logProbs(T);
  lose();
  refused = true;
  await throws(
    () => outlived(() => model.logProbs(T)),
    /the GPU device was lost \(.*\), and none could be opened: no adapter/,
  );
  refused = false;
  assert.equal(await model.logProbs(T), before);
});

test('an edited model has its numbers and the runs that values come from again', async () => {
  using model = await load();
  const edited = model.with({
    interventions: [
      { at: 'resid_pre', layer: 0, pos: 1, add: Array.from({ length: config.dModel }, (_, i) => i / 9) },
      { at: 'z', layer: 1, mean: { mean: 'reference', over: 'all' } },
    ],
    sources: { reference: [[7, 8, 9]] },
  });
  const before = await edited.logProbs(T);
  assert.not.equal(before, await model.logProbs(T));
  lose();
  assert.equal(await outlived(() => edited.logProbs(T)), before);
});

/** A sweep of 24 cells in chunks of a few. */
function sweep(model: HookedTransformer, record: RecordStore | undefined, onProgress?: () => void) {
  const list = [0, 1].flatMap((layer) =>
    [0, 1, 2, 3, 4, 5].flatMap((pos) =>
      (['resid_pre', 'attn_out'] as const).map((at) => [{ at, layer, pos, set: { from: 'clean' } }]),
    ),
  );
  const base = { input: T, sources: { clean: [[7, 8, 9, 10, 11, 6]] } };
  return counterfactuals(model, base, list, logitDiff(1, 2), { maxTokens: 6, record, onProgress });
}

function memory(): RecordStore & { lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    read: async () => [...lines],
    append: async (more) => void lines.push(...more),
  };
}

test('a recorded sweep outlasts the loss of its device at any of ten moments, without a cell lost', async () => {
  using model = await load();
  const undisturbed = memory();
  const expected = await sweep(model, undisturbed);
  const calls = await new Promise<number>((done) => {
    let n = 0;
    sweep(model, undefined, () => void n++).then(() => done(n));
  });
  assert.ok(calls > 10, `${calls} moments`);
  for (let moment = 0; moment < 10; moment++) {
    const at = Math.floor((moment * calls) / 10);
    const record = memory();
    let n = 0;
    const result = await sweep(model, record, () => {
      if (n++ === at) lose();
    });
    assert.equal(result.values, expected.values, `lost at call ${at} of ${calls}`);
    assert.is((result.meta.work as { losses?: number }).losses, 1);
    assert.equal([...record.lines].sort(), [...undisturbed.lines].sort(), `record, lost at ${at}`);
  }
});

test('a sweep without a record goes on, too; one that never gets further gives up', async () => {
  using model = await load();
  const expected = await sweep(model, undefined);
  let n = 0;
  const result = await sweep(model, undefined, () => {
    if (n++ === 7) lose();
  });
  assert.equal(result.values, expected.values);
  await throws(() => sweep(model, undefined, lose), /the GPU device was lost/);
});

test('adapters are listed, and taken by index or a part of the name', async () => {
  const list = await listAdapters();
  assert.equal(
    list.map((a) => a.index),
    list.map((_, i) => i),
  );
  const { index, name, kind } = list.at(-1)!;
  assert.type(name, 'string');
  assert.ok(kind === 'software' || kind === 'hardware');
  const before = process.env.GLASSBOX_ADAPTER;
  delete process.env.GLASSBOX_ADAPTER;
  try {
    const part = name.slice(1, 6).toUpperCase();
    for (const adapter of [index, part]) {
      using model = await HookedTransformer.fromWeights(config, weights, { adapter });
      assert.is(model.gpu.adapter.choice, String(adapter));
      assert.is(model.gpu.caps.adapterClass, kind);
      const { meta } = await counterfactuals(
        model,
        T,
        [[{ at: 'attn_out', layer: 0, zero: true }]],
        logitDiff(1, 2),
      );
      assert.is(meta.adapterChoice, String(adapter));
      model.gpu.destroy();
    }
    await throws(
      () => HookedTransformer.fromWeights(config, weights, { adapter: 99 }),
      /adapter 99: there is no GPU of that index: 0 /,
    );
    await throws(
      () => HookedTransformer.fromWeights(config, weights, { adapter: 'voodoo' }),
      /adapter "voodoo": no GPU has that in its name: 0 .*; or one of auto, hardware/,
    );
  } finally {
    if (before !== undefined) process.env.GLASSBOX_ADAPTER = before;
  }
});

test.run();
