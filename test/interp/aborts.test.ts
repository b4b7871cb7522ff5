/** An aborted signal ends every method that takes one, at once and with its reason. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as glassbox from '../../index.js';
import { twoLayers as config, fail, randomGpt2, rng } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await glassbox.HookedTransformer.fromWeights(config, randomGpt2(config, 3));
const tiny = await glassbox.HookedTransformer.fromPretrained('tiny');
const untrained = await glassbox.randomModel({ nLayers: 1, nHeads: 1, dModel: 8, nCtx: 8, dVocab: 12 });
const trainer = new glassbox.Trainer(untrained, { lr: 0.01 });
test.after(() => {
  for (const held of [trainer, untrained, tiny, model]) held.dispose();
});

const [clean, corrupted] = [
  [1, 2, 3, 4],
  [1, 2, 9, 4],
];
const metric = glassbox.logitDiff(5, 6);
const pair = { clean, corrupted, metric };
const edges = await glassbox.edgeAttribution(model, pair);
type WithSignal = (signal: AbortSignal) => unknown;

const calls: Record<string, WithSignal> = {
  acdc: (signal) => glassbox.acdc(model, { ...pair, threshold: 1, signal }),
  circuitFaithfulness: (signal) => glassbox.circuitFaithfulness(model, { ...pair, edges, signal }),
  pathPatchDirect: (signal) =>
    glassbox.pathPatchDirect(model, {
      original: clean,
      new: corrupted,
      metric,
      sender: { layer: 0, head: 0 },
      to: 'q',
      signal,
    } as never),
  tokenCircuit: (signal) =>
    glassbox.tokenCircuit(model, { circuit: 'ov', layer: 0, head: 0, signal } as never),
  topCircuitEntries: (signal) =>
    glassbox.topCircuitEntries(model, { circuit: 'ov', layer: 0, head: 0, signal } as never),
  headScores: (signal) => glassbox.headScores(model, { signal }),
  inputAttribution: (signal) => glassbox.inputAttribution(model, [clean], { metric, signal }),
  directLogitAttribution: (signal) =>
    glassbox.directLogitAttribution(model, [clean], { token: 5, by: 'neuron', signal } as never),
  steeringVector: (signal) => glassbox.steeringVector(model, [clean], [corrupted], { layer: 1, signal }),
  logitLens: (signal) => glassbox.logitLens(model, [clean], { signal }),
  attentionPatterns: (signal) => glassbox.attentionPatterns(model, clean, { signal }),
  patch: (signal) => glassbox.patch(model, { ...pair, signal }),
  edgeAttribution: (signal) => glassbox.edgeAttribution(model, { ...pair, signal }),
  attributionPatch: (signal) => glassbox.attributionPatch(model, { ...pair, signal }),
  generate: (signal) => model.generate(clean, { returnType: 'tokens', maxNewTokens: 2, signal }),
  stream: async (signal) => {
    for await (const step of model.stream(clean, { maxNewTokens: 2, signal })) void step;
  },
  logProbs: (signal) => model.logProbs([clean], { signal }),
  nextTokens: (signal) => glassbox.nextTokens(model, [clean], { k: 2, signal }),
  counterfactuals: (signal) =>
    glassbox.counterfactuals(
      model,
      { input: [corrupted], sources: { clean: [clean] } },
      [[{ at: 'blocks.1.hook_resid_pre', pos: 2, set: { from: 'clean' } }]],
      metric,
      { signal },
    ),
  ablate: (signal) => glassbox.ablate(model, [clean], { of: 'heads', metric, signal }),
  causalTrace: (signal) =>
    glassbox.causalTrace(model, { prompt: clean, subject: [1, 2], samples: 2, signal }),
  pyveneTrace: (signal) =>
    glassbox.pyveneTrace(model, { prompt: clean, subject: [1, 2], stream: 'block_output', signal }),
  patchBlocks: (signal) => glassbox.patchBlocks(model, { ...pair, signal }),
  pathPatch: (signal) =>
    glassbox.pathPatch(model, {
      original: clean,
      new: corrupted,
      receivers: 'logits',
      metric,
      signal,
    } as never),
  compareWithPatching: (signal) => glassbox.compareWithPatching(model, { ...pair, signal }),
  attributionMaps: (signal) => glassbox.attributionMaps(model, { ...pair, signal }),
  attentionAttribution: (signal) => glassbox.attentionAttribution(model, { clean, metric, signal } as never),
  headPathAttribution: (signal) => glassbox.headPathAttribution(model, { ...pair, signal }),
  atpStar: (signal) => glassbox.atpStar(model, { ...pair, signal }),
  integratedGradients: (signal) => glassbox.integratedGradients(model, { ...pair, signal } as never),
  compositionScores: (signal) => glassbox.compositionScores(model, 'Q', { signal }),
  topCircuitTokens: (signal) =>
    glassbox.topCircuitTokens(model, { circuit: 'ov', layer: 0, head: 0, tokens: [1], signal } as never),
  copyingScores: (signal) => glassbox.copyingScores(model, { signal }),
  detectHeads: (signal) => glassbox.detectHeads(model, clean, 'previous_token_head', { signal } as never),
  perplexity: (signal) => glassbox.perplexity(tiny, 'When John and Mary', { signal }),
  testPrompt: (signal) => glassbox.testPrompt(tiny, 'When John and', 'Mary', { signal }),
  lossPerToken: (signal) => glassbox.lossPerToken(tiny, 'When John and Mary', { signal }),
  nextTokenTable: (signal) => glassbox.nextTokenTable(model, [clean] as never, { signal }),
  probabilityOf: (signal) => glassbox.probabilityOf(tiny, 'When John and', ' Mary', { signal }),
  train: (signal) => trainer.train([[clean]], { steps: 1, signal }),
};

/** What a call is rejected with. */
const reasonOf = async (call: WithSignal, signal: AbortSignal): Promise<unknown> => {
  try {
    await call(signal);
  } catch (e) {
    return e;
  }
  return fail('it was not aborted');
};

