/** Gemma 2: norms before and behind, windows in every other layer, soft caps of scores and logits. */

import {
  attentionBias,
  llamaKeys,
  llamaRotary,
  llamaSizes,
  llamaTensors,
  writtenActivation,
} from '../keys/llama.js';
import type { TensorNames } from '../keys/names.js';
import { commonWindow, layerTypes, layerWindows } from '../keys/windows.js';
import type { Family } from './family.js';
import { gemmaFacts } from './gemma.js';

/** Tensors of Gemma 2 and 3. */
export const gemma2Tensors: TensorNames = {
  ...llamaTensors,
  parts: {
    ...llamaTensors.parts,
    ln1Post: 'post_attention_layernorm',
    ln2: 'pre_feedforward_layernorm',
    ln2Post: 'post_feedforward_layernorm',
  },
};

/** Gemma 2. */
export const gemma2: Family = {
  name: 'gemma2',
  architectures: ['Gemma2ForCausalLM'],
  gguf: 'gemma2',
  facts: { ...gemmaFacts, normPlaces: 'both' },
  read(c) {
    const actKey = 'hidden_activation';
    const sizes = llamaSizes(c, { kvHeads: 4, dHead: 256, tied: true, actKey, actFn: 'gelu_pytorch_tanh' });
    const window = c.number('sliding_window', 4096);
    return {
      ...sizes,
      ...attentionBias(c),
      embedScale: Math.sqrt(sizes.dModel),
      scoreScale: c.number('query_pre_attn_scalar', 256)! ** -0.5,
      attnScoresSoftCap: c.number('attn_logit_softcapping', 50),
      outputLogitsSoftCap: c.number('final_logit_softcapping', 30),
      windows: layerWindows(c, sizes.nLayers, window, (layer) => layer % 2 === 0),
      rotary: llamaRotary(c, sizes),
    };
  },
  write: (config) => ({
    ...llamaKeys(config),
    hidden_activation: writtenActivation(config),
    attention_bias: config.qkvBias,
    query_pre_attn_scalar: queryScalar(config),
    attn_logit_softcapping: config.attnScoresSoftCap,
    final_logit_softcapping: config.outputLogitsSoftCap,
    sliding_window: commonWindow(config) ?? 4096,
    layer_types: layerTypes(config),
  }),
  tensors: gemma2Tensors,
};

/** What scores are divided by the root of. */
export function queryScalar({ scoreScale, dHead }: { scoreScale: number | null; dHead: number }): number {
  const scalar = scoreScale === null ? dHead : scoreScale ** -2;
  return Math.abs(scalar - Math.round(scalar)) < 1e-9 ? Math.round(scalar) : scalar;
}
