import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { agrees, comparisonTable } from '../../interp/figures/compare.js';
import { diverging, hex, hues, sequential } from '../../interp/figures/draw/colour.js';
import { linesSvg } from '../../interp/figures/draw/lines-svg.js';
import { facetsSvg } from '../../interp/figures/draw/svg.js';
import { textWidth, ticks } from '../../interp/figures/draw/svg-parts.js';
import { figure } from '../../interp/figures/figure.js';
import { heatmap, heatmaps } from '../../interp/figures/heatmap.js';
import { lineLines, lines } from '../../interp/figures/lines.js';
import { averageFigure, type Trace, traceFigure } from '../../interp/figures/trace.js';
import { type Labelled, labelled } from '../../interp/results/result.js';
import { displayWidth } from '../../interp/results/text.js';
import { rng, throws } from '../helpers.js';

const axis = (name: string, labels: string[]) => ({ name, labels });
const numbered = (name: string, n: number, letter = 'L') =>
  axis(
    name,
    Array.from({ length: n }, (_, i) => letter + i),
  );
const LONG = [
  '␣antidisestablishmentarianism',
  'WWWWWWWWWWWWWWWWWW',
  '裏裏裏裏',
  '<|endoftext|>',
  '</svg>&"',
  '\n',
  '!',
];
const tokens = (n: number, star = 0) =>
  axis(
    'pos',
    Array.from({ length: n }, (_, i) => `${i}:${LONG[i % LONG.length]}${i < star ? '*' : ''}`),
  );
const fill = (axes: { name: string; labels: string[] }[], meta = {}, scale = 1): Labelled => {
  const { uniform } = rng(7);
  const size = axes.reduce((n, a) => n * a.labels.length, 1);
  return labelled(
    Float32Array.from({ length: size }, () => scale * (uniform() - 0.4)),
    axes,
    meta,
  );
};
const traceOf = (values: number[], kind: Trace['kind'], nLayers: number): Trace => ({
  scores: labelled(
    Float32Array.from(values),
    [tokens(values.length / nLayers, 1), numbered('layer', nLayers)],
    { model: 'gpt2' },
  ),
  lowScore: 0.1,
  answer: { text: ' Seattle' },
  kind,
  window: kind ? 10 : 1,
});
const deep = (kind: Trace['kind']) =>
  traceOf(Array.from(fill([tokens(7), numbered('layer', 48)]).values), kind, 48);
const average = (n: number) => {
  const axes = [axis('role', ['First subject token', 'Last token']), numbered('layer', n)];
  return { effect: fill(axes, { kind: 'mlp', window: 10, model: 'gpt2' }), band: fill(axes), traces: 9 };
};

/** Colours of the cells of a picture in the light theme, by `row,column`. */
const cells = (svg: string): Map<string, string> =>
  new Map([...svg.matchAll(/data-at="([\d,]+)"[^>]*fill="(#\w+)"/g)].map((m) => [m[1], m[2]]));
/** What stands in a picture, in order. */
const texts = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>(.*?)<\/text>/gs)].map((m) => m[1].replace(/<[^>]*>/g, ''));

const everyFigure = {
  'layer × pos': figure(fill([numbered('layer', 12), tokens(15)])),
  'many layers × pos': figure(fill([numbered('layer', 48), tokens(7)])),
  'layer × head': figure(fill([numbered('layer', 12), numbered('head', 12, 'H')])),
  'pos × layer': figure(fill([tokens(7), numbered('layer', 3)])),
  'site × layer × pos': figure(
    fill([axis('site', ['resid_pre', 'attn_out', 'mlp_out']), numbered('layer', 12), tokens(15)]),
  ),
  'site × layer × head': figure(
    fill([axis('site', ['z', 'q', 'k', 'v', 'pattern']), numbered('layer', 12), numbered('head', 12, 'H')]),
  ),
  'layer × pos × head': figure(fill([numbered('layer', 4), tokens(6), numbered('head', 4, 'H')])),
  layer: figure(fill([numbered('layer', 12)])),
  counterfactuals: figure(
    fill([axis('counterfactual', ['blocks.3.attn.hook_z, head 5, pos 10: set from clean', 'x'])]),
  ),
  'one cell': figure(fill([numbered('layer', 1), tokens(1)])),
  trace: traceFigure(deep(null)),
  'three traces': traceFigure([deep(null), deep('mlp'), deep('attn')]),
  'small trace': traceFigure(traceOf([0.1, 0.2, 0.3, 0.4], 'attn', 2)),
  average: averageFigure(average(12)),
};

