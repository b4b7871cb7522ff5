/**
 * Every public method that takes a model takes an edited one. One edit is made in three ways: as data, as a function, and as
 * weights: the values of a head are zero. All three are the same model at every hook point, on the way there and back, so every
 * method must give the same numbers, whatever it does inside.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as glassbox from '../../index.js';
import { ActivationCache, HookedTransformer, type Labelled, Tensor } from '../../index.js';
import { allClose, fail, randomGpt2, twoLayers } from '../helpers.js';
import { givenBack } from '../memory.js';

const tiny = await HookedTransformer.fromPretrained('tiny');
const small = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 3));
test.after(() => {
  tiny.dispose();
  small.dispose();
});

const [clean, corrupted] = [
  [1, 2, 3, 4],
  [1, 2, 9, 4],
];
const ragged = [clean, [5, 6, 7, 8, 9, 1]];
const metric = glassbox.logitDiff(5, 6);
const pair = { clean, corrupted, metric };
const kept = await glassbox.edgeAttribution(small, pair);
type Call = (model: HookedTransformer) => unknown;

/** Methods of small models, on token ids. */
const calls: Record<string, Call> = {
  forward: (m) => m.forward(ragged),
  runWithHooks: (m) => m.runWithHooks(ragged, { hooks: [['mlp_out', (x) => x.mul(0.5)]] }),
  runWithCache: (m) => m.runWithCache(ragged),
  runWithResidual: (m) => m.runWithResidual(ragged),
  'startAtLayer: 1': async (m) => {
    const { cache } = await m.runWithResidual([clean], { names: 'blocks.1.hook_resid_pre' });
    return m.forward(cache.get('resid_pre', 1), { startAtLayer: 1 }).finally(() => cache.dispose());
  },
  runWithGrads: (m) => m.runWithGrads(ragged, glassbox.loss()),
  runWithInterventions: (m) =>
    m.runWithInterventions(ragged, [{ at: 'z', layer: 1, pos: -1, set: { from: 'base', pos: 0 } }]),
  logProbs: (m) => m.logProbs(ragged),
  loss: (m) => m.loss(ragged),
  generate: (m) => m.generate(clean, { returnType: 'tokens', maxNewTokens: 5, kvCache: false }),
  'generate with stored keys and values': (m) => m.generate(clean, { returnType: 'tokens', maxNewTokens: 5 }),
  stream: async (m) => {
    const steps = [];
    for await (const { token, logProb } of m.stream(clean, { maxNewTokens: 4 })) steps.push(token, logProb);
    return steps;
  },
  prefix: async (m) => {
    const prefix = await m.prefix(clean);
    return m.forward([7, 8], { prefix }).finally(() => prefix.dispose());
  },
  counterfactuals: (m) =>
    glassbox.counterfactuals(
      m,
      { input: [corrupted], sources: { clean: [clean] } },
      [
        [{ at: 'blocks.1.hook_resid_pre', pos: 2, set: { from: 'clean' } }],
        [{ at: 'z', layer: 1, zero: true }],
      ],
      metric,
    ),
  patch: (m) => glassbox.patch(m, pair),
  patchBlocks: (m) => glassbox.patchBlocks(m, pair),
  patchHeads: (m) => glassbox.patchHeads(m, pair),
  patchHeadsByPos: (m) => glassbox.patchHeadsByPos(m, pair),
  ablate: (m) => glassbox.ablate(m, [clean], { of: 'heads', metric }),
  pathPatch: (m) => glassbox.pathPatch(m, { original: clean, new: corrupted, metric }),
  'pathPatch to heads': (m) =>
    glassbox.pathPatch(m, {
      ...{ original: clean, new: corrupted, metric },
      receivers: [{ layer: 1, head: 0, input: 'v' }],
      freeze: 'heads+mlps',
    }),
  pathPatchDirect: (m) =>
    glassbox.pathPatchDirect(m, {
      original: clean,
      new: corrupted,
      metric,
      sender: { layer: 0, head: 0 },
      to: 'q',
    }),
  causalTrace: (m) => glassbox.causalTrace(m, { prompt: clean, subject: [1, 2], samples: 2 }),
  pyveneTrace: (m) => glassbox.pyveneTrace(m, { prompt: clean, subject: [1, 2], stream: 'block_output' }),
  attributionPatch: (m) => glassbox.attributionPatch(m, pair),
  attributeHeads: (m) => glassbox.attributeHeads(m, pair),
  attributeHeadsByPos: (m) => glassbox.attributeHeadsByPos(m, pair),
  attributeBlocks: (m) => glassbox.attributeBlocks(m, pair),
  attributionMaps: (m) => glassbox.attributionMaps(m, pair),
  compareWithPatching: async (m) => (await glassbox.compareWithPatching(m, pair)).attributed,
  attentionAttribution: (m) => glassbox.attentionAttribution(m, { clean, metric } as never),
  headPathAttribution: (m) => glassbox.headPathAttribution(m, pair),
  atpStar: (m) => glassbox.atpStar(m, pair),
  integratedGradients: (m) => glassbox.integratedGradients(m, { ...pair, steps: 2 } as never),
  inputAttribution: (m) => glassbox.inputAttribution(m, [clean], { metric }),
  edgeAttribution: async (m) => (await glassbox.edgeAttribution(m, pair)).scores,
  'edgeAttribution by integrated gradients': async (m) =>
    (await glassbox.edgeAttribution(m, { ...pair, method: 'EAP-IG', steps: 2 } as never)).scores,
  acdc: async (m) => (await glassbox.acdc(m, { ...pair, threshold: 0.01 })).scores,
  circuitFaithfulness: (m) =>
    glassbox.circuitFaithfulness(m, { ...pair, edges: kept, sizes: [0, 5, 40] } as never),
  directLogitAttribution: (m) => glassbox.directLogitAttribution(m, [clean], { token: 5 } as never),
  logitLens: (m) => glassbox.logitLens(m, [clean]),
  attentionPatterns: (m) => glassbox.attentionPatterns(m, clean),
  headScores: (m) => glassbox.headScores(m),
  detectHeads: (m) => glassbox.detectHeads(m, clean, 'previous_token_head'),
  steeringVector: (m) => glassbox.steeringVector(m, [clean], [corrupted], { layer: 1 }),
  nextTokens: (m) => glassbox.nextTokens(m, ragged, { k: 3 }),
  lossGradients: async (m) => {
    const { loss, dispose } = await glassbox.lossGradients(m, ragged);
    return [await loss.item(), dispose()];
  },
  measure: (m) => glassbox.measure(m, [clean], metric),
};

