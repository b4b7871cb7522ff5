/**
 * Sweeps as a user meets them: what they must not change, how they may be left, and how much they compute.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Counterfactual,
  counterfactuals,
  custom,
  HookedTransformer,
  logitDiff,
  loss,
  type PatchAxis,
  patch,
  runWithInterventions,
  type SweepWork,
} from '../../index.js';
import { causalTrace } from '../../interp/tracing/causal-trace.js';
import type { Launch } from '../../kernels/core/kernel.js';
import { allClose, randomGpt2, rng, throws, twoLayers } from '../helpers.js';
import { givenBack } from '../memory.js';

const shapes = {
  'a model': twoLayers,
  'an attention-only model': { ...twoLayers, nHeads: 3, dHead: 5, attnOnly: true },
  'a model without layer norms': { ...twoLayers, dHead: 7, normalization: 'none' },
  'a model with folded norms and scores scaled by layer': {
    ...twoLayers,
    normalization: 'LNPre',
    scaleAttnByInverseLayerIdx: true,
  },
} as const;

const model = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 6));
const deep = { ...twoLayers, nLayers: 12, nHeads: 2, dModel: 12, dHead: 6, dMlp: 16 };
const twelve = await HookedTransformer.fromWeights(deep, randomGpt2(deep, 5));
const metric = logitDiff(4, 9, { per: 'prompt' });
const ragged = [rng(1).tokens(7, 101), rng(2).tokens(1, 101), rng(3).tokens(16, 101), rng(4).tokens(5, 101)];
const clean = ragged.map((t) => t.map((x, p) => (t.length === 1 || p === 2 || p === 4 ? (x + 3) % 101 : x)));
const base = { input: ragged, sources: { clean } };

/** One cell for each of some hook points and positions, and some that cannot change anything. */
const list: Counterfactual[] = [
  ...['resid_pre', 'attn.hook_k', 'attn.hook_pattern', 'hook_mlp_out', 'hook_v_input'].flatMap((at) =>
    [0, 1].flatMap((layer): Counterfactual[] => [
      [{ at, layer, pos: 0, set: { from: 'clean' } }],
      [{ at, layer, row: 2, pos: { start: 3 }, set: { from: 'clean' } }],
    ]),
  ),
  [],
  [{ at: 'hook_embed', row: 3, pos: 1, set: { from: 'clean' } }],
  [{ at: 'blocks.1.hook_resid_post', row: 0, pos: 2, zero: true }],
];
const IDLE = 3;

test.after(() => {
  model.dispose();
  twelve.dispose();
});

/** The model is as good as before, and holds as much memory. */
const logits = async () => {
  const t = await model.forward(ragged[0]);
  return t.data().finally(() => t.dispose());
};
const before = await logits();
const { bytes } = model.gpu.memory();
async function unharmed(): Promise<void> {
  givenBack(model.gpu, bytes);
  assert.equal(await logits(), before);
}

// ---- what must not change
// ----------------------------------------------------------------------------------------

