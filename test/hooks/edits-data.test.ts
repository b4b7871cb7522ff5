/** Edits of models as data: JSON there and back, values from tensors, caches and runs, gradient hooks, TransformerLens 4's names. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { editsFromJson, editsToJson, HookedTransformer, logitDiff, loss, type Tensor } from '../../index.js';
import { allClose, randomGpt2, throws, twoLayers } from '../helpers.js';

const model = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 3));
test.after(() => model.dispose());
const rows = [
  [1, 2, 3, 4],
  [5, 6, 7],
];
const numbersOf = async (of: HookedTransformer, input = rows) => {
  const logits = await of.forward(input);
  return logits.data().finally(() => logits.dispose());
};

test('edits go to JSON and come back as the same model: numbers, tensors, runs, nested edits', async () => {
  const direction = model.tensor(Array.from({ length: twoLayers.dModel }, (_, i) => Math.sin(i)));
  const first = model.with({
    interventions: [
      { at: 'z', layer: 1, head: 0, mean: { mean: 'reference', over: 'all' } },
      { at: 'blocks.0.hook_resid_post', pos: -1, add: { from: 'direction' } },
      { at: 'resid_pre', layer: 1, pos: 0, set: { from: 'reference', row: 1, pos: 2 } },
    ],
    sources: { reference: rows, direction },
  });
  const edited = first.with({ interventions: [{ at: 'mlp_out', layer: 0, scale: 0.5 }] });
  const text = await editsToJson(edited);
  direction.dispose();
  assert.is(JSON.parse(text).format, 'glassbox edits');
  const again = editsFromJson(text).reduce((of, edit) => of.with(edit), model);
  allClose(await numbersOf(again), await numbersOf(edited), { atol: 0, rtol: 0 });
  assert.is(await editsToJson(again), text);
  assert.equal(again.toString().split('\n').length, 5);
  assert.not.equal(await numbersOf(edited), await numbersOf(model));
});

test('a model of plain data is written by JSON.stringify; one with tensors, functions or caches says what is none', async () => {
  const interventions = [{ at: 'z', layer: 1, head: 0, zero: true }] as const;
  const plain = model.with({ interventions });
  const { hash, edits } = JSON.parse(JSON.stringify(plain));
  assert.equal([hash, edits], [model.hash, [{ interventions }]]);
  const vector = model.tensor(new Float32Array(twoLayers.dModel));
  const tensor = model.with({ interventions: [{ at: 'resid_pre', layer: 0, add: vector }] });
  throws(() => JSON.stringify(tensor), /hold tensors.*await editsToJson\(model\)/);
  const called = model.with({ hooks: [['mlp_out', (x) => x.mul(2)]] });
  await throws(editsToJson(called), /functions are no data \(hook at mlp_out/);
  const back = model.with({ gradHooks: [['mlp_out', (x) => x.mul(2)]] });
  await throws(editsToJson(back), /functions are no data \(gradient at mlp_out/);
  const { cache } = await model.runWithCache([[1, 2, 3, 4]]);
  const cached = model.with({
    interventions: [{ at: 'z', layer: 0, pos: 1, set: { from: 'kept' } }],
    sources: { kept: cache },
  });
  await throws(editsToJson(cached), /source "kept" is a cache, which is no data/);
  throws(() => editsFromJson('{"format":"glassbox edits","version":9,"edits":[]}'), /version 9, and this/);
  throws(() => editsFromJson('{"interventionz":[]}'), /interventionz/);
  throws(() => editsFromJson('[{'), /edits/);
  for (const held of [tensor, vector, cached, cache]) held.dispose();
});

test('values of an edit from a tensor and from a cache are those of hooks that set them by hand', async () => {
  const { cache } = await model.runWithCache([[9, 8, 7, 6]]);
  const vector = cache.get('resid_pre', 1).slice([0, 2]); // [d_model]
  const edited = model.with({
    interventions: [
      { at: 'resid_pre', layer: 1, pos: 1, set: { from: 'vector' } },
      { at: 'z', layer: 1, head: 1, pos: { start: 0, end: 2 }, set: { from: 'kept' } },
    ],
    sources: { vector, kept: cache },
  });
  const z = cache.get('z', 1).slice([0, [0, 2], 1]);
  const byHand = await model.runWithHooks([[1, 2, 3, 4]], {
    hooks: [
      ['blocks.1.hook_resid_pre', (x) => x.set({ pos: 1 }, vector)],
      ['blocks.1.attn.hook_z', (x) => x.set({ head: 1, pos: [0, 2] }, z)],
    ],
  });
  const expected = await byHand.data();
  allClose(await numbersOf(edited, [[1, 2, 3, 4]]), expected, { atol: 1e-6 });
  for (const held of [cache, vector, z]) held.dispose(); // the edit has its own
  allClose(await numbersOf(edited, [[1, 2, 3, 4]]), expected, { atol: 1e-6 });
  edited.dispose();
  await throws(edited.forward(rows), /the edited model was disposed of/);
});

test('gradient hooks of an edited model are those of a run', async () => {
  const hooks = [['blocks.1.hook_resid_pre', (g: Tensor) => g.mul(0.25)]] as const;
  const names = 'hook_embed';
  const edited = await model.with({ gradHooks: hooks }).runWithGrads(rows, loss(), { names });
  const byHand = await model.runWithGrads(rows, loss(), { names, gradHooks: hooks });
  allClose(await edited.grads.get(names).data(), await byHand.grads.get(names).data(), { atol: 0, rtol: 0 });
});

test("TransformerLens 4's names in caches, hooks, interventions and edits are the classic points", async () => {
  const { cache } = await model.runWithCache(rows, { names: ['blocks.1.hook_in', 'attn.o.hook_in'] });
  assert.equal(cache.names(), ['blocks.0.attn.hook_z', 'blocks.1.hook_resid_pre', 'blocks.1.attn.hook_z']);
  assert.is(cache.get('blocks.1.hook_in'), cache.get('resid_pre', 1));
  const [a, b] = await Promise.all(
    (['blocks.1.attn.o.hook_in', 'blocks.1.attn.hook_z'] as const).map(async (at) => [
      await numbersOf(model.with({ interventions: [{ at, head: 1, zero: true }] })),
      await numbersOf(model.with({ hooks: [[at, (z) => z.set({ head: 1 }, 0)]] })),
      await (await model.runWithInterventions(rows, [{ at, head: 1, zero: true }])).logits.data(),
    ]),
  );
  for (const [i, of] of a.entries()) allClose(of, b[i], { atol: 0, rtol: 0 });
  assert.equal(model.with({ interventions: [{ at: 'blocks.1.attn.o.hook_in', zero: true }] }).edits!.lines, [
    'blocks.1.attn.hook_z = 0',
  ]);
});

test('what was disposed of says so', async () => {
  const own = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 3));
  const edited = own.with({ interventions: [{ at: 'z', layer: 0, zero: true }] });
  const { cache, logits, ...run } = await own.runWithCache(rows);
  const grads = await own.runWithGrads(rows, logitDiff(1, 2), { names: 'z' });
  cache.dispose();
  const gone = /this cache was disposed of, and its activations are gone/;
  for (const use of [
    () => cache.get('resid_pre', 0),
    () => cache.has('resid_pre', 0),
    () => cache.row(0),
    () => cache.rows([0]),
    () => cache.decomposeResid(),
    () => [...cache],
  ])
    throws(use, gone);
  await throws(cache.toHost(), gone);
  await throws(cache.tensors(), gone);
  grads.dispose();
  throws(() => grads.grads.get('z', 0), gone);
  logits.dispose();
  await throws(async () => logits.data(), /logits \[.*was disposed of/);
  own.dispose();
  assert.equal(run.tokens, rows);
  for (const of of [own, edited])
    for (const use of [
      () => of.forward(rows),
      () => of.runWithCache(rows),
      () => of.runWithGrads(rows, loss()),
      () => of.loss(rows),
      () => of.generate([1, 2], { maxNewTokens: 1, returnType: 'tokens' }),
    ])
      await throws(use as () => Promise<unknown>, /the model "custom" was disposed of/);
});

test('names that a run does not come by are told, the others kept; texts are cut on request', async () => {
  const names = ['blocks.0.hook_resid_post', 'blocks.1.hook_resid_post', 'ln_final.hook_scale'];
  const { cache, warnings } = await model.runWithCache(rows, { names, stopAtLayer: 1 });
  assert.equal(cache.names(), ['blocks.0.hook_resid_post']);
  assert.is(warnings?.length, 2);
  assert.match(warnings?.[0] ?? '', /"blocks.1.hook_resid_post" is not reached by this run.*before layer 1/);
  assert.is((await model.runWithCache(rows, { names })).warnings, undefined);
  await throws(
    model.runWithCache(rows, { names: names.slice(1), stopAtLayer: 1 }),
    /none of these is reached/,
  );
  const long = Array.from({ length: 40 }, (_, i) => i);
  assert.equal(model.toTokens([long, [1]], { truncate: true }), [long.slice(0, twoLayers.nCtx), [1]]);
  assert.is(model.toTokens(long)[0].length, 40);
});

test.run();
