/** Gemma 1: Llama with gains 1 + w, an embedding times √d, and a GELU gate. */

import type { Settings } from '../keys/given.js';
import {
  attentionBias,
  llamaFacts,
  llamaKeys,
  llamaRotary,
  llamaSizes,
  llamaTensors,
} from '../keys/llama.js';
import type { Family } from './family.js';

/** Facts of all Gemmas. */
export const gemmaFacts: Settings = {
  ...llamaFacts,
  normGain: '1+w',
  actFn: 'gelu_new',
  tieWordEmbeddings: true,
};

/** Gemma 1. */
export const gemma: Family = {
  name: 'gemma',
  architectures: ['GemmaForCausalLM'],
  gguf: 'gemma',
  facts: gemmaFacts,
  read(c) {
    const sizes = llamaSizes(c, { kvHeads: 16, dHead: 256, tied: true, actFn: 'gelu_pytorch_tanh' });
    return {
      ...sizes,
      ...attentionBias(c),
      // Its first files say "gelu" and mean the form with tanh.
      actFn: sizes.actFn === 'gelu' ? 'gelu_new' : sizes.actFn,
      embedScale: Math.sqrt(sizes.dModel),
      rotary: llamaRotary(c, sizes),
    };
  },
  write: (config) => ({ ...llamaKeys(config), attention_bias: config.qkvBias }),
  tensors: llamaTensors,
};
