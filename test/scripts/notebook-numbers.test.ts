/** The notebooks' own Python code, TransformerLens 3.9, pyvene 0.1.8 and ROME's, on one random model: every table and map. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PyveneStream, PyveneTrace, Report } from '../../index.js';
import {
  attentionAttribution,
  embeddingStd,
  HookedTransformer,
  type Labelled,
  logitDiff,
  type NotebookOptions,
  pyveneCsv,
  pyveneTopVals,
  runNotebook,
  scoreTexts,
} from '../../index.js';
import type { AttributionComputed } from '../../scripts/seeds/attribution-patching-published.js';
import type { CapitalLettersComputed } from '../../scripts/seeds/capital-letters-published.js';
import { seeds } from '../../scripts/seeds/index.js';
import type { IoiComputed } from '../../scripts/seeds/ioi-published.js';
import type { RomeComputed } from '../../scripts/seeds/rome-published.js';
import { root } from './command.js';
import { writeNotebookModel } from './seed.js';

type Nested = number | readonly Nested[];
/** The plots of direct logit attribution. */
interface Said {
  readonly each: Nested;
  readonly projected: number;
  readonly lens: Nested;
  readonly layers: Nested;
  readonly heads: Nested;
}
/** What make.py writes. */
interface Published {
  readonly settings: Readonly<Record<'noise' | 'window' | 'samples', number>>;
  readonly rome: {
    readonly traces: readonly {
      readonly prompt: string;
      readonly kinds: readonly {
        readonly kind: 'mlp' | 'attn' | null;
        readonly scores: Nested;
        readonly low: number;
        readonly high: number;
        readonly answer: string;
        readonly subject: readonly number[];
      }[];
    }[];
    readonly names: Readonly<Record<string, number>>;
    readonly words: Readonly<Record<string, readonly string[]>>;
    readonly lebron: Nested;
    readonly std: { readonly subjects: readonly string[]; readonly value: number };
  };
  readonly pyvene: {
    readonly streams: Readonly<Record<PyveneStream, Nested>>;
    readonly clean: readonly (readonly [string, number])[];
    readonly corrupted: readonly (readonly [string, number])[];
    readonly csv: string;
  };
  readonly ioi: Said & {
    readonly without: { readonly head: string; readonly average: number; readonly heads: Nested };
  };
  readonly 'capital-letters': Said & {
    readonly low: number;
    readonly patterns: Nested;
    readonly maps: Readonly<Record<string, Nested>>;
    readonly david: Nested;
  };
  readonly 'attribution-patching': Readonly<
    Record<
      'residual' | 'layerOutputs' | 'headOutputs' | 'patterns' | 'paths' | 'blocks' | 'heads' | 'byPos',
      Nested
    >
  > & {
    readonly high: number;
    readonly low: number;
    readonly attention: readonly [first: Nested, all: Nested];
    readonly vectors: Readonly<Record<'k' | 'q' | 'v' | 'z', Nested>>;
    readonly fact?: { readonly exact: Nested };
  };
}
const python = JSON.parse(
  readFileSync(path.join(root, 'test/fixtures/notebooks/published.json'), 'utf8'),
) as Published;
const { noise, window, samples } = python.settings;

const flat = (x: Nested): number[] => (typeof x === 'number' ? [x] : x.flatMap(flat));

/** Every number within 1e-4 of the largest of its table. */
function same(what: string, got: Labelled | ArrayLike<number>, expected: Nested): void {
  const [a, b] = [Array.from('axes' in got ? (got as Labelled).values : (got as number[])), flat(expected)];
  assert.is(a.length, b.length, `${what}: ${a.length} numbers, not ${b.length}`);
  const largest = Math.max(...b.map(Math.abs));
  b.forEach((v, i) => {
    assert.ok(Math.abs(a[i] - v) <= 1e-4 * largest, `${what}, number ${i}: ${a[i]}, not ${v}`);
  });
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'glassbox-notebook-'));
test.before(() => void writeNotebookModel(folder));
test.after(() => rmSync(folder, { recursive: true }));

async function run<T>(
  name: string,
  options: NotebookOptions,
  check: (got: T, model: HookedTransformer, report: Report) => unknown,
) {
  const { notebook } = seeds.find((s) => s.notebook.name === name)!;
  const load = typeof notebook.load === 'function' ? notebook.load('random') : notebook.load;
  const model = await HookedTransformer.fromPretrained(folder, load);
  try {
    const { report, computed } = await runNotebook(notebook, model, options);
    await check(computed as T, model, report);
  } finally {
    model.dispose();
  }
}

