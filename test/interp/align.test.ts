/** Prompts of unequal length, compared at positions that correspond. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { partnersOf } from '../../hooks/interventions/alignment.js';
import {
  type Align,
  attributionPatch,
  compareWithPatching,
  counterfactuals,
  HookedTransformer,
  kl,
  logitDiff,
  loss,
  patch,
  pathPatch,
  pathPatchDirect,
} from '../../index.js';
import { main } from '../../scripts/commands/main.js';
import { allClose, randomGpt2, throws, twoLayers } from '../helpers.js';

const config = twoLayers;
const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 3));
test.after(() => model.dispose());

const clean = [5, 11, 12, 13, 20, 30];
const corrupted = [5, 40, 13, 20, 21, 22, 31];
const DIFF = [0, -1, 3, 4, -1, -1, 5]; // of corrupted's positions the partners in clean
const metric = logitDiff(1, 2);

test('diff pairs what both prompts have, and the last positions', () => {
  assert.equal(partnersOf('diff', [clean], [corrupted]), [DIFF]);
  assert.equal(partnersOf('diff', [[1, 2, 3]], [[1, 2, 3]]), [[0, 1, 2]]);
  assert.equal(partnersOf('diff', [[7]], [[8, 9]]), [[-1, 0]]);
  // of two common subsequences of one length the one that matches earliest in the changed prompt
  assert.equal(partnersOf('diff', [[1, 2, 9]], [[2, 1, 8]]), [[1, -1, 2]]);
  assert.equal(
    partnersOf(
      [
        [1, 0],
        [-1, -2],
      ],
      [[1, 2, 3]],
      [[4, 5, 6, 7]],
    ),
    [[1, -1, 2, -1]],
  );
});

/** The metric of a whole forward pass in which `at` has the clean run's value at some positions. */
async function naive(
  at: string,
  pairs: readonly (readonly [number, number])[],
  head?: number,
): Promise<number> {
  const { cache, logits } = await model.runWithCache(clean, { names: at });
  logits.dispose();
  const source = await cache.get(at).toArray();
  cache.dispose();
  const pattern = at.endsWith('pattern');
  const changed = await model.runWithHooks(corrupted, {
    hooks: [
      [
        at,
        async (t, hook) => {
          const own = (await t.toArray()) as never;
          const [a, b] = [own as number[][][][], source as number[][][][]];
          for (const [f, p] of pairs)
            if (pattern)
              for (const [fk, pk] of pairs) for (const h of heads(head)) a[0][h][p][pk] = b[0][h][f][fk];
            else if (head === undefined) a[0][p] = b[0][f];
            else a[0][p][head] = b[0][f][head];
          return hook.tensor(own as never);
        },
      ],
    ],
  });
  const last = await changed.slice({ batch: 0, pos: -1 }).data();
  changed.dispose();
  return last[1] - last[2];
}
const heads = (head?: number) => (head === undefined ? [0, 1] : [head]);

const pairsOf = (partners: readonly number[]) =>
  partners.flatMap((f, p) => (f >= 0 ? [[f, p] as const] : []));

async function ends(): Promise<[low: number, high: number]> {
  const logits = await model.forward([corrupted]);
  const [a, b] = [
    await logits.slice({ pos: -1 }).data(),
    await (await model.forward([clean])).slice({ pos: -1 }).data(),
  ];
  logits.dispose();
  return [a[1] - a[2], b[1] - b[2]];
}

test('every cell of an aligned map is what a whole pass with that patch gives', async () => {
  const [low, high] = await ends();
  const scaled = (v: number) => (v - low) / (high - low);
  const explicit: Align = [
    [1, 1],
    [2, 4],
    [5, 6],
  ];
  for (const [align, pairs] of [
    ['diff', pairsOf(DIFF)],
    [explicit, explicit],
  ] as const) {
    const map = await patch(model, { clean, corrupted, metric, align, at: 'resid_pre' });
    assert.equal(map.shape, [2, pairs.length]);
    const expected: number[] = [];
    for (const layer of [0, 1])
      for (const pair of pairs) expected.push(scaled(await naive(`blocks.${layer}.hook_resid_pre`, [pair])));
    allClose(map.values, Float32Array.from(expected), { what: 'resid_pre' });
    for (const at of ['z', 'pattern'] as const) {
      const byHead = await patch(model, { clean, corrupted, metric, align, at });
      const each: number[] = [];
      for (const layer of [0, 1])
        for (const head of [0, 1])
          each.push(scaled(await naive(`blocks.${layer}.attn.hook_${at}`, pairs, head)));
      allClose(byHead.values, Float32Array.from(each), { what: at });
    }
  }
});

