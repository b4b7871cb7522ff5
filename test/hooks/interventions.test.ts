/**
 * Interventions as data: what is wrong with them is said before anything runs; they print, and survive JSON.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Counterfactual,
  counterfactuals,
  describeIntervention,
  HookedTransformer,
  type Intervention,
  interventionsFromJson,
  interventionsToJson,
  logitDiff,
  runWithInterventions,
  type Value,
} from '../../index.js';
import { threeLayers as config, randomGpt2, throws } from '../helpers.js';
import { refused } from './refused.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 2));
const input = [1, 2, 3, 4, 5];
const clean = [1, 2, 9, 4, 5];
const gone = model.tensor(new Float32Array(36));
gone.dispose();
const scores = model.tensor([0.5, 1, 2]);
const { indices: ids, values } = scores.topk(2);
test.after(() => {
  for (const t of [scores, ids, values, model]) t.dispose();
});

const sources = {
  clean,
  short: [1, 2],
  pair: [clean, input],
  uneven: [clean, [1, 2]],
  many: { counterfactuals: [[]] },
};
const z: Intervention = { at: 'z', zero: true };

const wrong: [what: string, intervention: unknown, message: RegExp][] = [
  ['no hook point', { zero: true }, /`at` names the hook point; it is undefined/],
  [
    'an unknown hook point',
    { at: 'hook_foo', zero: true },
    /"hook_foo": no such hook point.*has: hook_embed/,
  ],
  [
    'a layer that is not there',
    { at: 'blocks.3.attn.hook_z', zero: true },
    /this model has 3 layers \(0–2\)/,
  ],
  ['a layer out of range', { ...z, layer: 3 }, /layer 3: there are 3 \(0–2, or negative from the end\)/],
  ['a layer twice said', { at: 'blocks.1.attn.hook_z', layer: 1, zero: true }, /says its layer already/],
  ['a layer of the embedding', { at: 'hook_embed', layer: 1, zero: true }, /leave `layer` out/],
  ['a position beyond the prompt', { ...z, pos: 5 }, /pos 5: there are 5 \(0–4/],
  ['a position before it', { ...z, pos: -6 }, /pos -6: there are 5/],
  ['no position', { ...z, pos: Number.NaN }, /pos NaN: there are 5/],
  ['a position in words', { ...z, pos: '3' }, /pos: "3": a number, a list or \{ start, end \} is needed/],
  ['an empty list of positions', { ...z, pos: [] }, /pos: an empty list selects nothing/],
  ['a position twice', { ...z, pos: [1, -4] }, /pos: a list of 2 \(1, -4\) names an index twice/],
  ['an empty range', { ...z, pos: { start: 3, end: 3 } }, /\{ start: 3, end: 3 \} selects nothing of 5/],
  [
    'a range with a typo',
    { ...z, pos: { from: 3 } },
    /pos: unknown field "from" in a range \{ start, end \}/,
  ],
  ['a prompt out of range', { ...z, row: 1 }, /row 1: there is only 0/],
  ['a head out of range', { ...z, head: 3 }, /head 3: there are 3 \(0–2/],
  [
    'a head of what has none',
    { at: 'resid_pre', head: 0, zero: true },
    /"blocks\.0\.hook_resid_pre" has no head axis/,
  ],
  [
    'a neuron out of range',
    { at: 'mlp.hook_post', neuron: 96, zero: true },
    /neuron 96: there are 96 \(0–95/,
  ],
  [
    'a neuron of a pattern',
    { at: 'pattern', neuron: 0, zero: true },
    /\[head, query, key\]: it has no `neuron` axis/,
  ],
  [
    'a key of what is no pattern',
    { ...z, key: 0 },
    /"blocks\.0\.attn\.hook_z" has no `key` axis: scores and patterns have/,
  ],
  ['no action', { at: 'z' }, /it does not say what to do: exactly one of set, add, .* is needed/],
  ['two actions', { ...z, scale: 2 }, /it has 2 actions \(scale, zero\): exactly one of/],
  ['a typo', { ...z, position: 3 }, /there is no field "position".*pos/],
  ['half an action', { at: 'z', zero: false }, /`zero` is false: write true, or leave it out/],
  ['times without add', { ...z, times: 2 }, /`times` goes with `add` only/],
  ['an endless factor', { at: 'z', scale: Infinity }, /`scale` is Infinity: a finite number is needed/],
  ['a value that is none', { at: 'z', set: null }, /a value is a number, numbers, a tensor, .* not null/],
  [
    'a value in words',
    { at: 'z', set: 'clean' },
    /a value is a number.*not "clean": a run is named \{ from: "clean" \}/,
  ],
  ['no number', { at: 'z', set: Number.NaN }, /the value is NaN: a finite number is needed/],
  ['an infinity in an activation', { at: 'z', set: -Infinity }, /−Infinity is for attention scores/],
  [
    'a list of another length',
    { at: 'z', set: [1, 2] },
    /2 numbers does not fill what is selected: \[1, 5, 3, 12\]/,
  ],
  [
    'numbers of another shape',
    { at: 'z', set: { shape: [2, 18], data: Array(36).fill(0) } },
    /shape \[2, 18\] does not fill/,
  ],
  [
    'numbers that do not fill their shape',
    { at: 'z', set: { shape: [3, 12], data: [1] } },
    /\[3, 12\] is 36 numbers, its data 1/,
  ],
  [
    'NaN among numbers',
    { at: 'z', set: [...Array(35).fill(0), Number.NaN] },
    /holds NaN at index 35: finite numbers/,
  ],
  ['lists in a list', { at: 'z', set: [[1, 2]] }, /a value of shape \[2\] does not fill what is selected/],
  ['a disposed tensor', { at: 'hook_embed', set: gone }, /a tensor that was disposed of: keep it until/],
  ['token ids as a value', { at: 'z', neuron: [0, 1], set: ids }, /a tensor of u32: f32 is needed/],
  [
    'an interpolation to nothing',
    { at: 'z', interpolate: { by: 1 } },
    /\{ to: value, by \} is needed, not an object \{ by \}/,
  ],
  [
    'an interpolation by nothing',
    { at: 'z', interpolate: { to: 0 } },
    /`by` is undefined: a number is needed/,
  ],
  [
    'the mean of a number',
    { at: 'z', mean: 0.5 },
    /mean: the name of a source, .* not 0\.5; numbers are `set`/,
  ],
  ['a number to project out', { at: 'z', projectOut: 2 }, /projectOut needs a direction, not a number/],
  [
    'part of a vector to project out',
    { at: 'z', neuron: 1, projectOut: [1] },
    /projectOut needs whole vectors/,
  ],
  [
    'noise without a seed',
    { at: 'z', add: { noise: { std: 1 } } },
    /seed undefined: RandomState takes an integer/,
  ],
  [
    'noise with a bad seed',
    { at: 'z', add: { noise: { seed: 2 ** 32 } } },
    /seed 4294967296: RandomState takes/,
  ],
  [
    'noise with a typo',
    { at: 'z', add: { noise: { seed: 1, sd: 2 } } },
    /no field "sd" in \{ seed, std, sample \}/,
  ],
  [
    'half a draw of noise',
    { at: 'z', add: { noise: { seed: 1, sample: 0.5 } } },
    /sample 0\.5: draws are counted from 0/,
  ],
  [
    'an unknown source',
    { at: 'z', set: { from: 'dirty' } },
    /there is no source "dirty"; these are: base, clean, short/,
  ],
  [
    'a typo in a source',
    { at: 'z', set: { from: 'clean', position: 2 } },
    /there is no field "position" in \{ from, at/,
  ],
  [
    'a source of another length',
    { at: 'z', set: { from: 'short' } },
    /prompt 0 has 5 tokens, that of "short" 2.*with `pos`/,
  ],
  [
    'a position beyond the source',
    { at: 'z', set: { from: 'short', pos: 2 } },
    /pos of "short" 2: there are 2/,
  ],
  [
    'a source of more prompts',
    { at: 'z', set: { from: 'pair' } },
    /"pair" has 2 prompts, the base run 1: say which with `row`/,
  ],
  [
    'a hook point of another width',
    { at: 'z', set: { from: 'clean', at: 'resid_pre', layer: 0 } },
    /"blocks\.0\.hook_resid_pre" and "blocks\.0\.attn\.hook_z" have different shapes/,
  ],
  ['a head of a source without', { at: 'resid_pre', set: { from: 'clean', head: 0 } }, /has no head axis/],
  [
    'no one of many',
    { at: 'z', set: { from: 'many' } },
    /"many" is a list of counterfactuals: say which with `cell` \(from 0 to 0\)/,
  ],
  ['one too many', { at: 'z', set: { from: 'many', cell: 1 } }, /cell of "many" 1: there is only 0/],
  [
    'a cell of a plain run',
    { at: 'z', set: { from: 'clean', cell: 0 } },
    /"clean" is one run: leave `cell` out/,
  ],
  [
    'a mean of uneven prompts',
    { at: 'z', mean: 'uneven' },
    /prompts of "uneven" differ in length.*over: 'all'/,
  ],
  [
    'a mean of shorter prompts',
    { at: 'z', mean: 'short' },
    /position 2: the prompts of "short" have 2 tokens: give some as long.*over: 'all'/,
  ],
  [
    'a mean of patterns over positions',
    { at: 'pattern', mean: { mean: 'clean', over: 'all' } },
    /means nothing/,
  ],
  ['a mean over something', { at: 'z', mean: { mean: 'clean', over: 'heads' } }, /'rows' or 'all' is needed/],
];

/** Anything: these tests give what the types forbid. */
const any = (x: unknown) => x as never;

