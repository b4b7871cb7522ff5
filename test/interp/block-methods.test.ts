/**
 * Every public method on a model of each kind of block. An edit is made as data and as weights, which is the same model: a method
 * gives the same numbers for both, or says in a sentence why it makes no sense there.
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
} from '../../index.js';
import { familyModel } from '../families.js';
import { allClose, fail } from '../helpers.js';
import { givenBack } from '../memory.js';
import { calls, freeAll, numbersIn, pair } from './every-method.js';

const behind = / behind attention/;
const shared = { atpStar: /share \d heads of keys and values/ };
const normsBehind = { 'pathPatch to heads': behind, pathPatchDirect: behind, headPathAttribution: behind };
/** What is refused, by kind of block, and in which words. */
const refused: Record<string, Record<string, RegExp>> = {
  mistral: shared,
  'gpt_neox sequential': {},
  gpt_neox: {},
  gptj: {},
  gemma2: { ...shared, ...normsBehind },
  olmo2: { ...shared, ...normsBehind },
};

/** Heads of keys and values 0: their values are zero. */
const edited = (m: HookedTransformer) => [
  m.with({ interventions: [{ at: 'blocks.0.attn.hook_v', head: 0, zero: true }] }),
  m.withWeights({
    'blocks.0.attn.W_V': (w) => w.set([0], 0),
    ...(m.config.qkvBias && { 'blocks.0.attn.b_V': (b) => b.set([0], 0) }),
  }),
];

for (const [kind, sentences] of Object.entries(refused))
  test(`${kind}: every method gives right numbers, or says why not`, async () => {
    using plain = await familyModel(kind);
    const kept = await edgeAttribution(plain, pair);
    const [data, weights] = edited(plain);
    for (const model of [data, weights]) (await model.forward([1])).dispose(); // its angles stay on the GPU
    const failures: string[] = [];
    for (const [name, call] of Object.entries(calls)) {
      const held = plain.gpu.memory().bytes;
      const t0 = performance.now();
      try {
        const results: number[][] = [];
        for (const model of [data, weights]) {
          const result = await call(model, kept);
          results.push(await numbersIn(result));
          freeAll(result);
        }
        if (sentences[name]) fail('is not refused');
        assert.ok(results[0].length > 0, 'no numbers');
        allClose(results[0], results[1], { atol: 5e-5, rtol: 1e-4, what: name });
        givenBack(plain.gpu, held);
      } catch (e) {
        const message = (e as Error).message;
        if (!sentences[name]?.test(message)) failures.push(`${name}: ${message}`);
      }
      if (process.env.TIMES) console.log(kind, name, Math.round(performance.now() - t0));
    }
    for (const model of [data, weights]) model.dispose();
    assert.equal(failures, []);
  });

test('heads that share keys have the effect of the shared key, in patching and to first order', async () => {
  using model = await familyModel('mistral');
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
      [...map.values].flatMap((x) => Array(nHeads).fill(x)),
      { atol: 1e-6 },
    );
  }
});

test.run();
