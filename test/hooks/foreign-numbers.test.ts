/**
 * Numbers are taken by what they are: arrays of another realm, of other types and lists of lists give what
 * this realm's give.
 */

import vm from 'node:vm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  counterfactuals,
  describeIntervention,
  HookedTransformer,
  type Intervention,
  interventionsFromJson,
  interventionsToJson,
  logitDiff,
  runWithInterventions,
} from '../../index.js';
import { twoLayers as config, randomGpt2, throws } from '../helpers.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 1));
const { dModel } = model.config;
const prompt = [1, 2, 3, 4];
const values = Array.from({ length: dModel }, (_, i) => (i % 5) - 2);
const foreign = (code: string) => vm.runInNewContext(code, { values });

/** The same numbers in every form. */
const forms: [string, unknown][] = [
  ['a Float64Array', Float64Array.from(values)],
  ['an Int32Array', Int32Array.from(values)],
  ['a BigInt64Array', BigInt64Array.from(values, BigInt)],
  ["another realm's Float32Array", foreign('Float32Array.from(values)')],
  ["another realm's list", foreign('Array.from(values)')],
  ['a list of lists', [values]],
  ['a list of typed arrays', [Float64Array.from(values)]],
  ['{ shape, data } with a typed array', { shape: [1, dModel], data: Float32Array.from(values) }],
];

async function logits(at: Partial<Intervention>): Promise<Float32Array> {
  const list = [{ at: 'resid_pre', layer: 1, pos: -1, ...at } as Intervention];
  const { logits: t } = await runWithInterventions(model, prompt, list);
  return t.data().finally(() => t.dispose());
}

test('the value of an intervention may be any list of numbers', async () => {
  const set = await logits({ set: values });
  const add = await logits({ add: values });
  const by = await logits({ interpolate: { to: values, by: 0.5 } });
  const out = await logits({ projectOut: values });
  assert.not.equal(set, add);
  for (const [what, value] of forms) {
    const given = value as number[];
    assert.equal(await logits({ set: given }), set, `set: ${what}`);
    assert.equal(await logits({ add: given }), add, `add: ${what}`);
    assert.equal(await logits({ interpolate: { to: given, by: 0.5 } }), by, `interpolate: ${what}`);
    assert.equal(await logits({ projectOut: given }), out, `projectOut: ${what}`);
  }
});

test('a Buffer is its bytes', async () => {
  const bytes = Buffer.from(values.map((x) => x + 2));
  assert.equal(await logits({ set: bytes }), await logits({ set: values.map((x) => x + 2) }));
});

test('counterfactuals take them too, and they go to JSON and back', async () => {
  const metric = logitDiff(5, 7);
  const cell = (add: unknown) => [{ at: 'resid_pre', layer: 1, pos: -1, add } as Intervention];
  const { values: right } = await counterfactuals(model, prompt, [cell(values)], metric);
  for (const [what, value] of forms) {
    const got = await counterfactuals(model, prompt, [cell(value)], metric);
    assert.equal(got.values, right, what);
    const back = interventionsFromJson<Intervention[][]>(await interventionsToJson([cell(value)]));
    assert.equal((await counterfactuals(model, prompt, back, metric)).values, right, `${what} from JSON`);
    assert.match(describeIntervention(cell(value)), /\+= (\d+ numbers|numbers \[1, \d+\])$/, what);
  }
});

test('indices may be a typed array', async () => {
  const pos = (p: unknown) => logits({ pos: p as number[], zero: true });
  assert.equal(await pos(Int32Array.of(1, 3)), await pos([1, 3]));
});

test('hook.tensor takes them, with the shape of their lists', async () => {
  const run = async (value: unknown) => {
    const t = await model.runWithHooks(prompt, {
      hooks: [['blocks.1.hook_resid_pre', (x, hook) => x.add(hook.tensor(value as number[]))]],
    });
    return t.data().finally(() => t.dispose());
  };
  const right = await run(values);
  for (const [what, value] of forms)
    if (!('shape' in (value as object))) assert.equal(await run(value), right, what);
});

test('a message shows of a long value its type, length and first numbers', async () => {
  const long = foreign('new Float32Array(5000).fill(1.5)');
  const bad: [Partial<Intervention>, RegExp][] = [
    [{ set: long }, /a value of 5000 numbers does not fill/],
    [{ set: Array(5000).fill('x') as never }, /the value: \[0\] is "x": a number is needed/],
    [{ set: [values, values.slice(1)] }, /the value: \[1\] has \d+ entries/],
    [{ set: [...values.slice(1), Number.NaN] }, /the value holds NaN at index/],
    [{ mean: Array(5000).fill(1) as never }, /not a list of 5000 \(1, 1, 1, …\)/],
    [
      { pos: Array(5000).fill(1) as never, zero: true },
      /pos: a list of 5000 \(1, 1, 1, …\) names an index twice/,
    ],
    [{ set: 'x'.repeat(5000) as never }, /not "x+…"/],
    [{ set: { data: long, shape: [7] } as never }, /shape \[7\] is 7 numbers, its data 5000/],
  ];
  for (const [given, pattern] of bad) {
    await throws(logits(given), pattern);
    const message = await logits(given).then(String, (e: Error) => e.message);
    assert.ok(message.length < 300, `${message.length}: ${message.slice(0, 100)}`);
  }
});

test('weights and regular expressions of another realm are what they are', async () => {
  const weights = randomGpt2(config, 1);
  const [float32, float64] = ['Float32Array', 'Float64Array'].map((type) =>
    Object.fromEntries(
      Object.entries(weights).map(([name, { shape, data }]) => [
        name,
        { shape, data: vm.runInNewContext(`${type}.from(data)`, { data }) },
      ]),
    ),
  );
  for (const given of [float32, float64]) {
    using same = await HookedTransformer.fromWeights(config, given);
    assert.is(same.hash, model.hash);
  }
  const names = vm.runInNewContext('/resid_pre$/');
  const { logits: t, cache } = await model.runWithCache(prompt, { names });
  assert.equal(
    cache.names(),
    Array.from({ length: config.nLayers }, (_, l) => `blocks.${l}.hook_resid_pre`),
  );
  t.dispose();
  cache.dispose();
});

test.after(() => model.dispose());
test.run();