for (const [what, intervention, message] of wrong)
  test(`an intervention with ${what} is refused before anything runs`, async () => {
    const where = /counterfactual 1, intervention 1.*/.source;
    const list = [[], [z, any(intervention)]];
    const run = () => counterfactuals(model, { input, sources }, list, logitDiff(1, 2));
    await refused(model.gpu, run, new RegExp(where + message.source, 's'));
    const plain = () => runWithInterventions(model, input, [any(intervention)], { sources });
    await refused(model.gpu, plain, new RegExp(`interventions, intervention 0.*${message.source}`, 's'));
  });

test('what is no object is no intervention, and is refused before anything runs', async () => {
  for (const [given, told] of [
    ['z', '"z"'],
    [null, 'null'],
  ] as const) {
    const list = [[], [z, any(given)]];
    const run = () => counterfactuals(model, { input, sources }, list, logitDiff(1, 2));
    await refused(model.gpu, run, new RegExp(`list\\[1\\]\\[1\\] is ${told}: an object is needed`));
    const plain = () => runWithInterventions(model, input, [any(given)], { sources });
    await refused(model.gpu, plain, new RegExp(`\\[0\\] is ${told}: an object is needed`));
  }
});

// ---- in print and as JSON
// ----------------------------------------------------------------------------------------

