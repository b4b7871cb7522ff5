/**
 * Gradients at every hook point agree with autograd in float64, of ragged batches and whatever is held
 * constant.
 */

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type ActivationCache,
  HookedTransformer,
  hookNames,
  kl,
  logitDiff,
  logProb,
  loss,
  type Metric,
  prob,
} from '../../index.js';
import { noise } from '../../kernels/core/kernel.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { sampleIndices } from '../engine/reference.js';
import { allClose, fail, rng, throws } from '../helpers.js';
import { oracleModel } from '../interp/oracle.js';
import { givenBack } from '../memory.js';
import { compareGradient, gradientsOracle, type HooksOracle } from './gradients-oracle.js';

test('the comparison notices a factor of 1.0003, two numbers swapped, one that is off, and NaN', () => {
  const x = rng(8).array(500);
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const at = sampleIndices(x.length, 20).map((i) => x[i]);
  const max = Math.max(...x.map(Math.abs));
  const sum = x.reduce((a, b) => a + b, 0);
  const reference = { n: 500, at, max, sum, norm: Math.sqrt(dot(x, x)), dot: dot(x, noise(500, 1)) };
  const check = (data: Float32Array) => () => compareGradient(reference, data, 'x');
  check(x)();
  check(x.map((v) => v * 1.00001))();
  throws(check(x.map((v) => v * 1.0003)), /off by/);
  const hidden = [1, 2].map((k) => sampleIndices(500, 20 + k).at(-1)!); // not in the sample
  throws(check(x.map((v, i) => (hidden.includes(i) ? x[hidden[0] + hidden[1] - i] : v))), /weighted sum/);
  throws(check(x.map((v, i) => (i === hidden[0] ? v + 0.1 : v))), /norm|sum/);
  throws(check(x.map((v, i) => (i === hidden[0] ? Number.NaN : v))), /NaN/);
  throws(check(x.subarray(1)), /499 numbers/);
});

const INPUTS = /hook_(attn_in|[qkv]_input)$/;

for (const { model: about, rows, metric, value: expected, runs } of gradientsOracle('hooks'))
  for (const { constant, hooks } of runs) {
    const name = 'toy' in about ? about.toy : about.config.name;
    const held = constant.length ? `, ${constant.join(', ')} held constant` : '';
    test(`${name}, ${rows.length} rows: gradients of ${metric.name} at every hook point${held}`, async () => {
      const model = await load(about);
      const before = model.gpu.memory().bytes;
      // That of the unembedding's input is held by TransformerLens' (lens-families.test.ts).
      const names = hookNames(model.config).filter((n) => n !== 'unembed.hook_in');
      assert.equal(Object.keys(hooks).sort(), [...names, 'logits'].sort());
      const floor = 1e-6 * Math.max(...Object.values(hooks).map(({ norm }) => norm));
      const all = Object.keys(hooks);
      const runs = [
        all.filter((n) => !INPUTS.test(n)),
        all.filter((n) => INPUTS.test(n)), // a run of their own: layer norms act on each of them
        all.filter((n) => /embed/.test(n)), // nobody looks in between: everything is fused
      ];
      for (const names of runs) {
        const sources = metric.reference && { other: metric.reference };
        const { value, cache, grads } = await model.runWithGrads(rows, make(metric), {
          names,
          constant,
          sources,
        });
        allClose([value], [expected]);
        const wrong: string[] = [];
        for (const name of names)
          try {
            compareGradient(hooks[name], await packed(grads, name, rows.length, hooks[name].n), name, floor);
          } catch (e) {
            wrong.push((e as Error).message);
          }
        if (wrong.length) fail(`${wrong.length} of ${names.length} are wrong: ${wrong.join('\n')}`);
        cache.dispose();
        grads.dispose();
      }
      givenBack(model.gpu, before);
      if ('toy' in about) model.dispose();
    });
  }

function make({ name, correct, wrong, tokens }: HooksOracle['metric']): Metric {
  if (name === 'logitDiff') return logitDiff(correct!, wrong!);
  if (name === 'kl') return kl('other');
  if (name === 'loss') return loss();
  return { logProb, prob }[name](tokens!);
}

function load(about: HooksOracle['model']): Promise<HookedTransformer> {
  if (!('toy' in about)) return oracleModel(about);
  const at = (file: string) => new URL(`../fixtures/toys/${about.toy}/${file}`, import.meta.url);
  const files = ['config.json', 'model_final.pth'].map(
    (file) => [file, new Blob([readFileSync(at(file))])] as const,
  );
  return HookedTransformer.fromPretrained(new Map(files), { tokenizer: null, ...noProcessing });
}

/** The rows' gradients, one after another. */
async function packed(grads: ActivationCache, name: string, rows: number, n: number): Promise<Float32Array> {
  const out = new Float32Array(n);
  let at = 0;
  for (let i = 0; i < rows; i++) {
    const row = grads.row(i);
    const part = await row.get(name).data();
    row.dispose();
    if (at + part.length > n) fail(`${name}: more than ${n} numbers`);
    out.set(part, at);
    at += part.length;
  }
  if (at !== n) fail(`${name}: ${at} numbers, expected ${n}`);
  return out;
}

test.run();