/** Methods that want texts. */
const texts: Record<string, Call> = {
  scoreTexts: (m) => glassbox.scoreTexts(m, ['The cat', 'The dog sat', 'A tree'], { prefix: 'Then ' }),
  consistency: (m) => glassbox.consistency(m, ['Mary', 'John'], ['{} went to', '{} gave']),
  perplexity: (m) => glassbox.perplexity(m, 'When John and Mary went to the store'),
  testPrompt: (m) => glassbox.testPrompt(m, 'When John and', 'Mary'),
  lossPerToken: (m) => glassbox.lossPerToken(m, 'When John and Mary'),
  nextTokenTable: (m) => glassbox.nextTokenTable(m, ['When John and', 'Then']),
  probabilityOf: (m) => glassbox.probabilityOf(m, 'When John and', ' Mary'),
  traceFacts: (m) => {
    const prompt = 'When John and Mary went';
    return glassbox.traceFacts(m, [{ knownId: 0, prompt, subject: 'John', attribute: ' to' }] as never, {
      samples: 2,
    });
  },
};

/** They read weights and tokenizers, which edits leave alone, or keep a model. */
const ofWeights = new Set(
  `accumulatedBias compositionScores copyingScores editsToJson embeddingNoise embeddingStd finalProjection firstToken fitPairs
   headAxis layerAxis posAxis provenance namedPositions neuronToLogits ovCircuit qkCircuit saveModel svdInterpreter tokenCircuit topCircuitEntries topCircuitTokens
   traceAll virtualWeights`.split(/\s+/),
);

