/** The replications of published experiments: on the shipped model, and how they compare with what was published. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { prompts } from '../../scripts/seeds/capital-letters-data.js';
import { comparisonCsv, comparisonHtml, condensed } from '../../scripts/seeds/comparison.js';
import { names } from '../../scripts/seeds/rome-names.js';
import { published as rome } from '../../scripts/seeds/rome-published.js';
import { allClose } from '../helpers.js';
import { inFolder, root, runScript } from './command.js';
import { hasTiny, seed, writeRandomGpt2 } from './seed.js';

const needsTiny = hasTiny ? test : test.skip;

needsTiny(
  'pyvene: the last token after the last layer has the clean probability, others the corrupted one',
  () =>
    seed('pyvene', [], ({ code, stdout, stderr, text, rows, files }) => {
      assert.is(code, 0, stderr);
      assert.match(stdout, /^_Seattle {13}0\.97/m);
      for (const stream of ['block_output', 'mlp_activation', 'attention_output']) {
        assert.ok(files.includes(`${stream}.svg`));
        assert.is(text(`${stream}.csv`).split('\n')[0], 'layer,pos,prob');
        assert.is(rows(`${stream}.csv`).length, 4 * 7);
      }
      const clean = Number(/_Seattle +(\S+)/.exec(text('clean.txt'))![1]);
      const corrupted = Number(/_Seattle +(\S+)/.exec(text('corrupted.txt'))![1]);
      const last = rows('block_output.csv')
        .slice(-7)
        .map(([, , p]) => Number(p));
      allClose(last, [...Array(6).fill(corrupted), clean]);
      assert.match(text('index.html'), /<\/html>\s*$/);
    }),
);

needsTiny('capital letters: the last position carries the full stop, in every layer, and no other does', () =>
  seed('capital-letters', [], ({ code, stdout, stderr, rows, files }) => {
    assert.is(code, 0, stderr);
    assert.match(stdout, /100 prompts of 8 tokens/);
    const grid = (at: string) => rows(`${at}.csv`).map((row) => Number(row.at(-1)));
    const isLast = (_: number, i: number) => i % 8 === 7;
    allClose(
      grid('resid_pre'),
      Array.from({ length: 32 }, (_, i) => (isLast(0, i) ? 1 : 0)),
      { atol: 1e-5 },
    );
    for (const at of ['attn_out', 'mlp_out'])
      assert.ok(grid(at).every((v, i) => isLast(v, i) || Math.abs(v) < 1e-5));
    assert.is(grid('z').length, 16);
    assert.is(rows('prompts.csv').length, 100);
    assert.ok(rows('prompts.csv').every((row) => Number(row.at(-1)) > 0)); // it prefers the capital after every full stop
    assert.ok(['resid_pre.svg', 'z.svg', 'index.html', 'comparison.csv'].every((f) => files.includes(f)));
  }),
);

needsTiny(
  'rome: known names are more probable and described alike, and traces end at the clean probability',
  () => {
    const quick = ['--names', '200', '--probe', '3', '--limit', '3', '--samples', '3'];
    return seed('rome', quick, ({ code, stdout, stderr, rows, files }) => {
      assert.is(code, 0, stderr);
      assert.match(stdout, /␣James/);
      const scores = rows('names.csv');
      assert.is(scores.length, 200);
      assert.ok(scores.every(([, , s], i) => i === 0 || Number(scores[i - 1][2]) <= Number(s)));
      const place = (name: string) => scores.findIndex(([, n]) => n === name);
      assert.ok(
        place('Stephen King') < place('Beverly Cooper') && place('Martha Stewart') < place('Mark Allen'),
      );
      const king = rows('consistency.csv').find(([name]) => name === 'Stephen King')!;
      assert.match(king.join(), /writer.*writer.*literature/);
      for (const kind of ['state', 'mlp', 'attn'])
        assert.ok(
          [`martha-stewart-${kind}.csv`, `average-${kind}.svg`].every((f) => files.includes(f)),
          kind,
        );
      assert.ok(rows('comparison.csv').every((row) => row.at(-1) === 'yes'));
      assert.is(rows('severed.csv').length, 3 * 4);
    });
  },
);

test('compared with what was published, another model is off, in the table and in the exit code', () =>
  inFolder(async (folder) => {
    const model = ['--model', writeRandomGpt2(folder), '--compare'];
    await seed('capital-letters', model, ({ code, stdout, stderr, rows }) => {
      assert.is(code, 1, stderr);
      assert.match(stdout, /Published numbers \(gpt2\)/);
      assert.match(stdout, /attn_out L0.*✗/);
      const all = rows('comparison.csv');
      // exactness, ids, test prompt, averages, prompts, final logits, lens, layers, heads, three maps of positions, one of heads
      assert.is(all.length, 9 + 5 + 33 + 4 + 100 + 7 + 25 + 26 + 144 + 3 * 96 + 144);
      const explained = all.filter(([group]) => group === 'exactness').slice(0, 5);
      assert.ok(explained.every((row) => row.at(-1) === 'yes')); // random weights add up as well
      const ids = all.filter(([group]) => group === 'tokens');
      assert.ok(ids.every((row) => row.at(-1) === 'yes')); // the vocabulary is GPT-2's
    });
    await seed('pyvene', model, ({ code, rows }) => {
      assert.is(code, 1);
      const all = rows('comparison.csv');
      assert.ok(all.filter(([group]) => group === 'tokens').every((row) => row.at(-1) === 'yes'));
      assert.ok(all.some(([, name, , , , , ok]) => name === 'clean 1' && ok === 'no'));
    });
    await seed(
      'rome',
      [...model, '--names', '9', '--probe', '1', '--samples', '1'],
      ({ code, rows, stderr }) => {
        assert.is(code, 1, stderr);
        const all = rows('comparison.csv').filter((row) => row[1].startsWith('−log p of'));
        assert.equal(
          all.map((row) => Number(row[2])),
          [19.87, 13.76],
        );
        assert.match(
          rows('comparison.csv')
            .find((row) => row[1].includes('LeBron'))!
            .join(),
          /yes$/,
        );
      },
    );
  }));

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

test('every seed explains itself, and takes no option that it does not know', async () => {
  for (const name of ['ioi', 'rome', 'pyvene', 'capital-letters']) {
    const help = await runScript(`scripts/seeds/${name}.ts`, ['--help']);
    assert.match(help.stdout, `npm run seed:${name} -- --model gpt2`);
    const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
    assert.match(scripts[`seed:${name}`], `scripts/seeds/${name}.ts`);
  }
  const wrong = await runScript('scripts/seeds/pyvene.ts', ['--windw', '2']);
  assert.is(wrong.code, 2);
});

test('the names are those of the notebook, 20,000 different ones', () => {
  assert.is(new Set(names).size, 20000);
  assert.is(names[0], 'James Smith');
  assert.is(names.at(-1), 'Lori Jimenez');
  for (const name of rome.quoted) assert.ok(names.includes(name), name);
});

test('the published averages are those of the published numbers', () => {
  const file = path.join(root, 'scripts/seeds/published/capital-letters.json');
  const { perPrompt, average, resid_pre, z, lens, layers, finalResidual } = JSON.parse(
    readFileSync(file, 'utf8'),
  );
  assert.is(perPrompt.length, prompts.length);
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