for (const [what, config] of Object.entries(shapes)) {
  test(`${what}: a run patched with its own values is the same run, and says so`, async () => {
    const own = await HookedTransformer.fromWeights(config, randomGpt2(config, 8));
    const same = { input: ragged, sources: { clean: ragged } };
    const points = [
      'hook_embed',
      'resid_pre',
      'q',
      'attn_scores',
      'pattern',
      'z',
      'attn.hook_result',
      'k_input',
    ];
    const cells = points.map((at): Counterfactual => [{ at, set: { from: 'clean' } }]);
    const result = await counterfactuals(own, same, [...cells, ...cells.map(frozen)], metric);
    const values = result.meta.base as number[];
    allClose(
      result.values,
      Array(2 * points.length)
        .fill(values)
        .flat(),
      { atol: 0, rtol: 0 },
    );
    assert.is((result.meta.unchanged as unknown[]).length, 2 * points.length);
    assert.is((result.meta.work as SweepWork).tokenLayers, 0);
    // Without knowing that they are its own: from a cache.
    const { cache, logits } = await own.runWithCache(ragged, { names: points });
    logits.dispose();
    const cached = await counterfactuals(own, { input: ragged, sources: { clean: cache } }, cells, metric);
    allClose(cached.values, Array(points.length).fill(values).flat(), { atol: 1e-5, rtol: 1e-5 });
    assert.ok((cached.meta.work as SweepWork).tokenLayers > 0);
    cache.dispose();
    own.dispose();
  });

  test(`${what}: the whole residual stream at layer 0 is the clean run`, async () => {
    const own = await HookedTransformer.fromWeights(config, randomGpt2(config, 8));
    for (const m of [metric, logitDiff([4, 5, 6, 7], 9)]) {
      const cells: Counterfactual[] = [[{ at: 'resid_pre', layer: 0, set: { from: 'clean' } }]];
      const { values, meta } = await counterfactuals(own, base, cells, m);
      const high = [(meta.sources as { clean: number | number[] }).clean].flat();
      allClose(values, high, { atol: 1e-6, rtol: 1e-6 });
    }
    own.dispose();
  });
}

const frozen = (cell: Counterfactual): Counterfactual => cell.map(({ at }) => ({ at, freeze: true }));

test('restoring all neurons is restoring what the MLP writes', async () => {
  const cells = [0, 1].flatMap((layer) =>
    ['mlp.hook_post', 'hook_mlp_out'].map((at): Counterfactual => [{ at, layer, set: { from: 'clean' } }]),
  );
  const { values } = await counterfactuals(model, base, cells, metric);
  const [post0, out0, post1, out1] = [0, 1, 2, 3].map((i) => values.slice(4 * i, 4 * i + 4));
  allClose(post0, out0, { atol: 1e-6, rtol: 1e-6 });
  allClose(post1, out1, { atol: 1e-6, rtol: 1e-6 });
});

test('the order of the list, and how much runs at once, change nothing', async () => {
  for (const m of [metric, logitDiff(4, 9)]) {
    const whole = await counterfactuals(model, base, list, m);
    const again = await counterfactuals(model, base, list, m);
    assert.equal(again.values, whole.values, 'same input, same bits');
    const n = whole.values.length / list.length;
    for (const maxTokens of [1, 7, 1000]) {
      const result = await counterfactuals(model, base, [...list].reverse(), m, { maxTokens });
      const back = list.flatMap((_, i) => [...result.values.slice(i * n, (i + 1) * n)].reverse()).reverse();
      allClose(back, whole.values, { atol: 1e-6, rtol: 1e-6, what: `${maxTokens} tokens at a time` });
      const { chunks } = result.meta.work as SweepWork;
      assert.ok(maxTokens > 1 || chunks >= list.length - IDLE, `${chunks} chunks`);
    }
  }
});

test('a loop gets each cell once, those that cannot change anything too', async () => {
  const whole = await counterfactuals(model, base, list, metric);
  for (const maxTokens of [1, 1000]) {
    const seen = new Map<number, readonly number[]>();
    for await (const { index, prompts, value, runs } of counterfactuals(model, base, list, metric, {
      maxTokens,
    })) {
      assert.not.ok(seen.has(index));
      seen.set(index, prompts);
      allClose([value], [prompts.reduce((a, b) => a + b, 0) / 4], { atol: 1e-6 });
      assert.equal(runs.base, whole.meta.base);
    }
    assert.equal(
      [...seen.keys()].sort((a, b) => a - b),
      [...list.keys()],
    );
    for (const [i, p] of seen) allClose(p, whole.values.slice(4 * i, 4 * i + 4), { atol: 1e-6, rtol: 1e-6 });
  }
  assert.is((whole.meta.unchanged as unknown[]).length, IDLE);
});

