/** The seed on indirect objects: what it writes adds up, and is compared with what was published. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { published } from '../../scripts/seeds/ioi-published.js';
import { allClose } from '../helpers.js';
import { inFolder } from './command.js';
import { hasTiny, seed, writeRandomGpt2 } from './seed.js';

const needsTiny = hasTiny ? test : test.skip;
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

needsTiny('ioi: the parts add up to the logit difference, in the mean and for every prompt', () =>
  seed('ioi', [], ({ code, stdout, stderr, rows, text, files }) => {
    assert.is(code, 0, stderr);
    assert.match(stdout, /Rank: 0 .*\| Mary\|/);
    const last = (file: string) => rows(file).map((row) => Number(row.at(-1)));
    // prompts hold a comma, and are quoted
    const prompts = rows('prompts.csv').map((row) => row.slice(-3).map(Number));
    assert.is(prompts.length, 8);
    for (const [stream, bias, difference] of prompts) {
      assert.ok(difference > 0); // the model knows them all
      allClose([stream + bias], [difference]);
    }
    const average = sum(prompts.map(([, , difference]) => difference)) / 8;
    const layers = rows('layers.csv').map(([name, value]) => [name, Number(value)] as const);
    allClose([sum(layers.map(([, v]) => v))], [average]);
    assert.is(layers.length, 2 + 2 * 4 + 1);
    const lens = last('logit-lens.csv');
    assert.is(lens.length, 2 * 4 + 1);
    // each name of a pair is the answer once: b_U cancels
    allClose([lens.at(-1)!], [average]);
    // the lens goes up by what each layer says
    allClose(
      layers.slice(2, 10).map(([, v]) => v),
      lens.slice(1).map((v, i) => v - lens[i]),
    );

    const heads = last('heads.csv');
    assert.is(heads.length, 16);
    const top = heads.indexOf(Math.max(...heads));
    const both = last('self-repair.csv');
    assert.equal(both.slice(0, 16), heads);
    assert.is(both[16 + top], 0); // what is ablated says nothing

    const attention = last('attention.csv');
    assert.is(attention.length, 6 * 15 * 15);
    const queries = Array.from({ length: 6 * 15 }, (_, q) => sum(attention.slice(15 * q, 15 * q + 15)));
    allClose(queries, Array(90).fill(1));
    const induction = rows('head-scores.csv').filter(([kind]) => kind === 'induction');
    assert.ok(induction.some((row) => Number(row.at(-1)) > 0.4));
    assert.ok(rows('comparison.csv').every((row) => row.at(-1) === 'yes'));
    for (const name of ['logit-lens', 'layers', 'heads', 'attention', 'head-scores', 'self-repair'])
      assert.ok(files.includes(`${name}.svg`), name);
    assert.match(text('index.html'), /id="attention-data"[\s\S]*<\/html>\s*$/);
  }),
);

test('ioi: compared with what was published, a random model is off, though its parts add up', () =>
  inFolder((folder) =>
    seed('ioi', ['--model', writeRandomGpt2(folder, 256), '--compare'], ({ code, stdout, stderr, rows }) => {
      assert.is(code, 1, stderr);
      assert.match(stdout, /Published numbers \(gpt2\)/);
      const all = rows('comparison.csv');
      const of = (group: string) => all.filter(([name]) => name === group);
      assert.ok(of('tokens').every((row) => row.at(-1) === 'yes')); // the vocabulary is GPT-2's
      assert.ok(of('exactness').every((row) => row.at(-1) === 'yes'));
      const lists = ['logit differences', 'logit lens', 'layers', 'heads', 'heads without the strongest'];
      assert.equal(
        lists.map((group) => of(group).length),
        [8, 25, 26, 144, 144],
      );
      for (const kind of ['previous', 'duplicate', 'induction'])
        assert.is(of(`${kind}-token scores`).length, 144);
      assert.is(of('without the strongest head').length, 3 + 16);
      assert.ok(of('layers').some((row) => row.at(-1) === 'no'));
    }),
  ));

test('the published parts add up to the published logit difference', () => {
  const { average, perPrompt, lens, layers, heads, ablated, randomTokens } = published;
  allClose([lens.at(-1)!, sum(layers), sum(perPrompt) / 8], Array(3).fill(average), { atol: 2e-4 });
  assert.equal(
    heads.map((row) => row.length),
    Array(12).fill(12),
  );
  allClose([ablated.heads[9][9]], [0]);
  const ratios = ablated.scales.map((scale, i) => scale / ablated.scalesAfter[i]);
  allClose([sum(ratios) / 8], [ablated.scaleRatio], { atol: 1e-3 });
  for (const row of randomTokens) assert.is(new Set(row).size, 100); // nothing is said twice by chance
});

test.run();