/** Everything stands in the notebook's full output, a line or a part of one, whatever blanks are between its words. */
function says(report: Report, ...expected: readonly (string | RegExp)[]): void {
  const text = report
    .lines({ width: 400 }, { verbose: true })
    .join('\n')
    .replaceAll(/[ \u2003]+/g, ' ');
  for (const part of expected)
    assert.ok(typeof part === 'string' ? text.includes(part) : part.test(text), `not said: ${part}`);
}

/** A figure of that name has these texts, and these files are written. */
function draws(report: Report, file: string, ...texts: readonly string[]): void {
  const figure = report.figures.get(file);
  assert.ok(figure, `no figure ${file}: ${[...report.figures.keys()]}`);
  const drawn = [...figure.svg('light').matchAll(/<text[^>]*>(.*?)<\/text>/g)].map(([, t]) =>
    t.replaceAll(/<[^>]*>/g, ''),
  );
  for (const text of texts) assert.ok(drawn.includes(text), `${file}: “${text}” is not drawn: ${drawn}`);
}

const four = (x: number) => x.toFixed(4);

test('ROME’s code: three prompts by three kinds, names, the next words, the deviation of embeddings', () =>
  run<RomeComputed>(
    'rome',
    { settings: { noise, window, samples, count: 2, probe: 1 } },
    async ({ traces, score, answers }, model, report) => {
      const { names, words, lebron, std } = python.rome;
      python.rome.traces.forEach((expected, i) => {
        for (const { kind, scores, low, high, answer, subject } of expected.kinds) {
          const got = traces[i].find((t) => t.kind === kind)!;
          const what = `${expected.prompt}, ${kind}`;
          same(what, got.scores, scores);
          same(`${what}, scores of the runs`, [got.lowScore, got.highScore], [low, high]);
          assert.equal([got.answer.text, got.subject], [answer, subject], what);
        }
      });
      for (const [name, value] of Object.entries(names)) same(name, [score.get(name)!], [value]);
      for (const { name, words: got } of answers) if (words[name]) assert.equal(got, words[name], name);
      const [single] = (await scoreTexts(model, ['<|endoftext|>LeBron James'], { prependBos: false }))
        .entries;
      same(
        'LeBron James',
        single.perToken.map((v) => -v),
        lebron,
      );
      same('deviation', [embeddingStd(model, std.subjects)], [std.value]);
      // what is printed of each list: the last name of a first name, the count, the best, those that the text speaks of
      const best = [...score].sort(([, a], [, b]) => a - b)[0];
      says(report, `len(known): ${score.size}`, `1 ${best[0]} ${four(best[1])}`);
      says(
        report,
        'name the notebook speaks of',
        'Total',
        /Consistency is asked of \d+ names, not of all \d+: --probe all/,
      );
      for (const file of ['lebron-james.csv', 'names.csv', 'consistency.csv'])
        assert.ok(report.texts.has(file), file);
      assert.match(report.texts.get('consistency.csv')!, /^−log p,name,"\. \{\}, the well-known",/);
      const kinds = ['state', 'MLP', 'Attn'].map((kind) => `Impact of restoring ${kind}`);
      draws(report, 'martha-stewart', ...kinds, 'after corrupted input', 'Mar*', 'known');
    },
  ));

