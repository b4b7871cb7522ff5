/**
 * Hook points that TransformerLens has twice or always, and this engine once or on demand: what is read
 * there, and what is refused.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Counterfactual, counterfactuals, hookNames, logitDiff, loss } from '../../index.js';
import { parseConfig } from '../../weights/load/config.js';
import { familyModel } from '../families.js';
import { allClose, throws } from '../helpers.js';

const tokens = [1, 2, 3, 4, 5];

test('in a parallel block with one norm ln2 reads as ln1, and is not changed alone', async () => {
  using model = await familyModel('gptj');
  using run = await model.runWithCache(tokens, { names: ['blocks.1.ln2.hook_scale', 'ln1.hook_normalized'] });
  const names = ['blocks.0.ln1.hook_normalized', 'blocks.1.ln1.hook_scale', 'blocks.1.ln1.hook_normalized'];
  assert.equal(run.cache.names(), names);
  assert.is(run.cache.get('scale', 1, 'ln2'), run.cache.get('scale', 1, 'ln1'));
  assert.is(run.cache.get('normalized', -1, 'ln2'), run.cache.get(names[2]));
  const at = 'blocks.1.ln2.hook_scale';
  const refused = /through one norm, .* take "ln1.hook_scale"/;
  await throws(model.runWithHooks(tokens, { hooks: [[at, (x) => x.mul(2)]] }), refused);
  await throws(model.runWithInterventions(tokens, [{ at, zero: true }]), refused);
  await throws(async () => model.with({ interventions: [{ at: 'ln2.hook_scale', scale: 2 }] }), refused);
});

test('the input of the unembedding is changed in single runs and in sweeps alike', async () => {
  using model = await familyModel('gemma2');
  const at = 'unembed.hook_in';
  const cells: Counterfactual[] = [
    [{ at, pos: -1, zero: true }],
    [{ at, scale: 0.5 }],
    [{ at, pos: 1, zero: true }, { at: 'blocks.1.hook_mlp_out', pos: -1, scale: 2 }], // biome-ignore format: one cell
  ];
  const swept = await counterfactuals(model, { input: [tokens] }, cells, logitDiff(3, 6));
  for (const [i, cell] of cells.entries()) {
    using run = await model.runWithInterventions(tokens, cell);
    const last = (await run.logits.data()).slice(-model.config.dVocab);
    allClose([swept.values[i]], [last[3] - last[6]], { atol: 1e-5, what: `cell ${i}` });
  }
  assert.is(swept.values[0], 0);
  const unread = await counterfactuals(model, { input: [tokens] }, [[{ at, pos: -1, zero: true }]], loss());
  allClose(unread.values, [await model.loss(tokens)], {
    atol: 1e-5,
    what: 'a loss, which does not read the last position',
  });
});

test('logits before their cap are read, and not changed', async () => {
  using model = await familyModel('gemma2');
  const { outputLogitsSoftCap: cap } = model.config;
  using run = await model.runWithCache(tokens, { names: 'unembed.hook_out' });
  const before = await run.cache.get('unembed.hook_out').data();
  allClose(
    await run.logits.data(),
    before.map((x) => cap! * Math.tanh(x / cap!)),
  );
  const refused = /can be read and not changed: .* unembed.hook_in/;
  await throws(model.runWithHooks(tokens, { hooks: [['unembed.hook_out', (x) => x.mul(2)]] }), refused);
  await throws(model.runWithInterventions(tokens, [{ at: 'unembed.hook_out', zero: true }]), refused);
  let seen = 0;
  const looking = await model.runWithHooks(tokens, {
    hooks: [['unembed.hook_out', (x) => void (seen = x.size)]],
  });
  looking.dispose();
  assert.is(seen, before.length);
});

test('a plain cache of GPT-2 small keeps 208 activations', () => {
  const gpt2 = parseConfig({ n_layer: 12, n_head: 12, n_embd: 768, n_ctx: 1024, vocab_size: 50257 });
  assert.is(hookNames(gpt2, { onDemand: false }).length, 208);
});

test.run();
