/**
 * Families on the host: their files are read, seen in one layout, and written as they were
 * (test/fixtures/families/make.py).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCheckpoint } from '../../weights/formats/open.js';
import { memoryTensors, type TensorSource } from '../../weights/formats/tensors.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { readModel } from '../../weights/load/checkpoint.js';
import { parseConfig } from '../../weights/load/config.js';
import { saveable } from '../../weights/load/save.js';
import { nodeFolder } from '../../weights/node/files-node.js';
import {
  defaultProcessing,
  noProcessing,
  possibleSteps,
  processedConfig,
} from '../../weights/processing/processing.js';
import { throws } from '../helpers.js';
import { collect } from './forward.js';

const folder = fileURLToPath(new URL('../fixtures/families/', import.meta.url));
const names = readdirSync(folder, { withFileTypes: true }).flatMap((e) =>
  e.isDirectory() && e.name !== 'expected' ? [e.name] : [],
);
const settings = (name: string) => JSON.parse(readFileSync(`${folder}${name}/config.json`, 'utf8'));
const open = async (name: string) => openCheckpoint(await nodeFolder(`${folder}${name}`));
const configOf = (name: string) => parseConfig(settings(name), { file: 'config.json' });
/** What a file may hold besides the model. */
const BUFFER = /inv_freq|attention\.bias|masked_bias/;

async function tensorsOf(source: TensorSource): Promise<Record<string, HostTensor>> {
  const out: Record<string, HostTensor> = {};
  for (const name of source.names())
    if (!BUFFER.test(name)) out[name] = { shape: source.shape(name)!, data: await source.read(name) };
  return out;
}

for (const name of names)
  test(`${name}: what is read and saved again is the checkpoint`, async () => {
    const [source, config] = [await open(name), configOf(name)];
    const weights = await collect(readModel(source, config, noProcessing));
    const { tensors, config: written } = saveable(weights, config, noProcessing);
    const held = await tensorsOf(source);
    if (name === 'qwen2') {
      held['model.embed_tokens.weight'] = held['lm_head.weight']; // one matrix, under its usual name
      delete held['lm_head.weight'];
    }
    const bare = (key: string) => key.replace(/^model\./, '');
    const keys = (all: object) =>
      Object.keys(all)
        .map((key) => (name === 'gemma2' ? bare(key) : key))
        .sort();
    assert.equal(keys(tensors), keys(held));
    for (const [key, { shape, data }] of Object.entries(tensors)) {
      const own = held[key] ?? held[bare(key)];
      assert.equal([...shape], [...own.shape], key);
      assert.equal(data, own.data, key);
    }
    assert.is(written.model_type, settings(name).model_type);
    const again = parseConfig(JSON.parse(JSON.stringify(written)), { name: config.name });
    assert.equal(again, config);
  });

test("processed models are saved in the family's names where it has a place for all of it, else in ours", async () => {
  for (const name of names) {
    const [source, config] = [await open(name), configOf(name)];
    const weights = await collect(readModel(source, config, defaultProcessing));
    const processed = processedConfig(config, defaultProcessing);
    const { tensors, config: written } = saveable(
      weights,
      processed,
      possibleSteps(config, defaultProcessing),
    );
    // GPT-J and GPT-Neo have no biases of queries, to which the norm's bias was moved, and StableLM none of
    // MLPs; Qwen 2 none of the output, to which those of values were.
    assert.is('model_type' in written, !/^(gptj|gpt_neo($|-)|qwen2|stablelm)/.test(name), name);
    const again = parseConfig(JSON.parse(JSON.stringify(written)), {
      name: config.name,
      file: 'config.json',
    });
    const read = await collect(readModel(memoryTensors(tensors), again, noProcessing));
    assert.equal(read.blocks[0].W_QKV, weights.blocks[0].W_QKV, name);
    assert.equal(read.blocks[1].mlp!.W_out, weights.blocks[1].mlp!.W_out, name);
  }
});

const refused: [what: string, name: string, more: object, error: RegExp][] = [
  ['experts', 'llama', { num_local_experts: 8 }, /num_local_experts is 8: mixtures of experts/],
  [
    'an unknown scaling',
    'llama',
    { rope_parameters: { rope_type: 'ntk' } },
    /rope_type is "ntk": only default/,
  ],
  [
    'heads that cannot share',
    'llama',
    { num_key_value_heads: 2 },
    /nKeyValueHeads is 2; it must divide nHeads/,
  ],
  ['an unknown activation', 'llama', { hidden_act: 'mish' }, /actFn is "mish"/],
  ['a missing size', 'llama', { hidden_size: undefined }, /hidden_size is missing/],
  [
    'layers of another kind',
    'qwen2-window',
    { layer_types: ['full_attention', 'chunked'] },
    /layer_types is "chunked"/,
  ],
  [
    'windows in some layers',
    'mistral',
    { layer_types: ['full_attention'] },
    /the same window in every layer/,
  ],
  ['caps that are not its own', 'llama', { final_logit_softcapping: 30 }, /llama models have no soft caps/],
  ['half a pair', 'phi', { partial_rotary_factor: 0.4 }, /turn in pairs/],
  ['layers that do not add up', 'gpt_neo', { attention_types: [[['global'], 1]] }, /for the 2 layers/],
  ['an odd head', 'llama', { head_dim: 9 }, /9 of 9 dimensions would turn/],
];
for (const [what, name, more, error] of refused)
  test(`a configuration is refused: ${what}`, () => {
    const json = { ...settings(name), rope_scaling: null, ...more };
    if (name === 'phi') delete json.rope_parameters;
    throws(() => parseConfig(json, { file: 'config.json' }), error);
  });

test('a tensor that a family does not have is an error where its own lie, and reported elsewhere', async () => {
  const [source, config] = [await open('llama'), configOf('llama')];
  const held = await tensorsOf(source);
  const extra = { shape: [2], data: new Float32Array(2) };
  const read = (more: object, of = config) =>
    collect(readModel(memoryTensors({ ...held, ...more }), of, noProcessing));
  await throws(() => read({ 'model.layers.0.self_attn.q_proj.bias': extra }), /has no such bias/);
  await throws(() => read({ 'model.layers.0.mlp.other.weight': extra }), /llama has no such tensor/);
  await throws(() => read({ 'model.layers.7.mlp.up_proj.weight': extra }), /the configuration says 2 layers/);
  const events: string[] = [];
  const onProgress = (event: { message?: string }) => event.message && events.push(event.message);
  await collect(
    readModel(memoryTensors({ ...held, 'score.weight': extra }), config, noProcessing, { onProgress }),
  );
  assert.match(events.join(), /not read, .* "score\.weight"/);
  const { 'model.layers.1.self_attn.k_proj.weight': _, ...less } = held;
  await throws(
    () => collect(readModel(memoryTensors(less), config, noProcessing)),
    /"model\.layers\.1\.self_attn\.k_proj\.weight"/,
  );
  await throws(() => read({}, { ...config, nKeyValueHeads: 3 }), /k_proj\.weight" has shape \[10, 12\]/);
  const { 'lm_head.weight': __, ...headless } = held;
  await throws(
    () => collect(readModel(memoryTensors(headless), config, noProcessing)),
    /no tensor "lm_head\.weight".*tie_word_embeddings/,
  );
});

test.run();