test('labels have both tokens, and meta counts what was left out', async () => {
  const { axes, meta } = await patch(model, { clean, corrupted, metric, align: 'diff' });
  assert.equal(axes[1].labels, ['0:#5', '3:#13 | 2:#13', '4:#20 | 3:#20', '5:#30 | 6:#31']);
  assert.equal(meta.unpaired, { from: 2, changed: 3 });
  assert.equal(meta.alignment, [
    [
      [0, 0],
      [3, 2],
      [4, 3],
      [5, 6],
    ],
  ]);
  assert.is(meta.unchanged, 1);
});

test('several pairs, each with its own alignment, are as one by one', async () => {
  const [c2, d2] = [
    [5, 50, 51, 20, 30],
    [5, 20, 31],
  ];
  const per = logitDiff(1, 2, { per: 'prompt' });
  const both = await patch(model, {
    clean: [clean, c2],
    corrupted: [corrupted, d2],
    metric: per,
    align: 'diff',
    at: 'z',
  });
  const one = await patch(model, { clean, corrupted, metric: per, align: 'diff', at: 'z' });
  const two = await patch(model, { clean: c2, corrupted: d2, metric: per, align: 'diff', at: 'z' });
  const expected = [...one.values].flatMap((v, i) => [v, two.values[i]]);
  allClose(both.values, Float32Array.from(expected), { atol: 1e-5 });
});

test('an alignment of equal prompts, position by position, changes nothing; other metrics take it', async () => {
  const other = [5, 41, 12, 13, 20, 31];
  const same = other.map((_, p): [number, number] => [p, p]);
  const options = { clean, corrupted: other, metric, at: 'attn_out' };
  assert.equal(
    (await patch(model, { ...options, align: same })).values,
    (await patch(model, options)).values,
  );
  const divergence = await patch(model, { clean, corrupted, metric: kl('clean'), align: 'diff' });
  assert.ok(divergence.values.every(Number.isFinite));
  assert.is(divergence.meta.clean, 0);
});

test('attribution of aligned prompts is gradient times difference at the pairs', async () => {
  for (const at of ['resid_pre', 'z', 'pattern', 'mlp_out'] as const) {
    const by = at === 'pattern' ? (['layer', 'head'] as const) : (['layer', 'pos'] as const);
    const map = await attributionPatch(model, { clean, corrupted, metric, align: 'diff', at, by });
    const [low, high] = await ends();
    const names = at === 'pattern' || at === 'z' ? `attn.hook_${at}` : `hook_${at}`;
    const { cache, grads } = await model.runWithGrads(corrupted, metric, { names: at });
    const source = await model.runWithCache(clean, { names: at });
    const expected: number[] = [];
    const sum = (a: unknown, b: unknown, c: unknown): number =>
      typeof a === 'number'
        ? a * ((b as number) - (c as number))
        : (a as unknown[]).reduce(
            (s: number, x, i) => s + sum(x, (b as unknown[])[i], (c as unknown[])[i]),
            0,
          );
    for (const layer of [0, 1]) {
      const name = `blocks.${layer}.${names}`;
      const [g, a, b] = (await Promise.all(
        [grads.get(name), source.cache.get(name), cache.get(name)].map((t) => t.toArray()),
      )) as number[][][][][];
      if (at === 'pattern')
        for (const h of [0, 1]) {
          let total = 0;
          for (const [fq, q] of pairsOf(DIFF))
            for (const [fk, k] of pairsOf(DIFF)) total += sum(g[0][h][q][k], a[0][h][fq][fk], b[0][h][q][k]);
          expected.push(total);
        }
      else for (const [f, p] of pairsOf(DIFF)) expected.push(sum(g[0][p], a[0][f], b[0][p]));
    }
    allClose(
      map.values,
      Float32Array.from(expected, (x) => x / (high - low)),
      { what: at },
    );
    for (const held of [cache, grads, source.cache, source.logits]) held.dispose();
  }
});

