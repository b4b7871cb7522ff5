/** docs/notebooks.md: its rows, the calls and tests that they name, and what no other test has. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as glassbox from '../../index.js';
import { NotebookRun } from '../../interp/notebooks/notebook.js';
import { seedCommand } from '../../scripts/commands/seed.js';
import { root } from './command.js';

const read = (file: string) => readFileSync(path.join(root, file), 'utf8');

/** The tables: notebook by notebook, row by row. */
const notebooks = read('docs/notebooks.md')
  .split(/^## /m)
  .slice(1)
  .map((text) => {
    const [, seed, count] = /`glassbox seed ([\w-]+)` \((\d+)\)/.exec(text)!;
    const rows = text
      .split('\n')
      .filter((line) => /^\| [A-Z]\d+ \|/.test(line))
      .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|')))
      .map(([, id, what, call, checked]) => ({ id, what, call, checked }));
    return { seed, count: Number(count), rows };
  });

test('143 operations, each in a row', () => {
  assert.equal(
    notebooks.map((n) => n.rows.length),
    [38, 26, 13, 38, 28],
  );
  for (const { count, rows } of notebooks) {
    assert.is(count, rows.length);
    rows.forEach(({ id }, i) => {
      assert.is(Number(id.slice(1)), i + 1, id);
    });
  }
});

test('every call exists', () => {
  const { HookedTransformer, ActivationCache } = glassbox;
  const methods: Readonly<Record<string, object>> = {
    model: HookedTransformer.prototype,
    cache: ActivationCache.prototype,
    x: NotebookRun.prototype,
  };
  for (const { rows } of notebooks)
    for (const { id, call } of rows)
      for (const [, name] of call.matchAll(/`([^`]+)`/g)) {
        const [of, method] = name.split('.');
        if (name.startsWith('--')) assert.ok(name.slice(2) in seedCommand.options!, `${id}: ${name}`);
        else if (method)
          assert.type((methods[of] as Record<string, unknown>)[method], 'function', `${id}: ${name}`);
        else assert.ok(name in glassbox, `${id}: ${name} is not exported`);
      }
});

test('every test that is named exists', () => {
  for (const { rows } of notebooks)
    for (const { id, checked } of rows) {
      const [, file, name] = /^`(test\/[^`]+)` · (.+)$/.exec(checked) ?? [];
      assert.ok(file, `${id}: ${checked}`);
      assert.ok(read(file).includes(name), `${id}: ${file} has no test “${name}”`);
    }
});

test('top_vals: ten tokens padded to 20, blanks as _, newlines as two letters', () => {
  assert.equal(glassbox.pyveneTopVals([{ text: ' a b\n', prob: 0.25 }]), [`_a_b\\n${' '.repeat(14)} 0.25`]);
});

test('a patched map has the labels of the clean prompt, and both where they differ; axes are named in the picture', async () => {
  const sizes = { nLayers: 1, nHeads: 1, dModel: 4, dHead: 4, dMlp: 8, nCtx: 8, dVocab: 12 };
  const model = await glassbox.randomModel(
    { ...sizes, actFn: 'gelu', attnOnly: false },
    { seed: 1, adapter: 'software' },
  );
  const map = await glassbox.patch(model, {
    ...{ clean: [[1, 2, 3]], corrupted: [[1, 4, 3]] },
    ...{ at: 'resid_pre', by: ['layer', 'pos'], metric: glassbox.logitDiff(1, 2) },
  });
  model.dispose();
  assert.equal(map.axes[1].labels, ['0:#1', '1:#2 | #4', '2:#3']);
  const svg = glassbox.figure(map, { title: 'Patched' }).svg('light');
  for (const word of ['Patched', 'pos', 'layer']) assert.match(svg, new RegExp(`<text[^>]*>${word}</text>`));
});

test.run();
