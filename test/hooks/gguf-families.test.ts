/**
 * GGUF files of every family: the tiny models of test/fixtures/families, converted by the rules of llama.cpp's converters, with the
 * names that the `gguf` package gives (test/fixtures/gguf/names.py), say what transformers says of the models they were made from.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import { openCheckpoint } from '../../weights/formats/open.js';
import { openSafetensors } from '../../weights/formats/safetensors.js';
import { transpose } from '../../weights/formats/tensors.js';
import { nodeFolder } from '../../weights/node/files-node.js';
import { floats, type GgufEntry, type GgufTensor, ggufBytes } from '../gguf-writer.js';
import { allClose, throws } from '../helpers.js';

const at = (path: string) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const NAMES = JSON.parse(readFileSync(at('gguf/names.json'), 'utf8')) as Record<
  string,
  Record<string, string>
>;

/** By the folder of the fixture: the architecture, and settings that files do not hold or that these models have otherwise. */
const MODELS: Readonly<Record<string, [arch: string, more?: Record<string, unknown>]>> = {
  llama: ['llama'],
  'llama-3': ['llama'],
  'llama-biases': ['llama'],
  'llama-linear': ['llama'],
  qwen2: ['qwen2'],
  qwen3: ['qwen3'],
  'qwen3-biases': ['qwen3'],
  gemma: ['gemma'],
  gemma2: ['gemma2', { query_pre_attn_scalar: 7 }],
  gemma3: ['gemma3', { query_pre_attn_scalar: 7 }],
  gpt_neox: ['gptneox'],
  'gpt_neox-odd': ['gptneox'],
  'gpt_neox-sequential': ['gptneox'],
  gpt2: ['gpt2'],
  olmo2: ['olmo2'],
  'phi-apart': ['phi2'],
  phi3: ['phi3'],
  'phi3-long': ['phi3'],
};

type Settings = Record<string, unknown>;

/** The keys of a file. */
function keysOf(arch: string, c: Settings): Record<string, GgufEntry> {
  const rope = { ...(c.rope_scaling as Settings), ...(c.rope_parameters as Settings) };
  const pick = (...names: string[]) => names.map((n) => c[n] ?? rope[n]).find((x) => x != null) as number;
  const heads = pick('num_attention_heads', 'n_head');
  const d = pick('hidden_size', 'n_embd');
  const dHead = pick('head_dim') ?? d / heads;
  const share = pick('partial_rotary_factor', 'rotary_pct') ?? 1;
  const keys: Record<string, unknown> = {
    context_length: pick('max_position_embeddings', 'n_positions'),
    embedding_length: d,
    block_count: pick('num_hidden_layers', 'n_layer'),
    feed_forward_length: pick('intermediate_size', 'n_inner') ?? 4 * d,
    'attention.head_count': heads,
    'attention.head_count_kv': pick('num_key_value_heads'),
    ...(c.head_dim !== undefined && { 'attention.key_length': dHead, 'attention.value_length': dHead }),
    'attention.layer_norm_rms_epsilon': pick('rms_norm_eps'),
    'attention.layer_norm_epsilon': pick('layer_norm_eps', 'layer_norm_epsilon'),
    'attention.sliding_window': pick('sliding_window'),
    'rope.dimension_count': arch === 'gpt2' ? undefined : Math.trunc(share * dHead),
    'rope.freq_base': pick('rope_theta', 'rotary_emb_base'),
    attn_logit_softcapping: pick('attn_logit_softcapping'),
    final_logit_softcapping: pick('final_logit_softcapping'),
    use_parallel_residual: c.use_parallel_residual,
  };
  if ((rope.type ?? rope.rope_type) === 'linear')
    Object.assign(keys, { 'rope.scaling.type': 'linear', 'rope.scaling.factor': rope.factor });
  if (rope.long_factor) {
    const [whole, original] = [
      keys.context_length as number,
      rope.original_max_position_embeddings as number,
    ];
    keys['rope.scaling.original_context_length'] = original;
    keys['rope.scaling.attn_factor'] = Math.sqrt(1 + Math.log(whole / original) / Math.log(original));
  }
  if (arch === 'gemma3')
    keys['attention.sliding_window_pattern'] = (c.layer_types as string[]).indexOf('full_attention') + 1;
  const given = Object.entries(keys).filter(([, value]) => value !== undefined);
  return {
    'general.architecture': arch,
    ...Object.fromEntries(given.map(([key, value]) => [`${arch}.${key}`, value as GgufEntry])),
  };
}

/** Rows of each head in the order of adjacent pairs: LlamaModel.permute. */
function permuted(data: Float32Array, heads: number): Float32Array {
  const rows = data.length;
  const [width, dHead] = [1, rows / heads];
  const out = new Float32Array(rows);
  for (let h = 0; h < heads; h++)
    for (let s = 0; s < 2; s++)
      for (let j = 0; j < dHead / 2; j++)
        out[(h * dHead + 2 * j + s) * width] = data[h * dHead + s * (dHead / 2) + j];
  return out;
}

