import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { attentionFigure } from '../../interp/figures/attention.js';
import {
  ansi256,
  contrast,
  diverging,
  hex,
  hues,
  inkOn,
  luminance,
  sequential,
} from '../../interp/figures/draw/colour.js';
import { heatmapSvg } from '../../interp/figures/draw/svg.js';
import {
  bar,
  gridLines,
  heatmapLines,
  legendLine,
  paint,
  tokenLines,
} from '../../interp/figures/draw/terminal.js';
import { extremes, heatmap } from '../../interp/figures/heatmap.js';
import { barTable, lensTable, tokenStrip } from '../../interp/figures/page/html.js';
import { page } from '../../interp/figures/page/page.js';
import { labelled } from '../../interp/results/result.js';
import {
  compact,
  displayWidth,
  escapeHtml,
  exact,
  fit,
  jsonForScript,
  percent,
  shorten,
  visible,
} from '../../interp/results/text.js';
import { rng, throws } from '../helpers.js';

const themes = ['light', 'dark'] as const;
const steps = Array.from({ length: 21 }, (_, i) => i / 20);

/** A map of layers × tokens with the given values. */
const mapOf = (values: number[], tokens: string[]) =>
  labelled(
    Float32Array.from(values),
    [
      { name: 'layer', labels: Array.from({ length: values.length / tokens.length }, (_, l) => `L${l}`) },
      { name: 'pos', labels: tokens.map((t, i) => `${i}:${t}`) },
    ],
    {},
  );

