/** Runs with gradients: what is held constant, what is kept, hooks on the way back, errors. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { kl, logitDiff, rank, type Tensor } from '../../index.js';
import { allClose, throws } from '../helpers.js';
import { givenBack } from '../memory.js';
import {
  differentiate,
  everyName,
  type GradOptions,
  metric,
  minus,
  model,
  type Numbers,
  norm,
  randomTokens,
  rows,
  same,
} from './differentiate.js';

test('constant patterns leave nothing for queries, keys and scores; values get what they got', async () => {
  const names = ['q', 'k', 'attn_scores', 'pattern', 'v'];
  const last = (g: Numbers, x: string) => g.get(`blocks.2.attn.hook_${x}`);
  const free = await differentiate(rows, metric, { names });
  const held = await differentiate(rows, metric, { names, constant: ['pattern'] });
  for (const x of ['q', 'k', 'attn_scores']) {
    assert.ok(norm(last(free.grads, x)!) > 0, x);
    assert.is(norm(last(held.grads, x) ?? []), 0, x);
  }
  for (const x of ['pattern', 'v']) same(last(held.grads, x)!, last(free.grads, x)!, x);
});

test('what is asked for does not change what is found', async () => {
  const every = await differentiate(rows, metric, { names: everyName });
  for (const names of [
    'hook_embed',
    'blocks.1.attn.hook_z',
    ['pattern', 'ln_final.hook_scale'],
    'blocks.2.mlp.hook_pre',
  ]) {
    const { grads, value } = await differentiate(rows, metric, { names });
    allClose([value], [every.value]);
    for (const [name, g] of grads) same(g, every.grads.get(name)!, name);
  }
});

test('memory grows with what is asked for: nothing below the first point is kept', async () => {
  const kept = async (names: GradOptions['names']) => {
    const { bytes } = model.gpu.memory();
    let most = 0;
    const seen = (logits: Tensor) => {
      most = model.gpu.memory().bytes - bytes;
      return logits.slice([null, -1, 3]).mean();
    };
    await differentiate(rows, seen, { names });
    return most;
  };
  const [none, last, first, all] = [
    await kept('ln_final.hook_normalized'),
    await kept('blocks.2.hook_resid_mid'),
    await kept('hook_embed'),
    await kept(everyName),
  ];
  assert.ok(none < last && last < first && first < all, `bytes: ${none}, ${last}, ${first}, ${all}`);
  assert.ok(last < first / 2, `one MLP of three layers: ${last} of ${first} bytes`);
});

test('twice the same run gives the same bits', async () => {
  const names = [...everyName, 'attn.hook_result', 'hook_mlp_in'];
  const [one, two] = [
    await differentiate(rows, metric, { names }),
    await differentiate(rows, metric, { names }),
  ];
  assert.is(one.value, two.value);
  for (const [name, g] of one.grads) assert.equal(g, two.grads.get(name), name);
});

test('a gradient hook sees what the cache keeps, and what it gives goes on', async () => {
  const at = 'blocks.1.hook_attn_out';
  const names = [at, 'blocks.1.attn.hook_z', 'blocks.0.hook_resid_pre'];
  const plain = await differentiate(rows, metric, { names });
  const seen: string[] = [];
  let shown = new Float32Array();
  const look = await differentiate(rows, metric, {
    names,
    gradHooks: [
      [
        at,
        async (g, { name }) => {
          seen.push(name);
          shown = (await g.data()) as Float32Array<ArrayBuffer>;
        },
      ],
    ],
  });
  assert.equal(seen, [at]);
  same(shown, plain.grads.get(at)!, 'what the hook saw');
  for (const [name, g] of plain.grads) assert.equal(look.grads.get(name), g, name);
  const twice = await differentiate(rows, metric, { names, gradHooks: [[at, (g) => g.mul(2)]] });
  const z = plain.grads.get(names[1])!;
  same(
    twice.grads.get(names[1])!,
    z.map((x) => 2 * x),
    'z',
  );
  assert.ok(norm(minus(twice.grads.get(names[2])!, plain.grads.get(names[2])!)) > 1e-4);
});

test('a hook that replaces an activation is part of what is differentiated', async () => {
  const at = 'blocks.1.attn.hook_z';
  const names = [at, 'blocks.1.attn.hook_v', 'blocks.0.hook_resid_pre'];
  const cut = await differentiate(rows, metric, {
    names,
    hooks: [[at, (z, { tensor }) => tensor(new Float32Array(z.size), z.shape)]],
  });
  assert.is(norm(cut.grads.get(names[1]) ?? []), 0, 'nothing flows into values that nobody reads');
  assert.is(norm(cut.acts.get(at)!), 0);
  assert.ok(norm(cut.grads.get(at)!) > 0, 'but the metric depends on what stands there');
});

test('behind a stored prefix the gradients are those of the whole prompt, at the same positions', async () => {
  const names = ['resid_pre', 'z', 'k', 'ln_final.hook_scale'];
  const whole = await differentiate([rows[0]], logitDiff(3, 92), { names });
  const cut = 3;
  const prefix = await model.prefix(rows[0].slice(0, cut));
  const rest = await differentiate([rows[0].slice(cut)], logitDiff(3, 92), { names, prefix });
  prefix.store.dispose();
  allClose([rest.value], [whole.value]);
  for (const [name, g] of rest.grads) {
    const all = whole.grads.get(name)!;
    same(g, all.slice((all.length / rows[0].length) * cut), name);
  }
});

test('behind a stored prefix the runs that a metric compares with continue it, too', async () => {
  const names = 'resid_pre';
  const [start, end] = [rows[0].slice(0, 3), rows[0].slice(3)];
  const ends = [...end.slice(0, -1), (end.at(-1)! + 1) % model.config.dVocab];
  const sources = { other: [[...start, ...ends]] };
  const whole = await differentiate([rows[0]], kl('other'), { names, sources });
  const prefix = await model.prefix(start);
  const own = await differentiate([end], kl(), { names, prefix });
  const rest = await differentiate([end], kl('other'), { names, prefix, sources: { other: [ends] } });
  prefix.store.dispose();
  assert.ok(whole.value > 0.01);
  allClose([own.value, rest.value], [0, whole.value], { atol: 1e-5 });
});

test('a run that starts from a residual stream has the gradients of the run that the stream is from', async () => {
  const at = 'blocks.1.hook_resid_pre';
  const read = (logits: Tensor) => logits.slice([null, -1, 3]).mean();
  const names = [at, 'blocks.2.attn.hook_pattern'];
  const whole = await differentiate(rows, read, { names });
  using stream = model.tensor(whole.acts.get(at)!, [rows.length, rows[0].length, model.config.dModel]);
  const { value, cache, grads } = await model.runWithGrads(stream, read, { names, startAtLayer: 1 });
  allClose([value], [whole.value]);
  for (const name of names) same(await grads.get(name).data(), whole.grads.get(name)!, name);
  cache.dispose();
  grads.dispose();
});

test('gradient hooks see rows of a ragged batch one by one, too', async () => {
  const ragged = [1, 6, 4].map(randomTokens);
  const [at, below] = ['blocks.2.hook_resid_pre', 'blocks.0.attn.hook_v'];
  const plain = await differentiate(ragged, logitDiff(3, 92), { names: [at, below] });
  const only = await differentiate(ragged, logitDiff(3, 92), {
    names: [at, below],
    gradHooks: [[at, (g, hook) => hook.setRow(g, 1, hook.row(g, 1).mul(0))]],
  });
  const width = plain.grads.get(below)!.length / 11;
  const expected = plain.grads.get(below)!.map((x, i) => (i >= width && i < 7 * width ? 0 : x));
  same(only.grads.get(below)!, expected, below);
});

test('what cannot be differentiated says so, and leaves nothing behind', async () => {
  const { bytes } = model.gpu.memory();
  await throws(() => model.runWithGrads(rows, rank(3)), /rank/);
  await throws(() => model.runWithGrads(rows, metric, { names: 'hook_nothing' as string }), /hook_nothing/);
  await throws(() => model.runWithGrads(rows, (logits) => logits), /scalar|one number|shape/);
  await throws(() => model.runWithGrads(rows, metric, { gradHooks: [['z', (g) => g.sum()]] }), /shape/);
  givenBack(model.gpu, bytes);
});

test.run();
