/** Mistral 7B and its kin: Llama with a window in every layer, or none. */

import { llamaFacts, llamaKeys, llamaRotary, llamaSizes, llamaTensors } from '../keys/llama.js';
import { commonWindow } from '../keys/windows.js';
import type { Family } from './family.js';

/** Mistral. */
export const mistral: Family = {
  name: 'mistral',
  architectures: ['MistralForCausalLM'],
  facts: llamaFacts,
  read(c) {
    if (c.or<unknown>('layer_types', null) !== null)
      throw c.unsupported(
        'layer_types',
        c.or('layer_types', null),
        'Mistral has the same window in every layer',
      );
    const sizes = llamaSizes(c, { kvHeads: 8 });
    return { ...sizes, windows: c.number('sliding_window', 4096), rotary: llamaRotary(c, sizes) };
  },
  write: (config) => ({ ...llamaKeys(config), sliding_window: commonWindow(config) }),
  tensors: llamaTensors,
};
