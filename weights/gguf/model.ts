/**
 * A GGUF file as a model of its family: its keys as a `config.json`, its tensors in the layout by which models are read. What
 * llama.cpp's converters change is changed back: rows of q and k of Llama (adjacent pairs), gains with 1 added (Gemma).
 */

import { fileError, quoted } from '../checks/messages.js';
import type { Config } from '../config.js';
import type { Family } from '../families/family.js';
import { familyNamed, familyOfGguf } from '../families/index.js';
import type { TensorSource } from '../formats/tensors.js';
import type { BlockNames, TensorNames } from '../keys/names.js';
import { type FamilySource, inFamilyNames } from '../load/family-names.js';
import type { Gguf, GgufValue } from './file.js';

/** The names of a family's tensors in GGUF files. */
function ggufNames(family: Family, source: TensorSource): TensorNames {
  const { parts, positions } = family.tensors;
  const fused = source.shape('blk.0.attn_qkv.weight') !== undefined;
  const behind = family.facts.normPlaces === 'behind';
  const has = (part: keyof BlockNames, stem: string) => (parts[part] ? { [part]: stem } : {});
  return {
    matrices: 'out,in',
    fused: 'parts',
    prefix: '',
    embed: 'token_embd',
    ...(positions && { positions: 'position_embd' }),
    final: 'output_norm',
    head: ['output'],
    block: 'blk.{}.',
    parts: {
      ...has('ln1', behind ? 'post_attention_norm' : 'attn_norm'),
      ...has('ln1Post', 'post_attention_norm'),
      ...has('ln2', behind ? 'post_ffw_norm' : 'ffn_norm'),
      ...has('ln2Post', 'post_ffw_norm'),
      ...(fused ? { qkv: 'attn_qkv' } : { q: 'attn_q', k: 'attn_k', v: 'attn_v' }),
      ...has('qNorm', 'attn_q_norm'),
      ...has('kNorm', 'attn_k_norm'),
      o: 'attn_output',
      ...has('gate', 'ffn_gate'),
      ...has('gateUp', 'ffn_up'),
      ...has('up', 'ffn_up'),
      down: 'ffn_down',
    },
  };
}

/** The family of a file. @throws when it is none that is run */
function familyOf({ metadata, tensors }: Gguf): Family {
  const arch = metadata.get('general.architecture');
  const family = familyOfGguf(arch);
  if (family) return family;
  throw fileError(
    tensors.name,
    `general.architecture is ${quoted(String(arch), 30)}, and no family that is run has it`,
  );
}

/** The file's tensors in the layout by which models are read. */
export function ggufTensors(gguf: Gguf, config: Config): FamilySource {
  const family = familyNamed(config.family)!;
  const { nHeads, nKeyValueHeads, dHead } = config;
  const { tensors } = gguf;
  const permuted = gguf.metadata.get('general.architecture') === 'llama';
  const oneMore = config.normGain === '1+w';
  const source: TensorSource = {
    ...tensors,
    names: () => tensors.names().filter((name) => !/^rope_(freqs|factors_(long|short))\.weight$/.test(name)),
    async read(name) {
      const data = await tensors.read(name);
      const [, part] = /\.attn_([qk])\.(weight|bias)$/.exec(name) ?? [];
      if (permuted && part)
        return unpermuted(data, new Float32Array(data.length), part === 'q' ? nHeads : nKeyValueHeads, dHead);
      if (oneMore && name.endsWith('norm.weight')) return data.map((x) => x - 1);
      return data;
    },
    async blocks(name, wanted) {
      const rows = (await tensors.blocks?.(name, wanted)) ?? null;
      const [, part] = /\.attn_([qk])\.weight$/.exec(name) ?? [];
      if (!rows || !permuted || !part) return rows;
      const { bytes, format } = rows;
      const heads = part === 'q' ? nHeads : nKeyValueHeads;
      return { format, bytes: unpermuted(bytes, new Uint8Array(bytes.length), heads, dHead) };
    },
  };
  const { source: seen, foreign } = inFamilyNames(
    source,
    { ...family, tensors: ggufNames(family, tensors) },
    config,
  );
  return { source: seen, foreign };
}

