/**
 * What a user does with a model: batches, prefixes, hooks, generation, and what must hold whatever is done.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Gpu, HookedTransformer, hookNames, type Tensor } from '../../index.js';
import { allClose, threeLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const others = (await Gpu.open()).memory().bytes; // what other test files hold
const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const { tokens } = rng(3);
const prompt = tokens(10, config.dVocab);
const tight = { atol: 1e-5, rtol: 1e-5 };

/** Data of a tensor, which is disposed of. */
async function take(t: Tensor): Promise<Float32Array> {
  const data = await t.data();
  t.dispose();
  return data;
}

const logitsOf = async (rows: number[] | number[][]) => take(await model.forward(rows));

test('a row does not know its neighbours: alone, in an equal batch and in a ragged one it is the same', async () => {
  const neighbours = [1, 24, 7, 10, 3].map((n) => tokens(n, config.dVocab));
  const alone = await logitsOf([prompt]);
  const before = neighbours.slice(0, 3).reduce((n, r) => n + r.length, 0);
  const ragged = await logitsOf([...neighbours.slice(0, 3), prompt, ...neighbours.slice(3)]);
  allClose(ragged.subarray(before * 101, (before + 10) * 101), alone, tight);
  const equal = await logitsOf([neighbours[3], prompt]);
  allClose(equal.subarray(10 * 101), alone, tight);
});

test('models with the same numbers have the same hash, and one changed weight changes it', async () => {
  const weights = randomGpt2(config, 5);
  using same = await HookedTransformer.fromWeights(config, weights);
  assert.match(same.hash, /^[0-9a-f]{16}$/);
  assert.is(same.hash, model.hash);
  const wte = weights['wte.weight'];
  const changed = { ...weights, 'wte.weight': { ...wte, data: wte.data.map((x, i) => (i === 7 ? -x : x)) } };
  using other = await HookedTransformer.fromWeights(config, changed);
  assert.is.not(other.hash, model.hash);
});

test('after a stored prefix, however it is cut, a row is the same as when it is run whole', async () => {
  const alone = await logitsOf([prompt]);
  for (const cut of [1, 4, 9]) {
    const prefix = await model.prefix(prompt.slice(0, cut));
    const rest = await take(await model.forward([prompt.slice(cut)], { prefix }));
    allClose(rest, alone.subarray(cut * 101), { ...tight, what: `cut at ${cut}` });
    prefix.store.dispose();
  }
});

test('prefixes continue prefixes, and rows of a batch may continue different ones', async () => {
  const alone = await logitsOf([prompt]);
  const a = await model.prefix(prompt.slice(0, 2), { room: 8 });
  const b = await model.prefix(prompt.slice(2, 5), { prefix: a });
  assert.equal(b.tokens, prompt.slice(0, 5));
  const rest = await take(await model.forward([prompt.slice(5)], { prefix: b }));
  allClose(rest, alone.subarray(5 * 101), tight);
  a.store.dispose();
});

test('with every activation cached the logits are the same, and nobody asking costs no dispatch', async () => {
  const { stats } = model.gpu;
  const plain = await logitsOf([prompt]);
  const start = stats.dispatches;
  await logitsOf([prompt]);
  const unhooked = stats.dispatches - start;
  await take(await model.runWithHooks([prompt], { hooks: [] }));
  assert.is(stats.dispatches - start, 2 * unhooked);
  assert.is(unhooked, 3 + 7 * config.nLayers);
  const { logits, cache } = await model.runWithCache([prompt], { names: () => true });
  assert.equal(cache.names().sort(), hookNames(model.config).sort());
  allClose(await take(logits), plain, tight);
  cache.dispose();
});

test('a repeated forward makes no bind group and no pipeline, and is one submit', async () => {
  const { stats } = model.gpu;
  for (let i = 0; i < 2; i++) await logitsOf([prompt]);
  const before = { ...stats };
  const first = await logitsOf([prompt]);
  assert.is(stats.bindGroups - before.bindGroups, 0);
  assert.is(stats.pipelines - before.pipelines, 0);
  assert.is(stats.submits - before.submits, 1);
  assert.equal(await logitsOf([prompt]), first, 'same input, same bits');
});

test('memory is flat over 100 runs', async () => {
  await logitsOf([prompt]);
  const { bytes, idle } = model.gpu.memory();
  for (let i = 0; i < 100; i++) {
    const { logits, cache } = await model.runWithCache([prompt.slice(0, 1 + (i % 10))]);
    logits.dispose();
    cache.dispose();
  }
  await model.gpu.finish();
  givenBack(model.gpu, bytes);
  assert.ok(model.gpu.memory().idle < idle + 2 ** 22);
});

test('zeroing every head of every layer and every MLP leaves the embedding', async () => {
  const { cache, logits } = await model.runWithCache([prompt], {
    names: ['blocks.0.hook_resid_pre', 'blocks.2.hook_resid_post'],
    hooks: [[['hook_attn_out', 'hook_mlp_out'], (t) => t.mul(0)]],
  });
  assert.equal(await cache.get('resid_post', -1).data(), await cache.get('resid_pre', 0).data());
  logits.dispose();
  cache.dispose();
});

test('several hooks on one point run in order, and each sees what the one before returned', async () => {
  const seen: number[] = [];
  const logits = await model.runWithHooks([prompt], {
    hooks: [
      ['hook_embed', (t) => t.mul(0)],
      ['hook_embed', async (t) => void seen.push((await t.data()).reduce((a, b) => a + Math.abs(b), 0))],
      ['hook_embed', (t) => t.add(1)],
      ['hook_embed', async (t) => void seen.push((await t.data())[5])],
    ],
  });
  logits.dispose();
  assert.equal(seen, [0, 1]);
});

