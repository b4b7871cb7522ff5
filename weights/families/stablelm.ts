/**
 * StableLM: layer norms and gated MLPs, part of each head turns; attention and MLP one after the other, or
 * side by side behind one norm.
 */

import { llamaFacts, llamaKeys, llamaRotary, llamaSizes, llamaTensors } from '../keys/llama.js';
import { partialFactor } from '../keys/rope.js';
import type { Family } from './family.js';

/** StableLM. */
export const stablelm: Family = {
  name: 'stablelm',
  architectures: ['StableLmForCausalLM'],
  facts: { ...llamaFacts, normalization: 'LN', eps: 1e-5 },
  read(c) {
    if (c.or<unknown>('qk_layernorm', null) === true)
      throw c.unsupported('qk_layernorm', true, 'no part norms each head with a gain of its own');
    const sizes = llamaSizes(c, { kvHeads: 32 });
    const parallel = c.or<unknown>('use_parallel_residual', null) ?? false;
    return {
      ...sizes,
      eps: c.number('layer_norm_eps', 1e-5),
      qkvBias: c.or<unknown>('use_qkv_bias', null) ?? false,
      ...{ parallelAttnMlp: parallel, sharedNorm: parallel },
      rotary: llamaRotary(c, sizes, { part: partialFactor(c, 'partial_rotary_factor', 0.25) }),
    };
  },
  write(config) {
    const { rms_norm_eps, ...keys } = llamaKeys(config);
    return {
      ...keys,
      layer_norm_eps: rms_norm_eps,
      use_qkv_bias: config.qkvBias,
      use_parallel_residual: config.parallelAttnMlp,
      partial_rotary_factor: config.rotary!.dims / config.dHead,
    };
  },
  tensors: llamaTensors,
};
