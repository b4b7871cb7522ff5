/**
 * The five notebooks: on public imports alone, on any model, with inputs of one's own, stopped and resumed,
 * taken along.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  agrees,
  fitPairs,
  HookedTransformer,
  type NotebookOptions,
  namedPositions,
  type RecordStore,
  readPairs,
  runNotebook,
  scoreTexts,
} from '../../index.js';
import { Comparing } from '../../scripts/seeds/comparison.js';
import { seeds } from '../../scripts/seeds/index.js';
import { allClose, throws } from '../helpers.js';
import { inFolder, root } from './command.js';
import { hasTiny, randomModelFor, seed } from './seed.js';

const needsTiny = hasTiny ? test : test.skip;

for (const { notebook } of seeds)
  test(`${notebook.name} is one short file that imports the public index alone`, () => {
    const text = readFileSync(path.join(root, `scripts/seeds/${notebook.name}.ts`), 'utf8');
    const imports = [...text.matchAll(/from '([^']+)'/g)].map((m) => m[1]);
    assert.equal([...new Set(imports)], ['../../index.js']);
    assert.not.match(text, /biome-ignore/);
    const lines = text.trimEnd().split('\n').length;
    assert.ok(lines <= 200, `${lines} lines`);
  });

const MODELS = [
  ['GPT-2’s vocabulary', {}],
  ['attention alone', { attnOnly: true }],
  ['a vocabulary that splits names', { vocabulary: 'letters' }],
] as const;

/** A quick run: few samples and names. */
const small: Record<string, NotebookOptions> = {
  rome: { settings: { count: 9, probe: 1, samples: 1 } },
  'rome-averages': {
    settings: { samples: 1 },
    inputs: { facts: [{ prompt: 'The Space Needle is in', subject: 'Space Needle', attribute: 'Seattle' }] },
  },
  pyvene: {},
  ioi: {},
  'capital-letters': {},
  'attribution-patching': {},
};

for (const [what, options] of MODELS)
  for (const known of seeds)
    test(`${known.notebook.name} runs to its end on a random model, ${what}; what must hold does`, async () => {
      const { notebook } = known;
      const model = await randomModelFor(notebook, { nCtx: 128, ...options });
      const { report, computed } = await runNotebook(notebook, model, {
        quick: true,
        ...small[notebook.name],
      });
      const comparing = new Comparing(model, null);
      await known.compare(comparing, computed);
      const rows = comparing.groups.flatMap((g) => g.rows);
      assert.ok(rows.length > 0);
      for (const row of rows) assert.ok(agrees(row), `${row.name}: ${row.got}, not ${row.expected}`);
      assert.ok(report.lines({ width: 80 }).length <= 120);
      assert.ok(report.figures.size >= (notebook.name === 'rome-averages' ? 0 : 2));
      const page = report.page();
      assert.is(page.match(/<nav class="contents"/g)?.length, 1);
      for (const id of page.matchAll(/href="#(s\d+)"/g)) assert.ok(page.includes(`id="${id[1]}"`));
      if ('attnOnly' in options && ['pyvene', 'capital-letters'].includes(notebook.name))
        assert.match(report.notes.join(), /this model has no/);
      if ('attnOnly' in options && notebook.name === 'capital-letters') {
        assert.match(report.findings.join('\n'), /: -?\d+\.\d\d for 15 sentences\./);
        assert.match(
          report.lines({}, { verbose: true }).join('\n'),
          /'Daniel', ' is', ' a', ' great', ' friend', '\.'\]/,
        );
      }
      if ('vocabulary' in options && notebook.name === 'ioi') {
        assert.match(
          report.notes.join('\n'),
          /" Mary" is several tokens here; its first one, " M", stands for it/,
        );
      }
      model.dispose();
    });

