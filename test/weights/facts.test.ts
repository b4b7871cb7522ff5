/** Of which parts a block is made, and the frequencies of rotary positions. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blockFacts } from '../../weights/facts.js';
import { parseConfig } from '../../weights/load/config.js';
import { normWeightsAt } from '../../weights/norm.js';
import { type Rotary, type RotaryScaling, rotaryTable } from '../../weights/rotary.js';
import { throws } from '../helpers.js';

const sizes = { nLayers: 3, nHeads: 4, dModel: 12, dHead: 6, nCtx: 32, dVocab: 37 };
const facts = (more: object, layer = 0) => blockFacts(parseConfig({ ...sizes, ...more }), layer);

test('GPT-2: norms before, plain MLP, all heads with keys of their own, learned positions', () => {
  const { order, before, behind, positions, attention, mlp } = facts({});
  const norm = { kind: 'layer', eps: 1e-5, gain: 'w' };
  assert.is(order, 'sequential');
  assert.equal(before, { attn: norm, mlp: norm, shared: false });
  assert.equal(behind, { attn: null, mlp: null });
  assert.equal(positions, { kind: 'standard' });
  assert.equal(attention, {
    heads: 4,
    kvHeads: 4,
    dHead: 6,
    direction: 'causal',
    window: null,
    scale: 1 / Math.sqrt(6),
    softCap: null,
    qkNorm: null,
    biases: { qkv: true, out: true },
  });
  assert.equal(mlp, { width: 48, activation: 'gelu_new', gated: false, biases: true });
  assert.is(facts({ scaleAttnByInverseLayerIdx: true }, 2).attention.scale, (1 / Math.sqrt(6)) * (1 / 3));
  assert.is(facts({ attnOnly: true }).mlp, null);
});

test('norms stand before, behind or both, and gains behind are never folded away', () => {
  const behind = parseConfig({ ...sizes, normalization: 'RMSPre', normPlaces: 'behind' });
  assert.equal([blockFacts(behind, 0).before.attn, blockFacts(behind, 0).behind.mlp?.kind], [null, 'rms']);
  assert.equal(normWeightsAt(behind, 'ln1'), { gain: true, bias: false });
  assert.equal(normWeightsAt(behind, 'ln_final'), { gain: false, bias: false });
  const both = parseConfig({ ...sizes, normalization: 'RMSPre', normPlaces: 'both', normGain: '1+w' });
  assert.is(blockFacts(both, 1).behind.attn?.gain, '1+w');
  assert.equal(
    (['ln1', 'ln1_post'] as const).map((place) => normWeightsAt(both, place).gain),
    [false, true],
  );
  const shared = facts({ parallelAttnMlp: true, sharedNorm: true });
  assert.equal([shared.order, shared.before.shared, shared.before.mlp], ['parallel', true, null]);
});

test('layers with the same frequencies share one table; those with a window may have their own', () => {
  const config = parseConfig({
    ...sizes,
    rotary: { base: 1e6, scaling: { type: 'linear', factor: 8 }, windowed: { base: 1e4 } },
    windows: [4, null, 4],
  });
  const [a, b, c] = [0, 1, 2].map((l) => blockFacts(config, l).positions);
  if (a.kind !== 'rotary' || b.kind !== 'rotary' || c.kind !== 'rotary') throw new Error('not rotary');
  assert.is(a.table, c.table);
  assert.is(b.table.frequencies[1], 1e6 ** (-2 / 6) / 8);
  assert.is(a.table.frequencies[1], 1e4 ** (-2 / 6));
  assert.equal(
    [0, 1, 2].map((l) => blockFacts(config, l).attention.window),
    [4, null, 4],
  );
});

test('frequencies of scaled rotary positions are those of transformers (ROPE_INIT_FUNCTIONS, 16 dimensions)', () => {
  const of = (base: number, scaling: RotaryScaling) => {
    const rotary: Rotary = { pairs: 'halves', dims: 16, exponentDims: 16, base, scaling, windowed: null };
    const { frequencies, magnitude } = rotaryTable(rotary);
    return [...frequencies, magnitude];
  };
  const near = (got: number[], wanted: number[]) => {
    assert.is(got.length, wanted.length);
    for (const [i, x] of wanted.entries()) assert.ok(Math.abs(got[i] - x) < 1e-7, `${i}: ${got[i]} ≠ ${x}`);
  };
  const original = { originalContext: 16 };
  near(
    of(50, { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, ...original }),
    [0.57605636, 0.1771024, 0.04700754, 0.02882679, 0.01767767, 0.01084061, 0.00664787, 0.00407672, 1],
  );
  const yarn = { type: 'yarn', factor: 4, betaFast: 2, betaSlow: 1, ...original } as const;
  near(
    of(50, { ...yarn, truncate: true, magnitude: 1.138629436111989 }),
    [
      1, 0.38327348, 0.09401508, 0.05765358, 0.03535534, 0.02168122, 0.01329574, 0.00815345,
      1.138629436111989,
    ],
  );
  near(of(50, { ...yarn, truncate: false, magnitude: 1 }).slice(0, 3), [1, 0.44905323, 0.09401508]);
  near(
    of(500, { type: 'linear', factor: 4 }),
    [0.25, 0.11496582, 0.05286856, 0.02431231, 0.01118034, 0.00514143, 0.00236435, 0.00108728, 1],
  );
});

test('settings that do not fit together, or are no settings, are refused by name', () => {
  const refused = (more: object, error: RegExp) => throws(() => parseConfig({ ...sizes, ...more }), error);
  refused({ nKeyValueHeads: 3 }, /nKeyValueHeads is 3; it must divide nHeads, which is 4/);
  refused({ sharedNorm: true }, /only parallel blocks can share a norm/);
  refused({ parallelAttnMlp: true, normPlaces: 'both' }, /normPlaces is "both": it must be "before"/);
  refused({ rotary: { dims: 5 } }, /rotary\.dims is 5; it must be an even number from 2 to dHead/);
  refused({ rotary: { scaling: { type: 'ntk' } } }, /rotary\.scaling .* linear, llama3, yarn, divisors/);
  refused({ rotary: { scaling: { type: 'linear' } } }, /rotary\.scaling\.factor is nothing/);
  refused({ windows: [4, 4] }, /windows is \[4, 4\]; .* a list of 3, one a layer/);
  refused({ windows: 0 }, /windows is 0/);
  refused({ embedScale: -1 }, /embedScale is -1; it must be a number greater than 0/);
  assert.equal(parseConfig({ ...sizes, windows: 4 }).windows, [4, 4, 4]);
  assert.is(parseConfig({ ...sizes, attnScoresSoftCap: -1 }).attnScoresSoftCap, null);
});

test.run();