test('the floor of a trace’s colours is the corrupted run, their ceiling the largest score', () => {
  for (const [kind, hue] of [
    [null, hues.state],
    ['mlp', hues.mlp],
    ['attn', hues.attn],
  ] as const) {
    const scale = sequential(hue, 'light');
    const colours = cells(traceFigure(traceOf([0.1, 0.05, 0.5, 0.9], kind, 2)).svg());
    assert.is(colours.get('0,0'), hex(scale(0)));
    assert.is(colours.get('0,1'), hex(scale(0)), 'below the corrupted run: paper');
    assert.is(colours.get('1,0'), hex(scale(0.5)));
    assert.is(colours.get('1,1'), hex(scale(1)));
  }
});

test('a trace has ROME’s titles, captions, ticks and stars', () => {
  const state = texts(traceFigure(deep(null)).svg());
  assert.ok(state.includes('Impact of restoring state after corrupted input'));
  assert.ok(state.includes('single restored layer within GPT-2'));
  assert.ok(state.includes('p(Seattle)'));
  assert.ok(state.some((t) => t.endsWith('*')));
  const numbers = state.filter((t) => /^\d+$/.test(t)).map(Number);
  assert.equal(numbers, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]);
  const mlp = texts(traceFigure(traceOf([0.1, 0.2, 0.3], 'mlp', 3)).svg());
  assert.ok(mlp.includes('Impact of restoring MLP after corrupted input'));
  assert.ok(mlp.includes('center of interval of 10 restored MLP layers'));
  assert.equal(
    mlp.filter((t) => /^L\d$/.test(t)),
    ['L0', 'L1', 'L2'],
  );
});

test('several traces have a scale each, from nothing restored to their largest score, and a colour bar each', () => {
  const svg = traceFigure([traceOf([0.1, 0.9], null, 2), traceOf([0.1, 0.5], 'mlp', 2)]).svg();
  const all = [...svg.matchAll(/data-at="0,1"[^>]*fill="(#\w+)"/g)].map((m) => m[1]);
  assert.equal(all, [hex(sequential(hues.state, 'light')(1)), hex(sequential(hues.mlp, 'light')(1))]);
  assert.is(svg.match(/<rect class="f"/g)?.length, 2 * 48);
  assert.is(texts(svg).filter((t) => t === 'p(Seattle)').length, 2);
});

test('a causal trace is known by its provenance, and pyvene’s layer × pos is turned', () => {
  const meta = {
    method: "causal tracing, pyvene's",
    stream: 'mlp_activation',
    window: 10,
    corrupted: 0.1,
    answer: { text: ' Seattle' },
  };
  const scores = labelled(
    Float32Array.from([0.1, 0.2, 0.3, 0.9]),
    [numbered('layer', 2), tokens(2, 1)],
    meta,
  );
  const svg = figure(scores).svg();
  assert.match(svg, 'Impact of restoring MLP');
  assert.is(cells(svg).get('1,1'), hex(sequential(hues.mlp, 'light')(1)));
  assert.is(
    cells(svg).get('1,0'),
    hex(sequential(hues.mlp, 'light')(0.125)),
    'row 1 is pos 1, column 0 layer 0',
  );
});

