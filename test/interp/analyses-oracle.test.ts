/**
 * Decompositions, logit attributions and lenses against what float64 PyTorch makes of the same random models.
 */

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type ActivationCache,
  type Decomposition,
  type DlaOptions,
  directLogitAttribution,
  type HookedTransformer,
  type Labelled,
  logitLens,
  type PosSlice,
} from '../../index.js';
import { allClose } from '../helpers.js';
import { givenBack } from '../memory.js';
import { type OracleModel, oracleModel } from './oracle.js';

/** See test/fixtures/analyses/make.py. */
interface Case {
  model: OracleModel;
  rows: number[][];
  stacks: Sampled<{ call: [Method, number, Record<string, unknown>]; labels: string[] }>[];
  attrs: Sampled<{
    tokens: number | number[] | number[][];
    incorrectTokens?: number | number[];
    pos?: PosSlice;
    gain: boolean;
  }>[];
  dla: { row: number; options: DlaOptions; labels: string[]; values: number[]; logit: number }[];
  lens: {
    layerNorm: 'frozen' | 'recomputed';
    inclMid: boolean;
    labels: string[];
    tokens: number[];
    logits: number[];
    probs: number[];
    ranks: number[];
    best: number[];
  }[];
}
type Sampled<T> = T & { shape: number[]; every: number; values: number[] };
type Method =
  | 'accumulatedResid'
  | 'decomposeResid'
  | 'stackHeadResults'
  | 'stackNeuronResults'
  | 'fullResidDecomposition';

const file = new URL('../fixtures/analyses/analyses.json', import.meta.url);
const cases = JSON.parse(readFileSync(file, 'utf8')) as Case[];
const near = { atol: 2e-4, rtol: 0 };

for (const one of cases) {
  const { config, processed } = one.model;
  const name = `${config.name}${processed ? ', processed' : ''}`;
  const model = await oracleModel(one.model);
  const withCache = async (f: (cache: ActivationCache) => Promise<void>) => {
    const { logits, cache } = await model.runWithCache(one.rows);
    logits.dispose();
    const { bytes } = model.gpu.memory();
    await f(cache);
    givenBack(model.gpu, bytes);
    cache.dispose();
  };

  test(`${name}: stacks have TransformerLens' rows and labels`, () =>
    withCache(async (cache) => {
      for (const { call, labels, shape, every, values } of one.stacks) {
        const [method, layer, { projectOnto, ...options }] = call;
        const what = JSON.stringify(call);
        const onto = projectOnto === undefined ? null : direction(model, projectOnto as number);
        const made = cache[method](layer, { ...options, ...(onto && { projectOnto: onto }) });
        assert.equal(made.labels, labels, what);
        assert.equal(made.stack.shape, shape, what);
        const data = (await made.stack.data()).filter((_, i) => i % every === 0);
        allClose(data, values, { ...near, what });
        if ('sum' in made) {
          const { maxError } = await (made as Decomposition).sum.check();
          assert.ok(maxError < 1e-4, `${what} adds up`);
        }
        made.dispose();
        onto?.dispose();
      }
    }));

  test(`${name}: logit attributions`, () =>
    withCache(async (cache) => {
      for (const { shape, every, values, ...options } of one.attrs) {
        const { stack, dispose } = cache.fullResidDecomposition(-1, { pos: options.pos });
        const attrs = cache.logitAttrs(stack, options);
        assert.equal(attrs.shape, shape);
        const data = (await attrs.data()).filter((_, i) => i % every === 0);
        allClose(data, values, { ...near, what: JSON.stringify(options) });
        dispose();
        attrs.dispose();
      }
    }));

  test(`${name}: direct logit attribution adds up to the logit`, async () => {
    for (const { row, options, labels, values, logit } of one.dla) {
      const what = `row ${row}, ${JSON.stringify(options)}`;
      const made = await directLogitAttribution(model, one.rows[row], options);
      assert.equal(made.axes[0].labels, labels, what);
      allClose(made.values, values, { ...near, what });
      allClose([made.meta.logit as number], [logit], { atol: 1e-4, what });
      assert.ok((made.meta.error as number) < 1e-4, `${what}: off by ${made.meta.error}`);
    }
  });

  test(`${name}: the logit lens in both conventions`, async () => {
    for (const { layerNorm, inclMid, labels, tokens, best, ...expected } of one.lens) {
      const what = `${layerNorm}${inclMid ? ', with mids' : ''}`;
      const pair = tokens as [number, number];
      const lens = await logitLens(model, one.rows[0], { layerNorm, inclMid, tokens, pair, k: 2 });
      assert.equal(lens.axes[0].labels, labels);
      const { logit, prob, rank } = lens.chosen!;
      const inOrder = (x: Labelled) => tokensLast(x, tokens.length);
      allClose(inOrder(logit), expected.logits, { ...near, what });
      allClose(inOrder(prob), expected.probs, { ...near, what });
      assert.equal(inOrder(rank), expected.ranks, what);
      assert.equal(
        lens.top.flat().map(([first]) => first.token),
        best,
      );
      const differences = best.map((_, i) => expected.logits[2 * i] - expected.logits[2 * i + 1]);
      allClose(lens.logitDiff!.values, differences, { ...near, what });
    }
  });
}

/** The column of W_U that belongs to a token: [dModel]. */
function direction(model: HookedTransformer, token: number) {
  const row = model.tokensToResidualDirections([token]);
  const column = row.reshape([-1]);
  row.dispose();
  return column;
}

/** [token, ...] as [..., token]. */
function tokensLast({ values }: Labelled, tokens: number): number[] {
  const n = values.length / tokens;
  return Array.from({ length: values.length }, (_, i) => values[(i % tokens) * n + Math.floor(i / tokens)]);
}

test.run();