const shown: [intervention: Intervention | Counterfactual, text: string][] = [
  [
    { at: 'blocks.7.hook_resid_pre', pos: 4, set: { from: 'clean' } },
    'blocks.7.hook_resid_pre[pos 4] = clean',
  ],
  [{ at: 'z', layer: [0, 2], head: 5, zero: true }, 'z L0,2[head 5] = 0'],
  [{ at: 'mlp.hook_post', neuron: { start: 3, end: 9 }, scale: 2 }, 'mlp.hook_post[neuron 3…9] *= 2'],
  [{ at: 'z', pos: { start: 3 }, add: 1, times: -2 }, 'z[pos 3…end] += -2 · 1'],
  [{ at: 'z', row: 1, set: { from: 'clean', pos: -1, cell: 3 } }, 'z[row 1] = clean[pos -1, cell 3]'],
  [{ at: 'pattern', key: 0, set: [1, 2] }, 'pattern[key 0] = 2 numbers'],
  [{ at: 'z', set: { shape: [2, 3], data: [] } }, 'z = numbers [2, 3]'],
  [{ at: 'z', set: scores }, 'z = tensor [3]'],
  [{ at: 'z', mean: 'clean' }, 'z = mean of clean'],
  [{ at: 'z', mean: { mean: 'clean', over: 'all' } }, 'z = mean of clean over all positions'],
  [{ at: 'z', add: { noise: { seed: 1, std: 0.1, sample: 2 } } }, 'z += noise(seed 1, std 0.1, draw 2)'],
  [{ at: 'z', interpolate: { to: { from: 'clean' }, by: 0.5 } }, 'z → 0.5 of the way to clean'],
  [{ at: 'z', projectOut: [1, 2] }, 'z without its component along 2 numbers'],
  [{ at: 'z', freeze: true }, 'z frozen'],
  [
    { at: 'z', pos: Array.from({ length: 12 }, (_, i) => i), zero: true },
    'z[pos 0,1,2,3,4,5,6,7,… (12)] = 0',
  ],
  [[z, { at: 'q', scale: 0.5 }], 'z = 0; q *= 0.5'],
  [[], 'nothing'],
];
for (const [intervention, text] of shown)
  test(`an intervention reads as "${text}"`, () => assert.is(describeIntervention(intervention), text));

