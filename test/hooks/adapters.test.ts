/** LoRA adapters, merged at loading, against PEFT's running models (test/fixtures/adapters/make.py). */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, logitLens } from '../../index.js';
import { withAdapter } from '../../weights/adapters/load.js';
import { nodeFile } from '../../weights/files/disk-node.js';
import type { LoadProgress } from '../../weights/files/progress.js';
import { openCheckpoint } from '../../weights/formats/open.js';
import { openSafetensors } from '../../weights/formats/safetensors.js';
import { writeSafetensors } from '../../weights/formats/safetensors-write.js';
import { memoryTensors, type TensorSource } from '../../weights/formats/tensors.js';
import { parseConfig } from '../../weights/load/config.js';
import { nodeFolder } from '../../weights/node/files-node.js';
import { allClose, throws } from '../helpers.js';

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));
const folder = (name: string) => `${fixtures}adapters/${name}`;
const base = (name: string) => `${fixtures}families/${/^[^-]*/.exec(name)![0]}`;
const names = readdirSync(folder('.'), { withFileTypes: true }).flatMap((e) =>
  e.isDirectory() && e.name !== 'expected' ? [e.name] : [],
);
const expected = async (name: string) =>
  openSafetensors((await nodeFile(`${folder('expected')}/${name}.safetensors`))!);

async function opened(name: string) {
  const config = JSON.parse(readFileSync(`${base(name)}/config.json`, 'utf8'));
  return {
    config: parseConfig(config, { name: `./${/^[^-]*/.exec(name)![0]}`, file: 'config.json' }),
    tensors: (await openCheckpoint(await nodeFolder(base(name)))) as TensorSource,
  };
}

const text = JSON.stringify;
/** An adapter in memory, with some settings and matrices changed; undefined takes one away. */
async function changed(
  name: string,
  settings: Record<string, unknown>,
  change: (tensors: Record<string, { shape: readonly number[]; data: Float32Array }>) => void = () => {},
): Promise<Map<string, Blob>> {
  const own = JSON.parse(readFileSync(`${folder(name)}/adapter_config.json`, 'utf8'));
  const source = await openSafetensors((await nodeFile(`${folder(name)}/adapter_model.safetensors`))!);
  const tensors: Record<string, { shape: readonly number[]; data: Float32Array }> = {};
  for (const key of source.names())
    tensors[key] = { shape: source.shape(key)!, data: await source.read(key) };
  change(tensors);
  return new Map([
    ['adapter_config.json', new Blob([text({ ...own, ...settings })])],
    ['adapter_model.safetensors', new Blob([writeSafetensors(tensors) as Uint8Array<ArrayBuffer>])],
  ]);
}

for (const name of names)
  test(`${name}: every matrix is the float64 sum, rounded once, and no other is changed`, async () => {
    const { config, tensors } = await opened(name);
    const merged = await withAdapter({ config, tensors }, { adapterWeights: folder(name) });
    const reference = await expected(name);
    const keys = reference.names().filter((key) => key !== 'tokens' && key !== 'logits');
    for (const key of merged.tensors.names()) {
      if (key.endsWith('.attention.bias')) continue; // a mask of old files, in booleans
      const data = await merged.tensors.read(key);
      if (keys.includes(key)) allClose(data, await reference.read(key), { atol: 0, rtol: 1.2e-7, what: key });
      else if (tensors.shape(key)) assert.equal(data, await tensors.read(key), key);
      else assert.equal(data, await tensors.read('transformer.wte.weight'), key);
    }
    for (const key of keys) assert.ok(merged.tensors.shape(key), key);
    assert.is(merged.adapterWeights!.modules, keys.length);
    assert.is(merged.adapterWeights!.madeFor, /^[^-]*/.exec(name)![0]);
  });

