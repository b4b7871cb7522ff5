/** An order of logits hides NaN: its index looks right. So it says what was not a number when it is read. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type HookEntry, HookedTransformer, Tensor } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { twoLayers as config, fail, randomGpt2 } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 3), noProcessing);
test.after(() => model.dispose());

const rows = [
  [3, 1, 4, 1],
  [5, 9, 2],
];
/** Puts a value into the logits of position 1 of each row, by the final norm. */
const hooks = (value: number): HookEntry[] => [
  ['ln_final.hook_normalized', (x) => x.set({ pos: 1, d_model: 0 }, value)],
];

/** What one may order, and what comes of it. */
const orders: Record<string, (logits: Tensor) => { data(): Promise<unknown>; dispose(): void }> = {
  argmax: (t) => t.argmax(),
  argmin: (t) => t.argmin(),
  'argmax over positions': (t) => t.argmax('pos'),
  'topk, indices': (t) => t.topk(3).indices,
  'topk, values': (t) => t.topk(2, { largest: false }).values,
  'topk, many': (t) => t.topk(config.dVocab).indices,
  'sort, indices': (t) => t.sort().indices,
  'sort, values': (t) => t.sort({ descending: true }).values,
  'the share that is right': (t) => t.argmax().eq(3).to('f32').mean(),
  'a part of the indices': (t) => t.argmax().slice({ batch: 0, pos: 2 }),
  'chosen by the order': (t) => t.take(t.argmax().reshape([-1]) as Tensor<'u32'>, 'batch'),
  'put together with others': (t) =>
    Tensor.concat([Tensor.zeros(t, [2]), t.argmax().to('f32').reshape([-1])]),
};

for (const [name, order] of Object.entries(orders))
  test(`${name}: NaN and infinity are told with their place`, async () => {
    for (const input of [[rows[0]], rows])
      for (const [value, said] of [
        [Number.NaN, /^logits \[.*\] is not a number \(NaN\)/],
        [Number.POSITIVE_INFINITY, /^logits \[.*\] is (not a number \(NaN\)|-?Infinity)/],
      ] as const) {
        if (name.startsWith('chosen') && input === rows) continue;
        const logits = await model.forward(input, { hooks: hooks(value) });
        const made = order(logits);
        try {
          const got = await made.data();
          fail(`${name} gives ${String(got)}`);
        } catch (e) {
          assert.match((e as Error).message, said);
        }
        for (const t of [made, logits]) t.dispose();
      }
  });

test('the place is that of the first, in the tensor that was ordered', async () => {
  const logits = await model.forward([rows[0]], { hooks: hooks(Number.NaN) });
  const last = logits.slice({ batch: 0, pos: [1, 3] });
  const best = last.argmax();
  try {
    await best.data();
    fail('an index of NaN');
  } catch (e) {
    assert.match(
      (e as Error).message,
      /^logits \[0, 0\] of \[2, \d+\] is not a number/,
      (e as Error).message,
    );
  }
  for (const t of [logits, last, best]) t.dispose();
});

test('logits that are moved about still refuse to be read', async () => {
  const logits = await model.forward(rows, { hooks: hooks(Number.NaN) });
  for (const part of [logits.slice({ pos: 1 }), logits.take({ d_vocab: [0, 2] }), logits.slice({ batch: 1 })])
    try {
      fail(`${await part.data()}`);
    } catch (e) {
      assert.match((e as Error).message, /^logits \[/);
      part.dispose();
    }
  logits.dispose();
});

test('orders of good logits, and of tensors of one’s own, are what they were; what was noted is given back', async () => {
  const before = model.gpu.memory().bytes;
  const logits = await model.forward(rows);
  const all = Array.from(await logits.data());
  const best = logits.argmax();
  const n = config.dVocab;
  const expected = Array.from({ length: 7 }, (_, r) => {
    const row = all.slice(r * n, (r + 1) * n);
    return row.indexOf(Math.max(...row));
  });
  assert.equal(Array.from(await best.data()), expected);
  const last = logits.slice({ batch: 0, pos: -1 });
  const { values, indices } = last.topk(2);
  assert.is((await indices.data())[0], expected[3]);
  const own = model.tensor([1, Number.NaN, 2]);
  const nan = own.argmax();
  assert.is((await nan.data())[0], 1, 'NaN counts as the largest');
  for (const t of [logits, best, last, values, indices, own, nan]) t.dispose();
  givenBack(model.gpu, before);
});

test('notes go with what they belong to', async () => {
  const before = model.gpu.memory().bytes;
  const logits = await model.forward([rows[0]]);
  const best = logits.argmax();
  const right = best.eq(3);
  for (const t of [logits, best]) t.dispose();
  assert.ok(model.gpu.memory().bytes > before);
  assert.is((await right.data()).length, 4);
  right.dispose();
  givenBack(model.gpu, before);
});

test.run();
