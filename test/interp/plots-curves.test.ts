/** Drawings of circuits and curves show the numbers they are given. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { labelled } from '../../interp/results/result.js';
import { circuitFigure, curveFigure, EdgeList } from '../../library.js';
import { throws } from '../helpers.js';

const shape = { nLayers: 2, nHeads: 2, attnOnly: false };
const named = EdgeList.of(shape, [
  ['input', 'a0.h1<v>'],
  ['a0.h1', 'a1.h0<q>'],
  ['m1', 'logits'],
]);
const circuit = new EdgeList(shape, named.indices, Float32Array.of(0.5, -2, 1), { method: 'EAP' });

test('an arc for each edge: its width is the size of the score, its colour the sign', () => {
  const drawn = circuitFigure(circuit);
  const arcs = [
    ...drawn
      .svg('light')
      .matchAll(/<path class="s"[^>]*stroke-width="([\d.]+)"[^>]*?stroke="(#\w+)"[^>]*><title>([^<]*)</g),
  ];
  const tips = new Map(arcs.map(([, width, colour, tip]) => [tip, [Number(width), colour] as const]));
  assert.equal([...tips.keys()].sort(), [
    'a0.h1 → a1.h0&lt;q&gt;: −2',
    'input → a0.h1&lt;v&gt;: 0.5',
    'm1 → logits: 1',
  ]);
  const [strong, weak, middle] = [
    'a0.h1 → a1.h0&lt;q&gt;: −2',
    'input → a0.h1&lt;v&gt;: 0.5',
    'm1 → logits: 1',
  ].map((tip) => tips.get(tip)!);
  assert.equal(
    [strong[0], middle[0], weak[0]],
    [0.6 + 5, 0.6 + 5 / 2, 0.6 + 5 / 4].map((w) => Math.round(100 * w) / 100),
  );
  assert.is(weak[1], middle[1]);
  assert.is.not(strong[1], middle[1]);
});

test('the table of a circuit has the largest first, and the title says how many', () => {
  const drawn = circuitFigure(circuit);
  assert.match(drawn.svg(), /EAP: 3 edges/);
  assert.equal(
    drawn.lines().map((line) => line.split(/\s+/).join(' ')),
    ['a0.h1 → a1.h0<q> −2', 'm1 → logits +1', 'input → a0.h1<v> +0.5'],
  );
});

test('circuits that nobody could see are refused', () => {
  throws(() => circuitFigure(EdgeList.of(shape, [])), /no edges/);
  const big = { nLayers: 6, nHeads: 6, attnOnly: false };
  const all = Uint32Array.from({ length: 501 }, (_, i) => i);
  throws(() => circuitFigure(new EdgeList(big, all, new Float32Array(501).fill(1))), /501 edges.*topEdges/);
});

test('a curve goes through its points, and its tooltips tell their numbers and the band', () => {
  const axes = [
    { name: 'series', labels: ['a', 'b'] },
    { name: 'layer', labels: ['L0', 'L1', 'L2'] },
  ];
  const result = labelled(Float32Array.of(0, 1, 2, 2, 1, 0), axes, {});
  const band = labelled(Float32Array.of(0.1, 0.2, 0.3, 0.1, 0.1, 0.1), axes, {});
  const svg = curveFigure(result, { title: 'Two lines', band }).svg();
  assert.match(svg, /Two lines/);
  const dots = [...svg.matchAll(/<circle class="f" cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>([^<]*)</g)].map(
    (m) => m.slice(1),
  );
  assert.equal(
    dots.map(([, , tip]) => tip.split('\n').join(' ')),
    [
      'a · L0 0 ± 0.1',
      'a · L1 1 ± 0.2',
      'a · L2 2 ± 0.3',
      'b · L0 2 ± 0.1',
      'b · L1 1 ± 0.1',
      'b · L2 0 ± 0.1',
    ],
  );
  const at = dots.map(([x, y]) => [Number(x), Number(y)]);
  assert.is(at[1][0] - at[0][0], at[2][0] - at[1][0], 'layers are evenly spaced');
  assert.ok(Math.abs(at[0][1] - at[1][1] - (at[1][1] - at[2][1])) < 0.02, 'a straight line');
  assert.ok(at[0][1] > at[2][1], 'more is higher');
  assert.equal([at[0][1], at[1][1], at[2][1]], [at[5][1], at[4][1], at[3][1]], 'one scale for both');
  const third = { name: 'head', labels: ['H0'] };
  throws(
    () => curveFigure(labelled(new Float32Array(6), [...axes, third], {}), { title: 't' }),
    /curves have the axes .* this result series × layer × head/,
  );
  const short = labelled(new Float32Array(3), axes.slice(1), {});
  throws(() => curveFigure(result, { title: 't', band: short }), /the band is 3, the curves are 2 × 3/);
});

test.run();