/** What is left of a line without its escape codes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape codes begin with one
const plain = (line: string): string => line.replace(/\x1b\[[0-9;]*m/g, '');

test('on a diverging scale zero is paper, blue is above, red is below', () => {
  for (const theme of themes) {
    const scale = diverging(theme);
    assert.equal(scale(0), sequential(hues.positive, theme)(0));
    const [[r, , b], [r2, , b2]] = [scale(1), scale(-1)];
    assert.ok(b > r + 50 && r2 > b2 + 50);
  }
});

test('a larger value is always further from paper', () => {
  for (const theme of themes)
    for (const hue of Object.values(hues)) {
      const light = steps.map((t) => luminance(sequential(hue, theme)(t)));
      const sorted = [...light].sort((a, b) => (theme === 'light' ? b - a : a - b));
      assert.equal(light, sorted);
    }
});

test('values beyond the scale take the colour of its end', () => {
  const scale = diverging('light');
  assert.equal(scale(7), scale(1));
  assert.equal(scale(-7), scale(-1));
});

test('text can be read on every colour of every scale', () => {
  for (const theme of themes)
    for (const hue of Object.values(hues))
      for (const t of steps) {
        const paper = sequential(hue, theme)(t);
        assert.ok(contrast(paper, inkOn(paper)) >= 4.5, `${theme} ${hue} ${t}: ${hex(paper)}`);
      }
});

test('256-colour terminals get the nearest colour', () => {
  assert.is(ansi256([255, 0, 0]), 196);
  assert.is(ansi256([0, 0, 0]), 16);
  assert.is(ansi256([128, 128, 128]), 244);
  const hue = (n: number) => [Math.floor((n - 16) / 36), (n - 16) % 6]; // red and blue, 0–5
  for (const theme of themes) {
    const [red, blue] = [hue(ansi256(diverging(theme)(-0.3))), hue(ansi256(diverging(theme)(0.3)))];
    assert.ok(red[0] > red[1] && blue[1] > blue[0], 'weak red is red and weak blue is blue, not grey');
  }
});

test('tokens are shown so that blanks are seen and nothing reaches the terminal as a command', () => {
  assert.is(visible(' Mary'), '␣Mary');
  assert.is(visible('\n\t'), '⏎⇥');
  assert.is(visible('\x1b[31m'), '\\x1B[31m');
  assert.is(visible('a\u202eb'), 'a\\u{202E}b');
  assert.is(visible('裏é'), '裏é');
});

test('widths are columns, not code units', () => {
  assert.is(displayWidth('abc'), 3);
  assert.is(displayWidth('裏'), 2);
  assert.is(displayWidth('e\u0301'), 1);
  assert.is(displayWidth('👩‍👩‍👧'), 2);
  assert.is(shorten('␣shopping', 5), '␣sho…');
  for (const width of [1, 2, 3, 4, 5]) assert.is(displayWidth(fit('日本語の', width)), width);
});

test('short numbers take at most four columns and keep their sign', () => {
  assert.is(compact(0.971), '.97');
  assert.is(compact(-0.03), '-.03');
  assert.is(compact(0.9999), '1.0');
  assert.is(compact(0.004), '·');
  assert.is(compact(NaN), '?');
  const { uniform } = rng(3);
  for (let i = 0; i < 500; i++) {
    const value = (uniform() - 0.5) * 10 ** Math.floor(uniform() * 9 - 4);
    const text = compact(value);
    assert.ok(text.length <= 4, `${value} → ${text}`);
    if (text !== '·') assert.is(text.startsWith('-'), value < 0);
  }
});

test('numbers and shares in words', () => {
  assert.is(exact(-2.75349), '−2.753');
  assert.is(exact(3, { sign: true }), '+3');
  assert.is(percent(0.621), '62.1%');
  assert.is(percent(0.00042), '0.04%');
  assert.is(percent(1e-9), '<0.01%');
});

test('a heat map is pinned at zero: its scale reaches as far below as above', () => {
  const map = heatmap(mapOf([0.1, -0.5, 0.2, 0], ['a', 'b']));
  assert.is(map.max, 0.5);
  assert.equal(map.colour(0, 'dark'), diverging('dark')(0));
  assert.equal(map.colour(-0.5, 'dark'), diverging('dark')(-1));
});

test('the most extreme cells are named by their labels', () => {
  const { highest, lowest } = extremes(heatmap(mapOf([0.1, -0.5, 0.9, 0], ['a', 'b'])), 1);
  assert.equal(
    highest.map((c) => `${c.row} ${c.column}`),
    ['L1 0:a'],
  );
  assert.equal(
    lowest.map((c) => `${c.row} ${c.column}`),
    ['L0 1:b'],
  );
  assert.equal(extremes(heatmap(mapOf([1, 2], ['a', 'b']))).lowest, []);
});

test('a result of three axes is no heat map, and the error says so', () => {
  const cube = labelled(
    new Float32Array(1),
    ['layer', 'head', 'pos'].map((name) => ({ name, labels: ['x'] })),
    {},
  );
  throws(() => heatmap(cube), /two axes, this result 3 \(layer × head × pos\)/);
});

test('whatever the tokens, no line is wider than the terminal', () => {
  const words = ['<|endoftext|>', '␣antidisestablishmentarianism', '裏裏裏', '👩‍👩‍👧', ','];
  for (const count of [1, 5, 15, 70])
    for (const width of [40, 80, 120])
      for (const depth of [1, 24] as const) {
        const tokens = Array.from({ length: count }, (_, i) => words[i % words.length]);
        const values = Array.from({ length: 3 * count }, (_, i) => Math.sin(i));
        const lines = [
          ...heatmapLines(heatmap(mapOf(values, tokens)), { width, depth }),
          ...tokenLines(tokens, () => ({}), { width, depth }),
        ];
        for (const line of lines) assert.ok(displayWidth(plain(line)) <= width, `${width}: ${plain(line)}`);
      }
});

test('a map too wide for the terminal goes on below, without losing a column', () => {
  const tokens = Array.from({ length: 40 }, (_, i) => `t${i}`);
  const lines = heatmapLines(
    heatmap(
      mapOf(
        tokens.map((_, i) => i),
        tokens,
      ),
    ),
    { width: 80 },
  );
  const text = lines.join('\n');
  for (const token of tokens) assert.match(text, token);
  assert.is(lines.filter((l) => l.startsWith('L0')).length, 3);
});

test('without colours there are no escape codes; with them, the cell carries its colour', () => {
  const map = heatmap(mapOf([1, -1], ['a', 'b']));
  assert.not.match(heatmapLines(map, { depth: 1 }).join(''), '\x1b');
  const [r, g, b] = diverging('dark')(1);
  assert.match(heatmapLines(map, { depth: 24 }).join(''), `48;2;${r};${g};${b}`);
  assert.match(heatmapLines(map, { depth: 8 }).join(''), `48;5;${ansi256([r, g, b])}`);
  assert.match(legendLine(map, 'meaning', { depth: 24 }), 'meaning');
  assert.is(paint('x', { bold: true }, 1), 'x');
});

test('cells can be left out of a grid', () => {
  const lines = gridLines({ rows: ['r'], columns: ['a', 'b'], cell: (_, c) => ({ text: c ? '' : 'here' }) });
  assert.match(lines.at(-1)!, /^r +here$/);
});

test('bars are exact to an eighth of a column', () => {
  assert.is(bar(1, 3), '███');
  assert.is(bar(0.5, 1), '▌');
  assert.is(bar(0, 5), '');
  assert.is(bar(9, 2), '██');
});

test('no token can break out of the page', () => {
  const evil = `</script><img src=x onerror="alert('1')">&`;
  assert.not.match(escapeHtml(evil), /[<>"']/);
  assert.not.match(jsonForScript({ evil }), '<');
  assert.equal(JSON.parse(jsonForScript({ evil })), { evil });
  const map = mapOf([0.5, 0, 0.25, 0.75], [evil, 'b']);
  const square = labelled(map.values, [map.axes[1], map.axes[1]], {});
  const html = page({
    title: evil,
    lead: '',
    sections: [
      {
        title: evil,
        about: '',
        figure: [
          heatmapSvg(heatmap(map), { title: evil, meaning: evil }),
          lensTable(
            heatmap(map),
            [0, 1].map(() => [0, 1].map(() => [{ text: evil, prob: 0.5 }])),
          ),
          barTable([{ rank: 1, label: evil, fraction: 1, values: [evil], role: evil }], [evil]),
          tokenStrip([evil]),
          attentionFigure({ pattern: square, layer: 0, head: 0, layers: 1, heads: 1, all: null }),
        ].join(''),
        source: { [evil]: evil },
      },
    ],
  });
  assert.not.match(html, '<img');
  assert.is(html.match(/<\/script>/g)?.length, 2);
});

test('a page loads nothing', () => {
  const html = page({ title: 't', lead: 'l', sections: [] });
  assert.not.match(html, /https?:|url\(|@import|src=|<link/);
});

test('an SVG of its own is well-formed, and each cell tells its value', () => {
  const svg = heatmapSvg(heatmap(mapOf([0.5, -0.25], ['a', 'b'])), { standalone: true, title: 'patched' });
  assert.match(svg, 'xmlns="http://www.w3.org/2000/svg"');
  assert.match(svg, 'layer L0 · pos 1:b\n−0.25</title>');
  const open = svg.match(/<(?!\/)[a-z]+\b(?![^>]*\/>)/g)!.map((t) => t.slice(1));
  const close = svg.match(/<\/[a-z]+/g)!.map((t) => t.slice(2));
  assert.equal(open.sort(), close.sort());
});

test('what a causal mask hides is not drawn', () => {
  const pattern = mapOf([1, 0, 0.5, 0.5], ['a', 'b']);
  const svg = heatmapSvg(heatmap(pattern), { skip: (q, k) => k > q });
  assert.is(svg.match(/data-at=/g)?.length, 3);
});

test.run();
