/** The notebooks' own Python code, TransformerLens 3.9, pyvene 0.1.8 and ROME's, on one random model: every table and map. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PyveneStream, PyveneTrace } from '../../index.js';
import {
  attentionAttribution,
  embeddingStd,
  HookedTransformer,
  type Labelled,
  logitDiff,
  type NotebookOptions,
  pyveneCsv,
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
// biome-ignore lint/suspicious/noExplicitAny: what Python wrote
const python = JSON.parse(
  readFileSync(path.join(root, 'test/fixtures/notebooks/published.json'), 'utf8'),
) as any;
const { noise, window, samples } = python.settings;

const flat = (x: Nested): number[] => (typeof x === 'number' ? [x] : x.flatMap(flat));

/** Every number within 1e-4 of the largest of its table. */
function same(what: string, got: Labelled | ArrayLike<number>, expected: Nested): void {
  const [a, b] = [Array.from('values' in got ? (got as Labelled).values : (got as number[])), flat(expected)];
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
  check: (got: T, model: HookedTransformer) => unknown,
) {
  const { notebook } = seeds.find((s) => s.notebook.name === name)!;
  const load = typeof notebook.load === 'function' ? notebook.load('random') : notebook.load;
  const model = await HookedTransformer.fromPretrained(folder, load);
  try {
    await check((await runNotebook(notebook, model, options)).computed as T, model);
  } finally {
    model.dispose();
  }
}

test('ROME’s code: three prompts by three kinds, names, the next words, the deviation of embeddings', () =>
  run<RomeComputed>(
    'rome',
    { settings: { noise, window, samples, count: 2, probe: 1 } },
    async ({ traces, score, answers }, model) => {
      const { names, words, lebron, std } = python.rome;
      python.rome.traces.forEach((expected: (typeof python.rome.traces)[0], i: number) => {
        for (const { kind, scores, low, high, answer, subject } of expected.kinds) {
          const got = traces[i].find((t) => t.kind === kind)!;
          const what = `${expected.prompt}, ${kind}`;
          same(what, got.scores, scores);
          same(`${what}, scores of the runs`, [got.lowScore, got.highScore], [low, high]);
          assert.equal([got.answer.text, got.subject], [answer, subject], what);
        }
      });
      for (const [name, value] of Object.entries(names)) same(name, [score.get(name)!], [value as number]);
      for (const { name, words: got } of answers) if (words[name]) assert.equal(got, words[name], name);
      const [single] = (await scoreTexts(model, ['<|endoftext|>LeBron James'], { prependBos: false }))
        .entries;
      same(
        'LeBron James',
        single.perToken.map((v) => -v),
        lebron,
      );
      same('deviation', [embeddingStd(model, std.subjects)], [std.value]);
    },
  ));

test('pyvene: three streams, both lists of ten, the table as pandas writes it', () =>
  run<{ readonly traces: ReadonlyMap<PyveneStream, PyveneTrace> }>(
    'pyvene',
    { settings: { noise, window } },
    ({ traces }) => {
      for (const [stream, expected] of Object.entries(python.pyvene.streams))
        same(stream, traces.get(stream as PyveneStream)!.prob, expected as number[]);
      const one = traces.get('block_output')!;
      for (const list of ['clean', 'corrupted'] as const) {
        const expected = python.pyvene[list] as [string, number][];
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
  run<IoiComputed>('ioi', {}, ({ each, projected, said, repair }) => {
    const { without, ...expected } = python.ioi;
    same('each', each, expected.each);
    same('projected', [projected], [expected.projected]);
    for (const part of ['lens', 'layers', 'heads'] as const) same(part, said[part], expected[part]);
    assert.is(repair.head.name, without.head);
    same('without', [repair.average], [without.average]);
    same('heads without', repair.heads, without.heads);
  }));

test('TransformerLens: capital letters, with refactored attention; lens, layers, heads, patterns, four patched maps', () =>
  run<CapitalLettersComputed>('capital-letters', { quick: true }, async (got, model) => {
    const expected = python['capital-letters'];
    same('each', got.each, expected.each);
    same('corrupted', [got.low], [expected.low]);
    same('projected', [got.projected], [expected.projected]);
    for (const part of ['lens', 'layers', 'heads'] as const) same(part, got.said[part], expected[part]);
    same('patterns', got.patterns, expected.patterns);
    for (const [at, map] of Object.entries(expected.maps)) same(at, got.maps[at], map as number[][]);
    const logits = await model.forward('David is a really great friend.');
    const last = [...(await logits.slice({ batch: 0, pos: -1 }).data())];
    logits.dispose();
    same('David', [...last.slice(0, 3), ...last.slice(-3)], expected.david);
  }));

test('TransformerLens: attribution on raw weights: attention, all maps, paths as the demo has them, and patching', () =>
  run<AttributionComputed>('attribution-patching', {}, async ({ objects, fact }, model) => {
    const { maps, fitted, demo, blocks, heads, byPos, high, low } = objects!;
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
    same('paths', demo, expected.paths);
    same('patched blocks', blocks, expected.blocks);
    same('patched heads', heads, expected.heads);
    same('patched heads by position', byPos!, expected.byPos);
    if (!expected.fact) return;
    same('the fact', fact!.exact!, expected.fact.exact);
  }));

test.run();
