/**
 * Tiny models of the families of TransformerLens' toys, from files as PyTorch writes them, against float64
 * PyTorch.
 */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Counterfactual, counterfactuals, HookedTransformer, logProb } from '../../index.js';
import type { Config } from '../../weights/config.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { compareReference, type Reference } from '../engine/reference.js';
import { allClose } from '../helpers.js';

interface Run {
  hooks: Record<string, Reference>;
  logProbs: number[];
}
interface Toy {
  config: Config;
  rows: number[][];
  runs: { raw: Run[]; processed: Run[] };
}

// A variable: bundlers take `import.meta.url` in place for a list of files.
const here = import.meta.url;
const at = (path: string) => new URL(`../fixtures/toys/${path}`, here);
const toys = JSON.parse(readFileSync(at('reference.json'), 'utf8')) as Toy[];
/** A toy's folder, as one that was dropped on a page. */
const folder = (name: string) =>
  new Map(
    ['config.json', 'model_final.pth'].map((file) => [file, new Blob([readFileSync(at(`${name}/${file}`))])]),
  );
const toy = (name: string) => toys.find(({ config }) => config.name === name)!;

const logitsOf = async (model: HookedTransformer, rows: number[][]) => {
  const logits = await model.forward(rows);
  const data = await logits.data();
  logits.dispose();
  return data;
};

for (const { config, rows, runs } of toys)
  for (const run of ['raw', 'processed'] as const)
    test(`${config.name}, ${run}, computes what PyTorch does at every hook point`, async () => {
      using model = await HookedTransformer.fromPretrained(folder(config.name), {
        tokenizer: null,
        ...(run === 'raw' && noProcessing),
      });
      for (const [i, row] of rows.entries()) {
        const names = Object.keys(runs[run][i].hooks).filter((name) => name !== 'logits');
        const { logits, cache } = await model.runWithCache([row], { names });
        assert.equal([...cache.names()].sort(), [...names].sort());
        for (const name of names) {
          const t = cache.get(name);
          compareReference(runs[run][i].hooks[name], t.shape, await t.data(), `${config.name} ${name}`);
        }
        compareReference(runs[run][i].hooks.logits, logits.shape, await logits.data(), 'logits');
        cache.dispose();
        logits.dispose();
        // Nobody looks: other kernels, the same numbers.
        allClose((await model.logProbs([row]))[0], runs[run][i].logProbs);
      }
    });

test('a run from tokens, and one with every head given its own input, agree', async () => {
  for (const name of ['shortformer', 'solu']) {
    using model = await HookedTransformer.fromPretrained(folder(name), { tokenizer: null });
    const [, row] = toy(name).rows;
    const split = await model.runWithHooks([row], { hooks: [['hook_q_input', (x) => x.mul(1)]] });
    allClose(await split.data(), await logitsOf(model, [row]));
    split.dispose();
  }
});

test('a shortformer knows positions although its residual stream does not', async () => {
  using model = await HookedTransformer.fromPretrained(folder('shortformer'), { tokenizer: null });
  const [, row] = toy('shortformer').rows;
  const { logits, cache } = await model.runWithCache([row], {
    names: ['hook_embed', 'blocks.0.hook_resid_pre'],
  });
  assert.equal(await cache.get('resid_pre', 0).data(), await cache.get('hook_embed').data());
  const still = await model.runWithHooks([row], { hooks: [['hook_pos_embed', (x) => x.mul(0)]] });
  const [plain, moved] = [await logits.data(), await still.data()];
  assert.ok(moved.some((x, i) => Math.abs(x - plain[i]) > 1e-3));
  for (const t of [logits, still, cache]) t.dispose();
});

test('the planner gives what a loop of whole runs gives, for the hook points of toy models too', async () => {
  for (const [name, points] of [
    ['shortformer', ['hook_pos_embed', 'hook_embed', 'blocks.1.attn.hook_k']],
    ['shortformer-solu', ['hook_pos_embed', 'blocks.1.ln1.hook_scale', 'blocks.0.mlp.hook_mid']],
    ['solu', ['blocks.0.mlp.hook_mid', 'blocks.1.mlp.ln.hook_scale', 'blocks.0.mlp.ln.hook_normalized']],
  ] as const) {
    using model = await HookedTransformer.fromPretrained(folder(name), { tokenizer: null });
    const [, row] = toy(name).rows;
    const list: Counterfactual[] = points.flatMap((at) => [
      [{ at, pos: 2, scale: -1 }],
      [{ at, pos: [0, 5], add: 0.5 }],
      [{ at, set: { from: 'other' } }],
    ]);
    const base = { input: [row], sources: { other: [[...row].reverse()] } };
    const planned = await counterfactuals(model, base, list, logProb(5));
    for (const [i, change] of list.entries()) {
      const { logits } = await model.runWithInterventions([row], change, { sources: base.sources });
      const last = (await logits.data()).slice(-model.config.dVocab);
      const total = Math.log(last.reduce((sum, x) => sum + Math.exp(x), 0));
      const what = `${name}: ${JSON.stringify(change)}`;
      allClose([planned.values[i]], [last[5] - total], { atol: 1e-4, what });
      logits.dispose();
    }
  }
});

test('the steps of processing that a model does not allow are not taken, and not claimed', async () => {
  using shortformer = await HookedTransformer.fromPretrained(folder('shortformer'), { tokenizer: null });
  assert.equal(
    { ...shortformer.processing },
    {
      foldLn: false,
      centerWritingWeights: false,
      centerUnembed: false,
      foldValueBiases: true,
      refactorFactoredAttnMatrices: false,
    },
  );
  assert.match(shortformer.processing.skipped.foldLn ?? '', /positions are added between/);
  using old = await HookedTransformer.fromPretrained(folder('solu-old'), { tokenizer: null });
  assert.match(old.processing.skipped.centerWritingWeights ?? '', /does not take the mean off/);
  assert.is(old.processing.centerWritingWeights, false);
  assert.is(old.config.normalization, 'LNPre');
});

test('generation goes on from stored keys and values in shortformer models too', async () => {
  using model = await HookedTransformer.fromPretrained(folder('shortformer-solu'), { tokenizer: null });
  const [, row] = toy('shortformer-solu').rows;
  const tokens = await model.generate(row.slice(0, 3), {
    maxNewTokens: 5,
    temperature: 0,
    returnType: 'tokens',
  });
  const { dVocab } = model.config;
  for (let n = 3; n < tokens.length; n++) {
    const last = (await logitsOf(model, [tokens.slice(0, n)])).slice(-dVocab);
    assert.is(last.indexOf(Math.max(...last)), tokens[n]);
  }
});

test.run();
