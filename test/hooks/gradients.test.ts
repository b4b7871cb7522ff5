/** What gradients at hook points are, whatever the weights. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, hookNames, logitDiff, logProb, loss, type Tensor } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, randomGpt2 } from '../helpers.js';
import {
  config,
  differentiate,
  dot,
  everyName,
  metric,
  minus,
  model,
  norm,
  other,
  randomTokens,
  right,
  rows,
  same,
  wrong,
} from './differentiate.js';

const { nLayers, dVocab, dModel, nHeads } = config;
const block = (l: number, name: string) => `blocks.${l}.${name}`;
const add = (...all: Float32Array[]) => all[0].map((_, i) => all.reduce((sum, x) => sum + x[i], 0));
/** Sum over heads of [tokens, head, dModel]. */
const overHeads = (x: Float32Array) =>
  Float32Array.from({ length: x.length / nHeads }, (_, i) => {
    const [token, d] = [Math.floor(i / dModel), i % dModel];
    let sum = 0;
    for (let h = 0; h < nHeads; h++) sum += x[(token * nHeads + h) * dModel + d];
    return sum;
  });

test('embeddings, positions and the first residual stream have one gradient', async () => {
  const { grads } = await differentiate(rows, metric);
  const first = grads.get('blocks.0.hook_resid_pre')!;
  assert.ok(norm(first) > 0.01);
  same(grads.get('hook_embed')!, first, 'embed');
  same(grads.get('hook_pos_embed')!, first, 'pos_embed');
});

test('by default every point that always exists has its activation and its gradient, of the same shape', async () => {
  const { cache, grads } = await model.runWithGrads(rows, metric);
  const { logits, cache: plain } = await model.runWithCache(rows);
  const always = hookNames(model.config, { onDemand: false });
  assert.equal(cache.names(), always);
  assert.equal([...grads.names()].sort(), [...always].sort());
  for (const name of always) {
    assert.equal(grads.get(name).shape, plain.get(name).shape, name);
    allClose(await cache.get(name).data(), await plain.get(name).data(), { what: name });
  }
  for (const held of [cache, grads, plain, logits]) held.dispose();
});

test('what flows into a residual stream has flown past the heads and through them, past the MLP and through it', async () => {
  const inputs = ['attn_in', 'q_input', 'k_input', 'v_input', 'mlp_in'].map((x) => `hook_${x}`);
  const names = [
    'hook_resid_pre',
    'hook_resid_mid',
    'hook_resid_post',
    'hook_attn_out',
    'hook_mlp_out',
    ...inputs,
  ];
  const { grads } = await differentiate(rows, metric, { names });
  for (let l = 0; l < nLayers; l++) {
    const g = (name: string) => grads.get(block(l, `hook_${name}`))!;
    same(add(g('q_input'), g('k_input'), g('v_input')), g('attn_in'), 'heads');
    same(add(overHeads(g('attn_in')), g('resid_mid')), g('resid_pre'), 'resid_pre');
    same(add(g('mlp_in'), g('resid_post')), g('resid_mid'), 'resid_mid');
    same(g('attn_out'), g('resid_mid'), 'attn_out');
    same(g('mlp_out'), g('resid_post'), 'mlp_out');
  }
});

test('every head writes into one stream: the gradient of its result is that of attn_out', async () => {
  const { grads } = await differentiate(rows, metric, { names: ['attn.hook_result', 'hook_attn_out'] });
  for (let l = 0; l < nLayers; l++) {
    const out = grads.get(block(l, 'hook_attn_out'))!;
    const result = grads.get(block(l, 'attn.hook_result'))!;
    const repeated = result.map((_, i) => out[Math.floor(i / dModel / nHeads) * dModel + (i % dModel)]);
    same(result, repeated, `layer ${l}`);
  }
});

test('a layer norm does not see the mean, nor the length: its gradient is orthogonal to both', async () => {
  const { acts, grads } = await differentiate(rows, metric, { names: ['blocks.2.hook_resid_post'] });
  const [x, g] = [acts, grads].map((m) => m.get('blocks.2.hook_resid_post')!);
  const at = (rows[0].length - 1) * dModel; // the last position of the first row, where the metric reads
  const [own, into] = [x.slice(at, at + dModel), g.slice(at, at + dModel)];
  const mean = own.reduce((a, b) => a + b, 0) / dModel;
  const size = norm(own) * norm(into);
  assert.ok(Math.abs(into.reduce((a, b) => a + b, 0)) < 1e-4 * size);
  assert.ok(
    Math.abs(
      dot(
        own.map((v) => v - mean),
        into,
      ),
    ) <
      1e-3 * size,
  );
});

test('the past does not know the future: behind the position that is read all gradients are zero', async () => {
  const pos = 4;
  const read = (logits: Tensor) => logits.slice([null, pos, 7]).sum();
  const { grads } = await differentiate(rows, read, { names: everyName });
  for (const [name, g] of grads) {
    if (/pattern|scores/.test(name)) continue;
    const width = g.length / rows.length / rows[0].length;
    const [before, after] = [0, 0].map((_, late) =>
      norm(g.filter((_, i) => Math.floor(i / width) % rows[0].length > pos === Boolean(late))),
    );
    assert.is(after, 0, name);
    assert.ok(before > 0, name);
  }
});

