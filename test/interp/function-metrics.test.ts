/** A plain function of the logits is a metric in every method, and gives what the metric of the same meaning gives. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as glassbox from '../../index.js';
import { HookedTransformer, type Metric, type MetricLike, type Tensor } from '../../index.js';
import { allClose, randomGpt2, throws, twoLayers } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 3));
test.after(() => model.dispose());

const [clean, corrupted] = [
  [
    [1, 2, 3, 4],
    [5, 6, 7, 8],
  ],
  [
    [1, 2, 9, 4],
    [5, 3, 7, 8],
  ],
];
const pair = { clean, corrupted };
const ragged = { clean: [clean[0], [...clean[1], 9]], corrupted: [corrupted[0], [...corrupted[1], 9]] };
/** logit(5) − logit(6) at the last position of each prompt. */
const difference = (logits: Tensor): Tensor => {
  const last = logits.slice({ pos: -1 }); // [batch, d_vocab]
  return last
    .slice({ d_vocab: 5 })
    .sub(last.slice({ d_vocab: 6 }))
    .mean();
};
const same: Metric = glassbox.logitDiff(5, 6);
const edges = await glassbox.edgeAttribution(model, { ...pair, metric: same });
type Numbers = { readonly values: ArrayLike<number> };

const methods: Record<string, (metric: MetricLike) => PromiseLike<Numbers>> = {
  patch: (metric) => glassbox.patch(model, { ...pair, metric }),
  'patch in several chunks': (metric) => glassbox.patch(model, { ...pair, metric, maxTokens: 5 }),
  'patch, not normalised': (metric) => glassbox.patch(model, { ...pair, metric, normalize: false }),
  patchHeads: (metric) => glassbox.patchHeads(model, { ...ragged, metric }),
  ablate: (metric) => glassbox.ablate(model, ragged.clean, { of: 'heads', metric }),
  pathPatch: (metric) => glassbox.pathPatch(model, { original: clean, new: corrupted, metric }),
  pathPatchDirect: (metric) =>
    glassbox.pathPatchDirect(model, {
      ...{ original: clean, new: corrupted, metric },
      sender: { layer: 0, head: 1 },
      to: 'v',
    }),
  counterfactuals: (metric) =>
    glassbox.counterfactuals(
      model,
      ragged.clean,
      [[{ at: 'z', layer: 1, head: 1, zero: true }], [{ at: 'z', layer: 1, pos: 2, row: 0, zero: true }], []],
      metric,
    ),
  attributionPatch: (metric) => glassbox.attributionPatch(model, { ...pair, metric }),
  'attributionPatch, not normalised': (metric) =>
    glassbox.attributionPatch(model, { ...pair, metric, normalize: false }),
  attributeHeads: (metric) => glassbox.attributeHeads(model, { ...ragged, metric }),
  attentionAttribution: (metric) => glassbox.attentionAttribution(model, { ...pair, metric }),
  inputAttribution: (metric) => glassbox.inputAttribution(model, clean, { metric }),
  integratedGradients: (metric) => glassbox.integratedGradients(model, { ...pair, metric, steps: 2 }),
  atpStar: async (metric) => (await glassbox.atpStar(model, { ...pair, metric })).heads,
  edgeAttribution: async (metric) => ({
    values: (await glassbox.edgeAttribution(model, { ...ragged, metric })).scores,
  }),
  circuitFaithfulness: (metric) =>
    glassbox.circuitFaithfulness(model, { ...pair, metric, edges, sizes: [0, 3, edges.length] }),
  acdc: async (metric) => ({
    values: (await glassbox.acdc(model, { ...pair, metric, threshold: 0.1 })).scores,
  }),
  measure: async (metric) => ({ values: [(await glassbox.measure(model, ragged.clean, metric)).value] }),
  runWithGrads: async (metric) => {
    const { cache, grads } = await model.runWithGrads(ragged.clean, metric, { names: 'hook_embed' });
    const values = await grads.get('hook_embed').data();
    for (const held of [cache, grads]) held.dispose();
    return { values };
  },
};

for (const [name, method] of Object.entries(methods))
  test(`${name}: a function of the logits`, async () => {
    const expected = await method(same);
    const { bytes } = model.gpu.memory();
    allClose((await method(difference)).values, expected.values, { atol: 2e-5, what: name });
    givenBack(model.gpu, bytes);
  });

test('it reads every position, the last one too, of counterfactuals that change few of them', async () => {
  const shapes = new Set<string>();
  const sum = (logits: Tensor) => {
    shapes.add(String(logits.shape));
    return logits.tanh().sum();
  };
  const list = [0, 1].map((pos) => [{ at: 'blocks.1.hook_resid_pre', row: 1, pos, zero: true } as const]);
  const { values } = await glassbox.counterfactuals(model, clean, list, sum);
  for (const [i, list1] of list.entries()) {
    const { logits } = await model.runWithInterventions(clean, list1);
    allClose([values[i]], [await sum(logits).item()], { rtol: 1e-4 });
    logits.dispose();
  }
  assert.equal([...shapes], ['2,4,101']);
});

test('not normalised, a map has the metric of each run, and tells that of both prompts', async () => {
  const map = await glassbox.patch(model, { ...pair, metric: same, normalize: false });
  const shares = await glassbox.patch(model, { ...pair, metric: same });
  const [low, high] = [Number(map.meta.corrupted), Number(map.meta.clean)];
  allClose(
    map.values,
    Array.from(shares.values, (x) => low + x * (high - low)),
  );
  assert.equal([shares.meta.corrupted, shares.meta.clean], [low, high]);
});

test('what gives no number, or no gradient where one is needed, is an error', async () => {
  const bad = [(logits: Tensor) => logits, () => 'much' as unknown as number];
  for (const metric of bad)
    await throws(
      () => glassbox.patch(model, { ...pair, metric }),
      /the metric gave .*: one number is needed/,
    );
  await throws(glassbox.attributionPatch(model, { ...pair, metric: () => 3 }), /has no gradient/);
  throws(
    () => void glassbox.patch(model, { ...pair, metric: 3 as never }),
    /metric is 3: a metric, like .*or a function/,
  );
});

test.run();
