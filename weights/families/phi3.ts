/** Phi 3: Llama with q, k, v in one matrix and gate, up in another; LongRoPE with its short factors. */

import { llamaFacts, llamaKeys, llamaRotary, llamaSizes, llamaTensors } from '../keys/llama.js';
import { partialFactor, shortContext } from '../keys/rope.js';
import { commonWindow } from '../keys/windows.js';
import type { Family } from './family.js';

/** Names of scalings that mean LongRoPE here. */
const LONG = ['longrope', 'su', 'yarn'];

/** Phi 3. */
export const phi3: Family = {
  name: 'phi3',
  architectures: ['Phi3ForCausalLM'],
  gguf: 'phi3',
  facts: llamaFacts,
  read(c) {
    const sizes = llamaSizes(c, { eps: 1e-5 });
    const part = partialFactor(c);
    return {
      ...sizes,
      // With longer texts all positions would turn by other angles: the short factors hold up to there.
      nCtx: Math.min(sizes.nCtx, shortContext(c, LONG) ?? sizes.nCtx),
      windows: c.number('sliding_window', null),
      rotary: llamaRotary(c, sizes, { part, long: LONG }),
    };
  },
  write: (config) => ({
    ...llamaKeys(config),
    original_max_position_embeddings: config.nCtx,
    partial_rotary_factor: config.rotary!.dims / config.dHead,
    sliding_window: commonWindow(config),
  }),
  tensors: {
    ...llamaTensors,
    fused: 'parts',
    parts: {
      ln1: 'input_layernorm',
      ln2: 'post_attention_layernorm',
      qkv: 'self_attn.qkv_proj',
      o: 'self_attn.o_proj',
      gateUp: 'mlp.gate_up_proj',
      down: 'mlp.down_proj',
    },
  },
};
