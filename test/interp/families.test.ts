/**
 * Methods on models of every kind of block: sums add up, edges choose between two runs, circuits are what
 * attention uses.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  actName,
  causalTrace,
  directLogitAttribution,
  edgeAttribution,
  headPathAttribution,
  logitDiff,
  pathPatchDirect,
  qkCircuit,
} from '../../index.js';
import { EdgeRuns } from '../../interp/circuits/edge-runs.js';
import { familyModel } from '../families.js';
import { allClose, throws } from '../helpers.js';

const clean = [1, 2, 3, 4, 7, 8];
const corrupted = [1, 2, 9, 4, 7, 8];
const metric = logitDiff(5, 6);
const pair = { clean: [clean], corrupted: [corrupted], metric };

for (const name of ['llama', 'gptj', 'gpt_neox', 'gemma2', 'olmo2']) {
  test(`${name}: heads, neurons and biases add up to the residual stream, as the norms behind let them through`, async () => {
    using model = await familyModel(name);
    const { cache, logits } = await model.runWithCache([clean, [1, 2]], { names: /./ });
    for (const layer of [-1, 1])
      for (const applyLn of [false, 'frozen'] as const)
        for (const stack of [
          cache.fullResidDecomposition(layer, { applyLn }),
          cache.stackHeadResults(layer, { applyLn, inclRemainder: 'each' }),
          cache.stackNeuronResults(layer, { applyLn, neurons: [2, 5], inclRemainder: 'each' }),
        ]) {
          const { ok, maxError } = await stack.sum.check();
          assert.ok(ok, `off by ${maxError}`);
          stack.dispose();
        }
    cache.dispose();
    logits.dispose();
    const { values } = await directLogitAttribution(model, clean, { token: 3, by: 'component' });
    assert.ok(values.every(Number.isFinite));
  });

  test(`${name}: with all edges it is the clean run, with none the corrupted one`, async () => {
    using model = await familyModel(name);
    const runs = await EdgeRuns.start(model, pair, metric);
    const { count } = runs.graph;
    // Without the last edge the run begins at the last layer: so with an early one missing everything is
    // recomputed.
    const without = new Float32Array(count).fill(1);
    const edge = runs.graph.edge(0, 0)!;
    without[edge] = 0;
    const values = await runs.values([new Float32Array(count).fill(1), new Float32Array(count), without]);
    allClose(values[0], runs.clean, { what: 'all edges' });
    allClose(values[1], runs.corrupted, { what: 'no edge' });
    assert.ok(Number.isFinite(values[2][0]));
    runs.dispose();
  });

  test(`${name}: the edges of the embedding have together the effect of its gradient`, async () => {
    using model = await familyModel(name);
    const edges = await edgeAttribution(model, pair);
    let sum = 0;
    for (const { sender, score } of edges) if (sender === 'input') sum += score;
    const at = actName('resid_pre', 0);
    const { grads, cache } = await model.runWithGrads([corrupted], metric, { names: at });
    const other = await model.runWithCache([clean], { names: at });
    const change = other.cache.get(at).sub(cache.get(at)).mul(grads.get(at));
    const expected = (await change.data()).reduce((a, b) => a + b, 0);
    for (const t of [grads, cache, other.cache, other.logits, change]) t.dispose();
    allClose([sum], [expected], { atol: 1e-3, rtol: 1e-3 });
  });
}

for (const name of ['llama', 'gptj'])
  test(`${name}: a query-key circuit at a distance is what scores are at that distance`, async () => {
    using model = await familyModel(name);
    const { config, weights } = model;
    const names = ['blocks.1.ln1.hook_normalized', 'blocks.1.attn.hook_attn_scores'];
    const { cache, logits } = await model.runWithCache([clean], { names });
    const normalized = await cache.get(names[0]).data();
    const scores = await cache.get(names[1]).data();
    const [n, d, head] = [clean.length, config.dModel, config.nHeads - 1];
    const { w, b } = weights.ln1[1];
    const read = (pos: number) =>
      Array.from({ length: d }, (_, i) => normalized[pos * d + i] * w.data[i] + (b?.data[i] ?? 0));
    for (const [query, key] of [
      [4, 2],
      [5, 0],
      [3, 3],
    ]) {
      const { data } = qkCircuit(model, 1, head, { distance: query - key }).AB;
      const [q, k] = [read(query), read(key)];
      let sum = 0;
      for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) sum += q[i] * data[i * d + j] * k[j];
      allClose([sum / Math.sqrt(config.dHead)], [scores[(head * n + query) * n + key]]);
    }
    cache.dispose();
    logits.dispose();
  });

test('what makes no sense for a kind of block is refused in a sentence', async () => {
  using gemma = await familyModel('gemma2');
  const sides = { original: [corrupted], new: [clean], metric };
  await throws(
    async () => pathPatchDirect(gemma, { ...sides, sender: { layer: 0, head: 0 }, to: 'v' }),
    /norms behind attention and MLP.*take pathPatch/,
  );
  await throws(() => headPathAttribution(gemma, pair), /through a norm behind attention/);
  using phi = await familyModel('gptj');
  const { cache, logits } = await phi.runWithCache(clean);
  await throws(() => cache.accumulatedResid(-1, { inclMid: true }), /there is no state between them/);
  cache.dispose();
  logits.dispose();
  using neo = await familyModel('gpt_neo');
  await throws(() => qkCircuit(neo, 0, 0, { distance: 1 }), /no rotary positions/);
});

test('a causal trace takes the noise that ROME states for the family', async () => {
  for (const [name, rule] of [
    ['gptj', 0.025],
    ['gpt_neox', 0.03],
    ['llama', 's3'],
  ] as const) {
    using model = await familyModel(name);
    const trace = await causalTrace(model, { prompt: clean, subject: [1, 3], samples: 2, answer: 5 });
    assert.is((trace.scores.meta.noise as { rule: unknown }).rule, rule, name);
  }
});

test.run();
