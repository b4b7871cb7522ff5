/**
 * Phi 1, 1.5 and 2: attention and MLP side by side, behind one norm; part of each head turns; biases
 * everywhere.
 */

import { llamaRotary, llamaSizes, writtenActivation } from '../keys/llama.js';
import { partialFactor, ropeKeys } from '../keys/rope.js';
import type { Family } from './family.js';

/** Phi 1 to 2. */
export const phi: Family = {
  name: 'phi',
  architectures: ['PhiForCausalLM'],
  gguf: 'phi2',
  headBias: true,
  facts: {
    normalization: 'LN',
    positionEmbedding: 'rotary',
    parallelAttnMlp: true,
    sharedNorm: true,
    actFn: 'gelu_new',
    defaultPrependBos: false,
  },
  read(c) {
    const sizes = llamaSizes(c, { actFn: 'gelu_new' });
    return {
      ...sizes,
      eps: c.number('layer_norm_eps', 1e-5),
      qkNorm: c.or<unknown>('qk_layernorm', false) === true ? 'head' : 'none',
      rotary: llamaRotary(c, sizes, { part: partialFactor(c, 'partial_rotary_factor', 0.5) }),
    };
  },
  write: (config) => ({
    hidden_size: config.dModel,
    num_hidden_layers: config.nLayers,
    num_attention_heads: config.nHeads,
    num_key_value_heads: config.nKeyValueHeads,
    intermediate_size: config.dMlp,
    max_position_embeddings: config.nCtx,
    vocab_size: config.dVocab,
    layer_norm_eps: config.eps,
    hidden_act: writtenActivation(config),
    partial_rotary_factor: config.rotary!.dims / config.dHead,
    qk_layernorm: config.qkNorm === 'head',
    ...ropeKeys(config.rotary!),
  }),
  tensors: {
    matrices: 'out,in',
    prefix: 'model.',
    embed: 'embed_tokens',
    final: 'final_layernorm',
    head: ['lm_head'],
    block: 'layers.{}.',
    parts: {
      ln1: 'input_layernorm',
      q: 'self_attn.q_proj',
      k: 'self_attn.k_proj',
      v: 'self_attn.v_proj',
      qNorm: 'self_attn.q_layernorm',
      kNorm: 'self_attn.k_layernorm',
      o: 'self_attn.dense',
      up: 'mlp.fc1',
      down: 'mlp.fc2',
    },
  },
};
