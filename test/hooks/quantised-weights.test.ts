/** Quantised weights are weights: everything is what it is with float32 weights of the same values. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, hookNames, logitDiff, patch, type Tensor, Trainer } from '../../index.js';
import { quantise } from '../../weights/formats/quantised.js';
import { transpose } from '../../weights/formats/tensors.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { floats, type GgufTensor, ggufBytes, TYPES } from '../gguf-writer.js';
import { fail, randomGpt2, rng, throws, twoLayers } from '../helpers.js';

/** float16 → number, by its definition. */
const half = (low: number, high: number) => {
  const [sign, exponent, fraction] = [high >> 7, (high >> 2) & 31, ((high & 3) << 8) | low];
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
  return sign ? -size : size;
};

/** What blocks say, written down independently: a byte or half a byte at a time. */
function dequantised(bytes: Uint8Array, format: 'Q8_0' | 'Q4_0' | 'Q4_1', n: number): Float32Array {
  const size = { Q8_0: 34, Q4_0: 18, Q4_1: 20 }[format];
  return Float32Array.from({ length: n }, (_, i) => {
    const at = Math.floor(i / 32) * size;
    const j = i % 32;
    const d = half(bytes[at], bytes[at + 1]);
    if (format === 'Q8_0') return d * ((bytes[at + 2 + j] << 24) >> 24);
    const byte = bytes[at + size - 16 + (j % 16)];
    const q = j < 16 ? byte % 16 : byte >> 4;
    return format === 'Q4_0' ? d * (q - 8) : Math.fround(d * q) + half(bytes[at + 2], bytes[at + 3]);
  });
}

/** Random blocks of Q4_1, whose numbers lie within ±0.3 or so. */
function randomBlocks(n: number, seed: number): Uint8Array {
  const random = rng(seed);
  const bytes = new Uint8Array((n / 32) * 20);
  for (let at = 0; at < bytes.length; at += 20) {
    bytes.set([random.int(256), 0x24 + random.int(2), random.int(256), 0xb0 + random.int(3)], at);
    for (let i = 4; i < 20; i++) bytes[at + i] = random.int(256);
  }
  return bytes;
}

const config = { ...twoLayers, nLayers: 1, dModel: 64, dHead: 32, dMlp: 96, dVocab: 4100, eps: 1e-5 }; // more than one piece of the vocabulary
const weights = randomGpt2(config, 31, { untied: true });
const rows = [rng(1).tokens(7, 101), rng(2).tokens(7, 101)];
const metric = logitDiff(5, 4001);

/** The weights as a dtype has them. */
function rounded(dtype: 'q8' | 'q4'): Record<string, HostTensor> {
  const change = (name: string, t: HostTensor): HostTensor => {
    const table = /^wte|lm_head/.test(name);
    if (!table && !/\.c_\w+\.weight$/.test(name)) return t;
    const format = table || dtype === 'q8' ? 'Q8_0' : 'Q4_0';
    const turned = table ? t : transpose(t);
    const data = dequantised(quantise(turned.data, format), format, t.data.length);
    return table ? { shape: t.shape, data } : transpose({ shape: turned.shape, data });
  };
  return Object.fromEntries(Object.entries(weights).map(([name, t]) => [name, change(name, t)]));
}

/** Asserts that both agree within 1e-5 of the largest. */
function agree(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  assert.is(actual.length, expected.length, what);
  const finite = Array.from(expected).filter(Number.isFinite);
  const largest = finite.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  for (let i = 0; i < expected.length; i++)
    if (actual[i] !== expected[i] && !(Math.abs(actual[i] - expected[i]) <= 1e-5 * largest))
      fail(`${what}: ${actual[i]} at ${i}, expected ${expected[i]}, largest ${largest}`);
}

const read = async (t: Tensor): Promise<Float32Array> => {
  const data = await t.data();
  t.dispose();
  return data;
};

