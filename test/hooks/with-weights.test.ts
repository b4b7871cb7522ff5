/** Models with some weights changed: the others are shared, and nothing else changes. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type HookEntry, HookedTransformer, loss, saveModel, Trainer } from '../../index.js';
import { allClose, randomGpt2, threeLayers, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const tokens = [
  [1, 2, 3, 4],
  [5, 6, 7, 8, 9, 1],
];
const raw = { foldLn: false, centerWritingWeights: false, centerUnembed: false, foldValueBiases: false };
const load = (options = {}) =>
  HookedTransformer.fromWeights(threeLayers, randomGpt2(threeLayers, 3), options);

test('zeroing W_O of a layer is what ablating all of its heads is, up to b_O', async () => {
  const model = await load();
  const held = model.gpu.memory().bytes;
  const changed = model.withWeights({ 'blocks.1.attn.W_O': (w) => w.mul(0) });
  const ablated = model.with({ interventions: [{ at: 'z', layer: 1, zero: true }] });
  const [a, b] = [await changed.forward(tokens), await ablated.forward(tokens)];
  allClose(await a.data(), await b.data(), { atol: 1e-6 });
  assert.is.not(changed.hash, model.hash);
  assert.match(changed.hash, /^[0-9a-f]{16}$/);
  assert.is(
    changed.weights.W_O[1].data.every((x) => x === 0),
    true,
  );
  assert.is(changed.weights.W_O[0].data.buffer, model.weights.W_O[0].data.buffer);
  for (const one of [a, b, changed, ablated]) one.dispose();
  givenBack(model.gpu, held);
  model.dispose();
});

test('a copy outlives its base, and holds the memory of what was changed only', async () => {
  const model = await load();
  const before = model.gpu.memory().bytes;
  const changed = model.withWeights({ 'blocks.0.mlp.b_in': new Float32Array(threeLayers.dMlp) });
  const more = model.gpu.memory().bytes - before;
  assert.ok(more <= 4 * threeLayers.dMlp + 1024, `${more} bytes more`);
  const expected = await (await changed.forward(tokens)).data();
  model.dispose();
  allClose(await (await changed.forward(tokens)).data(), expected, { atol: 0, rtol: 0 });
  changed.dispose();
});

test('every weight, given its own numbers, leaves the model as it is: names and layouts are right', async () => {
  for (const options of [raw, {}]) {
    const model = await load(options);
    const shapes = model.weightShapes();
    const expected = await (await model.forward(tokens)).data();
    for (const names of [Object.keys(shapes)]) {
      const same = model.withWeights(Object.fromEntries(names.map((name) => [name, (w) => w.mul(1)])));
      allClose(await (await same.forward(tokens)).data(), expected, { atol: 1e-6 });
      assert.is(same.hash === model.hash || model.weights.parts.final.W_U === null, true);
      same.dispose();
    }
    const { W_Q, W_K, W_V, W_O, W_U, W_E } = model.weights;
    const views = { Q: W_Q, K: W_K, V: W_V };
    for (const [x, view] of Object.entries(views)) {
      let seen: Promise<Float32Array> | null = null;
      const copy = model.withWeights({
        [`blocks.2.attn.W_${x}`]: (w) => {
          assert.equal(w.shape, view[2].shape);
          seen = w.clone().data();
          return w;
        },
      });
      allClose(await seen!, view[2].data, { atol: 0, rtol: 0 });
      copy.dispose();
    }
    assert.equal(shapes['blocks.0.attn.W_O'], W_O[0].shape);
    assert.equal(shapes['unembed.W_U'], W_U.shape);
    assert.equal(shapes['embed.W_E'], W_E.shape);
    model.dispose();
  }
});

test('a tied embedding that is changed leaves the unembedding as it was', async () => {
  const model = await load(raw);
  const copy = model.withWeights({ 'embed.W_E': (w) => w.mul(2) });
  await copy.loadWeights();
  allClose(copy.weights.W_U.data, model.weights.W_U.data, { atol: 0 });
  allClose(
    copy.weights.W_E.data,
    model.weights.W_E.data.map((x) => 2 * x),
    { atol: 1e-7 },
  );
  copy.dispose();
  model.dispose();
});

test('a copy is saved and loaded with the same hash, and logits', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weights-'));
  try {
    const model = await load(raw);
    const changed = model.withWeights({ 'blocks.2.attn.W_Q': (w) => w.set([1], 0) });
    await saveModel(changed, folder);
    const again = await HookedTransformer.fromPretrainedNoProcessing(folder);
    assert.is(again.hash, changed.hash);
    const [a, b] = [await again.forward(tokens), await changed.forward(tokens)];
    allClose(await a.data(), await b.data(), { atol: 1e-6 });
    for (const one of [again, changed, model]) one.dispose();
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('edits stay, and copies nest', async () => {
  const model = await load();
  const edits = { interventions: [{ at: 'z', layer: 0, zero: true as const }] };
  const one = model.with(edits).withWeights({ 'blocks.1.mlp.W_out': (w) => w.mul(0) });
  const both = one.withWeights({ 'blocks.2.mlp.W_out': (w) => w.mul(0) });
  const by = await model.runWithHooks(tokens, {
    hooks: [
      ['blocks.0.attn.hook_z', (z) => z.mul(0)],
      [/blocks.[12].mlp.hook_post/, (x) => x.mul(0)],
    ],
  });
  const got = await both.forward(tokens);
  allClose(await got.data(), await by.data(), { atol: 1e-6 });
  for (const t of [got, by, both, one, model]) t.dispose();
});

test('what does not fit is refused', async () => {
  const model = await load();
  throws(() => model.withWeights({ 'blocks.3.attn.W_O': (w) => w }), /no weight "blocks.3.attn.W_O"/);
  throws(() => model.withWeights({ 'blocks.1.attn.W_o': (w) => w }), /did you mean "blocks.1.attn.W_O"/);
  throws(() => model.withWeights({ 'blocks.1.attn.W_O': [1, 2] }), /shape \[.*\] is needed/);
  throws(
    () => model.withWeights({ 'blocks.1.attn.W_O': (() => {}) as never }),
    /the function gave no tensor/,
  );
  const copy = model.withWeights({ 'blocks.1.attn.b_O': (b) => b.mul(0) });
  const plain = await load(raw);
  const shared = plain.withWeights({ 'blocks.1.attn.b_O': (b) => b.mul(0) });
  throws(() => new Trainer(plain, { lr: 0.1 }), /share weights/);
  shared.dispose();
  new Trainer(plain, { lr: 0.1 }).dispose();
  const prefix = await model.prefix([1, 2]);
  await throws(copy.forward([3], { prefix }), /other weights or other edits/);
  prefix.dispose();
  for (const one of [copy, model, plain]) one.dispose();
});

test('gradients and metrics are those of the changed weights', async () => {
  const model = await load();
  const changed = model.withWeights({
    'blocks.1.attn.W_V': (w) => w.mul(0),
    'blocks.1.attn.b_V': (b) => b.mul(0),
  });
  const hooks: HookEntry[] = [['blocks.1.attn.hook_v', (v) => v.mul(0)]];
  const a = await changed.runWithGrads(tokens, loss(), { names: 'blocks.0.hook_resid_pre' });
  const b = await model.runWithGrads(tokens, loss(), {
    names: 'blocks.0.hook_resid_pre',
    hooks,
  });
  allClose([a.value], [b.value], { atol: 1e-6 });
  allClose(await a.grads.get('resid_pre', 0).data(), await b.grads.get('resid_pre', 0).data(), {
    atol: 1e-6,
  });
  for (const one of [a, b, changed, model]) one.dispose();
});

test.run();