const layer = 0;
const head = 0;
const zeroHead = (v: Tensor) => v.set({ head }, 0);
/** The values of one head are zero. */
const edited = (m: HookedTransformer) => ({
  data: m.with({ interventions: [{ at: `blocks.${layer}.attn.hook_v`, head, zero: true }] }),
  function: m.with({ hooks: [[`blocks.${layer}.attn.hook_v`, zeroHead]] }),
  weights: m.withWeights({
    [`blocks.${layer}.attn.W_V`]: (w) => w.set([head], 0),
    [`blocks.${layer}.attn.b_V`]: (b) => b.set([head], 0),
  }),
});

/** Every number in a result, without what tells the models or the work apart. */
async function numbersIn(x: unknown, out: number[] = [], seen = new Set<unknown>()): Promise<number[]> {
  if (typeof x === 'number') out.push(x);
  if (typeof x !== 'object' || x === null || seen.has(x)) return out;
  seen.add(x);
  if (x instanceof Tensor) for (const v of await x.data()) out.push(v);
  else if (x instanceof ActivationCache)
    for (const [name, t] of x) await numbersIn(/_v$/.test(name) ? null : t, out, seen);
  else if (ArrayBuffer.isView(x)) for (const v of x as Float32Array) out.push(v);
  else if (Array.isArray(x)) for (const v of x) await numbersIn(v, out, seen);
  else if (x instanceof Map) for (const v of x.values()) await numbersIn(v, out, seen);
  else
    for (const [key, v] of Object.entries(x))
      if (!['meta', 'memory', 'work', 'axes', 'model', 'about'].includes(key)) await numbersIn(v, out, seen);
  return out;
}

function freeAll(x: unknown): void {
  if (x instanceof Tensor || x instanceof ActivationCache) x.dispose();
  else if (Array.isArray(x)) x.forEach(freeAll);
  else if (typeof x === 'object' && x !== null && 'dispose' in x) (x as { dispose(): void }).dispose();
}

for (const [plain, table] of [
  [small, calls],
  [tiny, texts],
] as const)
  for (const [name, call] of Object.entries(table))
    test(`${name}: as data, as a function and as weights, an edit gives the same numbers`, async () => {
      const models = edited(plain);
      const results = new Map<string, number[]>();
      for (const [how, model] of [...Object.entries(models), ['plain', plain] as const]) {
        const held = plain.gpu.memory().bytes;
        const result = await call(model);
        results.set(how, await numbersIn(result));
        const { meta } = result as Labelled;
        if (how !== 'plain' && how !== 'weights' && meta?.hash && !meta.edits)
          fail(`${name}: meta has no edits`);
        freeAll(result);
        if (how === 'plain') givenBack(plain.gpu, held);
      }
      const expected = results.get('weights')!;
      assert.ok(expected.length > 0, 'no numbers were compared');
      for (const how of ['data', 'function'])
        allClose(results.get(how)!, expected, { atol: 2e-5, rtol: 1e-4, what: `${name}, ${how}` });
      const same = results.get('plain')!;
      if (same.length === expected.length && same.every((v, i) => Math.abs(v - expected[i]) < 1e-6))
        if (!/generate/.test(name)) fail(`${name}: the edit changed nothing`);
      for (const model of Object.values(models)) model.dispose();
    });

test('every export that takes a model is among them', () => {
  const root = join(fileURLToPath(import.meta.url), '../../..');
  const files = ['hooks', 'interp'].flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => readFileSync(join(root, room, file), 'utf8')),
  );
  const takesModel =
    /export const (\w+) = takes\.\w+\(\s*(?:async )?function\*? ?\w+(?:<[^>]*>)?\(\s*(?:model|\{[^}]*\}): (?:Model|Runnable|HookedTransformer)\b/g;
  const found = files.flatMap((text) => [...text.matchAll(takesModel)].map((m) => m[1]));
  assert.ok(found.length > 40, String(found.length));
  const known = new Set([...Object.keys(calls), ...Object.keys(texts), ...ofWeights]);
  const missing = found.filter((name) => name in glassbox && !known.has(name));
  assert.equal(missing, []);
});

test.run();