/** What is computed with a model: logits, every activation, gradients there, and what metrics read of the vocabulary. */
async function everything(model: HookedTransformer): Promise<Record<string, ArrayLike<number>>> {
  const names = hookNames(model.config);
  const found: Record<string, ArrayLike<number>> = {};
  const { logits, cache } = await model.runWithCache(rows, { names });
  found.logits = await read(logits);
  for (const name of cache.names()) found[name] = await cache.get(name).data();
  cache.dispose();
  found['one token'] = await read(await model.forward([[17]]));
  const hooks = [[/hook_q_input|hook_attn_out/, (x: Tensor) => x.mul(1.5)]] as const;
  found['changed inputs of heads'] = await read(await model.runWithHooks(rows, { hooks }));
  const run = await model.runWithGrads(rows, metric, { names });
  for (const name of run.grads.names()) found[`gradient at ${name}`] = await run.grads.get(name).data();
  run.cache.dispose();
  run.grads.dispose();
  found.logProbs = (await model.logProbs(rows)).flatMap((x) => [...x]);
  const pair = { clean: [rows[0]], corrupted: [rows[1]], metric };
  found.patched = (await patch(model, pair)).values;
  found.generated = await model.generate(rows[0], { maxNewTokens: 3, temperature: 0, returnType: 'tokens' });
  return found;
}

async function same(model: HookedTransformer, plain: HookedTransformer): Promise<void> {
  const [a, b] = [await everything(model), await everything(plain)];
  assert.ok(Object.keys(a).length > 30);
  for (const [what, values] of Object.entries(a)) agree(values, b[what], what);
}

for (const dtype of ['q8', 'q4'] as const)
  test(`${dtype}: logits, activations and gradients are those of the dequantised weights`, async () => {
    using model = await HookedTransformer.fromWeights(config, weights, { ...noProcessing, dtype });
    using plain = await HookedTransformer.fromWeights(config, rounded(dtype), noProcessing);
    await same(model, plain);
    for (const name of ['W_Q', 'W_O', 'W_in', 'W_out'] as const)
      for (const [l, { data }] of model.weights[name].entries())
        assert.equal(data, plain.weights[name][l].data, name);
    assert.equal(model.weights.W_E.data, plain.weights.W_E.data);
    assert.equal(model.weights.W_U.data, plain.weights.W_U.data);
    const half = model.withWeights({ 'blocks.0.mlp.W_in': (w) => w.mul(0.5) });
    const other = plain.withWeights({ 'blocks.0.mlp.W_in': (w) => w.mul(0.5) });
    agree(
      await read(await half.forward(rows)),
      await read(await other.forward(rows)),
      'with a weight halved',
    );
    half.dispose();
    other.dispose();
  });

test('they take a quarter and less of the memory; floats are processed first; they are not trained', async () => {
  using full = await HookedTransformer.fromWeights(config, weights);
  for (const [dtype, share] of [
    ['q8', 0.28],
    ['q4', 0.27],
  ] as const) {
    const before = full.gpu.memory().bytes;
    const model = await HookedTransformer.fromWeights(config, weights, { dtype });
    const taken = model.gpu.memory().bytes - before;
    assert.ok(taken < share * before, `${dtype}: ${taken} of ${before} bytes`);
    assert.is(model.processing.foldLn, true);
    assert.is.not(model.hash, full.hash);
    model.dispose();
    const unprocessed = await HookedTransformer.fromWeights(config, weights, { ...noProcessing, dtype });
    throws(
      () => new Trainer(unprocessed, { lr: 1e-3 }),
      /W_E of .* is stored as Q8_0, and only float32 is trained: .*dtype "f32"/,
    );
    unprocessed.dispose();
  }
});

test('matrices whose rows are no multiple of 32 long become float16', async () => {
  const odd = { ...twoLayers, dModel: 36, dHead: 18, eps: 1e-5 };
  using model = await HookedTransformer.fromWeights(odd, randomGpt2(odd, 32), {
    ...noProcessing,
    dtype: 'q4',
  });
  const { parts } = model.weights;
  assert.ok(parts.embed.W_E.halves && parts.blocks[0].W_QKV.halves);
  assert.is(parts.blocks[0].W_QKV.blocks, undefined);
  using logits = await model.forward(rows);
  assert.ok((await logits.data()).every(Number.isFinite));
});

