/**
 * Sweeps on an edited model give what a loop of whole runs of it gives: for random models, edits, base runs
 * and counterfactuals. Functions that mix all prompts and positions are among the edits. `GLASSBOX_FUZZ=200
 * npm test -- edited-sweeps` draws more.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  counterfactuals,
  describeIntervention,
  type EditOptions,
  type HookEntry,
  HookedTransformer,
  hookNames,
  type Intervention,
  logitDiff,
  loss,
  patch,
  type Tensor,
} from '../../index.js';
import { allClose, fail, type Rng, randomGpt2, rng, threeLayers } from '../helpers.js';
import { freeDropped, givenBack } from '../memory.js';
import { randomBase, randomCounterfactual, randomModel } from './fuzz.js';
import { Naive } from './naive.js';
import { shapeOf } from './shapes.js';

const CELLS = 10;
const rounds = Number(process.env.GLASSBOX_FUZZ ?? 6);

/** An intervention that fits every prompt. */
function randomEdit(r: Rng, model: HookedTransformer): Intervention {
  const names = hookNames(model.config).filter((n) => !/_input$|attn_in|attn_scores/.test(n));
  const at = names[r.int(names.length)];
  const { pattern, heads, width } = shapeOf(at, model.config);
  const head = heads && r.int(2) ? { head: r.int(heads) } : {};
  const pos = [{}, { pos: 0 }, { pos: -1 }, { pos: { start: 0 } }][r.int(4)];
  const vector = r.array(width || 1, 0.5);
  const actions = pattern
    ? [{ scale: 0.5 }, { zero: true as const }]
    : [
        { zero: true as const },
        { scale: 0.7 },
        { add: 0.2 },
        { set: vector },
        { add: vector },
        { projectOut: vector },
      ];
  const scale = /hook_scale$/.test(at);
  const action = scale ? { scale: 1.1 } : actions[r.int(actions.length)];
  return { at, ...head, ...pos, ...action };
}

const CALLS: readonly ((x: Tensor) => Tensor)[] = [
  (x) => x.mul(0.9),
  (x) => x.mul(0.5).add(x.mean()),
  (x) => x.add(x.sum().mul(1e-3)),
];

function randomCall(r: Rng, model: HookedTransformer): HookEntry {
  const names = hookNames(model.config).filter((n) => !/scale$|_input$|attn_in|attn_scores|pattern/.test(n));
  return [names[r.int(names.length)], CALLS[r.int(CALLS.length)]];
}

for (let seed = 1; seed <= rounds; seed++)
  test(`${CELLS} random counterfactuals on a model with random edits: number ${seed}`, async () => {
    const r = rng(1000 + seed);
    const plain = await randomModel(r);
    const { base, world } = await randomBase(r, plain);
    world.norms = true; // single heads' inputs and edits of ln1 exclude each other
    const made: HookedTransformer[] = [];
    const withEdits = (m: HookedTransformer, edits: EditOptions) => {
      made.push(m.with(edits));
      return made.at(-1)!;
    };
    let model = withEdits(plain, {
      interventions: Array.from({ length: 1 + r.int(3) }, () => randomEdit(r, plain)),
    });
    if (r.int(2))
      model = withEdits(model, { hooks: Array.from({ length: 1 + r.int(2) }, () => randomCall(r, plain)) });
    if (r.int(2)) model = withEdits(model, { interventions: [randomEdit(r, plain)] });
    // Scores as weights of a pattern are −∞ behind the query; a function that adds everything up makes that
    // NaN.
    const list = Array.from({ length: CELLS }, () => randomCounterfactual(r, world, 1 + r.int(3))).filter(
      (cell) => !JSON.stringify(cell).includes('attn_scores"'),
    );
    const everywhere = base.input.every((t) => t.length > 1) && r.int(2) === 0;
    const metric = everywhere ? loss({ per: 'prompt' }) : logitDiff(4, 9, { per: 'prompt' });
    const read = everywhere ? lossOf : differenceOf;
    const maxTokens = [undefined, 7, 30][r.int(3)];
    await (await model.forward(base.input as number[][])).dispose();
    await freeDropped();
    const held = model.gpu.memory().bytes;
    const result = await counterfactuals(model, base, list, metric, { maxTokens });
    givenBack(model.gpu, held);
    const naive = new Naive(model, base);
    for (const [i, cell] of list.entries()) {
      const { logits } = await naive.run(cell);
      const n = base.input.length;
      const expected = base.input.map((tokens, row) => read(logits[row], tokens));
      const got = result.values.slice(i * n, (i + 1) * n);
      const close = (v: number, k: number) => Math.abs(v - expected[k]) <= 2e-5 * (1 + Math.abs(expected[k]));
      if (!got.every(close))
        fail(`seed ${seed}: ${model}\n${describeIntervention(cell)}: ${got}, expected ${expected}`);
    }
    for (const one of made.reverse()) one.dispose();
    plain.dispose();
  });

const differenceOf = (logits: Float32Array): number => {
  const last = logits.length - 41;
  return logits[last + 4] - logits[last + 9];
};

function lossOf(logits: Float32Array, tokens: readonly number[]): number {
  let sum = 0;
  for (let p = 0; p + 1 < tokens.length; p++) {
    const row = logits.slice(p * 41, (p + 1) * 41);
    const top = Math.max(...row);
    const lse = top + Math.log(row.reduce((s, x) => s + Math.exp(x - top), 0));
    sum += lse - row[tokens[p + 1]];
  }
  return sum / (tokens.length - 1);
}

test('interventions as data are a part of the base run: a sweep costs what the plain one costs', async () => {
  const model = await HookedTransformer.fromWeights(threeLayers, randomGpt2(threeLayers, 5));
  const edited = model.with({
    interventions: [{ at: 'blocks.1.attn.hook_z', head: 1, zero: true }],
  });
  const options = {
    clean: [[1, 2, 3, 4, 5, 6]],
    corrupted: [[1, 2, 3, 9, 5, 6]],
    metric: logitDiff(4, 9),
  };
  const [a, b] = [await patch(model, options), await patch(edited, options)];
  const work = (map: typeof a) => map.meta.work as { tokenLayers: number; dispatches: number };
  assert.is(work(b).tokenLayers, work(a).tokenLayers);
  assert.ok(
    work(b).dispatches <= 1.1 * work(a).dispatches + 4,
    `${work(b).dispatches} for ${work(a).dispatches}`,
  );
  assert.equal(b.meta.idle, a.meta.idle);
  assert.equal(b.meta.edits, ['blocks.1.attn.hook_z[head 1] = 0']);
  allClose([a.values[0]], [0], { atol: 0 });
  model.dispose();
});

test.run();
