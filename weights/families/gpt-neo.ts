/**
 * GPT-Neo (TinyStories-1M to 33M): GPT-2 with windows in every other layer, and scores that are not scaled.
 */

import { tokensAndTying, wholeHead } from '../keys/llama.js';
import type { Family } from './family.js';

/** GPT-Neo. */
export const gptNeo: Family = {
  name: 'gpt_neo',
  architectures: ['GPTNeoForCausalLM'],
  facts: {
    normalization: 'LN',
    positionEmbedding: 'standard',
    actFn: 'gelu_new',
    scaleAttn: false,
    qkvBias: false,
  },
  read(c) {
    const [dModel, nHeads] = [c.size('hidden_size'), c.size('num_heads', 'num_attention_heads')];
    const nLayers = c.size('num_layers', 'num_hidden_layers');
    const pattern = c.or<unknown>('attention_types', null) ?? [[['global', 'local'], 12]];
    const kinds = (Array.isArray(pattern) ? pattern : []).flatMap((entry) => {
      const [names, repeats] = Array.isArray(entry) ? entry : [];
      const good =
        Array.isArray(names) && Number.isSafeInteger(repeats) && repeats >= 0 && repeats <= nLayers;
      return good ? Array.from({ length: repeats }, () => names).flat() : [null];
    });
    if (kinds.length !== nLayers || kinds.some((kind) => kind !== 'global' && kind !== 'local'))
      throw c.wrong(
        'attention_types',
        pattern,
        `[[["global", "local"], n]] for the ${nLayers} layers that num_layers says`,
      );
    const window = c.number('window_size', 256);
    return {
      nLayers,
      dModel,
      nHeads,
      dHead: wholeHead(c, dModel, nHeads),
      dMlp: c.or<unknown>('intermediate_size', null) ?? 4 * dModel,
      nCtx: c.size('max_position_embeddings'),
      dVocab: c.size('vocab_size'),
      eps: c.number('layer_norm_epsilon', 1e-5),
      actFn: c.or<unknown>('activation_function', null) ?? 'gelu_new',
      windows: kinds.map((kind) => (kind === 'local' ? window : null)),
      ...tokensAndTying(c, true),
    };
  },
  write: (config) => {
    const kinds = Array.from({ length: config.nLayers }, (_, l) =>
      config.windows?.[l] ? 'local' : 'global',
    );
    return {
      hidden_size: config.dModel,
      num_layers: config.nLayers,
      num_heads: config.nHeads,
      intermediate_size: config.dMlp,
      max_position_embeddings: config.nCtx,
      vocab_size: config.dVocab,
      layer_norm_epsilon: config.eps,
      activation_function: config.actFn,
      window_size: config.windows?.find((w) => w !== null) ?? 256,
      attention_types: [[kinds, 1]],
    };
  },
  tensors: {
    matrices: 'out,in',
    prefix: 'transformer.',
    embed: 'wte',
    positions: 'wpe',
    final: 'ln_f',
    head: ['lm_head'],
    block: 'h.{}.',
    parts: {
      ln1: 'ln_1',
      ln2: 'ln_2',
      q: 'attn.attention.q_proj',
      k: 'attn.attention.k_proj',
      v: 'attn.attention.v_proj',
      o: 'attn.attention.out_proj',
      up: 'mlp.c_fc',
      down: 'mlp.c_proj',
    },
  },
};