test('a GGUF file of Q4_1: blocks go to the GPU as they are, rows of q and k in our order', async () => {
  const [d, heads, kv, dHead, dMlp, vocab] = [64, 4, 2, 16, 96, 101];
  const meta = {
    'general.architecture': 'llama',
    'llama.context_length': 32,
    'llama.embedding_length': d,
    'llama.block_count': 2,
    'llama.feed_forward_length': dMlp,
    'llama.attention.head_count': heads,
    'llama.attention.head_count_kv': kv,
    'llama.attention.layer_norm_rms_epsilon': 1.5e-5,
    'llama.rope.dimension_count': dHead,
  };
  const file: Record<string, GgufTensor> = {};
  const hf: Record<string, HostTensor> = {};
  let seed = 1;
  const norm = (name: string, own: string) => {
    const data = rng(seed++)
      .array(d, 0.3)
      .map((x) => x + 1);
    file[name] = floats([d], data);
    hf[own] = { shape: [d], data };
  };
  const matrix = (name: string, own: string, shape: [number, number], turnedHeads = 0) => {
    const n = shape[0] * shape[1];
    const bytes =
      name === 'token_embd.weight' ? quantise(rng(seed++).array(n), 'Q8_0') : randomBlocks(n, seed++);
    const format = name === 'token_embd.weight' ? 'Q8_0' : 'Q4_1';
    file[name] = { shape, type: TYPES[format], bytes };
    let data = dequantised(bytes, format, n);
    if (turnedHeads) {
      const from = data;
      data = new Float32Array(n);
      for (let row = 0; row < shape[0]; row++) {
        const [head, r] = [Math.floor(row / dHead), row % dHead];
        const to = head * dHead + (r % 2) * (dHead / 2) + (r >> 1); // 0 8 1 9 … become 0 1 2 …
        data.set(from.subarray(row * shape[1], (row + 1) * shape[1]), to * shape[1]);
      }
    }
    hf[own] = { shape, data };
  };
  matrix('token_embd.weight', 'model.embed_tokens.weight', [vocab, d]);
  norm('output_norm.weight', 'model.norm.weight');
  for (let l = 0; l < 2; l++) {
    const [g, h] = [`blk.${l}`, `model.layers.${l}`];
    norm(`${g}.attn_norm.weight`, `${h}.input_layernorm.weight`);
    norm(`${g}.ffn_norm.weight`, `${h}.post_attention_layernorm.weight`);
    matrix(`${g}.attn_q.weight`, `${h}.self_attn.q_proj.weight`, [heads * dHead, d], heads);
    matrix(`${g}.attn_k.weight`, `${h}.self_attn.k_proj.weight`, [kv * dHead, d], kv);
    matrix(`${g}.attn_v.weight`, `${h}.self_attn.v_proj.weight`, [kv * dHead, d]);
    matrix(`${g}.attn_output.weight`, `${h}.self_attn.o_proj.weight`, [d, heads * dHead]);
    matrix(`${g}.ffn_gate.weight`, `${h}.mlp.gate_proj.weight`, [dMlp, d]);
    matrix(`${g}.ffn_up.weight`, `${h}.mlp.up_proj.weight`, [dMlp, d]);
    matrix(`${g}.ffn_down.weight`, `${h}.mlp.down_proj.weight`, [d, dMlp]);
  }
  const files = new Map([['made.gguf', new Blob([ggufBytes(meta, file) as never])]]);
  using model = await HookedTransformer.fromPretrained(files);
  const { W_QKV, mlp } = model.weights.parts.blocks[1];
  for (const w of [W_QKV, mlp!.W_gate!, mlp!.W_out]) assert.is(w.blocks?.format, 'Q4_1');
  assert.is(model.weights.parts.embed.W_E.blocks?.format, 'Q8_0');
  assert.match(model.processing.skipped.foldLn ?? '', /quantised \(Q8_0, Q4_1\)/);
  using plain = await HookedTransformer.fromWeights(
    {
      ...{ family: 'llama', nLayers: 2, nHeads: heads, nKeyValueHeads: kv, dModel: d, dHead, dMlp },
      ...{ dVocab: vocab, nCtx: 32, eps: Math.fround(1.5e-5), actFn: 'silu' },
    },
    hf,
    noProcessing,
  );
  const tokens = rng(7).tokens(9, vocab);
  const own = logitDiff(5, 6);
  const names = hookNames(model.config);
  const all = async (m: HookedTransformer) => {
    const { grads, cache } = await m.runWithGrads(tokens, own, { names });
    const found = [await read(await m.forward(tokens))];
    for (const name of grads.names()) found.push(await grads.get(name).data());
    grads.dispose();
    cache.dispose();
    return found;
  };
  const [a, b] = [await all(model), await all(plain)];
  for (const [i, values] of a.entries()) agree(values, b[i], `number ${i}`);
  // Another dtype: float32 throughout, or Q4_1 as it is and what is larger rounded.
  using full = await HookedTransformer.fromPretrained(files, { dtype: 'f32' });
  assert.is(full.weights.parts.blocks[0].W_QKV.blocks, undefined);
  agree(await read(await full.forward(tokens)), a[0], 'f32');
  using four = await HookedTransformer.fromPretrained(files, { dtype: 'q4' });
  assert.is(four.weights.parts.blocks[0].W_O.blocks?.format, 'Q4_1');
});

test.run();
