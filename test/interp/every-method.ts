/** A call of every public method that takes a model, on token ids, and the numbers in what it gives. */

import * as glassbox from '../../index.js';
import { ActivationCache, type EdgeList, type HookedTransformer, Tensor } from '../../index.js';

const [clean, corrupted] = [
  [1, 2, 3, 4],
  [1, 2, 9, 4],
];
const ragged = [clean, [5, 6, 7, 8, 9, 1]];
const metric = glassbox.logitDiff(5, 6);
export const pair = { clean, corrupted, metric };
/** One call; `edges` are all edges of the model, for those that want a circuit. */
export type Call = (model: HookedTransformer, edges: EdgeList) => unknown;

/** Methods of small models, on token ids. */
export const calls: Record<string, Call> = {
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
  circuitFaithfulness: (m, kept) =>
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

/** Every number in a result, without what tells the models or the work apart. */
export async function numbersIn(
  x: unknown,
  out: number[] = [],
  seen = new Set<unknown>(),
): Promise<number[]> {
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

/** Gives back what a result holds. */
export function freeAll(x: unknown): void {
  if (x instanceof Tensor || x instanceof ActivationCache) x.dispose();
  else if (Array.isArray(x)) x.forEach(freeAll);
  else if (typeof x === 'object' && x !== null && 'dispose' in x) (x as { dispose(): void }).dispose();
}