test('facets have one scale: the same value has the same colour in all, and there is one colour bar', () => {
  const [a, b] = [fill([numbered('layer', 2), tokens(2)]), fill([numbered('layer', 2), tokens(2)], {}, 3)];
  b.values[0] = a.values[0];
  const maps = heatmaps([a, b]);
  assert.is(maps[0].max, maps[1].max);
  const first = [...facetsSvg(maps).matchAll(/data-at="0,0"[^>]*fill="(#\w+)"/g)].map((m) => m[1]);
  assert.is(first.length, 2);
  assert.is(first[0], first[1]);
  throws(() => facetsSvg([heatmap(a), heatmap(b)]), /one colour bar/);
});

test('a sequential scale goes from its floor to its ceiling, a diverging one is pinned at zero', () => {
  const map = fill([numbered('layer', 2), tokens(2)]);
  const purple = heatmap(map, { scale: 'sequential', hue: hues.state, min: 2, max: 4 });
  assert.equal(purple.colour(3, 'dark'), sequential(hues.state, 'dark')(0.5));
  assert.equal(heatmap(map, { min: 2, max: 4 }).colour(-4, 'dark'), diverging('dark')(-1));
  const flat = labelled(new Float32Array(4).fill(1), map.axes, {});
  assert.ok(heatmap(flat, { scale: 'sequential', min: 1 }).max > 1, 'a map without any effect is all paper');
});

test('a third axis makes facets, and tokens run from left to right', () => {
  const svg = everyFigure['layer × pos × head'].svg();
  assert.is(svg.match(/data-at="0,0"/g)?.length, 4);
  assert.match(svg, 'head H3 · pos 5:', 'pos × head is turned');
  assert.equal(
    texts(svg).filter((t) => /^L\d$/.test(t)),
    ['L0', 'L1', 'L2', 'L3'],
  );
  const prompts = axis('prompt', ['0', '1', '2']);
  const each = figure(
    labelled(Float32Array.of(0, 0, 3, 0, 0, 1), [numbered('layer', 2), tokens(1), prompts], {}),
  ).svg();
  assert.equal(
    texts(each).filter((t) => /^prompt/.test(t)),
    ['prompt 0', 'prompt 1', 'prompt 2'],
  );
  assert.match(each.slice(each.indexOf('prompt 2')), /layer L0 · pos 0:\S+\n3<.*layer L1 · pos 0:\S+\n1</s);
  const four = figure(
    fill([axis('site', ['z', 'v']), numbered('layer', 2), tokens(2), numbered('head', 2, 'H')]),
  ).svg();
  assert.equal(
    texts(four).filter((t) => / · L/.test(t)),
    ['z · L0', 'z · L1', 'v · L0', 'v · L1'],
  );
  throws(
    () => figure(fill([numbered('layer', 300), numbered('neuron', 300, 'N')])),
    /90000 cells .* slices\(\)/,
  );
  throws(() => figure(fill([numbered('layer', 0), tokens(2)])), /nothing/);
});

test('a map of patching reaches to its largest effect, unless it is told to share a scale', () => {
  const axes = [numbered('layer', 2), tokens(2)];
  const weak = figure(fill(axes, { method: 'activation patching', clean: 3, corrupted: -2 }, 0.1), {
    max: 1,
  }).svg();
  assert.equal(texts(weak).slice(-6), ['−1', '1', '−0.5', '0', '0.5', '0 = corrupted run, 1 = clean run']);
  const map = fill(axes, { method: 'activation patching', clean: 3, corrupted: -2 }, 0.1);
  const own = cells(figure(map).svg());
  const most = Math.max(...map.values.map(Math.abs));
  const at = Array.from(map.values, Math.abs).indexOf(most);
  assert.is(own.get(`${at >> 1},${at & 1}`), hex(diverging('light')(Math.sign(map.values[at]))));
});