test('a metric of one’s own, a function of the logits, has the gradients of the same metric by name', async () => {
  const last = rows[0].length - 1;
  const own = (logits: Tensor) =>
    logits
      .slice([null, last, 11])
      .sub(logits.slice([null, last, 40]))
      .mean();
  const one = await differentiate(rows, logitDiff(11, 40), { names: everyName });
  const two = await differentiate(rows, own, { names: everyName });
  allClose([two.value], [one.value]);
  assert.equal([...two.grads.keys()], [...one.grads.keys()]);
  for (const [name, g] of one.grads) same(two.grads.get(name)!, g, name);
});

test('the gradient of a logit difference with respect to the logits is +1 and −1, shared by the prompts', async () => {
  const { grads } = await differentiate(rows, logitDiff(11, 40), { names: ['logits'] });
  const expected = new Float32Array(rows.length * rows[0].length * dVocab);
  rows.forEach((row, i) => {
    const at = (i * row.length + row.length - 1) * dVocab;
    expected[at + 11] = 1 / rows.length;
    expected[at + 40] = -1 / rows.length;
  });
  allClose(grads.get('logits')!, expected, { atol: 1e-7 });
});

test('the loss pushes each next token up and the others down, by how probable they are', async () => {
  const { grads, acts } = await differentiate([rows[0]], loss(), { names: ['logits'] });
  const [g, logits] = [grads, acts].map((m) => m.get('logits')!);
  const n = rows[0].length;
  const expected = new Float32Array(n * dVocab);
  for (let p = 0; p + 1 < n; p++) {
    const own = logits.slice(p * dVocab, (p + 1) * dVocab);
    const total = own.reduce((sum, x) => sum + Math.exp(x), 0);
    own.forEach((x, t) => {
      expected[p * dVocab + t] = (Math.exp(x) / total - Number(t === rows[0][p + 1])) / (n - 1);
    });
  }
  allClose(g, expected, { atol: 1e-6 });
});

test('a prompt does not know its neighbours: its gradient in a ragged batch is that of it alone', async () => {
  const ragged = [1, 9, 24, 3].map(randomTokens);
  const batch = await model.runWithGrads(ragged, logProb(17, { per: 'prompt' }), {
    names: ['resid_pre', 'pattern', 'k'],
  });
  for (const [i, row] of ragged.entries()) {
    const alone = await differentiate([row], logProb(17), { names: ['resid_pre', 'pattern', 'k'] });
    allClose([batch.prompts[i]], [alone.value]);
    const own = batch.grads.row(i);
    for (const [name, g] of alone.grads) same(await own.get(name).data(), g, `row ${i}, ${name}`);
    own.dispose();
  }
  allClose([batch.value], [batch.prompts.reduce((a, b) => a + b, 0)], { what: 'what was differentiated' });
  batch.cache.dispose();
  batch.grads.dispose();
});

test('an affine path: attribution at the last stream equals patching it exactly, once the norm’s scale is a constant', async () => {
  const names = ['blocks.2.hook_resid_post'];
  const clean = await differentiate(rows, metric, { names });
  const base = await differentiate(other, metric, { names, constant: ['scale'] });
  const [c, x, g] = [clean.acts, base.acts, base.grads].map((m) => m.get(names[0])!);
  const attributed = dot(g, minus(c, x));
  const { logits, cache } = await model.runWithInterventions(
    other,
    [
      { at: names[0], set: { from: 'clean' } },
      { at: 'ln_final.hook_scale', freeze: true },
    ],
    { sources: { clean: rows }, names: ['ln_final.hook_scale'] },
  );
  const data = await logits.data();
  const diff = rows.map((row, i) => {
    const at = (i * row.length + row.length - 1) * dVocab;
    return data[at + right[i]] - data[at + wrong[i]];
  });
  logits.dispose();
  cache!.dispose();
  const patched = diff.reduce((a, b) => a + b, 0) / rows.length;
  assert.ok(Math.abs(patched - base.value) > 0.1);
  allClose([attributed], [patched - base.value], { atol: 2e-5 });
});

test('without norms and MLPs, and with patterns constant, the whole model is affine: attribution is patching anywhere', async () => {
  const linear = { ...config, attnOnly: true, dMlp: 0, normalization: 'none' } as const;
  using affine = await HookedTransformer.fromWeights(linear, randomGpt2(linear, 6), noProcessing);
  const names = hookNames(affine.config, { onDemand: false }).filter((n) => /resid|embed$/.test(n));
  const clean = await differentiate(rows, metric, { names: [...names, 'pattern'] }, affine);
  const base = await differentiate(other, metric, { names, constant: ['pattern'] }, affine);
  // The clean run's streams, the corrupted run's patterns.
  const patterns = await affine.runWithCache(other, { names: 'pattern' });
  patterns.logits.dispose();
  const frozen = await differentiate(
    rows,
    metric,
    { names, hooks: [['pattern', (_, { name }) => patterns.cache.get(name)]] },
    affine,
  );
  patterns.cache.dispose();
  const change = (name: string) => {
    const [c, x, g] = [frozen.acts, base.acts, base.grads].map((m) => m.get(name)!);
    return dot(g, minus(c, x));
  };
  assert.ok(Math.abs(frozen.value - clean.value) > 1e-3, 'patterns matter');
  for (const name of names.filter((n) => n !== 'hook_pos_embed'))
    allClose([change(name)], [frozen.value - base.value], { atol: 1e-4, what: name });
});

test.run();
