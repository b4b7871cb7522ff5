/** Settings of TransformerLens' HookedTransformerConfig, and of the published toy models. */

import { fileError, shownJson } from '../checks/messages.js';
import type { Settings } from '../keys/given.js';

type Json = Readonly<Record<string, unknown>>;

/** What TransformerLens may say that no part does, and what it must be then. */
const ONLY: Json = {
  post_embedding_ln: false,
  num_experts: null,
  clip_qkv: null,
  use_logn_attn: false,
  use_dynamic_ntk_rope: false,
  use_attention_sinks: false,
};
/** Their norms stand behind attention and MLP, as `original_architecture` alone tells. */
const NORMS_BEHIND: readonly unknown[] = ['Olmo2ForCausalLM', 'Olmo3ForCausalLM'];
/** They norm all queries together, and all keys. */
const JOINED_NORMS: readonly unknown[] = [...NORMS_BEHIND, 'OlmoeForCausalLM'];

/** The names of TransformerLens' HookedTransformerConfig, and those of the published toy models, to ours. */
export function fromTransformerLens(given: Json, file: string): Settings {
  for (const [key, only] of Object.entries(ONLY))
    if (given[key] != null && given[key] !== only)
      throw fileError(file, `${key} is ${shownJson(given[key])}; only ${only} is supported`);
  const { d_vocab: dVocab, n_heads: nHeads } = given;
  const attnOnly = given.attn_only ?? undefined;
  const normalization = 'normalization' in given ? given.normalization : given.normalization_type;
  const position = given.shortformer_pos ? 'shortformer' : given.positional_embedding_type;
  const { original_architecture: architecture } = given;
  const parallel = given.parallel_attn_mlp === true;
  return {
    nLayers: given.n_layers,
    nHeads,
    dModel: given.d_model,
    dHead: given.d_head ?? undefined,
    dMlp: attnOnly ? undefined : (given.d_mlp ?? undefined),
    nCtx: given.n_ctx,
    dVocab,
    dVocabOut: given.d_vocab_out === -1 ? dVocab : (given.d_vocab_out ?? undefined),
    attentionDir: given.attention_dir ?? undefined,
    eps: given.eps ?? given.ln_eps,
    actFn: attnOnly ? undefined : given.act_fn,
    attnOnly,
    normalization: normalization === null ? 'none' : normalization,
    finalRms: given.final_rms ?? undefined,
    positionEmbedding: position ?? undefined,
    scaleAttn: given.use_attn_scale ?? undefined,
    scaleAttnByInverseLayerIdx: given.scale_attn_by_inverse_layer_idx ?? undefined,
    tieWordEmbeddings: given.tie_word_embeddings,
    name: given.model_name ?? undefined,
    nKeyValueHeads: given.n_key_value_heads ?? undefined,
    gatedMlp: given.gated_mlp ?? undefined,
    parallelAttnMlp: parallel,
    normPlaces: NORMS_BEHIND.includes(architecture)
      ? 'behind'
      : given.use_normalization_before_and_after
        ? 'both'
        : undefined,
    qkNorm: given.use_qk_norm ? 'head' : JOINED_NORMS.includes(architecture) ? 'width' : undefined,
    rotary: position === 'rotary' ? rotary(given, file) : undefined,
    windows: windows(given, file),
    scoreScale: scoreScale(given),
    attnScoresSoftCap: given.attn_scores_soft_cap ?? undefined,
    outputLogitsSoftCap: given.output_logits_soft_cap ?? undefined,
    defaultPrependBos: given.default_prepend_bos ?? undefined,
  };
}

/** `attn_scale` divides scores; the usual √d_head, and -1, say nothing new. */
function scoreScale({ attn_scale: divisor, use_attn_scale: used, d_head: dHead }: Json): number | undefined {
  if (typeof divisor !== 'number' || divisor === -1 || used === false) return undefined;
  return divisor === Math.sqrt(dHead as number) ? undefined : 1 / divisor;
}

function rotary(given: Json, file: string): Settings['rotary'] {
  const { rotary_dim: dims, rotary_base: base, rotary_adjacent_pairs: adjacent } = given;
  const scaling = rotaryScaling(given, file);
  // Linear scaling, and YaRN where it says so, leave layers with a window as they are.
  const everywhere = scaling?.type === 'llama3' || (scaling?.type === 'yarn' && !given.yarn_global_attn_only);
  const local = scaling && !everywhere ? null : scaling;
  const own = given.rotary_base_local != null || local !== scaling;
  return {
    pairs: adjacent ? 'adjacent' : 'halves',
    dims: dims ?? undefined,
    base: base ?? undefined,
    scaling,
    windowed:
      own && given.use_local_attn ? { base: given.rotary_base_local ?? base ?? 10000, scaling: local } : null,
  };
}

function rotaryScaling(given: Json, file: string) {
  const number = (key: string): number => {
    if (typeof given[key] !== 'number')
      throw fileError(file, `${key} is ${shownJson(given[key])}: a number is needed`);
    return given[key];
  };
  if (given.use_NTK_by_parts_rope === true)
    return {
      type: 'llama3',
      factor: number('NTK_by_parts_factor'),
      lowFreqFactor: number('NTK_by_parts_low_freq_factor'),
      highFreqFactor: number('NTK_by_parts_high_freq_factor'),
      originalContext: given.NTK_original_ctx_len ?? 8192,
    } as const;
  if (given.use_yarn_rope === true)
    return {
      type: 'yarn',
      factor: number('yarn_factor'),
      originalContext: number('yarn_original_max_position_embeddings'),
      betaFast: number('yarn_beta_fast'),
      betaSlow: number('yarn_beta_slow'),
      truncate: given.yarn_truncate !== false,
      magnitude: number('yarn_attention_factor'),
    } as const;
  const factor = given.rotary_scaling_factor ?? 1;
  return factor === 1 ? null : ({ type: 'linear', factor: number('rotary_scaling_factor') } as const);
}

function windows(given: Json, file: string): Settings['windows'] {
  const { use_local_attn: local, window_size: size, attn_types: types, n_layers: nLayers } = given;
  if (!local) return undefined;
  const good = Array.isArray(types) && types.length === nLayers;
  if (!good || types.some((type) => type !== 'global' && type !== 'local'))
    throw fileError(
      file,
      `use_local_attn is true, and attn_types is ${shownJson(types)}; it must be a list of ${nLayers}, "global" or "local"`,
    );
  return types.map((type) => (type === 'local' ? size : null));
}
