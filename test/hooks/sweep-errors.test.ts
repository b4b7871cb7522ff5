/**
 * A sweep whose base, sources, list, metric or options are wrong ends before anything runs, and says what is
 * wrong.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Base,
  type Counterfactual,
  counterfactuals,
  HookedTransformer,
  type Intervention,
  kl,
  logitDiff,
  loss,
  type Metric,
  patch,
  prob,
  type SweepOptions,
} from '../../index.js';
import { threeLayers as config, randomGpt2, twoLayers } from '../helpers.js';
import { refused } from './refused.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 2));
const { gpu } = model;
const input = [1, 2, 3, 4, 5];
const clean = [1, 2, 9, 4, 5];
const z: Intervention = { at: 'z', zero: true };
const sources = { clean };

const one = async (m: HookedTransformer, names: string, o: object = {}) => {
  const { cache, logits } = await m.runWithCache(clean, { names, ...o });
  logits.dispose();
  return cache;
};
const other = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 2));
const caches = {
  held: await one(model, 'resid_pre'),
  cut: await one(model, 'resid_pre', { pos: [2, 4] }),
  foreign: await one(other, 'resid_pre'),
  gone: await one(model, 'resid_pre'),
};
caches.gone.dispose();
test.after(() => {
  for (const held of [...Object.values(caches), other, model]) held.dispose();
});

const from = (name: string, o: object = {}): Counterfactual => [
  { at: 'resid_pre', pos: 2, set: { from: name, ...o } },
];
const cases: [
  what: string,
  given: { base?: unknown; list?: unknown; metric?: unknown; options?: unknown },
  message: RegExp,
][] = [
  ['an empty list', { list: [] }, /the list is empty: \[\[\{ at, pos, set \}\], …\] is needed/],
  ['no list', { list: z }, /counterfactuals: list is an object \{ at, zero \}: a list of counterfactuals/],
  [
    'a list of interventions',
    { list: [z] },
    /counterfactuals: list\[0\] is an object \{ at, zero \}: a list of interventions, \[\{ at, … \}\] is needed/,
  ],
  ['no base', { base: undefined }, /base is missing: text, tokens, or \{ input, sources/],
  ['an empty base', { base: [] }, /base: empty prompt/],
  [
    'a base with a typo',
    { base: { input, source: {} } },
    /base: there is no field "source" in \{ input, sources/,
  ],
  ['a token beyond the vocabulary', { base: [1, 101] }, /base: .*token id 101 at position 1/],
  ['a source called base', { base: { input, sources: { base: clean } } }, /a source cannot be called "base"/],
  ['a source that is none', { base: { input, sources: { a: 7 } } }, /source "a": text, tokens, a cache or/],
  [
    'a source with a typo',
    { base: { input, sources: { a: { tokens: [1] } } } },
    /source "a": there is no field "tokens"/,
  ],
  [
    'a source with too much',
    { base: { input, sources: { a: { input, counterfactuals: [] } } } },
    /source "a": exactly one of `input` and `counterfactuals`/,
  ],
  ['a source with too little', { base: { input, sources: { a: {} } } }, /source "a": exactly one of/],
  [
    'a source without lists',
    { base: { input, sources: { a: { counterfactuals: z } } } },
    /source "a": counterfactuals: \[\[\{ at/,
  ],
  [
    'a wrong intervention in a source',
    { base: { input, sources: { a: { input, interventions: [{ ...z, pos: 9 }] } } } },
    /source "a", intervention 0 \(z\[pos 9\] = 0\): pos 9/,
  ],
  [
    'a wrong counterfactual in a source',
    { base: { input, sources: { a: { counterfactuals: [[], [{ ...z, head: 9 }]] } } } },
    /source "a", counterfactual 1, intervention 0.*head 9/,
  ],
  [
    'a wrong intervention in the base',
    { base: { input, interventions: [{ ...z, head: 9 }] } },
    /base, intervention 0 .*head 9/,
  ],
  [
    'sources that take values from each other',
    {
      base: {
        input,
        sources: { a: { input, interventions: from('b') }, b: { input, interventions: from('a') } },
      },
    },
    /source "a", intervention 0.*no value can come from "b" here: a source takes values from the base run and from sources before it/,
  ],
  [
    'a source that takes values from itself',
    { base: { input, sources: { a: { counterfactuals: [from('a', { cell: 0 })] } } } },
    /no value can come from "a" here/,
  ],
  [
    'a base that rests on itself',
    { base: { input, interventions: from('base') } },
    /no value can come from "base" here: it rests on the base run itself/,
  ],
  [
    'a base that rests on what rests on it',
    {
      base: {
        input,
        interventions: from('b'),
        sources: { a: { counterfactuals: [[z]] }, b: { input, interventions: from('a', { cell: 0 }) } },
      },
    },
    /base, intervention 0.*no value can come from "b" here: it rests on the base run itself/,
  ],
  [
    'a cache without the activation',
    { base: { input, sources: { a: caches.held } }, list: [[{ at: 'z', set: { from: 'a' } }]] },
    /source "a": "blocks\.0\.attn\.hook_z" is not in this cache: name it/,
  ],
  [
    'a cache of other positions',
    { base: { input, sources: { a: caches.cut } }, list: [from('a', { pos: 1 })] },
    /source "a": the cache holds positions 2–3, not 1/,
  ],
  [
    'the mean of a cache of other positions',
    { base: { input, sources: { a: caches.cut } }, list: [[{ at: 'resid_pre', pos: 1, mean: 'a' }]] },
    /source "a": the cache holds positions 2–3, not 1/,
  ],
  [
    'a disposed cache',
    { base: { input, sources: { a: caches.gone } }, list: [from('a')] },
    /source "a": the cache holds nothing; was it disposed of\?/,
  ],
  [
    'a cache of another model',
    { base: { input, sources: { a: caches.foreign } }, list: [from('a')] },
    /source "a": a cache of another model: its nLayers is 2, this model's 3/,
  ],
  [
    'a norm and an input of single heads',
    {
      list: [
        [
          { at: 'blocks.1.ln1.hook_scale', scale: 2 },
          { at: 'blocks.1.hook_q_input', head: 0, zero: true },
        ],
      ],
    },
    /"blocks\.1\.ln1\.hook_scale" and an input of single heads .* change one of them only/,
  ],
  [
    'an input of single heads, where the base changes the norm',
    {
      base: { input, interventions: [{ at: 'blocks.1.ln1.hook_scale', scale: 2 }] },
      list: [[{ at: 'blocks.1.hook_q_input', head: 0, zero: true }]],
    },
    /counterfactual of a changed base run: "blocks\.1\.ln1\.hook_scale" and an input of single heads/,
  ],
  [
    'no metric',
    { metric: 'logitDiff' },
    /metric is "logitDiff": a metric, like logitDiff\(' Mary', ' John'\), or a function of the logits is needed/,
  ],
  [
    'a metric of other prompts',
    { metric: logitDiff([1, 2], 3) },
    /metric logit\(\[#1, #2\]\) − logit\(#3\): a list of 2 for 1 prompts/,
  ],
  [
    'a metric of an unknown token',
    { metric: prob(101) },
    /metric p\(#101\): token id 101, but the vocabulary is 0–100/,
  ],
  ['a metric of an unknown run', { metric: kl('dirty') }, /there is no run "dirty"; these are: base/],
  [
    'the loss of one token',
    { base: [1], metric: loss() },
    /prompt 0 has one token: there is nothing to predict/,
  ],
  ['no tokens at once', { options: { maxTokens: 0 } }, /maxTokens is 0: a whole number, 1 or more is needed/],
  [
    'a shard that is not there',
    { options: { shard: { index: 2, of: 2 } } },
    /shard 2 of 2: the index counts from 0 to 1/,
  ],
  [
    'a shard of none',
    { options: { shard: { index: 0, of: 0 } } },
    /shard\.of is 0: a whole number, 1 or more is needed/,
  ],
];

for (const [what, { list = [[z]], metric = logitDiff(1, 2), options, ...given }, message] of cases)
  test(`a sweep with ${what} is refused before anything runs`, () => {
    const base = 'base' in given ? given.base : { input, sources };
    const run = () =>
      counterfactuals(
        model,
        base as Base,
        list as Counterfactual[],
        metric as Metric,
        options as SweepOptions,
      );
    return refused(gpu, run, message);
  });

test('patching prompts that do not correspond is refused before anything runs', async () => {
  const run = (o: object) => () => patch(model, { clean, corrupted: input, metric: logitDiff(1, 2), ...o });
  await refused(
    gpu,
    run({ clean: [1, 2] }),
    /the clean prompt has 2 tokens, the corrupted one 5.*clean: {5}1 2/s,
  );
  await refused(
    gpu,
    run({ clean: [clean, clean] }),
    /2 clean prompts and 1 corrupted ones: patching needs pairs/,
  );
  await refused(gpu, run({ clean: input }), /are the same: no patch can change anything/);
  await refused(gpu, run({ at: 'hook_embed' }), /"hook_embed" is not a hook point of every block/);
  await refused(gpu, run({ by: ['head'] }), /"resid_pre" has no axis "head"; it has layer, pos, neuron/);
  await refused(gpu, run({ by: ['pos', 'pos'] }), /name each axis once/);
  await refused(gpu, run({ only: { pos: 7 } }), /pos 7: there are 5/);
});

test('what lives on another GPU device is refused', async () => {
  const far = await HookedTransformer.fromWeights(config, randomGpt2(config, 2), { adapter: 'software' });
  assert.is.not(far.gpu, model.gpu);
  const tensor = far.tensor(new Float32Array(36));
  const cache = await one(far, 'resid_pre');
  const run = (list: Counterfactual[], o: object) => () =>
    counterfactuals(model, { input, ...o }, list, logitDiff(1, 2));
  await refused(gpu, run([[{ at: 'hook_embed', set: tensor }]], {}), /a tensor on another GPU device/);
  await refused(
    gpu,
    run([from('a')], { sources: { a: cache } }),
    /source "a": the cache is on another GPU device/,
  );
  tensor.dispose();
  cache.dispose();
  far.dispose();
  far.gpu.destroy();
});

test.run();
