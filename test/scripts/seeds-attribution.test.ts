/** The seed on attribution patching: what it writes adds up, and is compared with what was published. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pearson } from '../../interp/correlation.js';
import { published } from '../../scripts/seeds/attribution-published.js';
import { allClose } from '../helpers.js';
import { inFolder } from './command.js';
import { hasTiny, seed, writeRandomGpt2 } from './seed.js';

const needsTiny = hasTiny ? test : test.skip;

needsTiny('attribution-patching: heads add up over positions, and the top is verified', () =>
  seed('attribution-patching', ['--verify', '10'], ({ code, stdout, stderr, rows, text, files }) => {
    assert.is(code, 0, stderr);
    assert.match(stdout, /clean +9\.9\d+ +1\.0000 +76 +76/);
    assert.match(stdout, /corrupted +-9\.9\d+ +0\.0000/);
    const last = (file: string) => rows(file).map((row) => Number(row.at(-1)));
    const [byPos, all] = [last('heads-z.csv'), last('heads-z-sum.csv')];
    assert.is(byPos.length, 16 * 15);
    allClose(
      all,
      all.map((_, h) => byPos.slice(15 * h, 15 * h + 15).reduce((a, b) => a + b, 0)),
    );
    const first = rows('residual.csv').filter(([row]) => row === '0_pre');
    assert.equal(
      first.map((row) => Number(row.at(-1)) !== 0),
      Array.from({ length: 15 }, (_, p) => p === 10),
    );
    assert.is(last('verified-z.csv').length, 10);
    assert.match(stdout, /10 cells: correlation 0\.9/);
    assert.is(last('paths.csv').length, 48 * 16);
    assert.is(last('patterns-all.csv').length, 16 * 15 * 15);
    assert.ok(rows('comparison.csv').every((row) => row.at(-1) === 'yes'));
    for (const name of [
      'attention-first',
      'attention-mean',
      'layer-outputs',
      'head-sizes',
      'paths-top',
      'blocks-mlp_out',
      'heads-pattern',
      'attention',
      'input',
      'fact-exact',
      'fact-agreement',
    ])
      assert.ok(files.includes(`${name}.svg`), name);
    assert.match(text('index.html'), /Eiffel[\s\S]*<\/html>\s*$/);
  }),
);

test('attribution-patching: compared with what was published, a random model is off, though its parts add up', () =>
  inFolder((folder) =>
    seed(
      'attribution-patching',
      ['--model', writeRandomGpt2(folder), '--compare'],
      ({ code, stdout, stderr, rows }) => {
        assert.is(code, 1, stderr);
        assert.match(stdout, /Published numbers \(gpt2\)/);
        const all = rows('comparison.csv');
        const of = (group: string) => all.filter(([name]) => name === group);
        assert.ok(of('exactness').every((row) => row.at(-1) === 'yes'));
        assert.ok(
          of('what it printed')
            .filter(([, name]) => name.startsWith('answer'))
            .every((row) => row.at(-1) === 'yes'),
        );
        assert.is(of('residual stream: attributed').length, 25 * 5 + 1);
        assert.is(of('layers: attributed').length, 26 * 5 + 1);
        for (const x of ['z', 'q', 'k', 'v', 'pattern']) {
          assert.is(of(`${x} of heads: patched`).length, 144);
          assert.is(of(`${x} of heads: attributed`).length, 144);
          assert.is(of(`${x} by head and position: attributed`).length, 144 * 5 + 1);
          assert.is(of(`${x} by head and position: patched`).length, 144 * 5 + 1);
        }
        for (const name of ['L5H5', 'L10H7', 'L11H10']) assert.is(of(`attention of ${name}`).length, 8 * 120);
        assert.ok(of('residual stream: attributed').some((row) => row.at(-1) === 'no'));
      },
    ),
  ));

test('the published arrays hang together, and correlate as the notebook says', () => {
  const { heads, vectors, blocks, byPos, patternsByPos, paths, factual, attention } = published;
  const sum = (row: readonly number[]) => row.reduce((a, b) => a + b, 0);
  for (const [i, x] of (['z', 'q', 'k', 'v'] as const).entries())
    allClose(vectors[x].map(sum), heads.attributed[i].flat(), { atol: 1e-4, what: x });
  allClose(patternsByPos.map(sum), heads.attributed[4].flat(), { atol: 1e-4 });
  const correlations = heads.exact.map((exact, i) => pearson(exact.flat(), heads.attributed[i].flat()));
  allClose(correlations, [0.983, 0.869, 0.821, 0.995, 0.979], { atol: 6e-4, rtol: 0 });
  // with the 1440 cells before the first difference, which are 0
  const padded = (grid: readonly (readonly number[])[]) => [...grid.flat(), ...Array(1440).fill(0)];
  const z = pearson(padded(byPos[0]), padded(vectors.z));
  allClose([z], [0.982], { atol: 6e-4, rtol: 0 });
  const before = Array(120).fill(0);
  const perBlock = blocks.exact.map((exact, i) =>
    pearson([...exact.flat(), ...before], [...blocks.attributed[i].flat(), ...before]),
  );
  allClose(perBlock, [0.735, 0.982, 0.436], { atol: 6e-4, rtol: 0 });
  for (const [receiver, senders] of paths)
    for (const sender of senders) assert.ok(Math.floor(sender / 12) < Math.floor(receiver / 36));
  for (const pattern of attention.patterns.flat())
    allClose(pattern.map(sum), Array(15).fill(1), { atol: 2e-4 });
  assert.equal([factual.residual.length, factual.residual[0].length], [48, 12]);
});

test.run();