/** Corners of each text, if it is as wide as it can be, in the picture's coordinates. */
function* corners(svg: string): Generator<[text: string, x: number, y: number]> {
  for (const [, gx, gy, body] of svg.matchAll(/<g transform="translate\(([-\d.]+) ([-\d.]+)\)">(.*?)<\/g>/gs))
    for (const [, attributes, inner] of body.matchAll(/<text([^>]*)>(.*?)<\/text>/gs)) {
      const number = (name: string) =>
        Number(new RegExp(`${name}="([-\\d.]+)"`).exec(attributes)?.[1] ?? NaN);
      const turned = /translate\(([-\d.]+) ([-\d.]+)\) rotate\(-45\)/.exec(attributes);
      const [x, y] = turned ? [Number(turned[1]), Number(turned[2])] : [number(' x'), number(' y')];
      const entity = /&(amp|lt|gt|quot|#39);/g;
      const text = inner.replace(/<[^>]*>/g, '').replace(entity, '&');
      const size = number('font-size') || (attributes.includes('class="n') ? 10.5 : 12);
      const width = textWidth(text, size) * 0.93; // textWidth never says too little
      const anchor =
        /text-anchor="(\w+)"/.exec(attributes)?.[1] ?? (attributes.includes('class="n') ? 'middle' : 'start');
      const from = anchor === 'end' ? -width : anchor === 'middle' ? -width / 2 : 0;
      const [cos, sin] = turned ? [Math.SQRT1_2, -Math.SQRT1_2] : [1, 0];
      for (const along of [from, from + width])
        for (const up of [0, 0.8 * size])
          yield [text, Number(gx) + x + along * cos + up * sin, Number(gy) + y + along * sin - up * cos];
    }
}

test('every label is inside the picture, however long the tokens', () => {
  for (const [name, drawn] of Object.entries(everyFigure)) {
    const svg = drawn.svg();
    const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!.map(Number);
    let seen = 0;
    for (const [text, x, y] of corners(svg)) {
      seen++;
      assert.ok(
        x >= 0 && x <= width && y >= 0 && y <= height,
        `${name}: ${text} at ${x}, ${y} of ${width} × ${height}`,
      );
    }
    assert.ok(seen > 4, name);
  }
});

test('a file of its own brings its style, loads nothing, follows the theme or has its own, and is well-formed', () => {
  for (const [name, drawn] of Object.entries(everyFigure)) {
    const auto = drawn.svg();
    assert.match(auto, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    assert.match(auto, 'prefers-color-scheme:dark');
    for (const theme of ['light', 'dark'] as const) {
      const svg = drawn.svg(theme);
      assert.not.match(svg, /prefers-color-scheme|--d/, 'one theme, whatever the reader’s');
      assert.match(svg, theme === 'dark' ? 'fill="#16181d"' : 'fill="#fff"');
    }
    assert.not.match(auto.replace('http://www.w3.org/2000/svg', ''), /https?:|url\(|@import|href=/, name);
    assert.not.match(auto, /NaN|undefined|"-0[" ]|>−0</, name);
    const open = auto.match(/<(?!\/)[a-z]+\b(?![^>]*\/>)/g)!.map((t) => t.slice(1));
    const close = auto.match(/<\/[a-z]+/g)!.map((t) => t.slice(2));
    assert.equal(open.sort(), close.sort(), name);
  }
});

test('a figure is a section of a page, or a page of its own', () => {
  const meta = {
    method: 'activation patching',
    model: '/home/me/models/mine',
    processing: ['foldLn'],
    tokens: [1, 2],
  };
  const drawn = figure(fill([numbered('layer', 2), tokens(2)], meta));
  assert.equal(drawn.section().source, {
    method: 'activation patching',
    model: 'mine',
    processing: 'foldLn',
  });
  assert.match(drawn.html(), /^<!doctype html>/);
  assert.not.match(drawn.html(), /https?:|src=|<link|\/home\/me/);
});

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape codes begin with one
const plain = (line: string): string => line.replace(/\x1b\[[0-9;]*m/g, '');

test('in a terminal no line is wider than the terminal', () => {
  for (const [name, drawn] of Object.entries(everyFigure))
    for (const width of [50, 80, 120])
      for (const depth of [1, 24] as const)
        for (const line of drawn.lines({ width, depth }))
          assert.ok(displayWidth(plain(line)) <= width, `${name} in ${width}: ${plain(line)}`);
});

test('a trace of many layers is one table, in tenths of the scale where there are no colours', () => {
  const values = Array.from({ length: 48 }, (_, l) => 0.1 + (0.8 * l) / 47);
  const text = traceFigure(traceOf(values, null, 48)).lines({ width: 90 });
  assert.match(text.join('\n'), /·{3}1+2+3+4+5+6+7+8+9+\n/);
  assert.match(text[1], /L0 +L5 +L10/);
});

test('curves stand at their layers, and at half layers', () => {
  const labels = ['0_pre', '0_mid', '1_pre', '1_mid', 'final_post'];
  assert.equal(lines(fill([axis('layer', labels)])).at, [0, 0.5, 1, 1.5, 2]);
  assert.equal(lines(fill([numbered('layer', 3)])).at, [0, 1, 2]);
  const byToken = lines(fill([tokens(3)]));
  assert.equal(byToken.at, [0, 1, 2]);
  assert.not(byToken.numbered);
});

test('a band reaches as far above the curve as below, and what has no value leaves a gap', () => {
  const axes = [axis('role', ['a']), numbered('layer', 5)];
  const effect = labelled(Float32Array.from([0.5, 0.5, NaN, 0.5, 0.5]), axes, {}, 'allowed');
  const band = labelled(new Float32Array(5).fill(0.5), axes, {});
  const svg = linesSvg(lines(effect, { band }), { size: [400, 104] });
  const areas = [...svg.matchAll(/<path class="f" d="M([^"]+)Z"/g)].map((m) =>
    m[1].split('L').map((p) => p.split(' ').map(Number)),
  );
  assert.is(areas.length, 2);
  assert.equal(
    areas[0].map(([x]) => x),
    [0, 100, 100, 0],
  );
  assert.equal(
    areas[0].map(([, y]) => y),
    [4, 4, 104, 104],
    'from 1, with 4 % of room above, to 0',
  );
  assert.is(svg.match(/class="zero"/g)?.length, 1);
  throws(() => lines(effect, { band: fill([numbered('layer', 5)]) }), /band is 5, the curves are 1 × 5/);
});

test('in a terminal curves share their scale, and tell where they are furthest from zero', () => {
  const effect = labelled(
    Float32Array.from([0, 1, 2, 0, -1, 0]),
    [axis('role', ['up', 'down']), numbered('layer', 3)],
    {},
  );
  const [up, down] = lineLines(lines(effect), { width: 40 });
  assert.match(up, /^up {4}▃+▆+█+ {2}2 at L2$/);
  assert.match(down, /^down {2}▃+▁+▃+ {2}−1 at L1$/);
});

test('ticks are round numbers, and zero has no sign', () => {
  assert.equal(ticks(-0.3, 0.31, 7), [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]);
  assert.ok(ticks(-1, 1, 4).every((t) => !Object.is(t, -0)));
  assert.equal(ticks(3, 3, 4), [3]);
});

test('a comparison says what agrees', () => {
  const rows = [
    { name: 'p( Seattle)', expected: 0.9763794541358948, got: 0.97637948, tolerance: 1e-4 },
    { name: 'p( Los)', expected: 0.0329, got: 0.05, tolerance: 1e-4 },
    { name: 'rank 1', expected: ' Seattle', got: ' Seattle' },
    { name: 'rank 2', expected: ' Bellev', got: ' Los' },
    { name: 'nothing', expected: 1, got: NaN, tolerance: 1e9 },
  ];
  assert.equal(rows.map(agrees), [true, false, true, false, false]);
  const text = comparisonTable(rows);
  assert.match(text[1], /0\.9763795 +0\.9763795 +\+2\.6e-8 +0\.0001 +✓$/);
  assert.match(text[2], /\+1\.7e-2 +0\.0001 +✗$/);
  assert.match(text[3], /␣Seattle +␣Seattle +✓$/);
  assert.is(text.at(-1), '2 of 5 agree');
  for (const line of comparisonTable(rows, { width: 60 })) assert.ok(displayWidth(line) <= 60);
  const markdown = comparisonTable(rows, { markdown: true });
  assert.ok(markdown.slice(0, 7).every((line) => line.match(/\|/g)?.length === 7));
});

test.run();
