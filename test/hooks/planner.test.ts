/**
 * A planned sweep gives what a loop of whole forward passes gives: for interventions, sources and base runs
 * drawn at random, against a naive loop that shares nothing with the planner. `GLASSBOX_FUZZ=500 npm test --
 * planner` draws more.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Base,
  type Counterfactual,
  counterfactuals,
  describeIntervention,
  HookedTransformer,
  logitDiff,
  loss,
  runWithInterventions,
} from '../../index.js';
import { allClose, randomGpt2, rng, threeLayers } from '../helpers.js';
import { randomModel } from './fuzz.js';
import { Naive } from './naive.js';
import { CELLS, checkPlanned, differenceOf } from './planned.js';

const rounds = Number(process.env.GLASSBOX_FUZZ ?? 10);

for (let seed = 1; seed <= rounds; seed++)
  test(`${CELLS} random counterfactuals of a random base run of a random model: number ${seed}`, async () => {
    const r = rng(seed);
    using model = await randomModel(r);
    await checkPlanned(r, model, seed);
  });

// ---- what the fuzz has found, and what it would seldom meet
// ------------------------------------------------------

const model = await HookedTransformer.fromWeights(threeLayers, randomGpt2(threeLayers, 5));
test.after(() => model.dispose());
const input = [rng(7).tokens(6, 101)];
const clean = [rng(8).tokens(6, 101)];

async function agrees(base: Base & object, list: readonly Counterfactual[]): Promise<void> {
  const result = await counterfactuals(model, base, list, logitDiff(4, 9));
  const naive = new Naive(model, base);
  for (const [i, cell] of list.entries()) {
    const { logits } = await naive.run(cell);
    allClose([result.values[i]], [differenceOf(logits[0], input[0])], {
      atol: 1e-5,
      rtol: 1e-5,
      what: describeIntervention(cell),
    });
  }
}

test('weights on keys behind the query count: as a callback, as data, and in sweeps', async () => {
  const at = 'blocks.1.attn.hook_pattern';
  const later = { at, head: 0, pos: 2, set: 0.5 } as const;
  const changed = { at: 'blocks.0.hook_resid_mid', pos: 4, set: { from: 'clean' } } as const;
  const sources = { clean, held: { counterfactuals: [[later], [changed]] } };
  const cells: Counterfactual[] = [
    [later],
    [{ at, head: 0, pos: 2, key: 5, set: 0.5 }],
    [{ at, pos: 1, key: [3, 4], add: 0.25 }],
    [later, changed], // position 4 comes to query 2
    [later, { ...later, zero: true, set: undefined }],
    [{ at: 'blocks.2.attn.hook_pattern', pos: -1, set: 0.3 }, later],
    [{ at: 'blocks.2.attn.hook_pattern', pos: 0, key: 3, set: 0.3 }], // the last layer: nothing that is read
    [{ at, pos: 2, set: { from: 'held', cell: 0 } }],
    [later, { at, pos: 3, set: { from: 'held', cell: 1 } }],
    [{ at: 'blocks.1.attn.hook_attn_scores', pos: 2, key: 5, set: 3 }], // masked again
  ].map((cell) =>
    cell.map(({ set, ...rest }: { set?: unknown }) => (set === undefined ? rest : { ...rest, set })),
  ) as never;
  await agrees({ input, sources }, cells);
  // A base run whose queries look ahead: what changes behind them comes to them.
  await agrees({ input, sources, interventions: [later] }, [
    [changed],
    [{ at, pos: 2, zero: true }],
    [{ at, pos: 2, set: { from: 'clean' } }],
    [{ at: 'blocks.1.attn.hook_v', pos: 5, head: 0, scale: 2 }],
    [{ at: 'blocks.2.hook_resid_pre', pos: 3, set: { from: 'held', cell: 1 } }],
  ]);

  // The three ways of the report, on every query of it.
  const naive = new Naive(model, { input });
  const { logits: expected } = await naive.run([later]);
  const data = await runWithInterventions(model, input, [later]);
  const hook = await model.runWithHooks(input, { hooks: [[at, (p) => p.set([null, 0, 2], 0.5)]] });
  allClose(await data.logits.data(), [...expected[0]], { atol: 1e-5, rtol: 1e-5 });
  allClose(await hook.data(), [...expected[0]], { atol: 1e-5, rtol: 1e-5 });
  for (const t of [data.logits, hook]) t.dispose();
  const { meta } = await counterfactuals(model, input, [[{ at, head: 0, pos: 2, key: 5, set: 0.5 }]], loss());
  assert.equal(meta.unchanged, []);
});

test('a base run may have an intervention of its own, from a source that no cell reads', () =>
  agrees(
    {
      input,
      sources: { clean },
      interventions: [{ at: 'blocks.0.hook_resid_mid', pos: 2, set: { from: 'clean' } }],
    },
    [
      [{ at: 'blocks.1.attn.hook_z', pos: 3, head: 1, zero: true }],
      [{ at: 'blocks.2.hook_mlp_out', pos: -1, scale: 2 }],
      [],
    ],
  ));

test('a cell that edits ln1 runs apart from those that give single heads inputs of their own there', () =>
  agrees({ input, sources: { clean } }, [
    [
      { at: 'blocks.1.hook_q_input', head: 1, set: { from: 'clean' } },
      { at: 'blocks.2.ln1.hook_scale', pos: 4, scale: 0.5 },
    ],
    [
      { at: 'blocks.2.hook_attn_in', head: 0, set: { from: 'clean' } },
      { at: 'blocks.1.ln1.hook_normalized', pos: 3, scale: 2 },
    ],
    [{ at: 'blocks.0.hook_v_input', pos: 2, set: { from: 'clean' } }],
    [{ at: 'blocks.1.ln1.hook_normalized', pos: 2, set: { from: 'clean' } }],
  ]));

test('counterfactuals may take values from counterfactuals that nothing else asks for', () =>
  agrees(
    {
      input,
      sources: {
        clean,
        first: { counterfactuals: [[{ at: 'blocks.0.hook_resid_pre', pos: 1, set: { from: 'clean' } }]] },
        second: {
          counterfactuals: [[], [{ at: 'blocks.1.attn.hook_z', pos: 3, set: { from: 'first', cell: 0 } }]],
        },
      },
    },
    [
      [{ at: 'blocks.2.hook_resid_pre', pos: 4, set: { from: 'second', cell: 1 } }],
      [{ at: 'blocks.1.hook_resid_mid', pos: 3, set: { from: 'second', cell: 0 } }],
    ],
  ));

test('the mean over a cache that holds some positions is that of these positions', async () => {
  const { cache, logits } = await model.runWithCache([...clean, ...input], {
    names: 'resid_pre',
    pos: [2, 4],
  });
  logits.dispose();
  const from = { input, sources: { cache, whole: [...clean, ...input] } };
  const at = 'blocks.1.hook_resid_pre';
  const list: Counterfactual[] = [[{ at, pos: 3, mean: 'cache' }], [{ at, pos: 3, mean: 'whole' }]];
  const { values } = await counterfactuals(model, from, list, logitDiff(4, 9));
  allClose([values[0]], [values[1]], { atol: 1e-6 });
  cache.dispose();
});

test('prompts of one token, and of as many as the model reads', async () => {
  for (const length of [1, threeLayers.nCtx]) {
    const [a, b] = [rng(1).tokens(length, 101), rng(2).tokens(length, 101)];
    const list = [0, length - 1].map(
      (pos): Counterfactual => [{ at: 'blocks.1.attn.hook_k', pos, head: 2, set: { from: 'clean' } }],
    );
    const { values } = await counterfactuals(
      model,
      { input: [a], sources: { clean: [b] } },
      list,
      logitDiff(4, 9),
    );
    const naive = new Naive(model, { input: [a], sources: { clean: [b] } });
    for (const [i, cell] of list.entries())
      allClose([values[i]], [differenceOf((await naive.run(cell)).logits[0], a)], { atol: 1e-5, rtol: 1e-5 });
  }
});

test.run();
