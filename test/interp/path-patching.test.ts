/**
 * Path patching: which connections carry a behaviour. Values against loops of whole forward passes in
 * float64.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type ActivationCache,
  counterfactuals,
  HookedTransformer,
  type Intervention,
  logitDiff,
  loss,
  mergeRecords,
  type PathReceiver,
  pathPatch,
  pathPatchDirect,
  recordResult,
  type Tensor,
} from '../../index.js';
import { allClose, threeLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';
import { type OracleReceiver, oracle, oracleModel } from './oracle.js';

function receiversOf(list: readonly OracleReceiver[]): 'logits' | PathReceiver[] {
  const inputs = list.flatMap(({ to, ...at }) =>
    to === 'logits' ? [] : [{ ...at, input: to } as PathReceiver],
  );
  return inputs.length ? inputs : 'logits';
}

for (const { model: about, original, new: other, correct, wrong, patches, ...expected } of oracle('paths')
  .paths) {
  const metric = logitDiff(correct, wrong);
  for (const { senders, receivers: to, mlps, by, shape, values } of patches) {
    const receivers = receiversOf(to);
    const names = to.map((r) => Object.values(r).join(' ')).join(', ');
    test(`${about.config.name}: ${senders} → ${names} by ${by.join(' × ')}, MLPs ${mlps}`, async () => {
      const model = await oracleModel(about);
      const before = model.gpu.memory().bytes;
      const freeze = mlps === 'frozen' ? 'heads+mlps' : 'heads';
      const map = await pathPatch(model, { original, new: other, metric, senders, receivers, freeze, by });
      assert.equal(map.shape, shape);
      allClose(map.values, values, { atol: 2e-5, rtol: 0 });
      allClose([map.meta.original, map.meta.new] as number[], [expected.originalValue, expected.newValue]);
      givenBack(model.gpu, before);
    });
  }
}

for (const { model: about, original, new: other, correct, wrong, patches } of oracle('paths').direct)
  for (const { sender, to, shape, values } of patches)
    test(`${about.config.name}: the direct path L${sender.layer}H${sender.head} → every ${to}`, async () => {
      const model = await oracleModel(about);
      const before = model.gpu.memory().bytes;
      const metric = logitDiff(correct, wrong);
      const map = await pathPatchDirect(model, { original, new: other, metric, sender, to });
      assert.equal(map.shape, shape);
      allClose(map.values, values, { atol: 2e-5, rtol: 0 });
      givenBack(model.gpu, before);
    });

// ---- what must hold whatever the model
// ------------------------------------------------------------------------------

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const { tokens } = rng(8);
const original = tokens(8, 101);
const pair = { original, new: original.map((t, p) => (p === 2 || p === 5 ? (t + 9) % 101 : t)) };
const metric = logitDiff(4, 9);
const tight = { atol: 2e-5, rtol: 0 };

test('without layer norms the direct paths of all heads and MLPs to the logits add up to the whole difference', async () => {
  const flat = { ...config, normalization: 'none' } as const;
  const linear = await HookedTransformer.fromWeights(flat, randomGpt2(flat, 5));
  const all = { ...pair, metric, freeze: 'heads+mlps' } as const;
  const maps = [await pathPatch(linear, all), await pathPatch(linear, { ...all, senders: 'mlps' })];
  const sum = maps.flatMap((map) => [...map.values]).reduce((a, b) => a + b, 0);
  allClose([sum], [1], { atol: 1e-4, rtol: 0 });
  linear.dispose();
});

test('with everything frozen a path to the logits is what the head writes, added to the last residual stream', async () => {
  const map = await pathPatch(model, { ...pair, metric, freeze: 'heads+mlps' });
  const [old, other] = [
    await model.runWithCache(pair.original, { names: ['result', 'resid_post'] }),
    await model.runWithCache(pair.new, { names: 'result' }),
  ];
  const values: number[] = [];
  for (let layer = 0; layer < config.nLayers; layer++)
    for (let head = 0; head < config.nHeads; head++) {
      const [a, b] = [other, old].map(({ cache }) => cache.get('result', layer).slice([0, -1, head]));
      const [delta, final] = [a.sub(b), old.cache.get('resid_post', -1).slice([0, -1])];
      const stream = final.add(delta);
      const logits = model.logitsOfResidual(stream);
      const row = await (await logits).data();
      values.push(row[4] - row[9]);
      for (const t of [a, b, delta, final, stream, await logits]) t.dispose();
    }
  const [low, high] = [map.meta.original, map.meta.new] as number[];
  allClose(
    map.values,
    values.map((v) => (v - low) / (high - low)),
    tight,
  );
  for (const { cache, logits } of [old, other]) {
    cache.dispose();
    logits.dispose();
  }
  assert.is((map.meta.work as { tokenLayers: number }).tokenLayers, 0, 'no block is run');
});

const receivers: PathReceiver[] = [
  { layer: 2, head: 0, input: 'k' },
  { layer: 1, input: 'mlp' },
  { layer: 2, input: 'v' },
];

for (const freeze of ['heads', 'heads+mlps'] as const) {
  test(`each receiver by itself, or one map for each: the same (${freeze} frozen)`, async () => {
    const before = model.gpu.memory().bytes;
    const options = { ...pair, metric, freeze };
    const each = await pathPatch(model, { ...options, receivers, eachReceiver: true, maxTokens: 40 });
    assert.equal(each.shape, [3, config.nLayers, config.nHeads]);
    assert.equal(each.axes[0], { name: 'receiver', labels: ['L2H0.k', 'L1 MLP', 'L2.v'] });
    const apart = [];
    for (const receiver of receivers)
      apart.push(...(await pathPatch(model, { ...options, receivers: [receiver] })).values);
    allClose(each.values, apart, tight);
    givenBack(model.gpu, before);
  });

  test(`senders by name and by position are those of the whole map (${freeze} frozen)`, async () => {
    const options = { ...pair, metric, freeze, receivers };
    const senders = [{ layer: 1, head: 2 }, { layer: 0 }, { layer: 0, head: -1 }];
    const [all, mlps] = [
      await pathPatch(model, options),
      await pathPatch(model, { ...options, senders: 'mlps' }),
    ];
    const listed = await pathPatch(model, { ...options, senders });
    assert.equal(listed.axes, [{ name: 'sender', labels: ['L1H2', 'L0 MLP', 'L0H2'] }]);
    allClose(listed.values, [all.values[5], mlps.values[0], all.values[2]], tight);
    const byPos = await pathPatch(model, { ...options, senders, by: ['pos', 'sender'] });
    const map = await pathPatch(model, { ...options, by: ['layer', 'pos', 'head'] });
    const cell = (layer: number, pos: number, head: number) => map.values[(layer * 8 + pos) * 3 + head];
    allClose(
      original.map((_, pos) => byPos.values[pos * 3]),
      original.map((_, pos) => cell(1, pos, 2)),
      tight,
    );
    assert.equal([...byPos.values.subarray(0, 6)], [0, 0, 0, 0, 0, 0], 'the prompts begin alike');
  });
}

test('pairs of different lengths, read at every position: what two whole runs of each give', async () => {
  const long = [...pair.original, 3, 8];
  const old = [pair.original, long];
  const other = [pair.new, long.map((t, p) => (p === 4 ? 50 : t))];
  const all = loss({ per: 'prompt' });
  const to: PathReceiver[] = [
    { layer: 2, head: 1, input: 'q' },
    { layer: 1, input: 'mlp' },
  ];
  const map = await pathPatch(model, { original: old, new: other, metric: all, receivers: to });
  const logits = await pathPatch(model, { original: old, new: other, metric: all });
  const low = map.meta.original as number[];
  const high = map.meta.new as number[];
  const lossOf = async (run: Promise<{ logits: Tensor; cache: ActivationCache | null }>, row: number[]) => {
    const { logits, cache } = await run;
    const data = await logits.data();
    logits.dispose();
    cache?.dispose();
    const each = row.slice(1).map((token, p) => {
      const own = data.subarray(p * config.dVocab, (p + 1) * config.dVocab);
      return Math.log(own.reduce((s, x) => s + Math.exp(x), 0)) - own[token];
    });
    return each.reduce((a, b) => a + b, 0) / each.length;
  };
  for (const [i, row] of old.entries())
    for (const head of [0, 1, 2]) {
      const sources = { new: other[i] };
      const run1: Intervention[] = [
        { at: 'z', layer: 0, head, set: { from: 'new' } },
        { at: 'z', layer: [1, 2], freeze: true },
      ];
      const names = ['q_input', 'mlp_in'];
      const seen = await model.runWithInterventions(row, run1, { sources, names });
      const run2: Intervention[] = [
        { at: 'q_input', layer: 2, head: 1, set: { from: 'seen' } },
        { at: 'mlp_in', layer: 1, set: { from: 'seen' } },
      ];
      const two = await lossOf(
        model.runWithInterventions(row, run2, { sources: { seen: seen.cache! } }),
        row,
      );
      const one = await lossOf(Promise.resolve(seen), row);
      const scaled = (v: number) => (v - low[i]) / (high[i] - low[i]);
      allClose([map.values[head * 2 + i], logits.values[head * 2 + i]], [scaled(two), scaled(one)], {
        atol: 2e-4,
        rtol: 0,
      });
    }
});

test('senders that do not come before the receiver are 0, and are not run', async () => {
  const to: PathReceiver[] = [{ layer: 1, head: 0, input: 'q' }];
  const map = await pathPatch(model, { ...pair, metric, receivers: to });
  assert.equal([...map.values.subarray(3)], new Array(6).fill(0));
  assert.equal(map.meta.idle, [3, 4, 5, 6, 7, 8]);
  const mlp = await pathPatch(model, { ...pair, metric, receivers: [{ layer: 1, input: 'mlp' }] });
  assert.equal(mlp.meta.idle, [6, 7, 8], 'a head and the MLP of its layer do connect');
});

test('a map of paths can be cancelled', async () => {
  const stop = new AbortController();
  const before = model.gpu.memory().bytes;
  const onProgress = () => stop.abort(new Error('stop'));
  await throws(pathPatch(model, { ...pair, metric, receivers, signal: stop.signal, onProgress }), /stop/);
  await throws(pathPatch(model, { ...pair, metric, receivers, signal: stop.signal }), /stop/);
  givenBack(model.gpu, before);
});

test('what is not in the model is refused before anything runs', async () => {
  const { stats } = model.gpu;
  const { dispatches } = stats;
  const run = (options: object) => () => pathPatch(model, { ...pair, metric, ...options });
  await throws(run({ new: original }), /the new and the original prompt are the same/);
  await throws(run({ new: original.slice(1) }), /new prompt has 7 tokens, the original one 8/);
  await throws(run({ receivers: [{ layer: 3, head: 0, input: 'q' }] }), /layer 3: there are 3/);
  await throws(run({ receivers: [{ layer: 1, head: 3, input: 'q' }] }), /head 3: there are 3/);
  await throws(run({ receivers: [{ layer: 1, head: 0, input: 'z' }] }), /the inputs are 'q', 'k', 'v'/);
  await throws(run({ receivers: [{ layer: 1, head: 0, input: 'mlp' }] }), /an MLP has no heads/);
  await throws(run({ receivers: [] }), /'logits' or a list of/);
  await throws(run({ senders: [{ layer: 4, head: 0 }] }), /layer 4/);
  await throws(run({ senders: [] }), /'heads', 'mlps' or a list/);
  await throws(run({ by: ['layer'] }), /the axes of these senders are layer, head/);
  await throws(run({ senders: 'mlps', by: ['layer', 'head'] }), /the axes of these senders are layer,/);
  await throws(run({ freeze: 'mlps' }), /'heads' or 'heads\+mlps' is needed/);
  const direct = (options: object) => () =>
    pathPatchDirect(model, { ...pair, metric, sender: { layer: 0, head: 1 }, to: 'q', ...options });
  await throws(direct({ to: 'z' }), /'q', 'k' or 'v' is needed/);
  await throws(direct({ sender: { layer: 0, head: 5 } }), /sender: head 5/);
  assert.is(stats.dispatches, dispatches);
});

test('one head writes into a stream that has no heads, and a stream is read by every head', async () => {
  const base = { input: original, sources: { new: pair.new } };
  const run = (at: string, set: object) =>
    counterfactuals(model, base, [[{ at, layer: 2, set: { from: 'new', ...set } }]], metric);
  await throws(run('resid_pre', { at: 'result' }), /has a head axis, .* say which with `head`/);
  const whole = await run('resid_pre', {});
  const heads = ['q', 'k', 'v'].map((to) => ({
    at: `${to}_input`,
    layer: 2,
    set: { from: 'new', at: 'resid_pre' },
  }));
  const attention = { at: 'attn_out', layer: 2, set: { from: 'new' } };
  const [read, written] = (await counterfactuals(model, base, [heads, [attention]], metric)).values;
  allClose([read], [written], tight);
  assert.ok(Math.abs(read - whole.values[0]) > 1e-3);
});

test('a record of a map of paths tells what the map itself told', async () => {
  const lines: string[] = [];
  const record = {
    read: async () => lines,
    append: async (more: readonly string[]) => void lines.push(...more),
  };
  const map = await pathPatch(model, { ...pair, metric, receivers, record });
  const resumed = await pathPatch(model, { ...pair, metric, receivers, record });
  for (const again of [resumed, recordResult(mergeRecords([{ name: 'one', lines }]))]) {
    assert.equal(again.values, map.values);
    assert.equal([again.meta.original, again.meta.new], [map.meta.original, map.meta.new]);
  }
});

test('without layer norms a direct path is the path with everything frozen', async () => {
  const flat = { ...config, normalization: 'none' } as const;
  const linear = await HookedTransformer.fromWeights(flat, randomGpt2(flat, 5));
  const all = Array.from({ length: 2 * config.nHeads }, (_, i): PathReceiver => {
    return { layer: 1 + Math.floor(i / config.nHeads), head: i % config.nHeads, input: 'v' };
  });
  for (const sender of [{ layer: 0, head: 1 }, { layer: 0 }]) {
    const direct = await pathPatchDirect(linear, { ...pair, metric, sender, to: 'v' });
    const options = { ...pair, metric, senders: [sender], receivers: all, eachReceiver: true } as const;
    const path = await pathPatch(linear, { ...options, freeze: 'heads+mlps' });
    allClose(direct.values, [0, 0, 0, ...path.values], tight);
  }
  linear.dispose();
});

test.run();