test('runWithInterventions gives the logits of a cell, and says what cannot change', async () => {
  const { values } = await counterfactuals(model, base, list, metric);
  for (const [i, cell] of list.entries()) {
    const run = await runWithInterventions(model, ragged, cell, { sources: base.sources });
    const data = await run.logits.data();
    run.logits.dispose();
    let at = 0;
    const got = ragged.map((t) => {
      at += t.length;
      return data[101 * (at - 1) + 4] - data[101 * (at - 1) + 9];
    });
    allClose(got, values.slice(4 * i, 4 * i + 4), { atol: 1e-5, rtol: 1e-5 });
    assert.is(run.unchanged.length, i === list.length - 2 ? 1 : 0, run.unchanged.join());
  }
  await unharmed();
});

// ---- leaving before the end
// --------------------------------------------------------------------------------------

const options = { clean: ragged, corrupted: clean, metric: logitDiff(4, 9), at: 'z', maxTokens: 5 } as const;

test('leaving the loop early stops the sweep, and nothing is left behind', async () => {
  let cells = 0;
  for await (const _ of counterfactuals(model, base, list, metric, { maxTokens: 1 }))
    if (++cells === 6) break;
  await unharmed();
  for await (const { at } of patch(model, options)) {
    assert.is(at.length, 2);
    break;
  }
  await unharmed();
  const failed = async () => {
    for await (const _ of patch(model, options)) throw new Error('mine');
  };
  await throws(failed, /^mine$/);
  await unharmed();
});

test('a sweep is cancelled before it begins, during the base run, and in the middle', async () => {
  const stop = new AbortController();
  const reason = new Error('enough');
  stop.abort(reason);
  const dispatches = model.gpu.stats.dispatches;
  await throws(counterfactuals(model, base, list, metric, { signal: stop.signal }), /^enough$/);
  assert.is(model.gpu.stats.dispatches, dispatches, 'nothing ran');

  const during = new AbortController();
  const run = counterfactuals(model, base, list, metric, { signal: during.signal });
  during.abort(reason);
  await throws(run, /^enough$/);
  await unharmed();

  const middle = new AbortController();
  let calls = 0;
  const onProgress = () => void (++calls === 3 && middle.abort(reason));
  await throws(patch(model, { ...options, signal: middle.signal, onProgress }), /^enough$/);
  assert.is(calls, 3);
  await unharmed();
});

test('an error of a metric, of its preparation or of onProgress ends the sweep and nothing else', async () => {
  let calls = 0;
  const late = custom('late', (_, reads) => {
    if (++calls > 4) throw new Error('metric');
    return reads.map(() => calls);
  });
  await throws(counterfactuals(model, base, list, late, { maxTokens: 9 }), /^metric$/);
  const short = custom('short', () => [1]);
  await throws(counterfactuals(model, base, list, short), /metric short: it gave \[1\].*\[4\], is needed/);
  const early = { ...metric, prepare: () => Promise.reject(new Error('prepare')) };
  await throws(counterfactuals(model, base, list, early), /^prepare$/);
  const onProgress = () => {
    throw new Error('progress');
  };
  await throws(counterfactuals(model, base, list, metric, { onProgress }), /^progress$/);
  await throws(patch(model, { ...options, metric: logitDiff(4, 4) }), /is 0\.0000 for both/);
  await unharmed();
});

test('progress goes up to all of the work, which is what is reported', async () => {
  const steps: number[] = [];
  const totals = new Set<number>();
  const onProgress = (done: number, total: number) => {
    steps.push(done);
    totals.add(total);
  };
  const m = loss({ per: 'prompt' });
  const two = { input: [ragged[0], ragged[2]], sources: { clean: [clean[0], clean[2]] } };
  const cells: Counterfactual[] = [0, 3].map((pos) => [
    { at: 'resid_pre', layer: 0, pos, set: { from: 'clean' } },
  ]);
  const { meta } = await counterfactuals(model, two, cells, m, { maxTokens: 6, onProgress });
  const { tokenLayers } = meta.work as SweepWork;
  assert.equal([...totals], [tokenLayers]);
  assert.is(steps.at(-1), tokenLayers);
  assert.ok(steps.every((s, i) => i === 0 || s > steps[i - 1]));
});

// ---- how much is computed
// ----------------------------------------------------------------------------------------