test('interventions of every kind are the same after a round trip through JSON', async () => {
  const data = Float32Array.of(0.1, -0, 3e-39, 1e30);
  const tensor = model.tensor(data, [2, 2]);
  const list = [...shown.map(([i]) => [i].flat()), [{ at: 'attn_scores', key: 1, set: -Infinity }]];
  const back = interventionsFromJson(await interventionsToJson(list));
  const scoresAsNumbers = { shape: [3], data: [0.5, 1, 2] };
  const expected = list.map((c) => c.map((i) => (i.set === scores ? { ...i, set: scoresAsNumbers } : i)));
  assert.equal(back, expected);

  const values: Value[] = [data, tensor, [-Infinity, 0, 1]];
  const json = await interventionsToJson(values.map((set) => ({ at: 'z', set })));
  const read = interventionsFromJson<{ set: unknown }[]>(json).map((i) => i.set);
  assert.equal(Float32Array.from(read[0] as number[]), data);
  assert.equal(read[1], { shape: [2, 2], data: read[0] });
  assert.equal(read[2], [-Infinity, 0, 1]);
  tensor.dispose();
});

test('what was read back does what it did', async () => {
  const direction = model.tensor(Float32Array.from({ length: 36 }, (_, i) => Math.sin(i)));
  const list: Counterfactual[] = [
    [{ at: 'resid_pre', layer: 1, pos: 3, add: direction, times: 2 }],
    [{ at: 'attn_scores', layer: 2, head: 1, key: [0, 2], pos: -1, set: -Infinity }],
    [{ at: 'hook_embed', pos: { start: 1, end: 3 }, add: { noise: { seed: 4 } } }],
  ];
  const back = interventionsFromJson(await interventionsToJson(list));
  const run = (list: Counterfactual[]) => counterfactuals(model, input, list, logitDiff(4, 9));
  assert.equal((await run(back)).values, (await run(list)).values);
  direction.dispose();
});

test('numbers that are not finite do not become others in JSON', async () => {
  const json = await interventionsToJson([[{ at: 'z', set: [Number.NaN, Infinity] }]]);
  const [[{ set }]] = interventionsFromJson<{ set: number[] }[][]>(json);
  assert.ok(Number.isNaN(set[0]) && set[1] === Infinity);
});

test('interventions in JSON say their format; a later one is refused, lists from before it are read', async () => {
  const list = [[{ at: 'resid_pre', layer: 1, set: { from: 'NaN' } }]];
  const { format, version, interventions } = JSON.parse(await interventionsToJson(list));
  assert.equal([format, version, interventions], ['glassbox interventions', 1, list]);
  assert.equal(interventionsFromJson(JSON.stringify(list)), list);
  const told = (more: object) => JSON.stringify({ format, version, interventions, ...more });
  assert.equal(interventionsFromJson(told({})), list);
  await throws(
    () => interventionsFromJson(told({ version: 2 })),
    /^interventions: version 2, and .* version 1$/,
  );
  await throws(() => interventionsFromJson(told({ format: 'x' })), /^interventions: a file of format "x"/);
  await throws(() => interventionsFromJson(told({ interventions: undefined })), /not an intervention/);
});

test('what is no list of interventions is not read', async () => {
  await throws(() => interventionsFromJson('[{'), /^interventions: not JSON: it ends too early/);
  await throws(
    () => interventionsFromJson('[[{"at":"z"}],[7]]'),
    /interventions\[1\]\[0\]: not an intervention .*: 7/,
  );
  await throws(() => interventionsFromJson('{"zero":true}'), /interventions: not an intervention/);
});

test('a name of a file that no hook point has is shown short, without what a terminal obeys', async () => {
  const at = '\x1b[2J'.repeat(900);
  const run = counterfactuals(model, input, [[{ at, zero: true }]], logitDiff(4, 9));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
  await throws(run, /^[^\x00-\x1f]{100,1499}$/);
});

test.run();
