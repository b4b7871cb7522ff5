/** The replications of published experiments, and how they compare with what was published. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { comparisonCsv, comparisonHtml, condensed } from '../../scripts/seeds/comparison.js';
import { NAMES } from '../../scripts/seeds/rome.js';
import { published as rome } from '../../scripts/seeds/rome-published.js';
import { allClose } from '../helpers.js';
import { inFolder, root } from './command.js';
import { seed, writeRandomGpt2 } from './seed.js';

test('compared with what was published, another model is off, in the table and in the exit code', () =>
  inFolder((folder) =>
    seed('pyvene', ['--model', writeRandomGpt2(folder), '--compare'], ({ code, stdout, rows, stderr }) => {
      assert.is(code, 1, stderr);
      assert.match(stdout, /known numbers are off/);
      const all = rows('comparison.csv');
      assert.ok(all.filter(([group]) => group === 'tokens').every((row) => row.at(-1) === 'yes')); // GPT-2's vocabulary
      assert.ok(all.some(([, name, , , , , ok]) => name === 'clean 1' && ok === 'no'));
    }),
  ));

test('a model that cannot be downloaded is said to be so, with a way out', () =>
  inFolder((cache) =>
    seed(
      'capital-letters',
      ['--model', 'gpt2'],
      ({ code, stderr }) => {
        assert.is(code, 1);
        assert.match(
          stderr,
          /^error: openai-community\/gpt2 .*was not reached.*give --model a folder[^\n]*\n$/,
        );
      },
      { HF_ENDPOINT: 'http://127.0.0.1:9', HF_HOME: cache, HF_HUB_CACHE: '', HUGGINGFACE_HUB_CACHE: '' },
    ),
  ));

test('the names are those of the notebook, 20,000 different ones', () => {
  assert.is(new Set(NAMES).size, 20000);
  assert.is(NAMES[0], 'James Smith');
  assert.is(NAMES.at(-1), 'Lori Jimenez');
  for (const name of rome.quoted) assert.ok(NAMES.includes(name), name);
});

test('the published averages are those of the published numbers', () => {
  const file = path.join(root, 'scripts/seeds/published/capital-letters.json');
  const { perPrompt, average, resid_pre, z, lens, layers, finalResidual } = JSON.parse(
    readFileSync(file, 'utf8'),
  );
  assert.is(perPrompt.length, 100);
  allClose([perPrompt.reduce((a: number, b: number) => a + b, 0) / 100], [average]);
  assert.equal([resid_pre.length, resid_pre[0].length, z.length, z[0].length], [12, 8, 12, 12]);
  allClose([lens.at(-1), layers.reduce((a: number, b: number) => a + b, 0)], [finalResidual, finalResidual]);
});

test('of long groups the worst number is told, and those that are off', () => {
  const rows = Array.from({ length: 100 }, (_, i) => ({
    name: `n${i}`,
    expected: 1,
    got: 1 + i * 1e-6,
    tolerance: 9.05e-5,
  }));
  const groups = [
    { title: 'many', rows },
    { title: 'few', rows: [{ name: 'word', expected: 'a', got: 'a' }] },
  ];
  const told = condensed(groups).map((row) => row.name);
  assert.equal([told[0], told[1]], ['worst of 91: n90', 'n91']);
  assert.equal(told.slice(-2), ['n98 (and 1 more)', 'word']);
  assert.is(
    comparisonCsv(groups)
      .split('\n')
      .filter((l) => l.endsWith(',no')).length,
    9,
  );
  assert.match(comparisonHtml(groups), 'many: 91 of 100 agree');
});

test.run();