/** Moves rows of a matrix [rows, width], or numbers of a bias. */
function moved(data: Float32Array, rows: number, order: (rows: Float32Array) => Float32Array): Float32Array {
  const width = data.length / rows;
  const from = order(Float32Array.from({ length: rows }, (_, i) => i));
  const out = new Float32Array(data.length);
  from.forEach((row, i) => {
    out.set(data.subarray(row * width, (row + 1) * width), i * width);
  });
  return out;
}

async function converted(name: string, arch: string, c: Settings): Promise<Uint8Array> {
  const source = await openCheckpoint(await nodeFolder(at(`families/${name}`)));
  const heads = (c.num_attention_heads ?? c.n_head) as number;
  const kv = (c.num_key_value_heads ?? heads) as number;
  const tensors: Record<string, GgufTensor> = {};
  const names = source.names();
  for (const own of names) {
    if (/inv_freq|masked_bias|\.(attention|attn)\.bias$/.test(own)) continue;
    const [, stem, part] = /^(.*)\.(weight|bias)$/.exec(own)!;
    const known = [stem, `model.${stem}`].map((s) => NAMES[arch][s]).find((n) => n !== undefined);
    let to =
      known ??
      (/layers\.2\./.test(stem) ? NAMES[arch][stem.replace('.2.', '.1.')]?.replace('.1.', '.2.') : undefined);
    assert.ok(to, `${own} has no name`);
    const tied = c.tie_word_embeddings !== false;
    if (to === 'output' && tied) {
      if (names.some((n) => n.includes('embed_tokens'))) continue;
      to = 'token_embd';
    }
    let shape = source.shape(own)!;
    let data = await source.read(own);
    if (arch === 'llama' && /[qk]_proj$/.test(stem))
      data = moved(data, shape[0], (rows) => permuted(rows, stem.endsWith('q_proj') ? heads : kv));
    if (arch.startsWith('gemma') && own.endsWith('norm.weight')) data = data.map((x) => x + 1);
    if (stem.endsWith('query_key_value')) {
      const dHead = shape[0] / (3 * heads);
      data = moved(data, shape[0], (rows) =>
        rows.map((_, i) => {
          const [which, rest] = [Math.floor(i / (heads * dHead)), i % (heads * dHead)];
          return Math.floor(rest / dHead) * 3 * dHead + which * dHead + (rest % dHead);
        }),
      );
    }
    if (arch === 'gpt2' && /\.(c_attn|c_proj|c_fc)$/.test(stem) && part === 'weight')
      ({ data, shape } = transpose({ shape, data }));
    tensors[`${to}.${part}`] = floats(shape, data);
  }
  const rope = (c.rope_scaling ?? {}) as Record<string, number | number[] | string>;
  if (rope.type === 'llama3') {
    const [factor, low, high, old] = [
      rope.factor,
      rope.low_freq_factor,
      rope.high_freq_factor,
      rope.original_max_position_embeddings,
    ] as number[];
    const dims = c.head_dim as number;
    const factors = Float32Array.from({ length: dims / 2 }, (_, i) => {
      const wave = 2 * Math.PI * (c.rope_theta as number) ** ((2 * i) / dims);
      if (wave < old / high) return 1;
      if (wave > old / low) return factor;
      const smooth = (old / wave - low) / (high - low);
      return 1 / ((1 - smooth) / factor + smooth);
    });
    tensors['rope_freqs.weight'] = floats([factors.length], factors);
  }
  for (const kind of ['long', 'short'] as const)
    if (rope[`${kind}_factor`]) {
      const factors = Float32Array.from(rope[`${kind}_factor`] as number[]);
      tensors[`rope_factors_${kind}.weight`] = floats([factors.length], factors);
    }
  return ggufBytes(keysOf(arch, c), tensors);
}

for (const [name, [arch, config]] of Object.entries(MODELS))
  test(`${name}: its GGUF file says what transformers says`, async () => {
    const settings = JSON.parse(readFileSync(at(`families/${name}/config.json`), 'utf8')) as Settings;
    const bytes = await converted(name, arch, settings);
    const file = (await (await nodeFolder(at('families/expected'))).open(`${name}.safetensors`))!;
    const expected = await openSafetensors(file);
    using model = await HookedTransformer.fromPretrainedNoProcessing(
      new Map([['model.gguf', new Blob([bytes as never])]]),
      config ? { config } : {},
    );
    using logits = await model.forward(Array.from(await expected.read('tokens')));
    allClose(await logits.data(), await expected.read('logits'), { atol: 1e-4, rtol: 1e-4, what: name });
  });

test('an architecture that is not run is refused by its name', async () => {
  const bytes = ggufBytes(
    { 'general.architecture': 'mamba' },
    { 'token_embd.weight': floats([2, 2], new Float32Array(4)) },
  );
  const files = new Map([['model.gguf', new Blob([bytes as never])]]);
  await throws(HookedTransformer.fromPretrained(files), /general\.architecture is "mamba"/);
});

test.run();
