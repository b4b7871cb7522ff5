/** What is larger than one binding of the adapter: the engine's references, with bindings of at most 96 KiB. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, hookNames, logitDiff, nextTokens, type Tensor } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, randomGpt2 } from '../helpers.js';
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

// GPT-2's vocabulary: W_E and W_U are each 8 bindings large, and the logits of a position two are, too.
const wide = {
  nLayers: 1,
  nHeads: 1,
  dModel: 4,
  dHead: 4,
  dMlp: 4,
  nCtx: 8,
  dVocab: 50257,
  attnOnly: false,
  normalization: 'LN',
  actFn: 'relu',
} as const;
const rows = [[3, 50256, 1234], [7]];

test('a vocabulary of 50,257: logits, probabilities, ranks and gradients', async () => {
  const weights = randomGpt2(wide, 5, { untied: true });
  const options = { ...noProcessing, adapter: device };
  using model = await HookedTransformer.fromWeights(wide, weights, options);
  const at = 'ln_final.hook_normalized';
  using run = await model.runWithCache(rows, { names: [at, 'hook_embed'] });
  const logits = await run.logits.data();
  const { W_E, W_U, b_U, lnFinal } = model.weights;
  const { dModel: d, dVocab: n } = wide;
  const ids = rows.flat();
  const embedded = await run.cache.get('hook_embed').data();
  for (const [i, id] of ids.entries())
    allClose(embedded.slice(i * d, (i + 1) * d), W_E.data.slice(id * d, (id + 1) * d), { what: 'embed' });
  const read = await run.cache.get(at).data();
  const exact = ids.map((_, p) => {
    const x = Array.from({ length: d }, (_, i) => read[p * d + i] * lnFinal!.w.data[i] + lnFinal!.b!.data[i]);
    return Float64Array.from({ length: n }, (_, t) =>
      x.reduce((sum, v, i) => sum + v * W_U.data[i * n + t], b_U.data[t]),
    );
  });
  for (const [p, row] of exact.entries())
    allClose(logits.subarray(p * n, (p + 1) * n), row, { what: 'logits' });

  const lse = exact.map((row) => {
    const most = row.reduce((a, b) => Math.max(a, b));
    return most + Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0));
  });
  const logProbs = await model.logProbs(rows);
  const next = [50256, 1234];
  const before = [0, 1];
  allClose(
    logProbs.flatMap((row) => [...row]),
    next.map((t, i) => exact[before[i]][t] - lse[before[i]]),
    { what: 'logProbs' },
  );
  const [, top] = await nextTokens(model, rows, { k: 3 });
  const order = Array.from(exact[3].keys()).sort((a, b) => exact[3][b] - exact[3][a]);
  assert.equal(
    top.map(({ token }) => token),
    order.slice(0, 3),
  );

  // Tensor operations on arrays of several bindings.
  const host = async (t: Tensor | Tensor<'u32'>) => {
    const data = Array.from((await t.data()) as ArrayLike<number>);
    t.dispose();
    return data;
  };
  const best = exact.map((row) => row.indexOf(row.reduce((a, b) => Math.max(a, b))));
  assert.equal(await host(run.logits.argmax()), best);
  allClose(await host(run.logits.logSumExp(-1)), lse);
  const flat = run.logits.reshape([ids.length, n]);
  const added = await host(flat.sum(0));
  for (const t of [0, 24575, 24576, 50256])
    allClose([added[t]], [exact.reduce((sum, row) => sum + row[t], 0)], { what: `sum(0) ${t}` });
  const few = flat.topk(5);
  const places = exact.map((row) =>
    Array.from(row.keys())
      .sort((a, b) => row[b] - row[a])
      .slice(0, 5),
  );
  assert.equal(await host(few.indices), places.flat());
  allClose(
    await host(few.values),
    places.flatMap((list, p) => list.map((t) => exact[p][t])),
  );
  const soft = await host(flat.softmax());
  for (const t of [0, 30000, 50256])
    allClose([soft[2 * n + t]], [Math.exp(exact[2][t] - lse[2])], { atol: 1e-9 });
  flat.dispose();

  const { grads } = await model.runWithGrads([rows[1]], logitDiff(50000, 11), { names: at });
  const slope = Array.from(
    { length: d },
    (_, i) => lnFinal!.w.data[i] * (W_U.data[i * n + 50000] - W_U.data[i * n + 11]),
  );
  allClose(await grads.get(at).data(), slope, { what: 'gradient' });
  grads.dispose();
});

test.run();
