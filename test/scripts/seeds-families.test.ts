/** The notebooks on blocks of other families: parallel ones, norms behind, shared keys and values; each with its own noise. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { agrees, type NotebookOptions, type Report, runNotebook } from '../../index.js';
import { Comparing } from '../../scripts/seeds/comparison.js';
import { seeds } from '../../scripts/seeds/index.js';
import { randomModelFor } from './seed.js';

/** Short prompts: the vocabulary is letters. */
const pairs = [
  ['Al', 'Bo'],
  ['Bo', 'Al'],
].map(([a, b]) => ({
  clean: `${a}, ${b}: ${a} to`,
  corrupted: `${a}, ${b}: ${b} to`,
  answer: ` ${b}`,
  wrong: ` ${a}`,
}));
const one = { prompt: 'Jo Bo is', subject: 'Jo Bo' };
const OWN: Readonly<Record<string, NotebookOptions>> = {
  rome: { inputs: { ...one, names: ['Jo Bo', 'Al Bo'], templates: ['{} is'] }, settings: { samples: 1 } },
  'rome-averages': { inputs: { facts: [{ ...one, attribute: 'Al' }] }, settings: { samples: 1 } },
  pyvene: { inputs: { ...one, answer: ' Al' } },
  ioi: { inputs: { pairs } },
  'capital-letters': { inputs: { names: ['Jo', 'Al, She'], templates: ['{} is.'] } },
  'attribution-patching': { inputs: { pairs } },
};

/** Runs one to its end and checks what must hold for any model. */
async function reported(family: string, name: string): Promise<Report> {
  const known = seeds.find(({ notebook }) => notebook.name === name)!;
  using model = await randomModelFor(known.notebook, family);
  const { report, computed } = await runNotebook(known.notebook, model, { quick: true, ...OWN[name] });
  const comparing = new Comparing(model, null);
  await known.compare(comparing, computed);
  const rows = comparing.groups.flatMap((g) => g.rows);
  assert.ok(rows.length > 0);
  for (const row of rows) assert.ok(agrees(row), `${row.name}: ${row.got}, not ${row.expected}`);
  assert.ok(report.page().includes('class="contents"'));
  return report;
}

test('parallel blocks: every notebook ends, what must hold does, and the page says that no state lies between', async () => {
  const figures: Record<string, number> = {};
  for (const { notebook } of seeds) {
    const report = await reported('gpt_neox', notebook.name);
    figures[notebook.name] = report.figures.size;
    assert.match(report.head.facts.blocks, /no state between attention and MLP/);
    const lens = report.texts.get('logit-lens.csv');
    if (lens) assert.not.match(lens, /_mid/);
    const trace = report.figures.get('jo-bo-is')?.svg();
    if (notebook.name === 'rome') assert.match(trace!, /noise 0\.03,/);
  }
  assert.ok(figures.ioi >= 6 && figures['capital-letters'] >= 9 && figures['attribution-patching'] >= 25);
  assert.equal([figures.rome, figures.pyvene], [1, 3]);
});

test('norms behind and shared keys and values, capped logits: paths between heads are left out, and the page says so', async () => {
  for (const name of ['capital-letters', 'attribution-patching']) {
    const report = await reported('gemma2', name);
    assert.match(report.head.facts.blocks, /norms before and behind/);
    assert.match(report.head.facts.heads, /share \d+ of keys and values/);
    assert.match(report.head.facts.logits, /^capped at/);
    if (name !== 'attribution-patching') continue;
    assert.match(report.notes.join('\n'), /Paths between heads are left out/);
    assert.not(report.texts.has('paths.csv'));
  }
});

test('noise is three standard deviations of the subject’s embeddings in a family of which none is stated', async () => {
  const report = await reported('llama', 'pyvene');
  assert.match(report.page(), /noise of s3 on the embeddings of “Jo Bo”/);
  assert.match(report.figures.get('tutorial_data/pyvene_rome_block_output')!.svg(), /noise [\d.e-]+ \(s3\)/);
});

test.run();
