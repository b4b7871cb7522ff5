/**
 * Interventions while a model writes: the same text with and without stored keys and values, and steered
 * where one wants.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type GenerateOptions,
  HookedTransformer,
  type Intervention,
  type Numbers,
  steeringVector,
} from '../../index.js';
import { allClose, threeLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5));
const { tokens, array } = rng(3);
const prompt = tokens(6, config.dVocab);
const other = tokens(6, config.dVocab);
const direction = [...array(config.dModel, 1.5)];

/** Tokens and log-probabilities of a greedy continuation. */
async function write(options: GenerateOptions): Promise<{ tokens: number[]; logProbs: number[] }> {
  const all: { tokens: number[]; logProbs: number[] } = { tokens: [], logProbs: [] };
  for await (const step of model.stream(prompt, { maxNewTokens: 8, stopAtEos: false, ...options })) {
    all.tokens.push(step.token);
    all.logProbs.push(step.logProb);
  }
  return all;
}

const kinds: Record<string, Intervention[]> = {
  'a direction added to every token': [{ at: 'resid_pre', layer: 1, add: direction, times: 2 }],
  'a direction added to two tokens of the prompt': [
    { at: 'resid_mid', layer: 0, pos: [1, -1], add: direction },
  ],
  'a direction added to new tokens only': [{ at: 'resid_post', layer: 0, pos: { start: 6 }, add: direction }],
  'a direction added up to the second new token': [
    { at: 'mlp_out', layer: 1, pos: { start: -2, end: 8 }, add: direction },
  ],
  'a head of every layer without output': [{ at: 'z', head: 1, zero: true }],
  'nobody looks at the first token': [{ at: 'attn_scores', key: 0, pos: { start: 1 }, set: -Infinity }],
  'half of what is attended to in the prompt': [{ at: 'pattern', layer: 2, key: { end: 5 }, scale: 0.5 }],
  'keys and values of another prompt': [
    { at: 'k', layer: 1, pos: { start: 0, end: 6 }, set: { from: 'other' } },
    { at: 'v', layer: 1, pos: { start: 0, end: 6 }, set: { from: 'other' } },
  ],
  'a direction that is projected out, and the last token of another prompt': [
    { at: 'resid_pre', layer: 2, projectOut: direction },
    { at: 'resid_pre', layer: 1, interpolate: { to: { from: 'other', pos: -1 }, by: 0.3 } },
  ],
  'neurons at their mean over another prompt': [
    { at: 'post', layer: 1, neuron: [3, 4, 50], mean: { mean: 'other', over: 'all' } },
  ],
  'an input of one head': [{ at: 'q_input', layer: 1, head: 2, add: direction }],
};

const plain = await write({});

for (const [what, interventions] of Object.entries(kinds))
  test(`${what}: with stored keys and values and without the same text is written, and another one than before`, async () => {
    const before = model.gpu.memory().bytes;
    const options = { interventions, sources: { other } };
    const cached = await write(options);
    const whole = await write({ ...options, kvCache: false });
    assert.equal(whole.tokens, cached.tokens);
    allClose(cached.logProbs, whole.logProbs, { atol: 1e-5, rtol: 1e-5 });
    const change = cached.logProbs.map((x, i) => Math.abs(x - plain.logProbs[i]));
    assert.ok(Math.max(...change) > 1e-3, `log-probabilities change by ${Math.max(...change)}`);
    givenBack(model.gpu, before);
  });

test('each step is the run of the whole text with the same interventions', async () => {
  const interventions = kinds['a direction added to every token'];
  const steered = await write({ interventions });
  const text = [...prompt, ...steered.tokens];
  const { logits } = await model.runWithInterventions(text, interventions);
  const data = await logits.data();
  logits.dispose();
  for (const [i, token] of steered.tokens.entries()) {
    const row = data.subarray((5 + i) * config.dVocab, (6 + i) * config.dVocab);
    assert.is(row.indexOf(Math.max(...row)), token);
  }
});

test('what is done to new tokens alone cannot change the first of them', async () => {
  const steered = await write({ interventions: kinds['a direction added to new tokens only'] });
  assert.is(steered.tokens[0], plain.tokens[0]);
  allClose([steered.logProbs[0]], [plain.logProbs[0]], { atol: 1e-6, rtol: 0 });
});

test('adding zero changes nothing', async () => {
  const zero: Intervention = { at: 'resid_pre', layer: 1, add: direction, times: 0 };
  for (const kvCache of [true, false])
    for (const interventions of [[zero], []]) {
      const same = await write({ interventions, kvCache });
      assert.equal(same.tokens, plain.tokens);
      allClose(same.logProbs, plain.logProbs, { atol: 1e-5, rtol: 0 });
    }
});

test('hooks see what interventions have made', async () => {
  const seen: number[] = [];
  const look = async (t: { data(): Promise<Float32Array> }) => void seen.push((await t.data())[0]);
  const interventions: Intervention[] = [{ at: 'resid_pre', layer: 1, set: 7 }];
  await write({ interventions, hooks: [['blocks.1.hook_resid_pre', look]] });
  assert.equal(seen, new Array(8).fill(7));
});

test('a text that is left early gives its memory back', async () => {
  const before = model.gpu.memory().bytes;
  const interventions: Intervention[] = [{ at: 'z', layer: 1, set: { from: 'other', pos: 0 } }];
  for await (const step of model.stream(prompt, { interventions, sources: { other }, maxNewTokens: 9 }))
    if (step.tokens.length === 8) break;
  givenBack(model.gpu, before);
});