/** Rows 2j + s of each head, of adjacent pairs, to rows s·D/2 + j, of half pairs; `data` are numbers, or bytes of blocks. */
function unpermuted<T extends Float32Array | Uint8Array>(data: T, out: T, heads: number, dHead: number): T {
  const width = data.length / (heads * dHead);
  for (let head = 0; head < heads; head++)
    for (let j = 0; j < dHead / 2; j++)
      for (let s = 0; s < 2; s++) {
        const from = (head * dHead + 2 * j + s) * width;
        out.set(data.subarray(from, from + width), (head * dHead + (s * dHead) / 2 + j) * width);
      }
  return out;
}

/**
 * The file's settings as a `config.json` of its family.
 * @throws when a key is missing, or asks for what no part does
 */
export async function ggufConfig(gguf: Gguf): Promise<Record<string, unknown>> {
  const { metadata, tensors } = gguf;
  const family = familyOf(gguf);
  const arch = String(metadata.get('general.architecture'));
  const key = (name: string): GgufValue | undefined => metadata.get(`${arch}.${name}`);
  const number = (name: string): number | undefined => {
    const value = key(name);
    if (value === undefined || typeof value === 'number') return value;
    const all = ArrayBuffer.isView(value) ? [...(value as Int32Array)] : [];
    if (all.length && all.every((x) => x === all[0])) return all[0];
    throw fileError(
      tensors.name,
      `${arch}.${name} differs between layers, which no part does, or is no number`,
    );
  };
  if ((number('expert_count') ?? 0) > 0)
    throw fileError(
      tensors.name,
      `${arch}.expert_count is ${number('expert_count')}: mixtures of experts are not supported`,
    );
  const need = (name: string): number => {
    const value = number(name);
    if (!Number.isSafeInteger(value) || (value as number) < 1)
      throw fileError(
        tensors.name,
        `${arch}.${name} is ${value ?? 'missing'}; it must be a positive integer`,
      );
    return value as number;
  };
  const [d, layers, heads, context] = [
    need('embedding_length'),
    need('block_count'),
    need('attention.head_count'),
    need('context_length'),
  ];
  if (layers > tensors.names().length)
    throw fileError(
      tensors.name,
      `${arch}.block_count is ${layers}, and the file has ${tensors.names().length} tensors`,
    );
  const dHead = number('attention.key_length') ?? d / heads;
  const eps = number('attention.layer_norm_rms_epsilon') ?? number('attention.layer_norm_epsilon');
  const theta = number('rope.freq_base') ?? (arch === 'gemma3' ? 1e6 : 10000);
  const turning = number('rope.dimension_count') ?? dHead;
  const vocab = tensors.shape('token_embd.weight')?.[0];
  if (vocab === undefined) throw fileError(tensors.name, 'there is no tensor "token_embd.weight"');
  const held = (name: string) => tensors.shape(name) !== undefined;
  const window = number('attention.sliding_window') ?? 0;
  const bias = held('blk.0.attn_q.bias') || held('blk.0.attn_qkv.bias');
  const cap = (name: string, fallback: number | null) => number(name) ?? fallback;
  const gemma2 = arch === 'gemma2';
  return {
    model_type: family.name,
    ...both(['hidden_size', 'n_embd'], d),
    ...both(['num_hidden_layers', 'n_layer', 'num_layers'], layers),
    ...both(['num_attention_heads', 'n_head', 'num_heads'], heads),
    num_key_value_heads: number('attention.head_count_kv') ?? heads,
    head_dim: dHead,
    ...both(['intermediate_size', 'n_inner'], need('feed_forward_length')),
    ...both(['max_position_embeddings', 'n_positions'], context),
    vocab_size: vocab,
    ...(eps !== undefined && both(['rms_norm_eps', 'layer_norm_eps', 'layer_norm_epsilon'], eps)),
    ...both(['rope_theta', 'rotary_emb_base'], theta),
    ...(arch === 'gemma3' && { rope_local_base_freq: number('rope.freq_base_swa') ?? 1e4 }),
    ...(turning !== dHead && arch !== 'gptneox' && { partial_rotary_factor: turning / dHead }),
    ...(arch === 'gptneox' && { rotary_pct: turning / dHead }),
    ...(arch === 'phi2' && { partial_rotary_factor: turning / dHead }),
    ...(arch === 'gptj' && { rotary_dim: turning }),
    rope_scaling: await scaling(gguf, arch, context, number),
    tie_word_embeddings: !held('output.weight'),
    attention_bias: bias,
    mlp_bias: held('blk.0.ffn_up.bias'),
    ...(window > 0 && { sliding_window: window }),
    ...(arch === 'phi3' && { sliding_window: window || null }),
    ...(gemma2 && {
      attn_logit_softcapping: cap('attn_logit_softcapping', 50),
      final_logit_softcapping: cap('final_logit_softcapping', 30),
    }),
    ...(arch === 'gemma3' && { final_logit_softcapping: cap('final_logit_softcapping', null) }),
    ...windowPattern(key('attention.sliding_window_pattern')),
    ...((gemma2 || arch === 'gemma3') && {
      // The 27B models alone have another scale than 1/√d_head.
      query_pre_attn_scalar: layers === (gemma2 ? 46 : 62) ? d / heads : dHead,
    }),
    ...(typeof key('use_parallel_residual') === 'boolean' && {
      use_parallel_residual: key('use_parallel_residual'),
    }),
    bos_token_id: metadata.get('tokenizer.ggml.bos_token_id') ?? null,
    eos_token_id: metadata.get('tokenizer.ggml.eos_token_id') ?? null,
  };
}