for (const name of names)
  test(`${name}: the model computes PEFT's logits, and provenance names the adapter`, async () => {
    const model = await HookedTransformer.fromPretrainedNoProcessing(base(name), {
      adapterWeights: folder(name),
    });
    const reference = await expected(name);
    const bytes = await reference.readBytes('tokens');
    const tokens = [...new Int32Array(bytes.slice().buffer)];
    const logits = await model.forward([tokens]);
    const right = await reference.read('logits');
    const largest = right.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    allClose(await logits.data(), right, { atol: 1e-5 * largest, rtol: 0 });
    if (name === 'gpt2') {
      const lens = await logitLens(
        model.with({ interventions: [{ at: 'z', layer: 0, head: 0, zero: true }] }),
        tokens,
      );
      assert.equal(lens.meta.adapterWeights, { name: folder(name), madeFor: 'gpt2', modules: 6 });
    }
    model.dispose();
  });

test('other kinds of adapters are refused by name', async () => {
  const merged = async (settings: Record<string, unknown>, change?: Parameters<typeof changed>[2]) =>
    withAdapter(await opened('llama'), { adapterWeights: await changed('llama', settings, change) });
  for (const [settings, message] of [
    [{ peft_type: 'PROMPT_TUNING' }, /prompt tuning \(peft_type "PROMPT_TUNING"\): only LoRA is merged/],
    [{ peft_type: 'IA3' }, /IA³/],
    [{ peft_type: 'ADALORA' }, /AdaLoRA/],
    [{ peft_type: 'LOHA' }, /LoHa/],
    [{ peft_type: 'NEW' }, /of another kind \(peft_type "NEW"\)/],
    [{ use_dora: true }, /uses DoRA \(use_dora\)/],
    [{ layer_replication: [[0, 2]] }, /repeated layers/],
    [{ trainable_token_indices: [3] }, /trainable tokens/],
    [{ use_new_thing: true }, /"use_new_thing" is true, which is not known here/],
    [{ bias: 'lora_only' }, /bias is "lora_only", so biases of the base were trained/],
    [{ init_lora_weights: 'pissa_niter_4' }, /"pissa_niter_4": such an adapter belongs to a base with other/],
    [{ r: 'four' }, /r is "four": a number is needed/],
    [{ alpha_pattern: { '(': 3 } }, /alpha_pattern: "\(" is no pattern/],
  ] as const)
    await throws(merged(settings), message);
  await throws(
    merged({}, (t) => {
      t['base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector'] = t[Object.keys(t)[0]];
    }),
    /magnitude_vector" is not one of LoRA's/,
  );
});

