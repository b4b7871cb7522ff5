/** What weights say of heads and neurons agrees with float64, where every product is multiplied out. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import {
  accumulatedBias,
  compositionScores,
  ovCircuit,
  qkCircuit,
  virtualWeights,
} from '../../interp/weights/circuits.js';
import { neuronToLogits, svdInterpreter } from '../../interp/weights/directions.js';
import {
  copyingScores,
  type TokenTable,
  tokenCircuit,
  topCircuitEntries,
  topCircuitTokens,
} from '../../interp/weights/token-circuits.js';
import { allClose, throws } from '../helpers.js';
import { givenBack } from '../memory.js';
import { type CircuitsCase, circuitsCases } from './circuits-oracle.js';
import { oracleModel } from './oracle.js';

const within = { atol: 2e-4, rtol: 2e-4 };

type Ranked = CircuitsCase['circuits'][number]['top'];

/** A table says what the oracle says, and its axes carry it. */
function sameTable(table: TokenTable, top: Ranked, bottom: Ranked): void {
  const ends = [
    [table.top, top],
    [table.bottom, bottom],
  ] as const;
  for (const [found, expected] of ends)
    found.forEach((row, i) => {
      allClose(
        row.map((t) => t.value),
        expected[i].values,
        within,
      );
      assert.equal(
        row.map((t) => t.token),
        expected[i].tokens,
      );
    });
  allClose(
    table.values,
    top.flatMap((t) => t.values),
    within,
  );
}

for (const [n, one] of circuitsCases.entries()) {
  const { model: about, layer, head, tokens, k } = one;
  const model = await oracleModel(about);
  const name = `${about.config.name}${about.processed ? ', processed' : ''}`;

  test(`${name}: OV and QK circuits`, () => {
    for (const [circuit, facts] of [
      [ovCircuit(model, layer, head), one.ov],
      [qkCircuit(model, layer, head), one.qk],
    ] as const) {
      allClose(circuit.S, facts.singular, within);
      allClose([circuit.norm(), circuit.trace()], [facts.norm, facts.trace], within);
      allClose(circuit.corner(3).data, facts.corner, within);
      const { re, im } = circuit.eigenvalues();
      allClose(re, facts.eigenvalues.re, within);
      allClose(im, facts.eigenvalues.im, within);
    }
  });

  test(`${name}: composition scores of all pairs of heads`, async () => {
    for (const mode of ['Q', 'K', 'V'] as const) {
      const before = model.gpu.memory().bytes;
      const scores = await compositionScores(model, mode);
      givenBack(model.gpu, before);
      allClose(scores.values, one.composition[mode], within);
      assert.equal(
        scores.axes.map((a) => a.name),
        ['source layer', 'source head', 'layer', 'head'],
      );
    }
  });

  test(`${name}: circuits between tokens`, async () => {
    const before = model.gpu.memory().bytes;
    for (const { circuit, embedding, norm, top, bottom, entries } of one.circuits) {
      const options = { layer, head, circuit, embedding };
      sameTable(await topCircuitTokens(model, { ...options, tokens, k }), top, bottom);
      const best = await topCircuitEntries(model, { ...options, k: entries.length });
      allClose(
        best.values,
        entries.map(([, , value]) => value),
        within,
      );
      assert.equal(
        best.entries.map(({ from, to }) => [from.token, to.token]),
        entries.map(([from, to]) => [from, to]),
      );
      const whole = await tokenCircuit(model, options);
      assert.is(whole.inner, about.config.dHead);
      allClose([whole.norm()], [norm], within);
      allClose([whole.get(tokens[0], top[0].tokens[0])], [top[0].values[0]], within);
    }
    givenBack(model.gpu, before);
  });

  test(`${name}: which heads copy`, async () => {
    const before = model.gpu.memory().bytes;
    for (const { embedding, top, eigenvalues } of one.copying) {
      const found = await copyingScores(model, { k, tokens: 'all', embedding });
      allClose(found.values, top, within);
      const spectra = await copyingScores(model, { kind: 'eigenvalues', embedding });
      allClose(spectra.values, eigenvalues, within);
    }
    givenBack(model.gpu, before);
  });

  test(`${name}: singular vectors, neurons and biases`, async () => {
    for (const { matrix, values, top, bottom } of one.singular) {
      const found = await svdInterpreter(model, { matrix, layer, head, vectors: values.length, k });
      allClose(found.singularValues, values, within);
      sameTable(found, top, bottom);
    }
    if (one.neuron) {
      const { layer: l, neuron, top, bottom } = one.neuron;
      sameTable(await neuronToLogits(model, l, neuron, k), [top], [bottom]);
    }
    for (const { layer: l, values, ...options } of one.biases)
      allClose(accumulatedBias(model, l, options), values, within);
  });

  test(`${name}: what is written and read between layers is multiplied as it stands`, () => {
    const { W_O, W_Q, W_E, W_U } = model.weights;
    const { dModel, dHead, dVocab } = about.config;
    const weights = virtualWeights(model, { layer: 0, head: 1 }, { layer: 2, head: 0, input: 'q' });
    assert.equal(weights.shape, [dHead, dHead]);
    let sum = 0;
    for (let d = 0; d < dModel; d++)
      sum += W_O[0].data[(dHead + 3) * dModel + d] * W_Q[2].data[d * dHead + 5];
    allClose([weights.get(3, 5)], [sum], within);
    const direct = virtualWeights(model, 'embed', 'unembed');
    assert.equal(direct.shape, [dVocab, dVocab]);
    let own = 0;
    for (let d = 0; d < dModel; d++) own += W_E.data[7 * dModel + d] * W_U.data[d * dVocab + 7];
    allClose([direct.get(7, 7)], [own], within);
    if (!about.config.attnOnly)
      assert.equal(virtualWeights(model, { layer: 0 }, { layer: 1 }).shape, [96, 96]);
  });

  if (n === 0)
    test('random heads compose as much as the baseline says', async () => {
      const plain = await compositionScores(model, 'V');
      const above = await compositionScores(model, 'V', { baseline: { samples: 8, seed: 3 } });
      const { mean } = above.meta.baseline as { mean: number };
      // ‖ABCD‖² ≈ ‖AB‖²·‖CD‖² / dModel when all is random.
      assert.ok(Math.abs(mean - 1 / Math.sqrt(about.config.dModel)) < 0.03, `${mean}`);
      allClose(
        above.values,
        plain.values.map((x) => (x ? x - mean : 0)),
        within,
      );
    });
}

