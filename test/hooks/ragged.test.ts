/** Rows of unequal length by the names of their axes: everything is what the single rows give. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, type Tensor } from '../../index.js';
import { allClose, twoLayers as config, randomGpt2, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 7));
test.after(() => model.dispose());

const rows = [[3, 17, 40, 0, 17, 29], [5, 9, 2], [8]];
const names = ['z', 'pattern', 'post', 'resid_pre', 'scale'];
const whole = await model.runWithCache(rows, { names });
const single = await Promise.all(rows.map((row) => model.runWithCache([row], { names })));
const { nHeads, dHead, dVocab } = config;

/** Shape and numbers of a tensor, which is freed. */
async function read(t: Tensor): Promise<{ shape: readonly number[]; data: Float32Array }> {
  const data = await t.data();
  const { shape } = t;
  t.dispose();
  return { shape, data };
}

/** A part of the ragged tensor is the same part of the single rows, one after another. */
async function agrees(
  part: (t: Tensor) => Tensor,
  of: (run: typeof whole) => Tensor,
  shape: readonly number[],
) {
  const got = await read(part(of(whole)));
  assert.equal([...got.shape], [...shape]);
  const each: number[] = [];
  for (const run of single) each.push(...(await read(part(of(run)))).data);
  allClose(got.data, each, { atol: 1e-5, rtol: 1e-5 });
}

const logits = ({ logits }: typeof whole) => logits;
const z = ({ cache }: typeof whole) => cache.get('z', 0);
const pattern = ({ cache }: typeof whole) => cache.get('pattern', 1);

test('the last position of each row', () => agrees((t) => t.slice({ pos: -1 }), logits, [3, dVocab]));

test('a head of every row, and then its last position', async () => {
  await agrees((t) => t.slice({ head: 1 }), z, [10, dHead]);
  await agrees((t) => t.slice({ head: 1 }).slice({ pos: -1 }), z, [3, dHead]);
  await agrees(
    (t) => t.slice({ head: [1, 2], pos: [-1, 1] }),
    ({ cache }) => cache.get('z', 1).slice({ pos: [0, 1] }),
    [3, 1, 1, dHead],
  );
});

test('ranges that differ in length stay rows', async () => {
  const from = whole.cache.get('resid_pre', 1).slice({ batch: [0, 2], pos: [1, -1] });
  assert.equal([...from.shape], [4 + 1, config.dModel]);
  const one = from.slice({ batch: 1, pos: 0 });
  const expected = single[1].cache.get('resid_pre', 1).slice({ batch: 0, pos: 1 });
  assert.equal(await one.data(), await expected.data());
  for (const t of [from, one, expected]) t.dispose();
});

test('patterns of rows: a head, a query, a key', async () => {
  await agrees((t) => t.slice({ head: 1, query: -1, key: 0 }), pattern, [3]);
  await agrees((t) => t.slice({ head: 0, query: 0, key: 0 }), pattern, [3]);
  await agrees((t) => t.slice({ head: 0 }), pattern, [36 + 9 + 1]);
  await agrees((t) => t.slice({ key: 0 }).slice({ query: -1 }), pattern, [3, nHeads]);
  const block = await read(pattern(whole).slice({ batch: 1, head: 1 }));
  assert.equal([...block.shape], [3, 3]);
  assert.equal(block.data, (await read(pattern(single[1]).slice({ batch: 0, head: 1 }))).data);
});

test('reductions over axes by name go row by row', async () => {
  await agrees((t) => t.mean('head'), z, [10, dHead]);
  await agrees((t) => t.sum('pos'), z, [3, nHeads, dHead]);
  await agrees((t) => t.max('key').slice({ query: -1 }), pattern, [3, nHeads]);
  await agrees((t) => t.softmax('key'), pattern, [nHeads * 46]);
  await agrees((t) => t.argmax('d_vocab').slice({ pos: -1 }) as unknown as Tensor, logits, [3]);
});

test('a part of each row replaced', async () => {
  await agrees((t) => t.set({ head: 1 }, 0), z, [10, nHeads, dHead]);
  await agrees((t) => t.set({ pos: -1, head: 0 }, 2), z, [10, nHeads, dHead]);
  await agrees((t) => t.set({ head: 0, query: -1 }, 0.5), pattern, [nHeads * 46]);
  const value = model.tensor(Float32Array.from({ length: dHead }, (_, i) => i));
  await agrees((t) => t.set({ head: 1 }, value), z, [10, nHeads, dHead]);
  await agrees((t) => t.set({ pos: 0 }, value), z, [10, nHeads, dHead]);
  await agrees((t) => t.set({ pos: -1 }, t.slice({ pos: 0 })), z, [10, nHeads, dHead]);
  await agrees((t) => t.set({ head: 0 }, t.slice({ head: 1 })), z, [10, nHeads, dHead]);
  value.dispose();
});