test('pyvene: three streams, both lists of ten, the table as pandas writes it', () =>
  run<{ readonly traces: ReadonlyMap<PyveneStream, PyveneTrace> }>(
    'pyvene',
    { settings: { noise, window } },
    ({ traces }, _model, report) => {
      for (const [stream, expected] of Object.entries(python.pyvene.streams))
        same(stream, traces.get(stream as PyveneStream)!.prob, expected);
      const one = traces.get('block_output')!;
      for (const list of ['clean', 'corrupted'] as const) {
        const expected = python.pyvene[list];
        assert.equal(
          one[list].map((t) => t.text),
          expected.map(([text]) => text),
        );
        same(
          list,
          one[list].map((t) => t.prob),
          expected.map(([, p]) => p),
        );
      }
      const { prob, token } = { prob: four(one.highScore), token: one.answer.token };
      says(report, 'The Space Needle is in downtown', `token of “ Seattle”: ${token}`);
      assert.ok(report.findings[0].includes(`p(Seattle) is ${prob} in the clean run`), report.findings[0]);
      for (const list of ['clean', 'corrupted'] as const)
        assert.is(report.texts.get(`${list}.txt`), `${pyveneTopVals(one[list]).join('\n')}\n`);
      const captions = {
        block_output: `single restored layer in ${path.basename(folder)}`,
        mlp_activation: `center of interval of ${window} patched mlp layer`,
        attention_output: `center of interval of ${window} patched attn layer`,
      };
      for (const [stream, caption] of Object.entries(captions)) {
        assert.ok(report.texts.has(`tutorial_data/pyvene_rome_${stream}.csv`));
        const { values } = traces.get(stream as PyveneStream)!.prob;
        const ends = [Math.min(...values), Math.max(...values)].map((v) =>
          String(Number(v.toPrecision(4))).replace('-', '−'),
        );
        draws(
          report,
          `tutorial_data/pyvene_rome_${stream}`,
          caption,
          'The*',
          'Space*',
          'downtown',
          'p(Seattle)',
          ...ends,
        );
      }
      const lines = (csv: string) =>
        csv
          .trim()
          .split('\n')
          .slice(0, 3)
          .map((line) => line.split(','));
      const [ours, pandas] = [lines(pyveneCsv(one)), lines(python.pyvene.csv)];
      assert.equal(
        ours.map((row) => row.slice(0, 3)),
        pandas.map((row) => row.slice(0, 3)),
      );
      same(
        'CSV',
        ours.slice(1).map((row) => Number(row[3])),
        pandas.slice(1).map((row) => Number(row[3])),
      );
    },
  ));

test('TransformerLens: indirect objects, lens, layers, heads, and without the strongest head', () =>
  run<IoiComputed>('ioi', {}, ({ each, projected, said, repair, average }, model, report) => {
    const { without, ...expected } = python.ioi;
    same('each', each, expected.each);
    same('projected', [projected], [expected.projected]);
    for (const part of ['lens', 'layers', 'heads'] as const) same(part, said[part], expected[part]);
    assert.is(repair.head.name, without.head);
    same('without', [repair.average], [without.average]);
    same('heads without', repair.heads, without.heads);
    const first = 'When John and Mary went to the shops, John gave the bag to';
    says(report, `${first} Mary John ${each[0].toFixed(3)}`, `mean ${average.toFixed(3)}`);
    says(report, `answer tokens: [${model.toSingleToken(' Mary')}, ${model.toSingleToken(' John')}]`);
    says(
      report,
      'answer residual directions: [8,2,8], final residual stream: [8,15,8]',
      'a prompt, beginning of text prepended: 15',
    );
    says(report, `from it: ${projected}; minus the mean logit difference: ${projected - average}`);
  }));

