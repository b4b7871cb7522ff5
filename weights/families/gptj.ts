/** GPT-J: attention and MLP side by side, behind one norm; adjacent pairs turn; the head has a bias. */

import { tokensAndTying, wholeHead } from '../keys/llama.js';
import { partialFactor, ropeBase, ropeParameters } from '../keys/rope.js';
import type { Family } from './family.js';

/** GPT-J. */
export const gptj: Family = {
  name: 'gptj',
  architectures: ['GPTJForCausalLM'],
  gguf: 'gptj',
  noise: 0.025,
  headBias: true,
  facts: {
    normalization: 'LN',
    positionEmbedding: 'rotary',
    parallelAttnMlp: true,
    sharedNorm: true,
    actFn: 'gelu_new',
    qkvBias: false,
    outBias: false,
  },
  read(c) {
    const [dModel, nHeads] = [c.size('n_embd', 'hidden_size'), c.size('n_head', 'num_attention_heads')];
    const dHead = wholeHead(c, dModel, nHeads);
    const nCtx = c.size('n_positions', 'max_position_embeddings');
    const dims = c.number('rotary_dim', 64) ?? dHead * partialFactor(c);
    const base = ropeBase(c, ropeParameters(c), { thetaKey: 'no key: it is fixed', pairs: dims / 2, nCtx });
    return {
      nLayers: c.size('n_layer', 'num_hidden_layers'),
      dModel,
      nHeads,
      dHead,
      dMlp: c.or<unknown>('n_inner', null) ?? 4 * dModel,
      nCtx,
      dVocab: c.size('vocab_size'),
      eps: c.number('layer_norm_epsilon', 1e-5),
      actFn: c.or<unknown>('activation_function', null) ?? 'gelu_new',
      rotary: { pairs: 'adjacent', dims, ...base },
      ...tokensAndTying(c, false),
    };
  },
  write: (config) => ({
    n_embd: config.dModel,
    n_layer: config.nLayers,
    n_head: config.nHeads,
    n_inner: config.dMlp,
    n_positions: config.nCtx,
    vocab_size: config.dVocab,
    layer_norm_epsilon: config.eps,
    activation_function: config.actFn,
    rotary_dim: config.rotary!.dims,
  }),
  tensors: {
    matrices: 'out,in',
    prefix: 'transformer.',
    embed: 'wte',
    final: 'ln_f',
    head: ['lm_head'],
    block: 'h.{}.',
    parts: {
      ln1: 'ln_1',
      q: 'attn.q_proj',
      k: 'attn.k_proj',
      v: 'attn.v_proj',
      o: 'attn.out_proj',
      up: 'mlp.fc_in',
      down: 'mlp.fc_out',
    },
  },
};