const r = rng(1);
const good = Array.from({ length: 8 }, () => r.tokens(15, 101));
const late = good.map((t) => t.map((x, p) => (p === 10 ? (x + 5) % 101 : x)));
const early = good.map((t) => t.map((x) => (x + 5) % 101));

/** Rows that go through the matrices of queries, keys and values: tokens × layers of all that runs. */
async function rowsOf(run: () => Promise<unknown>): Promise<number> {
  const { gpu } = twelve;
  const weights = new Set(twelve.gpuWeights.blocks.map((b) => b.W_QKV.storage.buffer));
  const { launch } = gpu;
  let rows = 0;
  gpu.launch = (l: Launch, bindings) => {
    if (bindings.some((b) => weights.has(b.buffer))) rows += bindings[0].bytes / 4 / deep.dModel;
    launch.call(gpu, l, bindings);
  };
  try {
    await run();
  } finally {
    gpu.launch = launch;
  }
  return rows;
}

const limits: [at: string, by: PatchAxis[], late: number, early: number, exact: boolean][] = [
  ['resid_pre', ['layer', 'pos'], 0.04, 0.3, true],
  ['resid_mid', ['layer', 'pos'], 0.04, 0.3, false],
  ['attn_out', ['layer', 'pos'], 0.04, 0.3, true],
  ['mlp_out', ['layer', 'pos'], 0.04, 0.3, false],
  ['k', ['layer', 'pos', 'head'], 0.04, 0.3, true],
  // All positions of a head at once: no later than the tokens that differ, no earlier than its layer.
  ['z', ['layer', 'head'], 0.2, 0.56, true],
  ['pattern', ['layer', 'head'], 0.2, 0.56, true],
];
for (const [at, by, ...shares] of limits)
  test(`patching ${at} by ${by.join(' × ')} computes what can differ, and counts it`, async () => {
    for (const [corrupted, share] of [
      [late, shares[0]],
      [early, shares[1]],
    ] as const) {
      let work!: SweepWork;
      const m = logitDiff(4, 9);
      const rows = await rowsOf(async () => {
        work = (await patch(twelve, { clean: good, corrupted, at, by, metric: m })).meta.work as SweepWork;
      });
      const runs = await rowsOf(() =>
        counterfactuals(twelve, { input: corrupted, sources: { clean: good } }, [[]], m),
      );
      const cells = 12 * (by.includes('pos') ? 15 : 1) * (by.includes('head') ? 2 : 1);
      assert.is(work.naiveTokenLayers, cells * 8 * 15 * 12);
      assert.ok(
        work.tokenLayers <= share * work.naiveTokenLayers,
        `${work.tokenLayers / work.naiveTokenLayers}`,
      );
      // What joins after attention has no queries, keys and values in its first block.
      if (shares[2]) assert.is(rows - runs, work.tokenLayers);
      else assert.ok(rows - runs < work.tokenLayers && rows - runs > 0.8 * work.tokenLayers);
    }
  });

test('a causal trace computes what lies behind each restored window', async () => {
  const [T, L, samples] = [15, 12, 4];
  const from = 2; // of the subject; every state from there on is corrupted
  const behind = (T - from) * (T - from + 1) * 0.5; // tokens from each restored position on
  for (const window of [1, 10]) {
    const trace = { prompt: good[0], subject: [2, 5], kind: 'mlp', window, samples } as const;
    const work = (await causalTrace(twelve, trace)).scores.meta.work as SweepWork;
    const first = (l: number) => (window === 1 ? l : Math.max(0, l - 5));
    const blocks = Array.from({ length: L }, (_, l) => L - 1 - first(l)).reduce((a, b) => a + b);
    // Its own block counts one token; what the last MLP writes is read at the last token only.
    const own = window === 1 ? (T - from) * (L - 1) + 1 : (T - from) * L;
    assert.is(work.tokenLayers, samples * (behind * blocks + own));
    assert.is(work.naiveTokenLayers, samples * T * L * T * L);
  }
});

test.run();
