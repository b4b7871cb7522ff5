/**
 * Toys saved by TransformerLens 3.9 (test/fixtures/lens-toys): every activation function, outputs that are
 * not tokens, attention in both directions, and four with the settings of published toys. Numbers are its
 * own, in float64.
 */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { counterfactuals, HookedTransformer, logitDiff } from '../../index.js';
import { throws } from '../helpers.js';

interface Toy {
  config: Record<string, unknown>;
  tokens: number[][];
  logits: number[];
  grads: Record<string, number[]>;
  places: [row: number, pos: number][];
  answers: number[];
  loss: string;
}
const file = (name: string) => readFileSync(new URL(`../fixtures/lens-toys/${name}`, import.meta.url));
const reference = new URL('../fixtures/lens-toys/reference.json', import.meta.url);
const toys = JSON.parse(readFileSync(reference, 'utf8')) as Record<string, Toy>;

const load = (name: string, options = {}) =>
  HookedTransformer.fromPretrainedNoProcessing(
    new Map([
      ['config.json', new Blob([JSON.stringify(toys[name].config)])],
      ['model.pth', new Blob([file(`${name}.pth`)])],
    ]),
    options,
  );

function close(what: string, got: ArrayLike<number>, wanted: readonly number[]): void {
  assert.is(got.length, wanted.length, what);
  const largest = wanted.reduce((m, x) => Math.max(m, Math.abs(x)), 1);
  wanted.forEach((x, i) => {
    if (Math.abs(got[i] - x) > 2e-5 * largest) assert.unreachable(`${what}, ${i}: ${got[i]}, not ${x}`);
  });
}

for (const [name, { tokens, logits, grads }] of Object.entries(toys).filter(([, toy]) => toy.logits))
  test(`${name}: logits and gradients are TransformerLens'`, async () => {
    const model = await load(name);
    try {
      using own = await model.forward(tokens);
      close('logits', await own.data(), logits);
      // Σ c · logits, c = 1, 2, 3, … over all outputs
      const run = await model.runWithGrads(
        tokens,
        (t) =>
          t
            .mul(
              model.tensor(
                Float32Array.from(logits, (_, i) => (i + 1) / logits.length),
                t.shape,
              ),
            )
            .sum(),
        { names: Object.keys(grads) },
      );
      for (const [at, wanted] of Object.entries(grads)) close(at, await run.grads.get(at).data(), wanted);
      run.cache.dispose();
      run.grads.dispose();
    } finally {
      model.dispose();
    }
  });

for (const [name, { tokens, places, answers, loss }] of Object.entries(toys).filter(([, toy]) => toy.loss))
  test(`${name}: the loss is TransformerLens', to the last printed digit`, async () => {
    const model = await load(name);
    try {
      using logits = await model.forward(tokens);
      const [, length, outputs] = logits.shape;
      const data = await logits.data();
      const losses = places.map(([row, pos], i) => {
        const own = data.subarray((row * length + pos) * outputs, (row * length + pos + 1) * outputs);
        return Math.log(own.reduce((sum, x) => sum + Math.exp(x), 0)) - own[answers[i]];
      });
      assert.is((losses.reduce((a, b) => a + b) / losses.length).toFixed(4), loss);
    } finally {
      model.dispose();
    }
  });

test('outputs that are not tokens are read, attributed and swept, and not generated', async () => {
  const model = await load('out-fewer');
  const [clean, corrupted] = toys['out-fewer'].tokens;
  try {
    assert.equal([model.config.dVocab, model.config.dVocabOut], [7, 4]);
    assert.equal(model.weights.W_U.shape, [6, 4]);
    const cell = [{ at: 'blocks.0.hook_resid_pre', pos: 1, set: { from: 'other' } }] as const;
    const sources = { other: { input: [corrupted] } };
    const swept = await counterfactuals(model, { input: [clean], sources }, [cell], logitDiff(3, 0));
    const { logits } = await model.runWithInterventions(clean, cell, { sources });
    const last = (await logits.data()).subarray(-4);
    logits.dispose();
    assert.ok(Math.abs(swept.values[0] - (last[3] - last[0])) < 1e-5);
    await throws(model.generate(clean, { maxNewTokens: 1 }), /7 tokens and has 4 outputs/);
    await throws(model.logProbs([clean]), /not next tokens/);
    await throws(
      counterfactuals(
        model,
        { input: [clean] },
        [[{ at: 'hook_embed', pos: 0, zero: true }]],
        logitDiff(4, 0),
      ),
      /token id 4, but the vocabulary is 0–3/,
    );
  } finally {
    model.dispose();
  }
});

test('in a bidirectional model a change reaches all positions, in single runs and in sweeps alike', async () => {
  const model = await load('bidirectional');
  const [clean, corrupted] = toys.bidirectional.tokens;
  try {
    const cells = [2, 4].flatMap((pos) =>
      [
        'blocks.0.hook_resid_pre',
        'blocks.1.attn.hook_v',
        'blocks.1.attn.hook_z',
        'blocks.1.hook_mlp_out',
      ].map((at) => [{ at, pos, set: { from: 'other' } }]),
    );
    const base = { input: [clean], sources: { other: { input: [corrupted] } } };
    const swept = await counterfactuals(model, base, cells, logitDiff(3, 0));
    for (const [i, cell] of cells.entries()) {
      const { logits } = await model.runWithInterventions(clean, cell, { sources: base.sources });
      const data = await logits.data();
      const last = data.subarray(data.length - 7);
      assert.ok(Math.abs(swept.values[i] - (last[3] - last[0])) < 1e-5, `${cell[0].at} at ${cell[0].pos}`);
      logits.dispose();
    }
    // a later token changes an earlier position
    using a = await model.forward([clean]);
    using b = await model.forward([[...clean.slice(0, 5), 6]]);
    assert.ok(Math.abs((await a.data())[0] - (await b.data())[0]) > 1e-3);
    await throws(model.generate(clean, { maxNewTokens: 1 }), /bidirectional/);
    await throws(model.prefix(clean), /bidirectional/);
    await throws(model.logProbs([clean]), /bidirectional/);
    await throws(model.loss([clean]), /bidirectional/);
  } finally {
    model.dispose();
  }
});

test.run();
