import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { textWidth } from '../../interp/figures/draw/svg-parts.js';
import { scatterFigure } from '../../interp/figures/scatter.js';
import { type Labelled, labelled } from '../../interp/results/result.js';
import { displayWidth } from '../../interp/results/text.js';
import { rng, throws } from '../helpers.js';

const numbered = (name: string, n: number, letter: string) => ({
  name,
  labels: Array.from({ length: n }, (_, i) => letter + i),
});
const heads = [numbered('layer', 12, 'L'), numbered('head', 12, 'H')];
const result = (values: ArrayLike<number>, axes: Labelled['axes'] = heads, meta = {}) =>
  labelled(Float32Array.from(values), axes, meta, 'allowed');

/** Effects of 144 heads, and a second method that agrees but for noise, and for L9H9. */
const { uniform } = rng(3);
const first = Array.from({ length: 144 }, () => 8 * (uniform() - 0.5) ** 3);
const second = first.map((v) => 0.9 * v + 3 * (uniform() - 0.5) ** 3);
first[9 * 12 + 9] = 1.1;
second[9 * 12 + 9] = -1.4;
const drawn = (options = {}) => scatterFigure(result(first), result(second), { title: 'Heads', ...options });

/** The names in a picture, each with its box in the square of points. */
const named = (svg: string) =>
  [...svg.matchAll(/<text x="([-\d.]+)" y="([-\d.]+)"[^>]*class="name">([^<]*)</g)].map(
    ([, x, y, escaped]) => {
      const text = escaped
        .replace(/&lt;/g, '<')
        .replace(/&gt;/g, '>')
        .replace(/&quot;/g, '"')
        .replace(/&amp;/g, '&');
      const half = textWidth(text, 11) / 2;
      return { text, left: Number(x) - half, right: Number(x) + half, bottom: Number(y) };
    },
  );

test('the head on which two methods differ most is named first, and the others in order', () => {
  const apart = first.map((v, i) => Math.abs(Math.fround(v) - Math.fround(second[i])));
  const order = [...apart.keys()].sort((a, b) => apart[b] - apart[a]).slice(0, 8);
  const names = named(drawn().svg()).map(({ text }) => text);
  assert.equal(
    names,
    order.map((i) => `L${Math.floor(i / 12)}H${i % 12}`),
  );
  assert.is(names[0], 'L9H9');
  assert.match(drawn().lines()[1], /^L9H9 +1\.1 +−1\.4 +−2\.5$/);
  assert.equal(named(drawn({ outliers: 0 }).svg()), []);
});

test('the line y = x runs from corner to corner, and equal values lie on it', () => {
  const svg = scatterFigure(
    result([0, 1, 2, 5], [numbered('layer', 4, 'L')]),
    result([0, 1, 2, 4], [numbered('layer', 4, 'L')]),
    { title: 't' },
  ).svg();
  assert.match(svg, /class="zero diagonal"[^>]* x1="0" y1="400" x2="400" y2="0"/);
  const dots = [...svg.matchAll(/<circle class="f" cx="([\d.]+)" cy="([\d.]+)"/g)].map((m) =>
    m.slice(1).map(Number),
  );
  assert.is(dots.length, 4);
  assert.is(dots.filter(([x, y]) => Math.abs(x + y - 400) < 0.02).length, 3);
  assert.equal(
    named(svg).map(({ text }) => text),
    ['L3'],
    'what lies on the line is not far from it',
  );
});

test('names stay in the square and off each other, however long the labels and close the points', () => {
  const tokens = {
    name: 'pos',
    labels: ['裏裏裏裏裏裏', 'W'.repeat(30), '</svg>&"', '\n'].map((t, i) => `${i}:${t}`),
  };
  const sites = numbered('layer', 3, 'L');
  for (const near of [1, 0.01]) {
    const values = Array.from({ length: 12 }, (_, i) => near * Math.sin(i));
    const x = result(values, [sites, tokens]);
    const svg = scatterFigure(
      x,
      result(
        values.map((v) => 1 - v),
        [sites, tokens],
      ),
      { title: 'T' },
    ).svg();
    const boxes = named(svg);
    assert.ok(boxes.length >= 4);
    for (const [i, a] of boxes.entries()) {
      assert.ok(a.left >= 0 && a.right <= 400 && a.bottom >= 10 && a.bottom <= 400, a.text);
      for (const b of boxes.slice(0, i))
        assert.ok(
          a.left > b.right - 0.02 || b.left > a.right - 0.02 || Math.abs(a.bottom - b.bottom) > 12.98,
          `${a.text}, ${b.text}`,
        );
    }
    assert.not.match(svg, /NaN|undefined|<\/svg>./);
  }
});

test('the note has Pearson’s correlation, and counts the cells without a value', () => {
  const axes = [numbered('layer', 4, 'L')];
  const note = (x: number[], y: number[]) =>
    scatterFigure(result(x, axes), result(y, axes), { title: 't' }).lines({ width: 200 }).at(-1)!;
  assert.match(note([1, 2, 3, 4], [2, 1, 4, 3]), /^4 cells · correlation r = 0\.6 · named/);
  assert.match(note([1, 2, 3, NaN], [-1, -2, -3, 0]), /^3 cells · correlation r = −1 · 1 without a value/);
  assert.match(note([1, 2, 3, 4], [1, 1, 1, 1]), /no correlation: one side is constant/);
});

test('each side of the plot says what it is, in both themes and in a terminal', () => {
  const [x, y] = [
    result(first, heads, { method: 'attribution', model: '/home/me/a' }),
    result(second, heads, { method: 'patching', model: 'gpt2', metric: 'logitDiff' }),
  ];
  const both = { ...y, meta: { ...y.meta, metric: 'logitDiff' } };
  const one = scatterFigure({ ...x, meta: { ...x.meta, metric: 'logitDiff' } }, both, { title: 'Heads' });
  assert.match(one.svg(), />attribution<.*>patching<|>patching<.*>attribution</s);
  assert.equal(one.section().source, {
    'method (x)': 'attribution',
    'method (y)': 'patching',
    'model (x)': 'a',
    'model (y)': 'gpt2',
    metric: 'logitDiff',
  });
  assert.match(one.html(), /^<!doctype html>/);
  assert.match(one.svg('dark'), 'fill="#16181d"');
  assert.not.match(one.svg('light'), /prefers-color-scheme|--d/);
  for (const width of [50, 80])
    for (const line of one.lines({ width })) assert.ok(displayWidth(line) <= width);
});

test('results of different axes are refused', () => {
  throws(
    () => scatterFigure(result(first), result([1], [numbered('layer', 1, 'L')]), { title: '' }),
    /layer \(12\) × head \(12\), y is layer \(1\): give two/,
  );
  const other = [heads[0], numbered('head', 12, 'K')];
  throws(
    () => scatterFigure(result(first), result(first, other), { title: '' }),
    /head 0 is "H0" in x, "K0" in y/,
  );
  throws(() => scatterFigure(result(first.map(() => NaN)), result(first), { title: '' }), /no cell/);
});

test.run();
