/** Qwen 2 and 2.5: Llama with biases of q, k and v; no beginning-of-text token. */

import { llamaFacts, llamaKeys, llamaRotary, llamaSizes, llamaTensors } from '../keys/llama.js';
import { qwenWindowKeys, qwenWindows } from '../keys/windows.js';
import type { Family } from './family.js';

/** Qwen 2. */
export const qwen2: Family = {
  name: 'qwen2',
  architectures: ['Qwen2ForCausalLM'],
  gguf: 'qwen2',
  facts: { ...llamaFacts, qkvBias: true, defaultPrependBos: false },
  read(c) {
    const sizes = llamaSizes(c, { kvHeads: 32 });
    return { ...sizes, windows: qwenWindows(c, sizes.nLayers), rotary: llamaRotary(c, sizes) };
  },
  write: (config) => ({ ...llamaKeys(config), ...qwenWindowKeys(config) }),
  tensors: llamaTensors,
};
