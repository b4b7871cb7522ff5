/**
 * Every public method on a model of each kind of block. An edit is made as data and as weights, which is the
 * same model: a method gives the same numbers for both, or says in a sentence why it makes no sense there.
 * Each method is called on two of the kinds, and on all with `GLASSBOX_FUZZ=2`.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attributeHeads,
  attributionPatch,
  edgeAttribution,
  type HookedTransformer,
  patch,
  patchHeads,
  randomModel,
} from '../../index.js';
import { allClose, fail } from '../helpers.js';
import { givenBack } from '../memory.js';
import { calls, freeAll, numbersIn, pair } from './every-method.js';

/** One size for all, so that they share their kernels. */
const SIZES = { nLayers: 2, nHeads: 4, dModel: 16, dHead: 4, dMlp: 20, nCtx: 16, dVocab: 23 };
const LLAMA = { ...SIZES, normalization: 'RMS', positionEmbedding: 'rotary', gatedMlp: true, actFn: 'silu' };
const modelOf = (more: object) => randomModel({ ...LLAMA, ...more }, { seed: 3, std: 0.5 });

const behind = / behind attention/;
const normsBehind = { 'pathPatch to heads': behind, pathPatchDirect: behind, headPathAttribution: behind };
/** Kinds of block: settings, and what is refused in which words. */
const kinds: Record<string, [settings: object, refused?: Record<string, RegExp>]> = {
  sequential: [{}],
  'parallel, two norms': [{ parallelAttnMlp: true }],
  'parallel, one norm': [{ parallelAttnMlp: true, sharedNorm: true }],
  'norms behind': [{ normPlaces: 'behind' }, normsBehind],
  'norms on both sides': [{ normPlaces: 'both' }, normsBehind],
  windows: [{ windows: [3, null] }],
  'shared heads': [{ nKeyValueHeads: 2 }, { atpStar: /share 2 heads of keys and values/ }],
};

const everything = Number(process.env.GLASSBOX_FUZZ ?? 1) > 1;
/** Whether a method, by its number, is called on a kind of block. */
const isCalled = (method: number, kind: number) =>
  everything || [0, 3].some((turn) => (method + turn) % Object.keys(kinds).length === kind);

/** Heads of keys and values 0: their values are zero. */
const edited = (m: HookedTransformer) => [
  m.with({ interventions: [{ at: 'blocks.0.attn.hook_v', head: 0, zero: true }] }),
  m.withWeights({
    'blocks.0.attn.W_V': (w) => w.set([0], 0),
    ...(m.config.qkvBias && { 'blocks.0.attn.b_V': (b) => b.set([0], 0) }),
  }),
];

for (const [number, [kind, [settings, refused = {}]]] of Object.entries(kinds).entries())
  test(`${kind}: every method gives right numbers, or says why not`, async () => {
    using plain = await modelOf(settings);
    const kept = await edgeAttribution(plain, pair);
    const [data, weights] = edited(plain);
    for (const model of [data, weights]) (await model.forward([1])).dispose(); // its angles stay on the GPU
    const failures: string[] = [];
    for (const [i, [name, call]] of Object.entries(calls).entries()) {
      if (!isCalled(i, number) && !refused[name]) continue;
      const held = plain.gpu.memory().bytes;
      try {
        const results: number[][] = [];
        for (const model of [data, weights]) {
          const result = await call(model, kept);
          results.push(await numbersIn(result));
          freeAll(result);
        }
        if (refused[name]) fail('is not refused');
        assert.ok(results[0].length > 0, 'no numbers');
        allClose(results[0], results[1], { atol: 5e-5, rtol: 1e-4, what: name });
        givenBack(plain.gpu, held);
      } catch (e) {
        const message = (e as Error).message;
        if (!refused[name]?.test(message)) failures.push(`${name}: ${message}`);
      }
    }
    for (const model of [data, weights]) model.dispose();
    assert.equal(failures, []);
  });

test('heads that share keys have the effect of the shared key, in patching and to first order', async () => {
  using model = await modelOf({ nKeyValueHeads: 2 });
  const only = { ...pair, at: 'k', by: ['layer', 'head'] as const };
  const { nLayers, nHeads } = model.config;
  for (const [maps, map] of [
    [await patchHeads(model, pair), await patch(model, only)],
    [await attributeHeads(model, pair), await attributionPatch(model, only)],
  ]) {
    assert.equal(maps.shape, [5, nLayers, nHeads]);
    const keys = maps.values.slice(2 * nLayers * nHeads, 3 * nLayers * nHeads);
    allClose(
      keys,
      [...map.values].flatMap((x) => [x, x]),
      { atol: 1e-6 },
    );
  }
});

test.run();
