/** OLMo 2: norms behind attention and MLP only, and of all queries and all keys. */

import {
  attentionBias,
  llamaFacts,
  llamaKeys,
  llamaRotary,
  llamaSizes,
  llamaTensors,
} from '../keys/llama.js';
import type { Family } from './family.js';

/** OLMo 2. */
export const olmo2: Family = {
  name: 'olmo2',
  architectures: ['Olmo2ForCausalLM'],
  gguf: 'olmo2',
  facts: { ...llamaFacts, normPlaces: 'behind', qkNorm: 'width', eps: 1e-5 },
  read(c) {
    const sizes = llamaSizes(c, { eps: 1e-5 });
    return { ...sizes, ...attentionBias(c), rotary: llamaRotary(c, sizes) };
  },
  write: (config) => ({ ...llamaKeys(config), attention_bias: config.qkvBias }),
  tensors: {
    ...llamaTensors,
    parts: {
      ...llamaTensors.parts,
      ln1: 'post_attention_layernorm',
      ln2: 'post_feedforward_layernorm',
      qNorm: 'self_attn.q_norm',
      kNorm: 'self_attn.k_norm',
    },
  },
};
