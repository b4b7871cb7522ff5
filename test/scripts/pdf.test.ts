import { readFileSync } from 'node:fs';
import path from 'node:path';
import { unzlibSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { circuitFigure, curveFigure, EdgeList, figure, labelled, scatterFigure } from '../../index.js';
import { pdfOf } from '../../interp/figures/draw/pdf.js';
import { throws } from '../helpers.js';
import { inFolder, runScript } from './command.js';
import { hasTiny } from './seed.js';

/** Streams of a PDF, unpacked. */
function streamsOf(pdf: Uint8Array): string[] {
  const text = Buffer.from(pdf).toString('latin1');
  return [...text.matchAll(/stream\r?\n([\s\S]*?)\r?\nendstream/g)].map(([, body]) => {
    try {
      return Buffer.from(unzlibSync(Buffer.from(body, 'latin1'))).toString('latin1');
    } catch {
      return body;
    }
  });
}

/** The texts of a PDF as a reader's search finds them: glyphs, by the fonts' tables of characters. */
function textsOf(pdf: Uint8Array): string[] {
  const streams = streamsOf(pdf);
  const tables = streams.filter((s) => s.includes('begincmap'));
  const letters = new Map<string, string>();
  for (const [, glyph, letter] of tables.join('').matchAll(/<([\da-f]{4})>\s*<([\da-f]{4,})>/gi))
    letters.set(glyph.toLowerCase(), Buffer.from(letter, 'hex').swap16().toString('utf16le'));
  const drawn = streams.filter((s) => /\bTj\b/.test(s)).join('\n');
  return [...drawn.matchAll(/<([\da-f]+)> Tj/gi)].map(([, hex]) =>
    (hex.match(/.{4}/g) ?? []).map((glyph) => letters.get(glyph.toLowerCase()) ?? '?').join(''),
  );
}

const axis = (name: string, labels: readonly string[]) => ({ name, labels });
const map = labelled(
  Float32Array.of(-1, -0.5, 0, 0.25, 0.5, 1),
  [axis('layer', ['L0', 'L1']), axis('pos', ['0:␣Mary', '1:Привет&<', '2: it'])],
  { method: 'patching' },
);

test('the text of a PDF is text, its page is as large as the picture', async () => {
  const drawn = figure(map, { title: 'What is patched − and where' });
  const pdf = await drawn.pdf();
  const texts = textsOf(pdf);
  for (const text of [
    'What is patched − and where',
    '␣Mary',
    'Привет&<',
    'layer',
    'pos',
    'L1',
    '1.0',
    '−.50',
  ])
    assert.ok(texts.includes(text), `${text} is not in ${texts.join(' | ')}`);
  const [, width, height] = /<svg[^>]* width="(\d+)" height="(\d+)"/.exec(drawn.svg('light'))!;
  const file = Buffer.from(pdf).toString('latin1');
  const [, w, h] = /\/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/.exec(file)!;
  assert.equal([Number(w), Number(h)], [0.75 * Number(width), 0.75 * Number(height)]);
  assert.not.match(file, /\/Subtype \/Image/);
});

test('every cell is a rectangle in its colour, where the SVG has it', async () => {
  const drawn = figure(map);
  const page = streamsOf(await drawn.pdf()).find((s) => /\bTj\b/.test(s))!;
  const colours = [...drawn.svg('light').matchAll(/class="c"[^>]* fill="#(\w\w)(\w\w)(\w\w)"/g)];
  assert.is(colours.length, 6);
  for (const [, ...parts] of colours) {
    const rgb = parts.map((x) => Number((Number.parseInt(x, 16) / 255).toFixed(2)));
    const found = [...page.matchAll(/([\d.]+) ([\d.]+) ([\d.]+) rg/g)].some(([, ...is]) =>
      is.every((v, i) => Math.abs(Number(v) - rgb[i]) < 0.011),
    );
    assert.ok(found, parts.join(''));
  }
});

test('text that is turned in the picture is turned in the PDF', async () => {
  const svg =
    '<svg width="40" height="40"><g transform="translate(8 12)"><text transform="rotate(-90 4 8)" x="4" y="8">up</text></g></svg>';
  const page = streamsOf(await pdfOf(svg, 't')).find((s) => /\bTj\b/.test(s))!;
  const matrix = /([-\d.]+) ([-\d.]+) ([-\d.]+) ([-\d.]+) ([-\d.]+) ([-\d.]+) Tm/
    .exec(page)!
    .slice(1)
    .map(Number);
  assert.equal(
    matrix.map((v) => Math.round(v * 100) / 100 + 0),
    [0, 1, -1, 0, 9, 15],
  ); // (12, 20) px from above
});

test('every picture of a circuit and of several curves is drawn', async () => {
  const config = { nLayers: 2, nHeads: 2, attnOnly: false } as unknown as Parameters<typeof EdgeList.of>[0];
  const edges = EdgeList.of(config, [
    ['input', 'a0.h0<v>'],
    ['a0.h0', 'a1.h1<q>'],
    ['a1.h1', 'logits'],
  ]);
  assert.ok(textsOf(await circuitFigure(edges).pdf()).length > 3);
  const two = labelled(
    Float32Array.of(1, 2, 3, 4),
    [axis('component', ['a', 'b']), axis('layer', ['L0', 'L1'])],
    {},
  );
  assert.ok(textsOf(await curveFigure(two, { title: 'Two' }).pdf()).includes('b'));
});

test('curves and scatter plots are drawn, too; what cannot be is said', async () => {
  const curve = labelled(Float32Array.of(1, 2, -1), [axis('layer', ['0_pre', '0_mid', '1_pre'])], {});
  assert.ok(textsOf(await curveFigure(curve, { title: 'A curve', x: 'layer' }).pdf()).includes('layer'));
  assert.ok(textsOf(await scatterFigure(map, map, { title: 'Both' }).pdf()).includes('y = x'));
  const svg = (inside: string) => `<svg width="10" height="10">${inside}</svg>`;
  await throws(pdfOf(svg('<ellipse rx="2"/>'), 't'), /<ellipse>, which is not drawn yet/);
  await throws(pdfOf(svg('<g transform="scale(2)"></g>'), 't'), /transform scale/);
  await throws(pdfOf(svg('<path d="M 0 0 Q 1 1 2 2"/>'), 't'), /operation Q/);
});

(hasTiny ? test : test.skip)('a command writes its figure as PDF', () =>
  inFolder(async (folder) => {
    const args = ['lens', 'The cat sat', '--pdf', 'lens.pdf'];
    const { code, stderr } = await runScript('scripts/glassbox.ts', args, folder, {});
    assert.is(code, 0, stderr);
    assert.match(readFileSync(path.join(folder, 'lens.pdf')).toString('latin1'), /^%PDF-1\.\d/);
  }),
);

test.run();
