import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { allClose, throws } from '../helpers.js';
import { applyEdit, compare, fixtureNames, loadFixture, referenceModel, sampleIndices } from './reference.js';

for (const name of fixtureNames) {
  test(`the weights of ${name} are those that the reference was computed with, bit for bit`, () => {
    const fixture = loadFixture(name);
    const hash = createHash('sha256');
    for (const { data } of Object.values(referenceModel(fixture).tensors)) hash.update(data);
    assert.is(hash.digest('hex'), fixture.weights);
  });

  test(`embeddings looked up in the weights of ${name} agree with the reference`, () => {
    const fixture = loadFixture(name);
    const { config, tensors } = referenceModel(fixture);
    for (const [row, tokens] of fixture.rows.entries()) {
      const shape = [1, tokens.length, config.dModel];
      compare(fixture, row, 'hook_embed', shape, embed(tensors['wte.weight'].data, tokens, config.dModel));
    }
  });
}

test('a permuted, a shifted and a NaN activation disagree with the reference', () => {
  const fixture = loadFixture('dhead-13');
  const { config, tensors } = referenceModel(fixture);
  const tokens = fixture.rows[0];
  const shape = [1, tokens.length, config.dModel];
  const x = embed(tensors['wte.weight'].data, tokens, config.dModel);
  const check = (data: Float32Array) => () => compare(fixture, 0, 'hook_embed', shape, data);
  // One value that is not in the sample: only the sums can tell.
  const hidden = 1 + Math.max(...sampleIndices(x.length, 32).filter((i) => i < x.length - 1));
  const changed = (value: number) => x.map((y, i) => (i === hidden ? value : y));
  check(x)();
  throws(check(x.slice().reverse()), /elements differ/);
  throws(check(x.map((y) => y + 0.001)), /off by 0.00100/);
  throws(check(changed(x[hidden] + 1)), /weighted sum/);
  throws(check(changed(Number.NaN)), /NaN/);
  throws(() => compare(fixture, 0, 'hook_embed', [tokens.length, 1], x), /shape \[17,1\]/);
  throws(() => compare(fixture, 0, 'hook_nothing', shape, x), /hook_nothing: not in the fixture/);
});

test('an edit touches the head and the position it names', () => {
  const z = new Float32Array(2 * 3 * 2).fill(1); // [1, pos 2, head 3, d_head 2]
  const zeroed = applyEdit({ at: 'blocks.0.attn.hook_z', op: 'zero', head: 1, pos: 0 }, [1, 2, 3, 2], z);
  allClose(zeroed, [1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  const pattern = Float32Array.of(1, 0, 0.25, 0.75); // [1, head 1, query 2, key 2]
  const at = 'blocks.0.attn.hook_pattern';
  allClose(applyEdit({ at, op: 'uniform' }, [1, 1, 2, 2], pattern), [1, 0, 0.5, 0.5]);
  allClose(applyEdit({ at, op: 'scale', value: 2, pos: 1 }, [1, 1, 2, 2], pattern), [1, 0, 0.5, 1.5]);
});

function embed(table: Float32Array, tokens: readonly number[], dModel: number): Float32Array {
  const out = new Float32Array(tokens.length * dModel);
  for (const [i, token] of tokens.entries())
    out.set(table.subarray(token * dModel, (token + 1) * dModel), i * dModel);
  return out;
}

test.run();