needsTiny(
  'names and prompts that a model cannot use are left out by name; none left is an error',
  async () => {
    const model = await HookedTransformer.fromPretrained('tiny');
    const good = {
      clean: 'John is a really nice person.',
      corrupted: 'John is a really nice person;',
      answer: ' He',
      wrong: ' he',
    };
    const longer = { ...good, corrupted: 'John is a nice person;' };
    const same = { ...good, corrupted: good.clean };
    const { pairs, notes, correct } = fitPairs(model, [good, longer, same, { ...good, wrong: ' He' }]);
    assert.equal([pairs.length, correct[0]], [1, model.toSingleToken(' He')]);
    assert.match(notes.join('\n'), /nice person\." \(8 tokens, and its counterpart 7\)/);
    assert.match(notes.join('\n'), /the same as its counterpart/);
    assert.match(notes.join('\n'), /begin with the same token/);
    assert.throws(() => fitPairs(model, [same]), /none of 1 prompts can be used with this model/);
    assert.equal(namedPositions(model, good.clean, { name: 1, is: ' is', person: -2, '.': -1 }), {
      name: 1,
      is: 2,
      person: 6,
      '.': 7,
    });
    assert.throws(() => namedPositions(model, good.clean, { name: 'Mary' }), /"Mary" does not occur/);
    model.dispose();
  },
);

test('pairs are JSON lines; a line that is none, or lacks a text, is named', () => {
  const line = '{"clean": "a", "corrupted": "b", "answer": " c", "wrong": " d"}';
  assert.is(readPairs(`${line}\n\n${line}\n`, 'p.jsonl').length, 2);
  assert.throws(() => readPairs(`${line}\n{`, 'p.jsonl'), /p\.jsonl, line 2/);
  assert.throws(() => readPairs('{"clean": "a"}', 'p.jsonl', ['corrupted']), /line 1.*"corrupted": text/);
  assert.throws(() => readPairs('', 'p.jsonl'), /no prompts/);
});

/** A record in memory that stops the run after some lines. */
function stopping(after: number, lines: string[]): RecordStore {
  return {
    read: async () => lines,
    append: async (more) => {
      lines.push(...more);
      if (lines.length > after) throw new Error('stopped');
    },
  };
}

needsTiny('scores that were stopped go on from their record, with the same numbers', async () => {
  const model = await HookedTransformer.fromPretrained('tiny');
  const names = Array.from({ length: 1200 }, (_, i) => `James ${i % 40} Smith ${Math.floor(i / 40)}`);
  const whole = await scoreTexts(model, names, { prefix: 'About ' });
  const lines: string[] = [];
  await throws(scoreTexts(model, names, { prefix: 'About ', record: stopping(500, lines) }), /stopped/);
  const before = lines.length;
  assert.ok(before > 500 && before < 1200);
  const resumed = await scoreTexts(model, names, { prefix: 'About ', record: stopping(1e9, lines) });
  assert.equal(
    resumed.entries.map((e) => e.text),
    whole.entries.map((e) => e.text),
  );
  allClose(resumed.values, whole.values, { atol: 1e-5 });
  await throws(
    scoreTexts(model, names.slice(1), { record: stopping(1e9, lines) }),
    /record is of another sweep/,
  );
  model.dispose();
});

needsTiny(
  'the command: own prompts as a file, a summary, all files, exit code 0; what is wrong is said in one line',
  () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'mine.jsonl');
      const own = {
        clean: 'When Tom and Mary went to the shops, Tom gave the bag to',
        corrupted: 'When Tom and Mary went to the shops, Mary gave the bag to',
        answer: ' Mary',
        wrong: ' Tom',
      };
      writeFileSync(file, `${JSON.stringify(own)}\n`);
      await seed('ioi', ['--prompts', file, '--quick'], ({ code, stdout, stderr, files, rows, text }) => {
        assert.is(code, 0, stderr);
        assert.match(stderr, /ioi: about \d+ runs, .* MiB/);
        assert.ok(stdout.split('\n').length <= 121);
        assert.match(text('index.html'), /<b>prompts<\/b>“When Tom and Mary/);
        assert.match(stdout, /Mean logit difference over 1 prompts/);
        for (const name of ['heads.svg', 'heads.csv', 'index.html', 'comparison.csv'])
          assert.ok(files.includes(name), name);
        assert.ok(rows('comparison.csv').every((row) => row.at(-1) === 'yes'));
        assert.match(text('index.html'), /Tom and Mary went to the shops/);
      });
      await seed('pyvene', ['--names', file], ({ code, stderr }) => {
        assert.is(code, 2);
        assert.match(stderr, /seed pyvene reads no --names: it reads --prompt, --subject, --answer/);
      });
    }),
);

test.run();