test('what does not fit is refused before anything runs', async () => {
  const run = (...interventions: unknown[]) =>
    write({ interventions: interventions as Intervention[], sources: { other } });
  const { stats } = model.gpu;
  const { dispatches } = stats;
  const before = model.gpu.memory().bytes;
  await throws(run({ at: 'resid_pre', layer: 3, add: direction }), /layer 3/);
  await throws(
    run({ at: 'resid_pre', layer: 1, pos: 6, add: direction }),
    /prompt has 6 tokens.*\{ start: 6 \}/,
  );
  await throws(run({ at: 'resid_pre', layer: 1, pos: -7, add: direction }), /pos -7/);
  await throws(run({ at: 'resid_pre', layer: 1, pos: { start: 14 }, add: direction }), /pos.start 14/);
  await throws(run({ at: 'z', layer: 1, set: { from: 'other' } }), /new tokens have no counterpart/);
  await throws(run({ at: 'z', layer: 1, freeze: true }), /new tokens have no counterpart/);
  await throws(run({ at: 'z', layer: 1, pos: 'last', zero: true }), /pos: "last"/);
  await throws(run({ at: 'z', layer: 1 }), /exactly one of/);
  await throws(write({ interventions: {} as Intervention[] }), /a list of interventions, .* is needed/);
  assert.is(stats.dispatches, dispatches);
  givenBack(model.gpu, before);
});

// ---- directions
// ----------------------------------------------------------------------------------------------------

test('a steering vector is the difference of mean activations', async () => {
  const before = model.gpu.memory().bytes;
  const [a, b, c] = [tokens(4, 101), tokens(7, 101), tokens(5, 101)];
  const at = async (text: number[], pos: number): Promise<Float32Array> => {
    const { logits, cache } = await model.runWithCache(text, { names: 'resid_mid', pos });
    const data = await cache.get('resid_mid', 1).data();
    logits.dispose();
    cache.dispose();
    return data;
  };
  const [x, y, z] = [await at(a, -1), await at(b, -1), await at(c, -1)];
  const vector = await steeringVector(model, [a, b], [c], { at: 'resid_mid', layer: 1 });
  assert.equal(vector.shape, [config.dModel]);
  const expected = x.map((v, i) => (v + y[i]) / 2 - z[i]);
  allClose(vector.data, expected, { atol: 1e-5, rtol: 0 });

  const all = await steeringVector(model, [a], [c.slice(0, 4)], { at: 'resid_mid', layer: 1, pos: 'all' });
  const each = await steeringVector(model, [a], [c.slice(0, 4)], { at: 'resid_mid', layer: 1, pos: 'each' });
  assert.equal(each.shape, [4, config.dModel]);
  const mean = all.data.map((_, d) =>
    [0, 1, 2, 3].reduce((s, p) => s + each.data[p * config.dModel + d] / 4, 0),
  );
  allClose(all.data, mean, { atol: 1e-5, rtol: 0 });
  givenBack(model.gpu, before);
});

test("one prompt's vector, position by position, turns another prompt into it", async () => {
  const vector = await steeringVector(model, other, prompt, { layer: 0, at: 'resid_pre', pos: 'each' });
  const interventions: Intervention[] = [
    { at: 'resid_pre', layer: 0, pos: { start: 0, end: 6 }, add: vector },
  ];
  const options = { maxNewTokens: 6, stopAtEos: false, returnType: 'tokens' } as const;
  const steered = await model.generate(prompt, { ...options, interventions });
  const turned = await model.generate(other, options);
  assert.equal(steered.slice(6), turned.slice(6));
});

test('heads have vectors of their own, and texts of different lengths no positions in common', async () => {
  const z: Numbers = await steeringVector(model, other, prompt, { layer: 1, at: 'z' });
  assert.equal(z.shape, [config.nHeads, config.dHead]);
  await write({ interventions: [{ at: 'z', layer: 1, add: z }] });
  const each = { layer: 1, pos: 'each' } as const;
  await throws(steeringVector(model, [other, other.slice(1)], prompt, each), /texts of 6 and of 5 tokens/);
  await throws(steeringVector(model, other.slice(1), prompt, each), /5 tokens, the negative ones 6/);
  await throws(steeringVector(model, other, prompt, { layer: 1, at: 'pattern' }), /no directions/);
  await throws(steeringVector(model, other, prompt, { layer: 1, pos: 6 }), /pos of text 0: 6 of 6/);
});

test('towards the direction of a token in the unembedding, the token becomes more probable', async () => {
  const tiny = await HookedTransformer.fromPretrained('tiny');
  const before = tiny.gpu.memory().bytes;
  const token = tiny.toTokens('the', { prependBos: false })[0][0];
  const read = tiny.tokensToResidualDirections([token]);
  const towards = [...(await read.data())];
  read.dispose();
  const norm = Math.hypot(...towards);
  const unit = towards.map((x) => x / norm);
  const layer = tiny.config.nLayers - 1;
  const logProb = async (times: number): Promise<number> => {
    const interventions: Intervention[] = [{ at: 'resid_post', layer, add: unit, times }];
    const { logits } = await tiny.runWithInterventions('Once upon a time', interventions);
    const last = logits.slice([0, -1]);
    const [row] = [await last.data()];
    for (const t of [logits, last]) t.dispose();
    const max = Math.max(...row);
    return row[token] - max - Math.log(row.reduce((s, x) => s + Math.exp(x - max), 0));
  };
  const far = [await logProb(0), await logProb(10), await logProb(1000)];
  assert.ok(far[0] < far[1] && far[1] < far[2], far.join(' < '));
  const steered = await tiny.generate('Once upon a time', {
    interventions: [{ at: 'resid_post', layer, add: unit, times: 1000 }],
    maxNewTokens: 3,
    returnType: 'tokens',
  });
  assert.equal(steered.slice(-3), [token, token, token]);
  givenBack(tiny.gpu, before);
  tiny.dispose();
});

test.run();
