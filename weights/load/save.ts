/**
 * A model back to a checkpoint: tensors in Hugging Face's GPT-2 names, and the `config.json` beside them.
 */

import type { Config } from '../config.js';
import type { FinalWeights, HostTensor, ModelWeights, NormWeights } from '../formats/types.js';
import type { Processing } from '../processing/processing.js';

/** What to write: `model.safetensors` (`tensors`, `metadata`) and `config.json` (`config`). */
export interface Saveable {
  readonly tensors: Record<string, HostTensor>;
  /** For the header of the safetensors file; tells which processing the weights have gone through. */
  readonly metadata: Record<string, string>;
  readonly config: Record<string, unknown>;
}

/**
 * The checkpoint of a model. Where GPT-2's architecture allows, Hugging Face's `GPT2LMHeadModel` loads it and computes the
 * same logits, of processed models too: folded norms get gain 1 and bias 0 (for the final one see `unembedding`). Attention-only
 * models, models without norms, with SoLU or shortformer positions, and models whose heads do not add up to dModel, or that
 * have both a final norm's gain and a bias of the unembedding, have no such class; their `config.json` is in our names and only Glassbox reads it.
 */
export function saveable(
  { embed, blocks, final }: ModelWeights,
  config: Config,
  processing?: Processing,
): Saveable {
  const { nHeads, dHead, dModel, normalization } = config;
  // With its own final norm there is no place for a bias of the unembedding.
  const unbiased = !final.lnFinal || !final.b_U?.data.some((value) => value !== 0);
  const huggingFace = isGpt2(config) && nHeads * dHead === dModel && unbiased;
  const tensors: Record<string, HostTensor> = {};
  const linear = (key: string, W: HostTensor, b: HostTensor | null, biased = true) => {
    tensors[`transformer.${key}.weight`] = W;
    if (b || biased) tensors[`transformer.${key}.bias`] = b ?? constant(W.shape[W.shape.length - 1], 0);
  };
  const norm = (key: string, weights: NormWeights | null, bias = 0) => {
    if (weights) {
      tensors[`transformer.${key}.weight`] = weights.w;
      if (weights.b) tensors[`transformer.${key}.bias`] = weights.b;
    } else if (huggingFace) linear(key, constant(dModel, 1), constant(dModel, bias));
  };

  tensors['transformer.wte.weight'] = embed.W_E;
  if (embed.W_pos) tensors['transformer.wpe.weight'] = embed.W_pos;
  blocks.forEach((block, layer) => {
    const at = `h.${layer}`;
    norm(`${at}.ln_1`, block.ln1);
    linear(`${at}.attn.c_attn`, block.W_QKV, block.b_QKV, config.qkvBias);
    if (block.qNorm) norm(`${at}.attn.q_norm`, block.qNorm);
    if (block.kNorm) norm(`${at}.attn.k_norm`, block.kNorm);
    linear(`${at}.attn.c_proj`, block.W_O, block.b_O, config.outBias);
    if (block.ln1Post) norm(`${at}.ln_1_post`, block.ln1Post);
    const { mlp } = block;
    if (!mlp) return;
    norm(`${at}.ln_2`, block.ln2);
    if (mlp.W_gate) linear(`${at}.mlp.c_gate`, mlp.W_gate, mlp.b_gate ?? null, config.mlpBias);
    linear(`${at}.mlp.c_fc`, mlp.W_in, mlp.b_in, config.mlpBias);
    if (mlp.ln) norm(`${at}.mlp.ln`, mlp.ln);
    linear(`${at}.mlp.c_proj`, mlp.W_out, mlp.b_out, config.mlpBias);
    if (block.ln2Post) norm(`${at}.ln_2_post`, block.ln2Post);
  });

  const biasInNorm = huggingFace && normalization === 'LNPre' && final.b_U !== null;
  norm('ln_f', final.lnFinal, biasInNorm ? 1 : 0);
  if (biasInNorm) tensors['lm_head.weight'] = unembedding(final, embed.W_E);
  else {
    if (final.W_U) tensors['lm_head.weight'] = final.W_U;
    if (final.b_U) tensors['lm_head.bias'] = final.b_U;
  }

  const tied = !('lm_head.weight' in tensors);
  const steps = processing && Object.entries(processing).filter(([, done]) => done);
  return {
    tensors,
    // Hugging Face refuses files that do not say which framework's layout they have.
    metadata: {
      format: 'pt',
      ...(steps && { processing: steps.map(([step]) => step).join(', ') || 'none' }),
    },
    config: huggingFace
      ? huggingFaceConfig(config, tied)
      : { ...config, ...('tieWordEmbeddings' in config && { tieWordEmbeddings: tied }) },
  };
}

/** Whether the architecture is one that Hugging Face's GPT-2 has. */
function isGpt2({
  family,
  attnOnly,
  normalization,
  actFn,
  finalRms,
  positionEmbedding,
  ...config
}: Config): boolean {
  const layerNorms = normalization.startsWith('LN') && !finalRms;
  const special = attnOnly || !layerNorms || positionEmbedding === 'shortformer';
  const own = config.attentionDir === 'bidirectional' || config.dVocabOut !== config.dVocab;
  return family === 'gpt2' && !special && !own && !actFn.startsWith('solu');
}

/**
 * GPT2LMHeadModel has no bias at its unembedding, so b_U goes into W_U. The final norm's output x has mean zero before its
 * own bias. With ones as that bias,
 *
 *     (x + 1)·W = x·W + Σ_i W[i]        and for  W = W_U − mean_i(W_U) + b_U / dModel  that is  x·W_U + b_U.
 *
 * Folding the norm on loading gives W_U (centred) and b_U back.
 */
function unembedding({ W_U, b_U }: FinalWeights, W_E: HostTensor): HostTensor {
  const { shape, data } = W_U ?? W_E;
  const [dVocab, dModel] = shape;
  const out = new Float32Array(data.length);
  for (let token = 0; token < dVocab; token++) {
    const row = token * dModel;
    let mean = 0;
    for (let i = 0; i < dModel; i++) mean += data[row + i];
    const shift = (b_U!.data[token] - mean) / dModel;
    for (let i = 0; i < dModel; i++) out[row + i] = data[row + i] + shift;
  }
  return { shape, data: out };
}

function huggingFaceConfig(config: Config, tied: boolean): Record<string, unknown> {
  return {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    n_layer: config.nLayers,
    n_head: config.nHeads,
    n_embd: config.dModel,
    n_inner: config.dMlp,
    n_positions: config.nCtx,
    n_ctx: config.nCtx,
    vocab_size: config.dVocab,
    activation_function: config.actFn,
    layer_norm_epsilon: config.eps,
    scale_attn_weights: config.scaleAttn,
    scale_attn_by_inverse_layer_idx: config.scaleAttnByInverseLayerIdx,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenIds.length > 1 ? config.eosTokenIds : config.eosTokenId,
    tie_word_embeddings: tied,
    torch_dtype: 'float32',
  };
}

function constant(size: number, value: number): HostTensor {
  return { shape: [size], data: new Float32Array(size).fill(value) };
}
