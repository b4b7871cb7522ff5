/** Small things with right values that no picture shows: colours, widths, numbers in cells, scores of edges, means over axes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arangeOf, eyeOf, uniformOf } from '../../engine/random/arrays.js';
import { RandomState } from '../../engine/random/numpy-random.js';
import { averaged, EdgeList, labelled, summed } from '../../index.js';
import { ansi256, contrast, fixedColour, inkOn, oklch, type Rgb } from '../../interp/figures/draw/colour.js';
import { textWidth, ticks } from '../../interp/figures/draw/svg-parts.js';
import { compact, joinedBytes } from '../../interp/results/text.js';
import { allClose, rng, throws, twoLayers } from '../helpers.js';

test('OKLCH to sRGB: the corners of the cube, as CSS Color 4 states them', () => {
  const known: readonly [number, number, number, Rgb][] = [
    [1, 0, 0, [255, 255, 255]],
    [0, 0, 0, [0, 0, 0]],
    [0.62796, 0.25768, 29.2339, [255, 0, 0]],
    [0.86644, 0.29483, 142.4953, [0, 255, 0]],
    [0.45201, 0.31321, 264.052, [0, 0, 255]],
    [0.59987, 0, 0, [128, 128, 128]],
  ];
  for (const [l, c, h, rgb] of known) assert.equal(oklch(l, c, h), rgb);
});

/** Ottosson 2020, written once more. */
function oklabOf(colour: Rgb): number[] {
  const [r, g, b] = colour.map((x) => {
    const c = x / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const rows = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
  ];
  const lms = rows.map(([x, y, z]) => Math.cbrt(x * r + y * g + z * b));
  return [
    [0.2104542553, 0.793617785, -0.0040720468],
    [1.9779984951, -2.428592205, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.808675766],
  ].map((m) => m.reduce((sum, x, i) => sum + x * lms[i], 0));
}

test('a terminal of 256 colours gets the nearest one, lightness counting a fifth', () => {
  const random = rng(3);
  const colours = Array.from({ length: 60 }, (): Rgb => [random.int(256), random.int(256), random.int(256)]);
  for (const colour of [...colours, [255, 0, 0] as const, [130, 130, 130] as const]) {
    const own = oklabOf(colour);
    const cost = Array.from({ length: 240 }, (_, i) => {
      const [l, a, b] = oklabOf(fixedColour(16 + i)).map((x, j) => (x - own[j]) ** 2);
      return 0.2 * l + a + b;
    });
    allClose([cost[ansi256(colour) - 16]], [Math.min(...cost)], { atol: 1e-9, what: String(colour) });
  }
  assert.equal(fixedColour(196), [255, 0, 0]);
  assert.equal(fixedColour(255), [238, 238, 238]);
});

test('contrast is that of WCAG 2, and ink is read on its paper', () => {
  allClose([contrast([0, 0, 0], [255, 255, 255])], [21]);
  allClose([contrast([119, 119, 119], [255, 255, 255])], [4.478], { atol: 1e-3 });
  assert.equal(inkOn([255, 255, 255]), [10, 11, 16]);
  assert.equal(inkOn([20, 30, 80]), [255, 255, 255]);
});

test('numbers of narrow cells change their form where they would be rounded up', () => {
  const forms: readonly [number, string][] = [
    [0.0049, '·'],
    [0.0051, '.01'],
    [0.9949, '.99'],
    [0.9951, '1.0'],
    [9.949, '9.9'],
    [9.951, '10'],
    [999.4, '999'],
    [999.6, '1e3'],
    [-412345, '-4e5'],
    [Infinity, '∞'],
    [-Infinity, '-∞'],
  ];
  for (const [value, form] of forms) assert.is(compact(value), form, String(value));
});

test('bytes that are one character together are told by it and their place', () => {
  const pieces = ['a', '\\xE4', '\\xBD\\xA0', ' \\xF0\\x9F', '\\x98\\x80', '\\xE4', 'b'];
  assert.equal(joinedBytes(pieces), ['a', '你₁', '你₂', ' 😀₁', '😀₂', '\\xE4', 'b']);
});

test('no text has no width, and ticks are round numbers within', () => {
  assert.is(textWidth(''), 0);
  assert.ok(textWidth('WW', 12) >= 2 * 10 && textWidth('WW', 24) === 2 * textWidth('WW', 12));
  for (const t of ticks(0.3, 9.7, 5)) assert.ok(t >= 0.3 && t <= 9.7);
  assert.ok(ticks(0.3, 9.7, 5).length >= 3);
});

test('arrays made of nothing: their ends', () => {
  assert.equal([...arangeOf(2, 9, 3)], [2, 5, 8]);
  assert.equal([...arangeOf(5, 0, -2)], [5, 3, 1]);
  throws(() => arangeOf(3, 3, 1), /there is no such number/);
  throws(() => arangeOf(0, 1, 0), /there is no such number/);
  assert.equal([...eyeOf(3, 4)], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
  assert.equal([...eyeOf(4, 3)], [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
  const drawn = uniformOf([1000], 4, -2, 3);
  assert.ok(Math.min(...drawn) < -1.9 && Math.max(...drawn) > 2.9);
  assert.ok(drawn.every((x) => x >= -2 && x < 3));
});

test('chi-square has the mean and the variance of its degrees of freedom', () => {
  const drawn = new RandomState(1).chisquare(5, 20_000);
  const mean = drawn.reduce((a, b) => a + b, 0) / drawn.length;
  const variance = drawn.reduce((s, x) => s + (x - mean) ** 2, 0) / drawn.length;
  allClose([mean, variance], [5, 10], { rtol: 0.05 });
  throws(() => new RandomState(1).chisquare(0, 1), /they must be above 0/);
});

test('an edge that a list lacks has no score; the first and the last have theirs', () => {
  const pairs = [
    ['input', 'logits'],
    ['input', 'm0'],
    ['m0', 'logits'],
  ] as const;
  const edges = EdgeList.of(twoLayers, pairs);
  assert.is(edges.length, 3);
  for (const [from, to] of pairs) assert.type(edges.score(from, to), 'number', `${from} ${to}`);
  assert.is(edges.score('m0', 'm1'), undefined);
  throws(() => edges.score('m1', 'm0'), /m1/);
});

test('means and sums over an axis, and parts of one', () => {
  const axes = [
    { name: 'layer', labels: ['0', '1'] },
    { name: 'head', labels: ['a', 'b', 'c'] },
  ];
  const result = labelled(Float32Array.of(1, 2, 6, 10, 20, 60), axes, {});
  assert.equal([...averaged(result, 'head').values], [3, 30]);
  assert.equal([...summed(result, 'head').values], [9, 90]);
  assert.equal([...averaged(result, 'layer').values], [5.5, 11, 33]);
  assert.equal([...result.slice({ head: [1, 3] }).values], [2, 6, 20, 60]);
  assert.equal([...result.slice({ head: [-2, 3], layer: 1 }).values], [20, 60]);
  for (const bad of [[1, 2, 3], [2, 1], [1], [0, 4], [-4, 2]])
    throws(() => result.slice({ head: bad as never }), /\[start, end\) within 3 entries is needed/);
});

test.run();
