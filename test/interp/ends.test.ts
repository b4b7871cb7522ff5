/**
 * What a scale between two runs takes for granted: that they differ, and that the clean one has more of the
 * answer. Where it does not hold, results, figures and the command line say so, and colours are not stretched
 * over nothing.
 */
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attributionPatch,
  causalTrace,
  figure,
  HookedTransformer,
  logitDiff,
  patch,
  prob,
} from '../../index.js';
import { PAGE_SCRIPT_HASH, pageScript } from '../../interp/figures/page/page-script.js';
import { traceFigure } from '../../interp/figures/trace.js';
import { endsProblem, leastOf, notFirst } from '../../interp/results/ends.js';
import { labelled } from '../../interp/results/result.js';

const CLEAN = 'When John and Mary went to the shops, John gave the bag to';
const CORRUPTED = 'When John and Mary went to the shops, Mary gave the bag to';
const model = await HookedTransformer.fromPretrained('tiny');
test.after(() => model.dispose());

test('ends: probabilities by 1 % of the larger, logits by 0.05, and never the wrong way round', () => {
  const p = (one: number, zero: number) =>
    endsProblem({ zero, one, unit: 'probability', metric: 'p(" a")' }) !== null;
  assert.equal([p(0.996, 0.994), p(1, 0.9899), p(0.1, 0.0991), p(1e-5, 0.9e-5)], [true, false, true, false]);
  assert.equal([p(0.1554, 0.1625), p(0.5, 0.1)], [true, false]);
  const logit = (one: number, zero: number) =>
    endsProblem({ zero, one, unit: 'logit', metric: 'logit(" a")' }) !== null;
  assert.equal([logit(10.04, 10), logit(10.06, 10), logit(-1, 2), logit(2, -1)], [true, false, true, false]);
  // What is not of an answer may go either way: the clean run's divergence from itself is 0.
  assert.is(endsProblem({ zero: 3, one: 0, unit: null, metric: 'KL(clean ‖ run)' }), null);
  assert.is(endsProblem({ zero: 3, one: 2.99, unit: null, metric: 'loss' }) !== null, true);
  const new_ = { names: ['original', 'new'], unit: 'logit', metric: 'm' } as const;
  assert.is(
    endsProblem({ ...new_, zero: 3, one: -3 }),
    null,
    'a path patched from another prompt takes the answer away',
  );
});

test('patching: an answer without its blank, and a pair the wrong way round, are warnings; a good pair has none', async () => {
  const good = await patch(model, {
    clean: CLEAN,
    corrupted: CORRUPTED,
    metric: logitDiff(' Mary', ' John'),
  });
  assert.is(good.meta.warnings, undefined);
  assert.is(good.meta.unit, 'logit');
  const bare = await patch(model, { clean: CLEAN, corrupted: CORRUPTED, metric: logitDiff('Mary', ' John') });
  assert.equal(bare.meta.warnings, [
    'logit(Mary) − logit(␣John): the clean run prefers ␣Mary (99.6%) to the answer Mary (<0.01%): did you mean " Mary"?',
  ]);
  const turned = { clean: CORRUPTED, corrupted: CLEAN, metric: prob(' Mary') };
  const map = await patch(model, turned);
  assert.match((map.meta.warnings as string[])[0], /prefers ␣John \(99\.\d%\) to the answer ␣Mary/);
  assert.match(
    (map.meta.warnings as string[])[1],
    /^p\(␣Mary\) is 0\.0027\d* in the clean run and 0\.996\d* in the corrupted/,
  );
  const estimate = await attributionPatch(model, turned);
  assert.match((estimate.meta.warnings as string[])[0], /prefers the answer less/);
  const pairs = await patch(model, {
    clean: [CLEAN, CORRUPTED],
    corrupted: [CORRUPTED, CLEAN],
    metric: logitDiff(' Mary', ' John', { per: 'prompt' }),
    by: ['layer'],
  });
  const told = pairs.meta.warnings as string[];
  assert.equal(
    told.map((t) => t.slice(0, 9)),
    ['prompt 1:', 'prompt 1:'],
  );
});

