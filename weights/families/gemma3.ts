/**
 * Gemma 3's text models: Gemma 2 without caps of scores, with norms of queries and keys, and frequencies of
 * their own in windows.
 */

import { attentionBias, llamaKeys, llamaSizes, writtenActivation } from '../keys/llama.js';
import { ropeBase, rotaryDims } from '../keys/rope.js';
import { commonWindow, layerTypes, layerWindows } from '../keys/windows.js';
import type { Family } from './family.js';
import { gemmaFacts } from './gemma.js';
import { gemma2Tensors, queryScalar } from './gemma2.js';

type Parameters = Readonly<Record<string, unknown>>;

/** Gemma 3, of text. */
export const gemma3: Family = {
  name: 'gemma3_text',
  architectures: ['Gemma3ForCausalLM', 'Gemma3ForConditionalGeneration'],
  gguf: 'gemma3',
  facts: { ...gemmaFacts, normPlaces: 'both', qkNorm: 'head' },
  read(c) {
    const actKey = 'hidden_activation';
    const sizes = llamaSizes(c, { kvHeads: 4, dHead: 256, tied: true, actKey, actFn: 'gelu_pytorch_tanh' });
    c.or('attn_logit_softcapping', null); // some files have it; it means nothing here
    const pattern = Number(c.first('sliding_window_pattern', '_sliding_window_pattern') ?? 6);
    const window = c.number('sliding_window', 4096);
    const nested = c.record('rope_parameters') as Record<string, Parameters> | null;
    const context = { pairs: sizes.dHead / 2, nCtx: sizes.nCtx };
    const full = nested?.full_attention ?? c.record('rope_scaling');
    const local = nested?.sliding_attention ?? null;
    return {
      ...sizes,
      ...attentionBias(c),
      embedScale: Math.sqrt(sizes.dModel),
      scoreScale: c.number('query_pre_attn_scalar', 256)! ** -0.5,
      outputLogitsSoftCap: c.number('final_logit_softcapping', null),
      windows: layerWindows(c, sizes.nLayers, window, (layer) => (layer + 1) % pattern !== 0),
      rotary: {
        pairs: 'halves',
        ...rotaryDims(c, sizes.dHead, 1),
        ...ropeBase(c, full, { theta: 1e6, ...context }),
        windowed: ropeBase(c, local, { thetaKey: 'rope_local_base_freq', theta: 1e4, ...context }),
      },
    };
  },
  write: (config) => ({
    ...llamaKeys(config),
    rope_local_base_freq: config.rotary!.windowed?.base ?? config.rotary!.base,
    hidden_activation: writtenActivation(config),
    attention_bias: config.qkvBias,
    query_pre_attn_scalar: queryScalar(config),
    final_logit_softcapping: config.outputLogitsSoftCap,
    sliding_window: commonWindow(config) ?? 4096,
    layer_types: layerTypes(config),
  }),
  tensors: {
    ...gemma2Tensors,
    parts: { ...gemma2Tensors.parts, qNorm: 'self_attn.q_norm', kNorm: 'self_attn.k_norm' },
  },
};
