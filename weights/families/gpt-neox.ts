/** GPT-NeoX: Pythia. Attention and MLP side by side, each behind a norm of its own. */

import { tokensAndTying, wholeHead, writtenActivation } from '../keys/llama.js';
import { partialFactor, ropeBase, ropeKeys, ropeParameters } from '../keys/rope.js';
import type { Family } from './family.js';

/** GPT-NeoX. */
export const gptNeox: Family = {
  name: 'gpt_neox',
  architectures: ['GPTNeoXForCausalLM'],
  gguf: 'gptneox',
  noise: 0.03,
  facts: {
    normalization: 'LN',
    positionEmbedding: 'rotary',
    parallelAttnMlp: true,
    actFn: 'gelu',
    defaultPrependBos: false,
  },
  read(c) {
    const [dModel, nHeads] = [c.size('hidden_size'), c.size('num_attention_heads')];
    const dHead = wholeHead(c, dModel, nHeads);
    const nCtx = c.size('max_position_embeddings');
    // Where it is odd, one dimension more turns, by the exponents of the odd number.
    const part = Math.floor(dHead * partialFactor(c, 'rotary_pct', 0.25));
    if (part < 1)
      throw c.unsupported('rotary_pct', partialFactor(c, 'rotary_pct', 0.25), 'no dimension would turn');
    const dims = part + (part % 2);
    const bias = c.or<unknown>('attention_bias', null) ?? true;
    return {
      nLayers: c.size('num_hidden_layers'),
      dModel,
      nHeads,
      dHead,
      dMlp: c.size('intermediate_size'),
      nCtx,
      dVocab: c.size('vocab_size'),
      eps: c.number('layer_norm_eps', 1e-5),
      actFn: c.or<unknown>('hidden_act', null) ?? 'gelu',
      parallelAttnMlp: c.or<unknown>('use_parallel_residual', null) ?? true,
      qkvBias: bias,
      outBias: bias,
      rotary: {
        pairs: 'halves',
        dims,
        exponentDims: part,
        ...ropeBase(c, ropeParameters(c), { thetaKey: 'rotary_emb_base', pairs: dims / 2, nCtx }),
      },
      ...tokensAndTying(c, false),
    };
  },
  write: (config) => {
    const { rope_theta, rope_scaling } = ropeKeys(config.rotary!);
    return {
      hidden_size: config.dModel,
      num_hidden_layers: config.nLayers,
      num_attention_heads: config.nHeads,
      intermediate_size: config.dMlp,
      max_position_embeddings: config.nCtx,
      vocab_size: config.dVocab,
      layer_norm_eps: config.eps,
      hidden_act: writtenActivation(config),
      use_parallel_residual: config.parallelAttnMlp,
      attention_bias: config.qkvBias,
      rotary_pct: config.rotary!.exponentDims / config.dHead,
      rotary_emb_base: rope_theta,
      rope_scaling,
    };
  },
  tensors: {
    matrices: 'out,in',
    fused: 'heads',
    prefix: 'gpt_neox.',
    embed: 'embed_in',
    final: 'final_layer_norm',
    head: ['embed_out', 'lm_head'],
    block: 'layers.{}.',
    parts: {
      ln1: 'input_layernorm',
      ln2: 'post_attention_layernorm',
      qkv: 'attention.query_key_value',
      o: 'attention.dense',
      up: 'mlp.dense_h_to_4h',
      down: 'mlp.dense_4h_to_h',
    },
  },
};