test('a figure of such a map says so first, and shows the change of the metric on the full scale', async () => {
  const map = await patch(model, { clean: CORRUPTED, corrupted: CLEAN, metric: prob(' Mary') });
  const drawn = figure(map);
  const lines = drawn.lines({ width: 120 });
  assert.match(lines[0], /^p\(␣Mary\): the clean run prefers/);
  assert.match(lines.at(-1)!, /change of p\(␣Mary\) from the corrupted run .*from −1 to 1/);
  const svg = drawn.svg('light');
  assert.ok(svg.indexOf('the clean run prefers') < svg.indexOf('<rect class="c"'), 'above the map');
  assert.match(drawn.html(), /class="warning">p\(␣Mary\)/);
  // The cell that brings all of it back moves p by −0.99, which is what it says.
  const all = map.values.findIndex((v) => Math.abs(v - 1) < 1e-3);
  assert.ok(all >= 0);
  assert.match(svg, /−0\.99/);
});

test('scales have a floor: rounding is not drawn in full colour', () => {
  const axes = [
    { name: 'layer', labels: ['L0'] },
    { name: 'pos', labels: ['0:a', '1:b'] },
  ];
  const of = (values: number[], meta: object) =>
    figure(labelled(Float32Array.from(values), axes, { ...meta }))
      .lines()
      .at(-1)!;
  const ends = { clean: 10, corrupted: -5, unit: 'logit', metric: 'm' };
  assert.match(of([0, 2e-6], ends), /from −0\.001 to 0\.001/);
  assert.match(of([0, 0.5], ends), /from −0\.5 to 0\.5/);
  assert.match(of([0, 1e-6], { base: 4 }), /from −0\.004 to 0\.004/);
  assert.is(leastOf({ meta: { logit: -20 } }), 0.02);
});

test('a trace of a given answer; noise that takes nothing away is drawn from 0 to 1', async () => {
  const options = { prompt: CLEAN, tokens: [0, 4], noise: 's3', prependBos: true } as const;
  const own = await causalTrace(model, { ...options, subject: 'Mary' });
  assert.is(own.answer.text, ' Mary');
  assert.is(own.scores.meta.warnings, undefined);
  const same = await causalTrace(model, { ...options, subject: 'Mary', answer: ' Mary' });
  assert.equal([...same.scores.values], [...own.scores.values]);
  assert.ok(Math.abs(same.highScore - own.highScore) < 1e-6);
  const john = await causalTrace(model, { ...options, subject: 'Mary', answer: ' John' });
  assert.is(john.answer.text, ' John');
  assert.ok(john.highScore < 0.01 && john.lowScore > 0.01, 'noise on Mary makes John more probable');
  assert.match((john.scores.meta.warnings as string[])[0], /prefers the answer less than the noised/);
  assert.match((john.scores.meta.warnings as string[])[1], /prefers ␣Mary/);
  const idle = await causalTrace(model, { ...options, subject: 'shops' });
  const lines = traceFigure(idle).lines({ width: 100 });
  assert.match(lines[0], /^noise s3 hardly takes the answer away: p\(␣Mary\) is 0\.996/);
  assert.ok(
    lines.some((line) => /\(from 0 to 1\)/.test(line)),
    lines.join('\n'),
  );
});

test('an answer that is another token than the first choice is said with both probabilities', () => {
  const best = { token: 1, text: ' b', prob: 0.75 };
  assert.is(notFirst('p(" b")', { token: 1, text: ' b' }, 0.75, best), null);
  assert.is(
    notFirst('p(" c")', { token: 2, text: ' c' }, 0.125, best),
    'p(␣c): the clean run prefers ␣b (75.0%) to the answer ␣c (12.5%).',
  );
});

test('the policy of a page allows the script that stands in it', () => {
  const digest = createHash('sha256').update(pageScript).digest('base64');
  assert.is(PAGE_SCRIPT_HASH, `sha256-${digest}`);
});

test.run();
