/** Llama 1 to 3.x and what has its architecture: SmolLM2, TinyStories-656K, stories260K, SimpleStories. */

import type { Config } from '../config.js';
import {
  attentionBias,
  llamaFacts,
  llamaKeys,
  llamaRotary,
  llamaSizes,
  llamaTensors,
} from '../keys/llama.js';
import type { Family } from './family.js';

/** Llama. */
export const llama: Family = {
  name: 'llama',
  architectures: ['LlamaForCausalLM'],
  gguf: 'llama',
  facts: llamaFacts,
  read(c) {
    const sizes = llamaSizes(c);
    return {
      ...sizes,
      ...attentionBias(c),
      mlpBias: c.or<unknown>('mlp_bias', null) ?? false,
      rotary: llamaRotary(c, sizes),
    };
  },
  write: (config: Config) => ({
    ...llamaKeys(config),
    attention_bias: config.qkvBias,
    mlp_bias: config.mlpBias,
  }),
  tensors: llamaTensors,
};
