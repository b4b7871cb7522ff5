import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { toNpy } from '../../interp/results/npy.js';
import { type Labelled, labelled } from '../../interp/results/result.js';

const counted = (shape: number[], value: (i: number) => number): Labelled =>
  labelled(
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => value(i)),
    shape.map((n, a) => ({ name: `axis ${a}`, labels: Array.from({ length: n }, (_, i) => `${i}:␣`) })),
    {},
    'allowed',
  );

test('.npy files are, byte for byte, those of numpy.save', () => {
  // hashes of what NumPy 2.4.6 saves of the same numbers
  for (const [one, sha256] of [
    [counted([2, 3], (i) => i / 4 - 0.5), '82639beab4abb447dcb4c7c06ddbdb8b34344ea1a0ec3d2d5ebf0705cb47bcbc'],
    [counted([5], (i) => i), '3dcf48279ee36a021e6926407811f391cfe29ba3ab425ea28e71856f5cf62849'],
    [counted([], () => 2.5), '2122b0a0d401637676b22c6b70afbf85b14ebee58e12b549bbdd279c9d0614be'],
    [
      counted([2, 1, 3, 4], (i) => -1.5 * i),
      'd884a7341934b6bad4340312c8af5a7e55a3750fb310bb18a7e468d02769604d',
    ],
    [counted([0, 3], () => 0), 'f12304587232b93be216cce0f81674635df2730385202e391e39cc9f8942d779'],
  ] as const)
    assert.is(createHash('sha256').update(toNpy(one)).digest('hex'), sha256, `shape ${one.shape}`);
});

test('shape and every f32 come back, NaN and infinities included', () => {
  const nasty = [NaN, Infinity, -Infinity, -0, 1e-45, 3.4e38, 1 / 3];
  const one = counted([7, 11], (i) => nasty[i % 7]);
  const bytes = toNpy(one);
  const length = new DataView(bytes.buffer).getUint16(8, true);
  const header = new TextDecoder().decode(bytes.slice(10, 10 + length));
  assert.is((10 + length) % 64, 0);
  assert.match(header, /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(7, 11\), \} *\n$/);
  assert.equal(new Uint32Array(bytes.buffer.slice(10 + length)), new Uint32Array(one.values.buffer));
});

test.run();
