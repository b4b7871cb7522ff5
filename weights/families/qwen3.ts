/** Qwen 3: Llama with a norm of each query and key head; no beginning-of-text token. */

import {
  attentionBias,
  llamaFacts,
  llamaKeys,
  llamaRotary,
  llamaSizes,
  llamaTensors,
} from '../keys/llama.js';
import { qwenWindowKeys, qwenWindows } from '../keys/windows.js';
import type { Family } from './family.js';

/** Qwen 3. */
export const qwen3: Family = {
  name: 'qwen3',
  architectures: ['Qwen3ForCausalLM'],
  gguf: 'qwen3',
  facts: { ...llamaFacts, qkNorm: 'head', defaultPrependBos: false },
  read(c) {
    const sizes = llamaSizes(c, { kvHeads: 32, dHead: 128 });
    return {
      ...sizes,
      ...attentionBias(c),
      windows: qwenWindows(c, sizes.nLayers),
      rotary: llamaRotary(c, sizes),
    };
  },
  write: (config) => ({
    ...llamaKeys(config),
    ...qwenWindowKeys(config),
    attention_bias: config.qkvBias,
  }),
  tensors: {
    ...llamaTensors,
    parts: { ...llamaTensors.parts, qNorm: 'self_attn.q_norm', kNorm: 'self_attn.k_norm' },
  },
};
