/** What tensors refuse, and what they say: what was given, where, and how to mend it. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, Tensor } from '../../index.js';
import { twoLayers as config, randomGpt2, throws } from '../helpers.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 4));
const { gpu } = model;
const range = (n: number) => Float32Array.from({ length: n }, (_, i) => i);
const f32 = (shape: number[]) => Tensor.from(gpu, range(shape.reduce((a, b) => a * b, 1)), shape);
const u32 = (shape: number[]) =>
  Tensor.from<'u32'>(gpu, new Uint32Array(shape.reduce((a, b) => a * b, 1)), shape);
const [t, named] = [f32([2, 3, 4]), f32([2, 3, 4]).withAxes(['batch', 'pos', 'head'])];
const { logits, cache } = await model.runWithCache([[1, 2, 3], [4, 5], [6]], { names: 'z' });
const ragged = cache.get('z', 0); // [tokens, head, d_head] of rows of 3, 2 and 1
const two = (await model.runWithCache([[1, 2], [4]], { names: 'z' })).cache.get('z', 0);
const gone = f32([2]);
gone.dispose();
test.after(() => model.dispose());

const never = <T>(x: T) => x as never;

const refused: Record<string, readonly [call: () => unknown, message: RegExp]> = {
  'too few numbers': [() => Tensor.from(gpu, range(5), [2, 3]), /5 numbers cannot fill shape \[2, 3\] \(6\)/],
  'a tensor that was disposed of': [() => gone.add(1), /\[2\] was disposed of: .*keep\(\)/],
  'shapes that do not broadcast': [
    () => t.add(f32([5])),
    /add: shapes \[2, 3, 4\] and \[5\] .*axis 2: 4 and 5/,
  ],
  'subtracting a list': [() => t.sub(never([1])), /sub: .*a list/],
  'multiplying by a text': [() => t.mul(never('2')), /mul: .*string|mul: .*text|mul: .*"2"/],
  'dividing by nothing': [() => t.div(never(undefined)), /div: /],
  'a product of other inner lengths': [
    () => t.matmul(f32([3, 2])),
    /matmul: \[2, 3, 4\] · \[3, 2\]: \[\.\.\., m, k\]/,
  ],
  'a product of other batches': [() => t.matmul(f32([3, 4, 2])), /matmul: \[2, 3, 4\] · \[3, 4, 2\]/],
  'a product with a vector of another length': [
    () => f32([3]).matmul(f32([4, 2])),
    /matmul: \[3\] · \[4, 2\]/,
  ],
  'an option that adding has not': [
    () => (t.add as (...given: unknown[]) => unknown).call(t, 1, { alpha: 2 }),
    /add: argument 2 is too many \(an object \{ alpha \}\): add\(b\)/,
  ],
  'a product with a list': [
    () => t.matmul(never([[1], [2]])),
    /matmul: a tensor is needed, not a list: model\.tensor/,
  ],
  'lengths one by one': [
    () => t.reshape(never(3)),
    /reshape: one list of whole numbers is needed, as in reshape\(\[1, 0\]\), not 3/,
  ],
  'axes one by one': [() => t.transpose(never(0)), /transpose: one list of whole numbers is needed/],
  'joining what is no list': [
    () => Tensor.concat(never(t)),
    /concat: a list of tensors is needed, not a Tensor/,
  ],
  'no part of a tensor without names': [() => t.slice({}), /slice on .*: say which part, by position/],
  'setting no part': [() => t.set({}, 0), /set on .*: say which part, by position/],
  'a product with a number': [() => t.matmul(f32([])), /matmul: \[2, 3, 4\] · \[\]/],
  'a sum along an axis that is not there': [
    () => t.sum(3),
    /sum: axis 3 of a tensor with 3 axes \(0–2, or -1/,
  ],
  'a mean along half an axis': [() => t.mean(0.5), /mean: .*0\.5/],
  'a maximum along a name of a tensor without': [
    () => t.max('pos'),
    /max: axis "pos" of a tensor without names.*withAxes/,
  ],
  'a softmax along another name': [
    () => named.softmax('query'),
    /softmax: there is no axis "query".*batch.*pos.*head/,
  ],
  'more entries than there are': [() => t.topk(5), /topk: k = 5 of an axis of length 4/],
  'no entries': [() => t.topk(0), /topk: .*0/],
  'an argmax of no axis': [() => t.argmax(-4), /argmax: axis -4 of a tensor with 3 axes/],
  'an index behind the end': [() => t.slice([2]), /slice.*: index 2 on axis 0, which has length 2 \(0–1/],
  'an index before the start': [() => t.slice([null, -4]), /slice.*: index -4 on axis 1, which has length 3/],
  'a range that ends before it starts': [
    () => t.slice([[1, 0]]),
    /range \[1, 0\) on axis 0, which has length 2/,
  ],
  'a range behind the end': [
    () => t.slice([null, null, [2, 5]]),
    /range \[2, 5\) on axis 2, which has length 4/,
  ],
  'more indices than axes': [
    () => t.slice([0, 0, 0, 0]),
    /slice.*: 4 indices for a tensor of shape \[2, 3, 4\]/,
  ],
  'a name that is not there': [() => named.slice({ heads: 1 }), /slice.*: there is no axis "heads".*head/],
  'a name where there are none': [() => t.set({ pos: 1 }, 0), /set.*: axis "pos" of a tensor without names/],
  'a value that does not fit': [
    () => t.set([0], f32([5])),
    /set.*: shapes \[3, 4\] and \[5\] do not go together/,
  ],
  'a value of more axes than the part': [() => t.set([0, 0], f32([2, 4])), /set.*: .*\[2, 4\].*\[4\]/],
  'a list as value': [() => t.set([0], never([1])), /set.*: .*a number or a tensor/],
  'nothing to take': [() => named.take({}), /take.*: name an axis/],
  'an entry that is not there': [
    () => named.take({ head: [0, 4] }),
    /take.*: index 4 on axis head, which has length 4/,
  ],
  'a number in place of a list': [() => named.take(never({ head: 1 })), /take.*: .*head.*list/],
  'a gather behind the end': [() => t.gather([0, 4]), /gather: index 4 on an axis of length 4/],
  'a gather before the start': [() => t.gather([-1]), /gather: index -1/],
  'a gather by other rows': [
    () => t.gather(u32([2, 2, 1])),
    /gather: indices \[2, 2, 1\] for a tensor \[2, 3, 4\]/,
  ],
  'a gather by numbers that are no integers': [() => t.gather(never(f32([2, 3, 1]))), /gather: .*u32/],
  'an order that leaves an axis out': [
    () => t.transpose([0, 1]),
    /transpose: \[0, 1\] is not an order of 3 axes/,
  ],
  'an order that names one twice': [() => t.transpose([0, 1, 1]), /transpose: \[0, 1, 1\]/],
  'a shape of another size': [() => t.reshape([5, 5]), /24 elements and cannot become \[5, 5\]/],
  'two lengths to be found out': [() => t.reshape([-1, -1]), /cannot become \[-1, -1\]/],
  'a shape with a fraction': [() => t.reshape([2.5, -1]), /cannot become \[2\.5, -1\]|2\.5/],
  'growing an axis that has a length': [
    () => t.expand([2, 3, 8]),
    /expand: .*\[2, 3, 4\] cannot become \[2, 3, 8\]/,
  ],
  'growing into fewer axes': [() => t.expand([3, 4]), /expand: .*cannot become \[3, 4\]/],
  'joining other shapes': [
    () => Tensor.concat([f32([2, 2]), f32([2, 3])]),
    /concat: .*\[2, 2\], \[2, 3\] differ beyond axis 0/,
  ],
  'joining other ranks': [() => Tensor.concat([f32([2]), f32([1, 2])]), /concat: .*\[2\], \[1, 2\]/],
  'joining numbers and integers': [() => Tensor.concat(never([f32([2]), u32([2])])), /f32 and u32/],
  'fewer names than axes': [() => t.withAxes(['batch']), /withAxes: 1 names for a tensor \[2, 3, 4\]/],
  'a name twice': [() => t.withAxes(['pos', 'pos', null]), /two axes are called "pos"/],
  'one number of many': [() => t.item(), /item\(\) of .*\[2, 3, 4\]: it has 24 elements/],
  'positions where rows differ': [
    () => ragged.slice([0, -1]),
    /rows differ in length.*\{ batch: 0, pos: -1 \}/,
  ],
  'an axis number where rows differ': [() => ragged.sum(1), /sum: axis 1 of rows of unequal length.*sum\('/],
  'joining rows along positions with fewer rows': [
    () => Tensor.concat([ragged, two], 'pos'),
    /concat along "pos": all tensors must have as many rows as the first, 3/,
  ],
  'a position that a row has not': [() => logits.slice({ pos: 1 }), /row 2/],
  'a row that is not there': [() => logits.slice({ batch: 3 }), /3/],
  'rows of other lengths': [() => ragged.add(two), /add: .*rows of other lengths \(3, 2, 1 and 2, 1\)|add: /],
};

for (const [what, [call, message]] of Object.entries(refused))
  test(`refused: ${what}`, async () => {
    const { bytes } = gpu.memory();
    let said = '';
    try {
      await call();
    } catch (e) {
      assert.is((e as Error).constructor, Error, `${e}`);
      said = (e as Error).message;
    }
    await throws(() => {
      throw new Error(said);
    }, message);
    assert.ok(said.length < 300, `${said.length} characters`);
    assert.is(gpu.memory().bytes <= bytes + 4096, true, 'what was made on the way is given back');
  });

test('beside what is refused lies what is not', async () => {
  assert.equal(await t.slice([-1, -3, [3, 4]]).toArray(), [15]);
  assert.equal(await t.gather([3, 0]).slice([1, 2]).toArray(), [23, 20]);
  assert.equal(t.topk(4).values.shape, [2, 3, 4]);
  assert.equal(t.transpose([2, 0, 1]).shape, [4, 2, 3]);
  assert.equal(f32([1, 3]).expand([4, 3]).shape, [4, 3]);
  assert.equal(t.reshape([-1, 6]).shape, [4, 6]);
  assert.is(await f32([1, 1]).item(), 0);
  assert.equal(
    await ragged.slice({ batch: 2, pos: 0 }).data(),
    await ragged.slice({ batch: 2, pos: -1 }).data(),
  );
});

test.run();
