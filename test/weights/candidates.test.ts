/**
 * Which file, which folder and which head is the model, where there are several; and what is named in a
 * model's place.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Config } from '../../weights/config.js';
import { chooseCheckpoint, nearestFolder } from '../../weights/files/candidates.js';
import { blobFolder } from '../../weights/files/files-blob.js';
import { openCheckpoint } from '../../weights/formats/open.js';
import { writeSafetensors } from '../../weights/formats/safetensors-write.js';
import { memoryTensors } from '../../weights/formats/tensors.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { inferConfig, readModel } from '../../weights/load/checkpoint.js';
import { parseConfig } from '../../weights/load/config.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { randomGpt2, throws } from '../helpers.js';

const config = parseConfig({ nLayers: 1, nHeads: 2, dModel: 4, nCtx: 5, dVocab: 7 });
const tensors = randomGpt2(config, 1);
const head: HostTensor = { shape: [7, 4], data: Float32Array.from({ length: 28 }, (_, i) => i) };
const under = (prefix: string, more: Record<string, HostTensor> = {}): Record<string, HostTensor> => ({
  ...Object.fromEntries(Object.entries(tensors).map(([name, t]) => [prefix + name, t])),
  ...more,
});

/** W_U, or W_E where they are one. */
async function unembedding(given: Record<string, HostTensor>, more: Partial<Config> = {}) {
  const source = memoryTensors(given, 'm');
  const read = parseConfig({ ...config, ...more }, { inferred: inferConfig(source) });
  let W_E: HostTensor | null = null;
  for await (const part of readModel(source, read, noProcessing)) {
    if (part.kind === 'embed') W_E = part.weights.W_E;
    if (part.kind === 'final') return [...(part.weights.W_U ?? W_E!).data];
  }
}

test('the head is found beside the model and above it; two heads, two models and a stray head are errors', async () => {
  for (const [prefix, name] of [
    ['', 'lm_head.weight'],
    ['transformer.', 'lm_head.weight'],
    ['module.transformer.', 'module.lm_head.weight'],
    ['_orig_mod.module.transformer.', '_orig_mod.module.lm_head.weight'],
    ['module.transformer.', 'lm_head.weight'],
  ])
    assert.equal(await unembedding(under(prefix, { [name]: head })), [...head.data], `${prefix} ${name}`);
  const wte = [...tensors['wte.weight'].data];
  assert.equal(await unembedding(under('module.transformer.')), wte);
  await throws(
    unembedding(under('module.transformer.', { 'lm_head.weight': head, 'module.lm_head.weight': head })),
    /two heads, "lm_head\.weight" and "module\.lm_head\.weight"/,
  );
  await throws(
    unembedding(under('transformer.', { 'ema.lm_head.weight': head })),
    /"ema\.lm_head\.weight" is a head/,
  );
  await throws(unembedding({ ...under('a.'), ...under('b.') }), /two models, under "a\." and "b\."/);
  assert.equal(await unembedding({ ...under('b.ema.'), ...under('b.') }), wte); // nearest the top
});

test('a tied model may have its matrix under either name; an untied one needs its head', async () => {
  const { 'wte.weight': wte, ...rest } = tensors;
  assert.equal(await unembedding({ ...rest, 'lm_head.weight': wte }), [...wte.data]);
  await throws(
    unembedding(tensors, { tieWordEmbeddings: false }),
    /no tensor "lm_head\.weight".*tie_word_embeddings/,
  );
  await throws(
    unembedding({ ...rest, 'lm_head.weight': wte }, { tieWordEmbeddings: false }),
    /"wte\.weight"/,
  );
});

test('a head under another name is not lost', async () => {
  const named = { ...tensors, 'embed_out.weight': head };
  await throws(unembedding(named), /^m: tensor "embed_out\.weight" has the shape of an unembedding/);
  await throws(unembedding({ ...tensors, 'out.W': { ...head, shape: [4, 7] } }), /"out\.W" has the shape/);
  const wte = [...tensors['wte.weight'].data];
  assert.equal(await unembedding(named, { tieWordEmbeddings: true }), wte);
  assert.equal(await unembedding({ ...named, 'lm_head.weight': head }), [...head.data]);
  const scores = { shape: [2, 4], data: new Float32Array(8) };
  assert.equal(await unembedding({ ...tensors, 'score.weight': scores }), wte);
});

test('numbers of layers beyond what a file can hold are refused at once', async () => {
  await throws(unembedding(tensors, { nLayers: 1e9 }), /says 1000000000 layers, but there are \d+ tensors/);
  await throws(unembedding({ ...tensors, 'h.999999999.ln_1.weight': head }), /cannot be so many layers/);
});

