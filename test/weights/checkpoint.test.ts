import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Config } from '../../weights/config.js';
import { memoryFile } from '../../weights/files/files.js';
import type { LoadProgress } from '../../weights/files/progress.js';
import { openSafetensors } from '../../weights/formats/safetensors.js';
import { writeSafetensors } from '../../weights/formats/safetensors-write.js';
import { memoryTensors } from '../../weights/formats/tensors.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { inferConfig, readModel } from '../../weights/load/checkpoint.js';
import { parseConfig } from '../../weights/load/config.js';
import { defaultProcessing, noProcessing } from '../../weights/processing/processing.js';
import { randomGpt2, throws } from '../helpers.js';
import { collect } from './forward.js';

type Tensors = Record<string, HostTensor>;
const config = parseConfig({ nLayers: 2, nHeads: 2, dModel: 6, nCtx: 5, dVocab: 7, name: 'small' });
const tensors = randomGpt2(config, 1, { untied: false });
const zeros = (...shape: number[]): HostTensor => ({
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});
const read = (some: Tensors, of: Config = config) =>
  collect(readModel(memoryTensors(some), of, noProcessing));
const prefixed = (some: Tensors, prefix: string): Tensors =>
  Object.fromEntries(Object.entries(some).map(([name, tensor]) => [prefix + name, tensor]));
const without = (some: Tensors, pattern: RegExp): Tensors =>
  Object.fromEntries(Object.entries(some).filter(([name]) => !pattern.test(name)));
/** Tensor `name` with one value replaced. */
const poisoned = (name: string, value: number): Tensors => {
  const data = tensors[name].data.slice();
  data[3] = value;
  return { ...tensors, [name]: { shape: tensors[name].shape, data } };
};

test('names may have the prefix of GPT2LMHeadModel, or any other, or none', async () => {
  const bare = await read(tensors);
  assert.is(bare.embed.W_E.data, tensors['wte.weight'].data);
  assert.is(bare.blocks[1].mlp!.W_out.data, tensors['h.1.mlp.c_proj.weight'].data);
  for (const prefix of ['transformer.', '_orig_mod.transformer.'])
    assert.equal(await read(prefixed(tensors, prefix)), bare);
});

test('causal masks of old checkpoints and tensors outside the blocks are ignored', async () => {
  const masks = {
    'h.0.attn.bias': zeros(1, 1, 5, 5),
    'h.1.attn.masked_bias': zeros(),
    'score.weight': zeros(2, 6),
  };
  assert.equal(await read({ ...tensors, ...masks }), await read(tensors));
});

test('the unembedding is the embedding unless lm_head differs from it', async () => {
  const copy = { shape: [7, 6], data: tensors['wte.weight'].data.slice() };
  assert.is((await read(tensors)).final.W_U, null);
  assert.is((await read({ ...tensors, 'lm_head.weight': copy })).final.W_U, null);
  assert.equal((await read({ ...tensors, 'lm_head.weight': zeros(7, 6) })).final.W_U, zeros(7, 6));
  assert.is((await read(tensors)).final.b_U, null);
  assert.equal((await read({ ...tensors, 'lm_head.bias': zeros(7) })).final.b_U, zeros(7));
});

test('a file is read one part at a time, in the order of the model', async () => {
  const file = memoryFile('m.safetensors', writeSafetensors(prefixed(tensors, 'transformer.')));
  const source = await openSafetensors(file);
  const kinds: string[] = [];
  let reads = 0;
  const counting = {
    ...source,
    read(name: string) {
      reads++;
      return source.read(name);
    },
  };
  for await (const part of readModel(counting, config, noProcessing)) {
    kinds.push(part.kind === 'block' ? `block ${part.layer}` : part.kind);
    if (part.kind === 'embed') assert.is(reads, 2);
  }
  assert.equal(kinds, ['embed', 'block 0', 'block 1', 'final']);
});

test('progress goes from 0 to 100 and ends with done; an abort stops the reading', async () => {
  const events: LoadProgress[] = [];
  await collect(
    readModel(memoryTensors(tensors), config, noProcessing, { onProgress: (e) => events.push(e) }),
  );
  assert.equal([events[0].status, events.at(-1)!.status], ['initiate', 'done']);
  const percents = events.map(({ progress }) => progress!);
  assert.equal(
    percents,
    [...percents].sort((a, b) => a - b),
  );
  assert.equal([percents[0], percents.at(-1)], [0, 100]);
  assert.is(
    events.at(-1)!.loaded,
    4 * Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0),
  );

  const signal = AbortSignal.abort(new Error('enough'));
  await throws(collect(readModel(memoryTensors(tensors), config, noProcessing, { signal })), /^enough$/);
});

test('a NaN or an infinity is refused with its tensor and place', async () => {
  await throws(
    read(poisoned('h.1.ln_2.bias', NaN)),
    /tensor "h\.1\.ln_2\.bias" holds NaN at index 3.*corrupt/,
  );
  await throws(read(poisoned('wte.weight', Infinity)), /tensor "wte\.weight" holds Infinity at index 3/);
  await throws(read(poisoned('ln_f.weight', -Infinity)), /tensor "ln_f\.weight" holds -Infinity/);
});