for (const [name, call] of Object.entries(calls))
  test(`${name}: a signal that is aborted already runs nothing`, async () => {
    const reason = new Error('mine');
    const { dispatches } = model.gpu.stats;
    const before = model.gpu.memory().bytes;
    assert.is(await reasonOf(call, AbortSignal.abort(reason)), reason);
    assert.is(model.gpu.stats.dispatches, dispatches);
    givenBack(model.gpu, before);
  });

/** Runs of many rows stop within a layer: aborted in the first block, the second never runs. */
const long = Array.from({ length: 40 }, (_, i) => rng(i).tokens(12, config.dVocab));
const onTheWay: Record<string, WithSignal> = {
  headScores: (signal) => glassbox.headScores(model, { signal }),
  inputAttribution: (signal) => glassbox.inputAttribution(model, long, { metric, signal }),
  directLogitAttribution: (signal) =>
    glassbox.directLogitAttribution(model, long, { token: 5, by: 'neuron', signal } as never),
  steeringVector: (signal) => glassbox.steeringVector(model, long, long, { layer: 1, signal }),
};

for (const [name, call] of Object.entries(onTheWay))
  test(`${name} stops within a layer`, async () => {
    const { gpu } = model;
    const before = gpu.memory().bytes;
    const controller = new AbortController();
    const reason = new Error('enough');
    const { finish } = gpu;
    let waits = 0;
    gpu.finish = () => {
      if (++waits === 1) controller.abort(reason);
      return finish.call(gpu);
    };
    try {
      assert.is(await reasonOf(call, controller.signal), reason);
    } finally {
      gpu.finish = finish;
    }
    assert.is(waits, 1);
    givenBack(gpu, before);
  });

/** Methods that report progress: aborted at the first report, there is no second. */
type Reporting = { signal: AbortSignal; onProgress: () => void };
const reporting: Record<string, (options: Reporting) => unknown> = {
  attentionPatterns: (o) => glassbox.attentionPatterns(model, clean, o),
  logitLens: (o) => glassbox.logitLens(model, [clean], o),
  compositionScores: (o) => glassbox.compositionScores(model, 'Q', o),
  copyingScores: (o) => glassbox.copyingScores(model, o),
  integratedGradients: (o) =>
    glassbox.integratedGradients(model, { clean, corrupted, metric, steps: 4, ...o } as never),
  atpStar: (o) => glassbox.atpStar(model, { ...pair, ...o }),
  edgeAttribution: (o) => glassbox.edgeAttribution(model, { ...pair, method: 'EAP-IG', ...o } as never),
  attributionPatch: (o) => glassbox.attributionPatch(model, { ...pair, ...o }),
  patch: (o) => glassbox.patch(model, { ...pair, ...o, maxTokens: 8 }),
  ablate: (o) => glassbox.ablate(model, [clean], { of: 'heads', metric, ...o, maxTokens: 8 }),
  logProbs: (o) => model.logProbs(many, o),
  nextTokens: (o) => glassbox.nextTokens(model, many, { k: 2, ...o }),
  train: (o) => trainer.train([[clean], [clean], [clean]], { steps: 3, reportEvery: 1, ...o }),
};
/** More than one batch of texts. */
const many = Array.from({ length: 1500 }, (_, i) => rng(i).tokens(9, config.dVocab));

for (const [name, call] of Object.entries(reporting))
  test(`${name}: aborted at its first report of progress, it makes no second`, async () => {
    await trainer.readBack();
    const { bytes } = model.gpu.memory();
    const controller = new AbortController();
    const reason = new Error('seen enough');
    let reports = 0;
    const onProgress = () => {
      reports++;
      controller.abort(reason);
    };
    assert.is(await reasonOf((signal) => call({ signal, onProgress }), controller.signal), reason);
    assert.is(reports, 1);
    givenBack(model.gpu, bytes);
  });

test.run();
