/** StarCoder2: rotary positions and shared heads as in Llama; layer norms, plain MLPs, biases everywhere. */

import { llamaFacts, llamaKeys, llamaRotary, llamaSizes, llamaTensors } from '../keys/llama.js';
import { commonWindow } from '../keys/windows.js';
import type { Family } from './family.js';

/** StarCoder2. */
export const starcoder2: Family = {
  name: 'starcoder2',
  architectures: ['Starcoder2ForCausalLM'],
  facts: { ...llamaFacts, normalization: 'LN', gatedMlp: false, actFn: 'gelu_new', eps: 1e-5 },
  read(c) {
    const sizes = llamaSizes(c, { kvHeads: 2, tied: true, actFn: 'gelu_new' });
    const bias = c.or<unknown>('use_bias', null) ?? true;
    return {
      ...sizes,
      eps: c.number('norm_epsilon', 1e-5),
      ...{ qkvBias: bias, outBias: bias, mlpBias: bias },
      windows: c.number('sliding_window', null),
      rotary: llamaRotary(c, sizes),
    };
  },
  write(config) {
    const { rms_norm_eps, ...keys } = llamaKeys(config);
    return {
      ...keys,
      norm_epsilon: rms_norm_eps,
      use_bias: config.qkvBias,
      sliding_window: commonWindow(config),
    };
  },
  tensors: {
    ...llamaTensors,
    parts: { ...llamaTensors.parts, gate: undefined, up: 'mlp.c_fc', down: 'mlp.c_proj' },
  },
};