test('lists of indices', async () => {
  await agrees((t) => t.take({ head: [1, 0, 1] }), z, [10, 3, dHead]);
  await agrees((t) => t.take({ pos: [-1, 0] }), z, [3, 2, nHeads, dHead]);
  const swapped = await read(
    logits(whole)
      .take({ batch: [2, 1] })
      .slice({ pos: -1 }),
  );
  const last = await read(logits(whole).slice({ pos: -1 }));
  assert.equal(
    swapped.data,
    Float32Array.of(...last.data.subarray(2 * dVocab), ...last.data.subarray(dVocab, 2 * dVocab)),
  );
});

test('README: a hook silences a head in rows of unequal length', async () => {
  const hooks = [['blocks.0.attn.hook_z', (z: Tensor) => z.set({ head: 1 }, 0)]] as const;
  using all = await model.runWithHooks(rows, { hooks });
  for (const [i, row] of rows.entries()) {
    using one = await model.runWithHooks([row], { hooks });
    using part = all.slice({ batch: i });
    allClose(await part.data(), await one.data(), { atol: 1e-5, rtol: 1e-5 });
  }
});

test('gradients of a metric that reads the last position of each row are those of the single rows', async () => {
  const metric = (logits: Tensor) => logits.slice({ pos: -1, d_vocab: 7 }).sum();
  const all = await model.runWithGrads(rows, metric, { names: ['resid_pre'] });
  for (const [i, row] of rows.entries()) {
    const one = await model.runWithGrads([row], metric, { names: ['resid_pre'] });
    using part = all.grads.get('resid_pre', 1).slice({ batch: i });
    allClose(await part.data(), await one.grads.get('resid_pre', 1).data(), { atol: 1e-5, rtol: 1e-5 });
    for (const cache of [one.cache, one.grads]) cache.dispose();
  }
  for (const cache of [all.cache, all.grads]) cache.dispose();
});

test('a position whose meaning depends on the rows is an error that shows the named form', async () => {
  await throws(
    () => z(whole).set([null, null, 1], 0),
    /rows differ in length.*set\(\{ head: 1 \}\).*batch, pos, head, d_head/,
  );
  await throws(() => logits(whole).slice([0, -1]), /slice\(\{ batch: 0, pos: -1 \}\)/);
  await throws(() => pattern(whole).slice([0, 1]), /slice\(\{ batch: 0, head: 1 \}\)/);
  await throws(() => z(whole).sum(2), /sum\('head'\)/);
  await throws(() => pattern(whole).softmax(), /softmax\('key'\)/);
  await throws(() => pattern(whole).max(-1), /max\('key'\)/);
  assert.equal((await read(z(whole).sum(-1))).shape, [10, nHeads]); // the same in equal rows
  assert.equal((await read(z(whole).reshape([-1, nHeads, dHead]).sum(0))).shape, [nHeads, dHead]); // likewise
});

test('axes and positions that are not there are named', async () => {
  await throws(() => logits(whole).slice({ posi: -1 }), /no axis "posi".*batch, pos, d_vocab/);
  await throws(() => z(single[0]).set({ heads: 1 }, 0), /no axis "heads".*batch, pos, head, d_head/);
  await throws(() => logits(whole).slice({ pos: 1 }), /row 2.*index 1.*length 1/);
  await throws(() => z(whole).mean('batch'), /"batch"/);
  const other = await model.forward([
    [1, 2],
    [3, 4, 5, 6, 7, 8],
    [1, 2],
  ]);
  await throws(() => other.add(logits(whole)), /rows of other lengths/);
  other.dispose();
});

test('equal rows take names and positions alike', async () => {
  const { cache, logits } = await model.runWithCache(
    [
      [1, 2, 3],
      [4, 5, 6],
    ],
    { names },
  );
  const same = async (a: Tensor, b: Tensor) => assert.equal(await read(a), await read(b));
  await same(logits.slice({ batch: 1, pos: -1 }), logits.slice([1, -1]));
  const p = cache.get('pattern', 0);
  await same(p.slice({ head: 0, query: -1, key: 0 }), p.slice([null, 0, -1, 0]));
  await same(cache.get('z', 0).set({ pos: [1, 3], head: 1 }, 0), cache.get('z', 0).set([null, [1, 3], 1], 0));
  await same(cache.get('z', 0).mean('head'), cache.get('z', 0).mean(2));
  assert.equal(cache.get('post', 0).axes, ['batch', 'pos', 'd_mlp']);
  assert.equal(cache.get('ln_final.hook_scale').axes, ['batch', 'pos', null]);
  assert.is(String(p), 'blocks.0.attn.hook_pattern f32 [batch 2, head 2, query 3, key 3]');
  cache.dispose();
  logits.dispose();
});

test('what is taken apart and put together gives its memory back', async () => {
  const before = model.gpu.memory().bytes;
  for (const t of [
    logits(whole).slice({ pos: -1 }),
    z(whole).mean('head'),
    z(whole).sum('pos'),
    z(whole).set({ pos: -1 }, 0),
    z(whole).take({ pos: [0] }),
    pattern(whole).softmax('key'),
    z(whole).mean(),
  ])
    t.dispose();
  givenBack(model.gpu, before);
});

test.after(() => {
  for (const { cache, logits } of [whole, ...single]) {
    cache.dispose();
    logits.dispose();
  }
});

test.run();
