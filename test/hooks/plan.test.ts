/** What a model takes is said before its weights are read; models of other programs are found by name. */

import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, planModel } from '../../index.js';
import { quantise } from '../../weights/formats/quantised.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { floats, type GgufTensor, ggufBytes, TYPES } from '../gguf-writer.js';
import { rng, throws } from '../helpers.js';

const home = mkdtempSync(join(tmpdir(), 'glassbox-plan-'));
test.after(() => rmSync(home, { recursive: true }));
const write = (path: string, data: string | Uint8Array) => {
  mkdirSync(dirname(join(home, path)), { recursive: true });
  writeFileSync(join(home, path), data);
};

const [d, vocab, dMlp] = [64, 96, 128];
function llama(): Uint8Array {
  const tensors: Record<string, GgufTensor> = {};
  let seed = 1;
  const matrix = (name: string, rows: number, columns: number) => {
    const bytes = quantise(rng(seed++).array(rows * columns, 0.3), 'Q8_0');
    tensors[`${name}.weight`] = { shape: [rows, columns], type: TYPES.Q8_0, bytes };
  };
  const norm = (name: string) => {
    tensors[`${name}.weight`] = floats([d], new Float32Array(d).fill(1));
  };
  matrix('token_embd', vocab, d);
  norm('output_norm');
  for (const part of ['attn_norm', 'ffn_norm']) norm(`blk.0.${part}`);
  for (const part of ['attn_q', 'attn_k', 'attn_v', 'attn_output']) matrix(`blk.0.${part}`, d, d);
  for (const part of ['ffn_gate', 'ffn_up']) matrix(`blk.0.${part}`, dMlp, d);
  matrix('blk.0.ffn_down', d, dMlp);
  const sizes = { context_length: 32, embedding_length: d, block_count: 1, feed_forward_length: dMlp };
  const keys = Object.entries({
    ...sizes,
    'attention.head_count': 2,
    'attention.layer_norm_rms_epsilon': 1e-5,
  });
  return ggufBytes(
    { 'general.architecture': 'llama', ...Object.fromEntries(keys.map(([k, v]) => [`llama.${k}`, v])) },
    tensors,
  );
}

test('a plan names the bytes of every dtype, which are those that loading takes', async () => {
  using other = await HookedTransformer.fromPretrained('tiny'); // the device is open
  for (const [source, dtypes] of [
    ['tiny', ['f32', 'f16', 'q8', 'q4']],
    [new Map([['a.gguf', new Blob([llama() as never])]]), [null, 'f32', 'q4']],
  ] as const)
    for (const dtype of dtypes) {
      const plan = await planModel(source as string);
      const planned = plan.dtypes.find((one) => one.dtype === dtype)!;
      const before = other.gpu.memory().bytes;
      using model = await HookedTransformer.fromPretrained(source as string, { ...(dtype && { dtype }) });
      const taken = model.gpu.memory().bytes - before;
      assert.ok(
        Math.abs(planned.bytes - taken) < 0.03 * taken + 4096,
        `${dtype}: ${planned.bytes} planned, ${taken} taken`,
      );
    }
});

test('what does not fit is said before anything is read, with the dtype that would, or what is missing', async () => {
  // The weights are not there: whoever read them would say so.
  const shape = { n_layer: 4, n_head: 4, n_embd: 256, n_positions: 64, vocab_size: 1000 };
  write(
    'gpt2/config.json',
    JSON.stringify({ model_type: 'gpt2', architectures: ['GPT2LMHeadModel'], ...shape }),
  );
  const folder = join(home, 'gpt2');
  const plan = await planModel(folder, { memory: 5e6 });
  assert.equal(
    plan.dtypes.map(({ dtype }) => dtype),
    ['f32', 'f16', 'q8', 'q4'],
  );
  assert.is(plan.parameters, 4 * 12 * 256 * 256 + 2 * 1000 * 256);
  assert.is(plan.best?.dtype, 'q8');
  const load = (memory: number, more = {}) => HookedTransformer.fromPretrained(folder, { memory, ...more });
  await throws(
    load(5e6),
    /does not fit as f32: .* are needed, and .* are free; dtype "q8" takes .* and fits/,
  );
  await throws(load(1e6), /even the smallest dtype lacks \d/);
  await throws(load(5e6, { dtype: 'q8' }), /model\.safetensors/);
  await throws(load(5e6, { dtype: 'f32', ...noProcessing }), /dtype "q8"/);
  await throws(planModel(folder, { memory: 0 }), /memory is 0/);
});

test('models of Ollama and of LM Studio are found by name', async () => {
  const bytes = llama();
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const layers = [
    { mediaType: 'application/vnd.ollama.image.license', digest: 'sha256:0' },
    { mediaType: 'application/vnd.ollama.image.model', digest, size: bytes.length },
  ];
  const library = 'ollama/manifests/registry.ollama.ai';
  write(`${library}/library/llama3.2/latest`, JSON.stringify({ schemaVersion: 2, layers }));
  write(`${library}/library/llama3.2/1b`, JSON.stringify({ schemaVersion: 2, layers }));
  write(`${library}/someone/own/v2`, JSON.stringify({ schemaVersion: 2, layers }));
  write(
    `${library}/library/gone/latest`,
    JSON.stringify({ layers: [{ ...layers[1], digest: `sha256:${'0'.repeat(64)}` }] }),
  );
  write(
    `${library}/library/odd/latest`,
    JSON.stringify({ layers: [{ ...layers[1], digest: '../../secret' }] }),
  );
  write(`ollama/blobs/${digest.replace(':', '-')}`, bytes);
  write('.lmstudio/models/owner/Model-GGUF/model-q8_0.gguf', bytes);
  write('.cache/lm-studio/models/other/Two-GGUF/two-q4.gguf', bytes);
  write('.cache/lm-studio/models/other/Two-GGUF/two-q8.gguf', bytes);
  const [own, usual] = [process.env.OLLAMA_MODELS, process.env.HOME];
  process.env.OLLAMA_MODELS = join(home, 'ollama');
  process.env.HOME = home;
  try {
    const hashes = new Set<string>();
    for (const name of [
      'ollama:llama3.2',
      'ollama:llama3.2:1b',
      'ollama:someone/own:v2',
      'lmstudio:owner/Model-GGUF',
      'lmstudio:model-q8_0',
      'lmstudio:other/Two-GGUF/two-q4.gguf',
    ]) {
      using model = await HookedTransformer.fromPretrained(name, { hostWeights: false });
      hashes.add(model.hash);
      assert.is(model.config.name, name);
    }
    assert.is(hashes.size, 1);
    const load = (name: string) => HookedTransformer.fromPretrained(name);
    await throws(load('ollama:qwen'), /Ollama has no model "qwen:latest" in .*there are ollama:gone:latest/);
    await throws(load('ollama:gone'), /names no model that is there.*ollama pull gone:latest/);
    await throws(load('ollama:odd'), /names no model/);
    await throws(load('ollama:../../x'), /ollama:name:tag/);
    await throws(load('lmstudio:Two-GGUF'), /means 2 files.*two-q4\.gguf.*two-q8\.gguf/);
    await throws(load('lmstudio:nothing'), /LM Studio has no model "nothing"/);
  } finally {
    if (own === undefined) delete process.env.OLLAMA_MODELS;
    else process.env.OLLAMA_MODELS = own;
    process.env.HOME = usual;
  }
});

test.run();
