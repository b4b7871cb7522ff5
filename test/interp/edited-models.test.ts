/**
 * Every public method that takes a model takes an edited one. One edit is made in three ways: as data, as a
 * function, and as weights: the values of a head are zero. All three are the same model at every hook point,
 * on the way there and back, so every method must give the same numbers, whatever it does inside.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as glassbox from '../../index.js';
import { HookedTransformer, type Labelled, type Tensor } from '../../index.js';
import { allClose, fail, randomGpt2, twoLayers } from '../helpers.js';
import { givenBack } from '../memory.js';
import { type Call, calls, freeAll, numbersIn, pair } from './every-method.js';

const tiny = await HookedTransformer.fromPretrained('tiny');
const small = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 3));
const kept = await glassbox.edgeAttribution(small, pair);
test.after(() => {
  tiny.dispose();
  small.dispose();
});

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
        const result = await call(model, kept);
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
