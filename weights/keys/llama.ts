/** Keys of `config.json` that Llama and the families after it share. */

import type { Config } from '../config.js';
import type { Given, Settings } from './given.js';
import type { TensorNames } from './names.js';
import { type RopeContext, ropeBase, ropeKeys, ropeParameters, rotaryDims } from './rope.js';

/** Defaults that differ between the families. */
export interface LlamaDefaults {
  /** Heads of keys and values where the file does not say; null: those of queries. */
  readonly kvHeads?: number | null;
  /** Width of a head where the file does not say; null: hidden_size / num_attention_heads. */
  readonly dHead?: number | null;
  readonly eps?: number;
  readonly tied?: boolean;
  /** The key of the activation. */
  readonly actKey?: string;
  readonly actFn?: string;
}

/** Sizes, epsilon, activation, tokens and tying. */
export function llamaSizes(c: Given, defaults: LlamaDefaults = {}) {
  const {
    kvHeads = null,
    dHead = null,
    eps = 1e-6,
    tied = false,
    actKey = 'hidden_act',
    actFn = 'silu',
  } = defaults;
  const [dModel, nHeads] = [c.size('hidden_size'), c.size('num_attention_heads')];
  return {
    nLayers: c.size('num_hidden_layers'),
    dModel,
    nHeads,
    nKeyValueHeads: c.number('num_key_value_heads', kvHeads) ?? nHeads,
    dHead: c.number('head_dim', dHead) ?? wholeHead(c, dModel, nHeads),
    dMlp: c.size('intermediate_size'),
    nCtx: c.size('max_position_embeddings'),
    dVocab: c.size('vocab_size'),
    eps: c.number('rms_norm_eps', eps),
    actFn: c.or<unknown>(actKey, null) ?? actFn,
    ...tokensAndTying(c, tied),
  };
}

/** hidden_size / num_attention_heads. @throws when it is no whole number */
export function wholeHead(c: Given, dModel: number, nHeads: number): number {
  if (dModel % nHeads !== 0)
    throw c.unsupported(
      'num_attention_heads',
      nHeads,
      `hidden_size is ${dModel}, which is no multiple of it, and there is no head_dim`,
    );
  return dModel / nHeads;
}

/** Keys that all families read alike. */
export const tokensAndTying = (c: Given, tied: boolean) => ({
  bosTokenId: c.or<unknown>('bos_token_id', null),
  eosTokenId: c.or<unknown>('eos_token_id', null),
  tieWordEmbeddings: c.or<unknown>('tie_word_embeddings', null) ?? tied,
  name: c.or<unknown>('_name_or_path', null) || undefined,
});

/** Rotary positions of all dimensions of a head, in halves. */
export function llamaRotary(
  c: Given,
  { dHead, nCtx }: { dHead: number; nCtx: number },
  { part = 1, ...more }: Partial<RopeContext> & { part?: number } = {},
): Settings['rotary'] {
  const turning = rotaryDims(c, dHead, part);
  const context = { pairs: turning.dims / 2, nCtx, ...more };
  return { pairs: 'halves', ...turning, ...ropeBase(c, ropeParameters(c), context), windowed: null };
}

/** Biases of q, k, v and o by `attention_bias`. */
export const attentionBias = (c: Given, fallback = false): Settings => {
  const bias = c.or<unknown>('attention_bias', null) ?? fallback;
  return { qkvBias: bias, outBias: bias };
};

/** What `llamaSizes` and `llamaRotary` read. */
export const llamaKeys = (config: Config): Record<string, unknown> => ({
  hidden_size: config.dModel,
  num_hidden_layers: config.nLayers,
  num_attention_heads: config.nHeads,
  num_key_value_heads: config.nKeyValueHeads,
  head_dim: config.dHead,
  intermediate_size: config.dMlp,
  max_position_embeddings: config.nCtx,
  vocab_size: config.dVocab,
  rms_norm_eps: config.eps,
  hidden_act: writtenActivation(config),
  ...(config.rotary && ropeKeys(config.rotary)),
});

/** The activation as Hugging Face writes it. */
export const writtenActivation = ({ actFn }: Config): string =>
  actFn === 'gelu_new' ? 'gelu_pytorch_tanh' : actFn;

/** Facts of all these families: RMS norms, rotary positions, gated MLPs, no biases. */
export const llamaFacts: Settings = {
  normalization: 'RMS',
  positionEmbedding: 'rotary',
  gatedMlp: true,
  actFn: 'silu',
  eps: 1e-6,
  qkvBias: false,
  outBias: false,
  mlpBias: false,
};

/** Their tensors. */
export const llamaTensors: TensorNames = {
  matrices: 'out,in',
  prefix: 'model.',
  embed: 'embed_tokens',
  final: 'norm',
  head: ['lm_head'],
  block: 'layers.{}.',
  parts: {
    ln1: 'input_layernorm',
    ln2: 'post_attention_layernorm',
    q: 'self_attn.q_proj',
    k: 'self_attn.k_proj',
    v: 'self_attn.v_proj',
    o: 'self_attn.o_proj',
    gate: 'mlp.gate_proj',
    up: 'mlp.up_proj',
    down: 'mlp.down_proj',
  },
};