/** Which layers have windows: a list, or one in so many has none. */
function windowPattern(pattern: GgufValue | undefined): Record<string, unknown> {
  if (typeof pattern === 'number') return { sliding_window_pattern: pattern };
  if (!Array.isArray(pattern)) return {};
  return { layer_types: pattern.map((window) => (window ? 'sliding_attention' : 'full_attention')) };
}

const both = (keys: readonly string[], value: unknown): Record<string, unknown> =>
  Object.fromEntries(keys.map((key) => [key, value]));

/** Scaled rotary positions; divisors of the frequencies stand in a tensor. */
async function scaling(
  { metadata, tensors }: Gguf,
  arch: string,
  context: number,
  number: (name: string) => number | undefined,
): Promise<Record<string, unknown> | null> {
  const original = number('rope.scaling.original_context_length');
  for (const name of ['rope_freqs.weight', 'rope_factors_short.weight'])
    if (tensors.shape(name))
      return {
        rope_type: 'longrope',
        short_factor: [...(await tensors.read(name))],
        original_max_position_embeddings: original ?? context,
        attention_factor: name === 'rope_freqs.weight' ? 1 : number('rope.scaling.attn_factor'),
      };
  const type = metadata.get(`${arch}.rope.scaling.type`);
  if (type === undefined || type === 'none') return null;
  const factor = number('rope.scaling.factor');
  if (type === 'linear') return { rope_type: 'linear', factor };
  if (type !== 'yarn')
    throw fileError(
      tensors.name,
      `${arch}.rope.scaling.type is ${quoted(String(type), 30)}; it must be linear or yarn`,
    );
  return {
    rope_type: 'yarn',
    factor,
    original_max_position_embeddings: original ?? context,
    beta_fast: number('rope.scaling.yarn_beta_fast') ?? 32,
    beta_slow: number('rope.scaling.yarn_beta_slow') ?? 1,
  };
}
