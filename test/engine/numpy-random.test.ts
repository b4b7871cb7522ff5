/** Published noise can be drawn again: RandomState gives what NumPy's gives. The fixture is NumPy's own. */

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { log } from '../../engine/random/log.js';
import { RandomState } from '../../engine/random/numpy-random.js';
import { allClose, throws } from '../helpers.js';

interface Fixture {
  cases: {
    seed: number;
    uniform: number[];
    uniformHash: string;
    randn: number[];
    randnF32Hash: string;
    randnHash: string;
    mixed: number[][];
  }[];
  chisquare: { df: number; first: number[]; f32Hash: string }[];
}

const N = 20000;
const path = new URL('../fixtures/numpy/random.json', import.meta.url);
const fixture = JSON.parse(readFileSync(path, 'utf8')) as Fixture;

async function sha256(values: Float32Array | Float64Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new Uint8Array(values.buffer as ArrayBuffer));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

for (const { seed, ...expected } of fixture.cases) {
  test(`seed ${seed}: 20 000 uniform and 20 000 normal numbers are NumPy's`, async () => {
    const uniform = new RandomState(seed).uniform(-1, 1, N);
    assert.equal([...uniform.slice(0, 6)], expected.uniform);
    assert.is(await sha256(uniform), expected.uniformHash);
    const normal = new RandomState(seed).randn(N);
    assert.equal([...normal.slice(0, 12)], expected.randn);
    assert.is(await sha256(normal), expected.randnHash);
    assert.is(await sha256(Float32Array.from(normal)), expected.randnF32Hash);
  });

  test(`seed ${seed}: a normal number that was drawn with another waits for its turn, whatever comes between`, () => {
    const rs = new RandomState(seed);
    const mixed = [rs.randn(3), rs.uniform(0, 1, 2), rs.randn(2), rs.chisquare(5, 1), rs.randn(4)];
    assert.equal(
      mixed.map((x) => [...x]),
      expected.mixed,
    );
  });
}

test('seed 1 begins as the experiments that use it do', () => {
  const first = [...new RandomState(1).randn(6)].map((x) => Number(x.toFixed(8)));
  assert.equal(first, [1.62434536, -0.61175641, -0.52817175, -1.07296862, 0.86540763, -2.3015387]);
});

for (const { df, first, f32Hash } of fixture.chisquare)
  test(`chi-square with ${df} degrees of freedom is NumPy's`, async () => {
    const values = new RandomState(2).chisquare(df, 1000);
    allClose(values.subarray(0, first.length), first, { atol: 0, rtol: 1e-15 });
    assert.is(await sha256(Float32Array.from(values)), f32Hash);
  });

test('the logarithm is right where one knows it: powers of two, one and its neighbours, zero', () => {
  for (let k = -1000; k <= 1000; k++) {
    allClose([log(2 ** k)], [k * Math.LN2], { atol: 0, rtol: 2 ** -52, what: `ln 2^${k}` });
  }
  assert.is(log(1), 0);
  assert.is(log(0), -Infinity);
  assert.is(log(1 + 2 ** -52), 2 ** -52 - 2 ** -105);
  assert.is(log(1 - 2 ** -53), -(2 ** -53));
});

test('a seed is an integer of 32 bits', () => {
  for (const seed of [-1, 1.5, 2 ** 32, Number.NaN])
    throws(() => new RandomState(seed), /takes an integer from 0 to 4294967295/);
  throws(() => new RandomState(1).chisquare(0, 1), /must be above 0/);
});

test.run();