test('missing tensors are listed by name', async () => {
  await throws(
    read(without(tensors, /h\.1\.attn\.c_attn\.bias/)),
    /1 of the tensors .*2 layers.*: "h\.1\.attn\.c_attn\.bias"$/,
  );
  await throws(read(without(tensors, /h\.1\./)), /12 of the tensors.*"h\.1\.ln_1\.weight".* and 9 more/);
  await throws(
    read(without(tensors, /w[tp]e/)),
    /no tensor "wte\.weight".*not a GPT-2 checkpoint \(it has 26 tensors: "h/,
  );
  await throws(read({}), /not a GPT-2 checkpoint \(it has no tensors\)/);
  await throws(read(without(tensors, /ln_/)), /set normalization: 'none', 'LNPre' or 'RMSPre'/);
  await throws(read(without(tensors, /mlp|ln_2/)), /set attnOnly: true/);
});

test('a configuration that contradicts the tensors is refused, naming tensor, file and both shapes', async () => {
  await throws(
    read(tensors, { ...config, dVocab: 8 }),
    /tensor "wte\.weight" has shape \[7, 6\].*says \[8, 6\]/,
  );
  await throws(
    read(tensors, { ...config, nCtx: 4 }),
    /tensor "wpe\.weight" has shape \[5, 6\].*says \[4, 6\]/,
  );
  await throws(
    read(tensors, { ...config, dMlp: 12 }),
    /"h\.0\.mlp\.c_fc\.weight" has shape \[6, 24\].*\[6, 12\]/,
  );
  await throws(
    read(tensors, { ...config, dHead: 2 }),
    /"h\.0\.attn\.c_attn\.weight" has shape \[6, 18\].*\[6, 12\]/,
  );
  await throws(
    read(tensors, { ...config, nLayers: 3 }),
    /12 of the tensors of a model with 3 layers are missing/,
  );
  await throws(read(tensors, { ...config, nLayers: 1 }), /unexpected tensor "h\.1\..*says 1 layers \(0–0\)/);
  await throws(
    read(tensors, { ...config, attnOnly: true, dMlp: 0 }),
    /unexpected tensor "h\.0\.ln_2.*says attnOnly/,
  );
  await throws(
    read(tensors, { ...config, normalization: 'none' }),
    /unexpected tensor.*normalization 'none'/,
  );
  await throws(read({ ...tensors, 'lm_head.weight': zeros(9, 6) }), /"lm_head\.weight" has shape \[9, 6\]/);
});

test('weights in the layout of nn.Linear are recognised', async () => {
  await throws(
    read({ ...tensors, 'h.0.attn.c_attn.weight': zeros(18, 6) }),
    /"h\.0\.attn\.c_attn\.weight".*is transposed/,
  );
});

test('a tensor in a block that GPT-2 does not have is refused, since the model would compute something else', async () => {
  await throws(
    read({ ...tensors, 'h.0.crossattention.c_attn.weight': zeros(6, 12) }),
    /GPT-2 has no such tensor/,
  );
});

test('given arrays must fit their shapes', () => {
  throws(
    () => memoryTensors({ x: { shape: [2, 2], data: new Float32Array(3) } }),
    /tensor "x": shape \[2, 2\] needs 4/,
  );
  throws(() => memoryTensors({ x: [1, 2] as unknown as HostTensor }), /tensor "x": give \{ shape/);
});

test('attention-only models and models without norms have fewer tensors', async () => {
  for (const normalization of ['none', 'LNPre'] as const) {
    const of: Config = { ...config, attnOnly: true, dMlp: 0, normalization };
    const { blocks, final } = await read(randomGpt2(of, 2), of);
    assert.equal([blocks.length, blocks[0].mlp, blocks[0].ln1, final.lnFinal], [2, null, null, null]);
  }
});

test('shapes tell everything but the number of heads', () => {
  const { nLayers, dModel, dVocab, nCtx, dMlp, attnOnly } = config;
  const sizes = { nLayers, dModel, dVocab, nCtx, dMlp, attnOnly };
  assert.equal(inferConfig(memoryTensors(prefixed(tensors, 'transformer.'))), sizes);
  const of: Config = { ...config, attnOnly: true, dMlp: 0 };
  assert.equal(inferConfig(memoryTensors(randomGpt2(of, 1))), { ...sizes, dMlp: 0, attnOnly: true });
  assert.equal(parseConfig({ nHeads: 2, name: 'small' }, { inferred: sizes }), config);
});

test("Hugging Face's config.json of GPT-2 is understood", () => {
  const gpt2 = {
    activation_function: 'gelu_new',
    architectures: ['GPT2LMHeadModel'],
    bos_token_id: 50256,
    eos_token_id: 50256,
    layer_norm_epsilon: 1e-5,
    model_type: 'gpt2',
    n_ctx: 1024,
    n_embd: 768,
    n_head: 12,
    n_layer: 12,
    n_positions: 1024,
    vocab_size: 50257,
  };
  const expected: Config = {
    nLayers: 12,
    nHeads: 12,
    dModel: 768,
    dHead: 64,
    dMlp: 3072,
    nCtx: 1024,
    dVocab: 50257,
    dVocabOut: 50257,
    eps: 1e-5,
    actFn: 'gelu_new',
    attnOnly: false,
    attentionDir: 'causal',
    normalization: 'LN',
    scaleAttn: true,
    scaleAttnByInverseLayerIdx: false,
    finalRms: false,
    positionEmbedding: 'standard',
    bosTokenId: 50256,
    eosTokenId: 50256,
    eosTokenIds: [50256],
    name: 'gpt2',
    family: 'gpt2',
    nKeyValueHeads: 12,
    gatedMlp: false,
    parallelAttnMlp: false,
    sharedNorm: false,
    normPlaces: 'before',
    normGain: 'w',
    qkNorm: 'none',
    rotary: null,
    windows: null,
    scoreScale: null,
    attnScoresSoftCap: null,
    outputLogitsSoftCap: null,
    embedScale: 1,
    qkvBias: true,
    outBias: true,
    mlpBias: true,
    defaultPrependBos: true,
  };
  assert.equal(parseConfig(gpt2, { name: 'gpt2' }), expected);
  const variant = {
    ...gpt2,
    n_inner: 100,
    activation_function: 'gelu_pytorch_tanh',
    scale_attn_weights: false,
  };
  assert.equal(parseConfig(variant, { name: 'gpt2' }), { ...expected, dMlp: 100, scaleAttn: false });
});

const sizes = { n_layer: 1, n_head: 2, n_embd: 4, n_positions: 8, vocab_size: 9 };
const impossible: [what: string, json: unknown, error: RegExp][] = [
  ['a list', [], /^c\.json: not an object of settings/],
  ['null', null, /not an object/],
  [
    'another kind of model',
    { model_type: 'mamba', ...sizes },
    /model_type is "mamba"; these are run: gpt2, llama/,
  ],
  ['cross attention', { ...sizes, add_cross_attention: true }, /add_cross_attention/],
  ['heads that do not divide the width', { ...sizes, n_head: 3 }, /n_embd 4 is not a multiple of n_head 3/],
  ['no heads', { ...sizes, n_head: undefined }, /nHeads \(Hugging Face: n_head\) is missing/],
  ['a negative width', { ...sizes, n_embd: -4 }, /dModel is -4; it must be a positive integer/],
  ['a fractional number of layers', { ...sizes, n_layer: 1.5 }, /nLayers is 1\.5; it must be an integer/],
  ['a size as text', { ...sizes, vocab_size: '9' }, /dVocab is "9"/],
  [
    'an unknown activation',
    { ...sizes, activation_function: 'mish' },
    /actFn is "mish"; it must be one of gelu_new/,
  ],
  ['an impossible epsilon', { ...sizes, layer_norm_epsilon: 'x' }, /eps is "x"; it must be a number in/],
  [
    'a flag that is a number',
    { ...sizes, scale_attn_weights: 1 },
    /scaleAttn is 1; it must be true or false/,
  ],
  ['a token that is no number', { ...sizes, bos_token_id: ['1'] }, /bosTokenId is \["1"\]/],
  [
    'an unknown normalization',
    { nHeads: 1, dModel: 2, nLayers: 1, nCtx: 2, dVocab: 2, normalization: 'BN' },
    /normalization is "BN"/,
  ],
  [
    'heads that do not divide, and no dHead',
    { nHeads: 3, dModel: 4, nLayers: 1, dVocab: 2 },
    /dHead .*is missing/,
  ],
];
for (const [what, json, error] of impossible)
  test(`a configuration is refused: ${what}`, () => {
    throws(() => parseConfig(json, { file: 'c.json' }), error);
    throws(() => parseConfig(json, { file: 'c.json' }), /^c\.json: /);
  });

test('our own names have defaults; heads need not add up to the width', () => {
  const of = parseConfig({ nLayers: 1, nHeads: 3, dModel: 4, dHead: 2, nCtx: 3, dVocab: 5 });
  assert.equal(
    [of.dHead, of.dMlp, of.actFn, of.normalization, of.attnOnly],
    [2, 16, 'gelu_new', 'LN', false],
  );
  assert.equal([of.bosTokenId, of.eosTokenId, of.name], [null, null, 'unnamed']);
  assert.is(parseConfig({ nLayers: 1, nHeads: 1, dModel: 4, dMlp: 0, nCtx: 3, dVocab: 5 }).attnOnly, true);
});

test('processing is checked like reading: nothing is processed before every shape is right', async () => {
  const wrong = { ...tensors, 'h.1.mlp.c_proj.weight': zeros(24, 5) };
  const parts = readModel(memoryTensors(wrong), config, defaultProcessing);
  await throws(parts.next(), /"h\.1\.mlp\.c_proj\.weight" has shape \[24, 5\]/);
});

test.run();