test('TransformerLens: capital letters, with refactored attention; lens, layers, heads, patterns, four patched maps', () =>
  run<CapitalLettersComputed>('capital-letters', { quick: true }, async (got, model, report) => {
    const expected = python['capital-letters'];
    same('each', got.each, expected.each);
    same('corrupted', [got.low], [expected.low]);
    same('projected', [got.projected], [expected.projected]);
    for (const part of ['lens', 'layers', 'heads'] as const) same(part, got.said[part], expected[part]);
    same('patterns', got.patterns, expected.patterns);
    for (const [at, map] of Object.entries(expected.maps)) same(at, got.maps[at], map);
    const logits = await model.forward('David is a really great friend.');
    const last = [...(await logits.slice({ batch: 0, pos: -1 }).data())];
    logits.dispose();
    says(report, 'to_str_tokens(["Sarah"]): [["<|endoftext|>","Sarah"]]', 'Tokenized prompt:');
    says(report, 'attn-only-1l (“4.36 for 15 sentences”) is left out');
    says(report, 'Answer residual directions shape: [20,2,8]', 'Logit difference directions shape: [20,8]');
    says(report, 'Final residual stream shape: [20,8,8]', `Calculated average logit diff: ${got.projected}`);
    says(
      report,
      `Original logit difference: ${got.average}`,
      `Corrupted Average Logit Diff ${got.low.toFixed(2)}`,
    );
    says(
      report,
      `Clean Average Logit Diff ${got.average.toFixed(2)}`,
      '0 <|endoftext|>\n1 John\n2 is\n3 a',
      '7 .',
    );
    says(report, 'positions: {"name":1,"is":2,"person":6,".":7}');
    const [he, lower] = [' He', ' he'].map((word) => model.toSingleToken(word));
    says(report, `answer_tokens: [[${he}, ${lower}]]`, 'final_logits of “David is a really great friend.”');
    says(
      report,
      `final_logits[:, 0] - final_logits[:, 1]: ${four(got.finalLogits[he] - got.finalLogits[lower])}`,
    );
    const titles = {
      'logit-lens': 'Logit Difference From Accumulate Residual Stream',
      layers: 'Logit Difference From Each Layer',
      heads: 'Logit Difference From Each Head',
      resid_pre: 'Logit Difference From Patched Residual Stream',
      attn_out: 'Logit Difference From Patched Attention Layer',
      mlp_out: 'Logit Difference From Patched MLP Layer',
      z: 'Logit Difference From Patched Head Output',
    };
    for (const [file, title] of Object.entries(titles)) draws(report, file, title);
    for (const [file, axis] of [
      ['resid_pre', 'pos'],
      ['z', 'head'],
      ['heads', 'head'],
    ])
      draws(report, file, axis, 'layer');
    draws(report, 'attention-positive', 'Top 3 Positive Logit Attribution Heads');
    draws(report, 'attention-negative', 'Top 3 Negative Logit Attribution Heads');
    says(report, /Top (Early|Middle|Late) Heads \(layers/);
    same('David', [...last.slice(0, 3), ...last.slice(-3)], expected.david);
  }));

test('TransformerLens: attribution on raw weights: attention, all maps, paths as the demo has them, and patching', () =>
  run<AttributionComputed>('attribution-patching', {}, async ({ objects, fact }, model, report) => {
    const { maps, fitted, paths, blocks, heads, byPos, high, low } = objects!;
    const expected = python['attribution-patching'];
    same('runs', [high, low], [expected.high, expected.low]);
    const { clean, corrupted, correct, wrong } = fitted;
    const pair = { clean, corrupted, metric: logitDiff(correct, wrong) };
    const { values, shape } = await attentionAttribution(model, pair);
    const size = values.length / shape[0];
    const sum = Array.from({ length: size }, (_, i) => {
      let s = 0;
      for (let p = 0; p < shape[0]; p++) s += values[p * size + i];
      return s;
    });
    same('attention of the first prompt', values.subarray(0, size), expected.attention[0]);
    same('attention of all', sum, expected.attention[1]);
    for (const part of ['residual', 'layerOutputs', 'headOutputs'] as const)
      same(part, maps[part], expected[part]);
    const { k, q, v, z } = expected.vectors;
    same('head vectors', maps.headVectors, [k, q, v, z]);
    same('patterns', maps.headPatterns, expected.patterns);
    same('paths', paths!.demo, expected.paths);
    same('patched blocks', blocks, expected.blocks);
    same('patched heads', heads, expected.heads);
    same('patched heads by position', byPos!, expected.byPos);
    const text = '<|endoftext|>When John and Mary went to the shops,';
    says(
      report,
      `Clean string 0 ${text} John gave the bag to`,
      `Corrupted string 0 ${text} Mary gave the bag to`,
    );
    says(report, `Answer token indices [[${correct[0]},${wrong[0]}],[${correct[1]},${wrong[1]}]`);
    says(
      report,
      `Clean logit diff: ${four(high)}`,
      `Corrupted logit diff: ${four(low)}`,
      'Clean Value: 1.0000',
      /Corrupted Value: -?0\.0000/,
    );
    says(
      report,
      /Clean Activations Cached: \d+/,
      /Corrupted Gradients Cached: \d+/,
      'Counts of cached activations are Glassbox’s',
    );
    says(report, '["L0H0","L0H1","L1H0","L1H1","L2H0"]', '["L0H0+","L0H0-","L0H1+","L0H1-","L1H0+"]');
    says(report, '["L0H0Q","L0H0K","L0H0V","L0H1Q","L0H1K"]', 'Paths have the layer norm’s scale of the run');
    says(report, 'Weights are raw, as TransformerBridge’s', 'Tokenized answer:');
    draws(report, 'residual', 'Residual Attribution Patching', 'pos');
    draws(report, 'head-sizes', 'Heads by the size of their output attribution');
    for (const name of ['Key', 'Query', 'Value', 'Mixed Value'])
      draws(
        report,
        `vectors-${{ Key: 'k', Query: 'q', Value: 'v' }[name] ?? 'z'}`,
        `${name} Attribution Patching`,
      );
    assert.is([...report.figures.keys()].filter((file) => /^paths-L\dH\d$/.test(file)).length, 3);
    if (!expected.fact) return;
    same('the fact', fact!.exact!, expected.fact.exact);
  }));

test.run();