test('an adapter for another base says so', async () => {
  const merged = async (
    on: string,
    adapterWeights: string | Map<string, Blob>,
    onProgress?: (e: LoadProgress) => void,
  ) => withAdapter(await opened(on), { adapterWeights, onProgress });
  await throws(
    merged('gpt2', folder('llama')),
    /another base than \.\/gpt2, which has no "model\.layers\.0.*and 13 more: none of its modules fits \(the adapter was made for "llama"\)/,
  );
  await throws(merged('phi3', folder('llama')), /another base than \.\/phi3/);
  const deeper = await changed('llama', {}, (t) => {
    for (const key of Object.keys(t)) t[key.replace('layers.1', 'layers.7')] = t[key];
  });
  await throws(merged('llama', deeper), /has no "model\.layers\.7\.\S+" and 6 more \(the adapter/);
  const wider = await changed('llama', {}, (t) => {
    t['base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'] = {
      shape: [4, 16],
      data: new Float32Array(64),
    };
  });
  await throws(
    merged('llama', wider),
    /"model\.layers\.0\.self_attn\.q_proj" is \[30, 16\], and the base has \[30, 12\]/,
  );
  const warnings: string[] = [];
  const other = await changed('llama', { base_model_name_or_path: 'meta-llama/Llama-2-7b-hf' });
  await merged('llama', other, ({ status, message }) => status === 'warning' && warnings.push(message!));
  assert.match(warnings.join(), /made for "meta-llama\/Llama-2-7b-hf", and its shapes fit "\.\/llama", too/);
});

test('incomplete and damaged adapters', async () => {
  const merged = async (
    name: string,
    settings: Record<string, unknown>,
    change?: Parameters<typeof changed>[2],
  ) => {
    const { tensors } = await withAdapter(await opened(name), {
      adapterWeights: await changed(name, settings, change),
    });
    for (const key of tensors.names()) await tensors.read(key);
  };
  const a = 'base_model.model.model.layers.1.mlp.up_proj.lora_A.weight';
  const b = a.replace('_A', '_B');
  await throws(
    merged('llama', {}, (t) => void delete t[b]),
    /"model\.layers\.1\.mlp\.up_proj" there is A without B/,
  );
  await throws(
    merged('llama', {}, (t) => {
      delete t[a];
      delete t[b];
    }),
    /target_modules names "model\.layers\.1\.mlp\.up_proj", and its matrices are missing: the file is incomplete/,
  );
  await throws(
    merged('llama', { target_modules: ['q_proj'] }),
    /holds matrices of "model\.layers\.0\.mlp\.down_proj", which target_modules does not name/,
  );
  await throws(merged('llama', { r: 3 }), /are \[4, 22\] and \[12, 4\], and its rank is 3/);
  await throws(
    merged('phi3', { modules_to_save: null, target_modules: null }, (t) => {
      t['base_model.model.model.norm.weight'] = { shape: [24], data: new Float32Array(24) };
    }),
    /holds "model\.norm", which modules_to_save does not name/,
  );
  await throws(
    merged('llama', {}, (t) => void t[a].data.fill(Number.NaN)),
    /lora_A\.weight" holds NaN at index 0; the adapter is corrupt/,
  );
  const load = async (files: Map<string, Blob>) =>
    withAdapter(await opened('llama'), { adapterWeights: files });
  await throws(
    load(new Map([['adapter_config.json', new Blob(['{}'])]])),
    /neither adapter_model\.safetensors nor adapter_model\.bin/,
  );
  await throws(
    load(new Map([['config.json', new Blob(['{}'])]])),
    /no adapter_config\.json, but a config\.json: this is a model/,
  );
  await throws(
    HookedTransformer.fromPretrained(folder('llama')),
    /this is an adapter: load its base model, with \{ adapterWeights/,
  );
});

test('an adapter of a model inside a larger one fits by the end of its names, its pattern too', async () => {
  const wrapped = await changed('llama', { target_modules: '.*language_model.*(proj)' }, (t) => {
    for (const key of Object.keys(t)) {
      t[key.replace('model.model.', 'model.model.language_model.')] = t[key];
      delete t[key];
    }
  });
  const { tensors, adapterWeights } = await withAdapter(await opened('llama'), { adapterWeights: wrapped });
  assert.is(adapterWeights!.modules, 14);
  const key = 'model.layers.1.mlp.up_proj.weight';
  allClose(await tensors.read(key), await (await expected('llama')).read(key), { atol: 0, rtol: 1.2e-7 });
});

test("names without GPT-2's prefix, and arrays in memory, take an adapter; the arrays stay as they are", async () => {
  const { config, tensors } = await opened('gpt2');
  const bare: Record<string, { shape: readonly number[]; data: Float32Array }> = {};
  for (const key of tensors.names())
    bare[key.replace('transformer.', '')] = { shape: tensors.shape(key)!, data: await tensors.read(key) };
  const before = bare['h.0.attn.c_attn.weight'].data.slice();
  const merged = await withAdapter(
    { config, tensors: memoryTensors(bare) },
    { adapterWeights: folder('gpt2') },
  );
  const reference = await expected('gpt2');
  allClose(
    await merged.tensors.read('h.0.attn.c_attn.weight'),
    await reference.read('transformer.h.0.attn.c_attn.weight'),
    { atol: 0, rtol: 1.2e-7 },
  );
  assert.equal(bare['h.0.attn.c_attn.weight'].data, before);
});

test.run();