test('wrong arguments are told what would be right', async () => {
  const model = await oracleModel(circuitsCases[0].model);
  const bare = await oracleModel(circuitsCases[2].model);
  throws(() => ovCircuit(model, 3, 0), /layer 3: this model has 3 layers \(0–2\)/);
  throws(() => qkCircuit(model, 0, -1), /head -1: this model has 3 heads a layer/);
  throws(() => virtualWeights(model, { layer: 1 }, { layer: 1, head: 0, input: 'q' }), /nothing flows back/);
  throws(() => virtualWeights(bare, { layer: 0 }, 'unembed'), /no MLPs/);
  throws(() => accumulatedBias(model, 3, { mlpInput: true }), /layer 3; 0 to 2/);
  await throws(compositionScores(model, 'X' as 'Q'), /mode is "X": 'Q', 'K' or 'V'/);
  await throws(topCircuitTokens(model, { layer: 0, head: 0, tokens: [101] }), /token id 101/);
  await throws(topCircuitTokens(model, { layer: 0, head: 0, tokens: [1], k: 0 }), /k is 0/);
  await throws(copyingScores(bare, { embedding: 'W_E+MLP0' }), /no MLPs; take "W_E"/);
  await throws(neuronToLogits(model, 0, 96), /neuron 96: this model has 96 neurons/);
  await throws(svdInterpreter(model, { matrix: 'OV', layer: 0 }), /which `head`/);
});

test('the induction circuit of the shipped model is seen in its weights', async () => {
  const model = await HookedTransformer.fromPretrained('tiny');
  const { nLayers, nHeads } = model.config;
  // The heads of layer 1 do induction, L0H0 looks back by one (see heads.test.ts): their keys read what that
  // one writes.
  const { values } = await compositionScores(model, 'K');
  for (let head = 0; head < nHeads; head++) {
    const sources = Array.from(values).filter((_, i) => i % (nLayers * nHeads) === nHeads + head);
    assert.is(sources.indexOf(Math.max(...sources)), 0, `L1H${head}`);
  }
  // And they copy what the first MLP has made of the tokens.
  const options = { kind: 'eigenvalues', layers: [1], embedding: 'W_E+MLP0' } as const;
  for (const score of (await copyingScores(model, options)).values) assert.ok(score > 0.9, `${score}`);
  model.dispose();
});

test.run();
