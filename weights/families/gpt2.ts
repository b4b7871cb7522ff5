/**
 * GPT-2. Toys in TransformerLens' settings and names are told by transformer-lens.ts, and count as this
 * family.
 */

import { fileError } from '../checks/messages.js';
import { tokensAndTying } from '../keys/llama.js';
import type { Family } from './family.js';

/** GPT-2. */
export const gpt2: Family = {
  name: 'gpt2',
  architectures: ['GPT2LMHeadModel'],
  gguf: 'gpt2',
  noise: 0.1,
  facts: { normalization: 'LN', positionEmbedding: 'standard', actFn: 'gelu_new' },
  read(c) {
    const dModel = c.first('n_embd', 'hidden_size');
    const nHeads = c.first('n_head', 'num_attention_heads');
    if (Number.isInteger(dModel) && Number.isInteger(nHeads) && (dModel as number) % (nHeads as number) !== 0)
      throw fileError(c.file, `n_embd ${dModel} is not a multiple of n_head ${nHeads}`);
    const { tieWordEmbeddings: _, ...tokens } = tokensAndTying(c, true);
    return {
      nLayers: c.first('n_layer', 'num_hidden_layers'),
      nHeads,
      dModel,
      dMlp: c.first('n_inner') ?? (Number.isInteger(dModel) ? 4 * (dModel as number) : undefined),
      nCtx: c.first('n_positions', 'n_ctx', 'max_position_embeddings'),
      dVocab: c.first('vocab_size'),
      dVocabOut: c.first('vocab_size'),
      eps: c.first('layer_norm_epsilon'),
      actFn: c.first('activation_function'),
      attnOnly: false,
      scaleAttn: c.first('scale_attn_weights'),
      scaleAttnByInverseLayerIdx: c.first('scale_attn_by_inverse_layer_idx'),
      ...tokens,
      tieWordEmbeddings: c.first('tie_word_embeddings'),
    };
  },
  write: (config) => ({
    n_layer: config.nLayers,
    n_head: config.nHeads,
    n_embd: config.dModel,
    n_inner: config.dMlp,
    n_positions: config.nCtx,
    n_ctx: config.nCtx,
    vocab_size: config.dVocab,
    activation_function: config.actFn,
    layer_norm_epsilon: config.eps,
    scale_attn_weights: config.scaleAttn,
    scale_attn_by_inverse_layer_idx: config.scaleAttnByInverseLayerIdx,
  }),
  tensors: {
    matrices: 'in,out',
    fused: 'parts',
    prefix: 'transformer.',
    embed: 'wte',
    positions: 'wpe',
    final: 'ln_f',
    head: ['lm_head'],
    block: 'h.{}.',
    parts: {
      ln1: 'ln_1',
      ln2: 'ln_2',
      qkv: 'attn.c_attn',
      o: 'attn.c_proj',
      up: 'mlp.c_fc',
      down: 'mlp.c_proj',
      mlpLn: 'mlp.ln',
    },
  },
};