test('attribution and patching of aligned prompts can be held against each other', async () => {
  const { agreement, exact, attributed } = await compareWithPatching(model, {
    ...{ clean, corrupted, metric, align: 'diff', at: 'z', by: ['layer', 'head', 'pos'] },
  });
  assert.equal(exact.shape, attributed.shape);
  assert.ok(agreement.pearson > 0.5, `${agreement.pearson}`);
});

test('a path of aligned prompts: the direct one to the logits is the change of what the sender writes there', async () => {
  const options = { original: corrupted, new: clean, metric, align: 'diff' as const };
  for (const freeze of ['heads', 'heads+mlps'] as const) {
    const map = await pathPatch(model, { ...options, freeze });
    assert.equal(map.shape, [2, 2]);
    assert.ok(map.values.every(Number.isFinite) && map.values.some((v) => Math.abs(v) > 1e-4), freeze);
    // In the last layer nothing but the final norm lies between a head and the logits: the two are one.
    const z = await counterfactuals(
      model,
      { input: corrupted, sources: { new: { input: clean, align: 'diff' } } },
      [0, 1].map((head) => [
        { at: 'z', layer: 1, head, pos: -1, set: { from: 'new' } },
        { at: 'mlp_out', layer: 1, pos: -1, freeze: true as const },
      ]),
      metric,
    );
    const [low, high] = await ends();
    if (freeze === 'heads+mlps')
      allClose(
        map.values.slice(2),
        z.values.map((v) => (v - low) / (high - low)),
        { what: freeze },
      );
  }
  const direct = await pathPatchDirect(model, { ...options, sender: { layer: 0, head: 1 }, to: 'q' });
  assert.ok(direct.values.slice(2).some((v) => v !== 0));
});

test('what is no alignment is refused in one sentence', async () => {
  const options = { clean, corrupted, metric };
  await throws(
    () => patch(model, options),
    /6 tokens, the corrupted one 7: patching needs the same number, or align: 'diff'/,
  );
  for (const [align, message] of [
    [[], /align is an empty list: 'diff', or a list of \[clean, corrupted\] positions/],
    [
      [
        [0, 0],
        [6, 1],
      ],
      /position 6: the clean prompt has 6 \(0–5\)/,
    ],
    [
      [
        [0, 0],
        [0, 1],
      ],
      /position 0 of the clean prompt is there twice/,
    ],
    [
      [
        [0, 1],
        [2, 1],
      ],
      /position 1 of the corrupted prompt is there twice/,
    ],
    [[[0, 0, 0]], /align.* pairs? /],
    [[[[0, 0]], [[1, 1]]], /2 lists of pairs for 1 prompts/],
    ['dif', /align is "dif": 'diff', or a list of pairs of positions/],
  ] as const)
    await throws(() => patch(model, { ...options, align: align as never }), message);
  await throws(
    () => patch(model, { ...options, align: [[0, 0]], only: { pos: [1] } }),
    /none of these positions has a partner/,
  );
  await throws(
    () => patch(model, { ...options, metric: loss(), align: 'diff' }),
    /reads every position, and the prompts differ in length: take one that reads the last/,
  );
  await throws(
    () =>
      counterfactuals(
        model,
        { input: corrupted, sources: { clean: { input: clean, align: 'diff' } } },
        [[{ at: 'mlp_out', layer: 0, pos: 1, set: { from: 'clean' } }]],
        metric,
      ),
    /pos 1: no partner in the aligned source/,
  );
});

test('the command line takes it', async () => {
  const written: string[] = [];
  const args = ['patch', '--clean', 'When John and Mary went to the shops, John gave the bag to'];
  args.push(
    '--corrupted',
    'When Mary and John went to the big shops, Mary gave the bag to',
    '--answer',
    ' Mary',
  );
  args.push('--wrong', ' John', '--align', 'diff', '--json');
  await main(args, new AbortController().signal, (data) => void written.push(String(data)));
  const { meta, axes } = JSON.parse(written.join(''));
  assert.is(axes[1].labels.length, meta.alignment[0].length);
  await throws(
    () => main([...args.slice(0, -2), '[[0,', '--json'], new AbortController().signal, () => {}),
    /--align/,
  );
});

test.run();