const folders: [paths: string[], expected: string | RegExp][] = [
  [['config.json', 'model.safetensors'], ''],
  [['top/config.json', 'top/pytorch_model.bin', 'top/checkpoint-1/config.json'], 'top/'],
  [['top/a/config.json', 'top/a/x.pth', 'top/b/c/config.json', 'top/b/c/x.pth'], 'top/a/'],
  [
    ['top/config.json', 'top/checkpoint-1/config.json', 'top/checkpoint-1/model.safetensors'],
    'top/checkpoint-1/',
  ],
  [
    ['a/config.json', 'a/model.safetensors', 'b/config.json', 'b/model.safetensors'],
    /several models, "a\/" and "b\/"/,
  ],
  [['a/config.json', 'b/model.safetensors'], /must lie in one folder; files are in "a\/" and "b\/"/],
  [['README.md'], ''],
];
for (const [paths, expected] of folders)
  test(`the nearest whole model of ${paths.join(', ')}`, () => {
    if (typeof expected === 'string') assert.is(nearestFolder(paths, 'dropped'), expected);
    else throws(() => nearestFolder(paths, 'dropped'), expected);
  });

const files: [paths: string[], expected: string | null | RegExp][] = [
  [['model.safetensors', 'pytorch_model.bin', 'tf_model.h5'], 'model.safetensors'],
  [
    ['pytorch_model.bin', 'optimizer.pt', 'scheduler.pt', 'rng_state.pth', 'training_args.bin'],
    'pytorch_model.bin',
  ],
  [['pytorch_model.bin.index.json', 'pytorch_model-00001-of-00002.bin'], 'pytorch_model.bin.index.json'],
  [
    ['pytorch_model.bin', 'rng_state_0.pth', 'random_states_0.pkl', 'scaler.pt', 'x_optim_states.pt'],
    'pytorch_model.bin',
  ],
  [['weights.safetensors', 'adapter_model.safetensors'], 'weights.safetensors'],
  [['a.pth', 'model_final.pth'], 'model_final.pth'],
  [['a.pth', 'b.pth'], /several checkpoints \(a\.pth, b\.pth\)/],
  [['a_final.pth', 'b_final.pth'], /a_final\.pth, b_final\.pth/],
  [['model_final.pth', 'pytorch_model.bin'], /pytorch_model\.bin, model_final\.pth/],
  [
    ['model.safetensors', 'model.safetensors.index.json', 'model-00001-of-00002.safetensors'],
    /model\.safetensors, model\.safetensors\.index\.json/,
  ],
  [['config.json', 'optimizer.pt'], null],
];
for (const [paths, expected] of files)
  test(`the checkpoint among ${paths.join(', ')}`, () => {
    if (expected instanceof RegExp) throws(() => chooseCheckpoint(paths, 'folder'), expected);
    else assert.is(chooseCheckpoint(paths, 'folder'), expected);
  });

test('quantised checkpoints are named, with what to load instead', async () => {
  for (const [settings, message] of [
    [{ quant_method: 'gptq', bits: 4 }, /quantised by GPTQ to 4 bits.*Load the model that it was made from/],
    [{ quant_method: 'awq', bits: 4 }, /AWQ to 4 bits/],
    [{ quant_method: 'bitsandbytes', load_in_8bit: true }, /bitsandbytes to 8 bits/],
    [{ load_in_4bit: true, load_in_8bit: false }, /bitsandbytes to 4 bits/],
    [{ quant_method: 'fp8' }, /"fp8"/],
  ] as const)
    throws(() => parseConfig({ ...config, quantization_config: settings }, { file: 'config.json' }), message);
  const none = { load_in_4bit: false, load_in_8bit: false };
  const unquantised = parseConfig({ ...config, quantization_config: none }, { file: 'config.json' });
  assert.is(unquantised.nLayers, 1);
  const { 'h.0.attn.c_attn.weight': _, ...rest } = tensors;
  for (const [name, method] of [
    ['h.0.attn.c_attn.qweight', /GPTQ or AWQ/],
    ['h.0.attn.c_attn.SCB', /bitsandbytes/],
    ['h.0.attn.c_attn.weight.quant_map', /bitsandbytes/],
  ] as const)
    await throws(unembedding({ ...rest, [name]: head }), method);
});

test('an adapter, a lone shard and other formats are named in place of weights', async () => {
  const open = (...names: string[]) =>
    openCheckpoint(
      blobFolder(new Map(['config.json', ...names].map((name) => [name, new Blob([])])), 'folder'),
    );
  await throws(
    open('adapter_model.safetensors'),
    /adapter_model\.safetensors belongs to an adapter \(LoRA\)/,
  );
  await throws(open('model-00001-of-00002.safetensors'), /one shard of several, and their index/);
  await throws(open('model.gguf'), /model\.gguf is of a format that is not read/);
});

test('a file of safetensors under its own name is read', async () => {
  const blobs = new Map([['gpt.safetensors', new Blob([writeSafetensors(tensors)])]]);
  assert.ok((await openCheckpoint(blobFolder(blobs))).shape('wte.weight'));
});

test.run();
