/**
 * A complete configuration from what a file or an argument says, in the names of Hugging Face, of TransformerLens or our own.
 */

import { fileError, shownJson } from '../checks/messages.js';
import type { Config } from '../config.js';
import { checkNotQuantised } from '../quantised.js';
import { checkSettings } from '../settings.js';
import { type ConfigHints, complete, OWN } from './complete.js';

/**
 * A complete configuration from a Hugging Face GPT-2 `config.json` (`n_layer`, `n_embd`, ...), from one of TransformerLens
 * (`n_layers`, `d_model`, ...), or from our own names (`nLayers`, `dModel`, ...). An argument in our own names may hold no
 * setting that there is not; a file may.
 * @throws when it is of another kind of model, a value is missing that cannot be inferred, or a value is impossible.
 */
export function parseConfig(json: unknown, { name, file = OWN, inferred = {} }: ConfigHints = {}): Config {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw fileError(file, `not an object of settings: ${shownJson(json)}`);
  const given = json as Record<string, unknown>;
  checkNotQuantised(given, file);
  for (const key of SOFT_CAPS)
    if (given[key] != null && !((given[key] as number) <= 0))
      throw fileError(
        file,
        `${key} is ${shownJson(given[key])}: soft caps are not supported, and without it the numbers would differ; leave it out (or -1) only if the model was trained without`,
      );
  const known = isHuggingFace(given)
    ? fromHuggingFace(given, file)
    : 'n_layers' in given || 'd_model' in given
      ? fromTransformerLens(given, file)
      : given;
  if (known === given && file === OWN) checkSettings(given, file);
  return complete(known, { name, file, inferred });
}

/** What TransformerLens and Hugging Face call limits x ← cap · tanh(x / cap) of scores and logits; −1 and 0 mean none. */
const SOFT_CAPS = [
  'attn_scores_soft_cap',
  'output_logits_soft_cap',
  'attn_logit_softcapping',
  'final_logit_softcapping',
];

function isHuggingFace(given: Record<string, unknown>): boolean {
  return ['model_type', 'architectures', 'n_embd', 'n_layer', 'n_head', 'vocab_size'].some(
    (key) => key in given,
  );
}

/** Hugging Face's names to ours; what the file leaves out stays out. */
function fromHuggingFace(given: Record<string, unknown>, file: string): Record<string, unknown> {
  const modelType = given.model_type ?? 'gpt2';
  if (modelType !== 'gpt2')
    throw fileError(file, `model_type is ${shownJson(modelType)}; only "gpt2" models are supported`);
  if (given.add_cross_attention === true)
    throw fileError(file, `add_cross_attention is true; only decoder-only models are supported`);
  const dModel = given.n_embd ?? given.hidden_size;
  const nHeads = given.n_head ?? given.num_attention_heads;
  if (Number.isInteger(dModel) && Number.isInteger(nHeads) && (dModel as number) % (nHeads as number) !== 0)
    throw fileError(file, `n_embd ${dModel} is not a multiple of n_head ${nHeads}`);
  return {
    nLayers: given.n_layer ?? given.num_hidden_layers,
    nHeads,
    dModel,
    dMlp: given.n_inner ?? (Number.isInteger(dModel) ? 4 * (dModel as number) : undefined),
    nCtx: given.n_positions ?? given.n_ctx ?? given.max_position_embeddings,
    dVocab: given.vocab_size,
    dVocabOut: given.vocab_size,
    eps: given.layer_norm_epsilon,
    actFn: given.activation_function,
    attnOnly: false,
    normalization: 'LN',
    scaleAttn: given.scale_attn_weights,
    scaleAttnByInverseLayerIdx: given.scale_attn_by_inverse_layer_idx,
    bosTokenId: given.bos_token_id,
    eosTokenId: given.eos_token_id,
    tieWordEmbeddings: given.tie_word_embeddings,
    name: given._name_or_path || undefined,
  };
}

/** What TransformerLens may say that is not GPT-2's, and what it must be then. */
const ONLY: Readonly<Record<string, unknown>> = {
  gated_mlp: false,
  parallel_attn_mlp: false,
  use_local_attn: false,
  post_embedding_ln: false,
  use_qk_norm: false,
  use_normalization_before_and_after: false,
  num_experts: null,
};

/** The names of TransformerLens' HookedTransformerConfig, and those of the published toy models, to ours. */
function fromTransformerLens(given: Record<string, unknown>, file: string): Record<string, unknown> {
  for (const [key, only] of Object.entries(ONLY))
    if (given[key] != null && given[key] !== only)
      throw fileError(file, `${key} is ${shownJson(given[key])}; only ${only} is supported`);
  const { d_vocab: dVocab, n_heads: nHeads } = given;
  for (const [key, same] of [
    ['n_key_value_heads', nHeads],
    ['attn_scale', Math.sqrt(given.d_head as number)],
  ] as const)
    if (given[key] != null && given[key] !== -1 && given[key] !== same)
      throw fileError(file, `${key} is ${shownJson(given[key])}; only ${same} is supported`);
  const attnOnly = given.attn_only ?? undefined;
  const normalization = 'normalization' in given ? given.normalization : given.normalization_type;
  const position = given.shortformer_pos ? 'shortformer' : given.positional_embedding_type;
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
  };
}