test('hooks are arguments of one run: after one that throws, everything is as before', async () => {
  const plain = await logitsOf([prompt]);
  const { bytes } = model.gpu.memory();
  const fail = model.runWithHooks([prompt], {
    hooks: [
      [
        'blocks.1.attn.hook_z',
        (t) => {
          t.mul(2);
          throw new Error('mine');
        },
      ],
    ],
  });
  await throws(fail, /^mine$/);
  givenBack(model.gpu, bytes);
  assert.equal(await logitsOf([prompt]), plain);
});

test('a tensor kept by a hook outlives the run; one that is not says so', async () => {
  let kept: Tensor | undefined;
  let lost: Tensor | undefined;
  const logits = await model.runWithHooks([prompt], {
    hooks: [
      [
        'blocks.1.hook_resid_pre',
        (t) => {
          kept = t.mul(1).keep();
          lost = t;
        },
      ],
    ],
  });
  logits.dispose();
  const { cache, logits: l } = await model.runWithCache([prompt], { names: 'blocks.1.hook_resid_pre' });
  assert.equal(await take(kept!), await cache.get('resid_pre', 1).data());
  await throws(() => lost!.data(), /blocks\.1\.hook_resid_pre .* was disposed of.*keep\(\)/);
  cache.dispose();
  l.dispose();
});

test('the blocks from layer l on, started from their residual stream, give the whole run', async () => {
  const whole = await logitsOf([prompt]);
  for (const l of [0, 1, 3]) {
    const middle = await model.forward([prompt], { stopAtLayer: l });
    assert.equal(middle.shape, [1, 10, 36]);
    allClose(await take(await model.forward(middle, { startAtLayer: l })), whole, tight);
    middle.dispose();
  }
});

test('positions: a cache of position -1 is the last position of the whole cache, ragged or not', async () => {
  const rows = [prompt, prompt.slice(0, 6)];
  for (const input of [rows, [rows[0], rows[0]]]) {
    const all = await model.runWithCache(input, { names: ['z', 'resid_post'] });
    const last = await model.runWithCache(input, { names: ['z', 'resid_post'], pos: -1 });
    for (const [i, row] of input.entries()) {
      const [a, b] = [all.cache.row(i), last.cache.row(i)];
      const z = a.get('z', 2).slice([null, [row.length - 1, row.length]]);
      assert.equal(b.get('z', 2).shape, [1, 1, 3, 12]);
      assert.equal(await b.get('z', 2).data(), await take(z));
      a.dispose();
      b.dispose();
    }
    for (const r of [all, last]) {
      r.logits.dispose();
      r.cache.dispose();
    }
  }
});

test('generation with and without stored keys and values gives the same tokens', async () => {
  for (const options of [
    { temperature: 0 },
    { temperature: 1, seed: 7 },
    { temperature: 0.8, topK: 5, seed: 1 },
    { temperature: 1.2, topP: 0.7, seed: 2 },
  ]) {
    const all = { ...options, maxNewTokens: 14, returnType: 'tokens' } as const;
    const cached = await model.generate(prompt, all);
    assert.is(cached.length, 24);
    assert.equal(await model.generate(prompt, { ...all, kvCache: false }), cached);
    assert.equal(await model.generate(prompt, all), cached, 'same seed, same text');
  }
});

test('greedy generation takes the most probable token of each whole run', async () => {
  const out = await model.generate(prompt, { maxNewTokens: 5, returnType: 'tokens' });
  for (let n = 10; n < 15; n++) {
    const logits = await model.forward([out.slice(0, n)]);
    const last = logits.slice([0, -1]);
    const best = last.argmax();
    assert.is(await best.item(), out[n]);
    for (const t of [logits, last, best]) t.dispose();
  }
});

test('hooks act at every step of generation', async () => {
  let calls = 0;
  const hooks = [['blocks.0.hook_resid_pre', () => void calls++]] as const;
  await model.generate(prompt, { maxNewTokens: 4, returnType: 'tokens', hooks });
  assert.is(calls, 4);
});

test('processing changes no log-probability', async () => {
  const raw = await HookedTransformer.fromWeights(config, randomGpt2(config, 5), {
    foldLn: false,
    centerWritingWeights: false,
    centerUnembed: false,
    foldValueBiases: false,
  });
  const refactored = await HookedTransformer.fromWeights(config, randomGpt2(config, 5), {
    refactorFactoredAttnMatrices: true,
  });
  const [a] = await model.logProbs([prompt]);
  for (const other of [raw, refactored]) {
    allClose((await other.logProbs([prompt]))[0], a, { atol: 1e-4, rtol: 0 });
    other.dispose();
  }
});

test('weights are seen in TransformerLens layout', () => {
  const { weights } = model;
  assert.equal(weights.W_E.shape, [101, 36]);
  assert.equal(weights.W_Q[1].shape, [3, 36, 12]);
  assert.equal(weights.W_O[2].shape, [3, 12, 36]);
  assert.equal(weights.W_U.shape, [36, 101]);
  assert.equal(weights.b_U.shape, [101]);
});

test('after all of this, only the weights hold memory', async () => {
  const { bytes } = model.gpu.memory();
  model.dispose();
  await model.gpu.finish();
  assert.ok(bytes > others);
  givenBack(model.gpu, others);
});

test.run();
