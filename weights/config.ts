/**
 * The shape of a model, and the letters used everywhere: nLayers, nHeads, dModel, dHead, dMlp, nCtx, dVocab.
 */

import { fileError, shownJson } from './checks/messages.js';
import { checkNotQuantised } from './quantised.js';
import { checkSettings } from './settings.js';

/**
 * The MLP's activation; `gelu_new` is GPT-2's tanh approximation, `gelu` the exact one; `silu` x·σ(x); `relu2` max(x, 0)²;
 * `solu` is x·softmax(x) over the neurons, `solu_ln` that with a layer norm behind it (Elhage et al. 2022). `xielu` has
 * fixed parameters, as in TransformerLens.
 */
export type ActFn =
  | 'gelu_new'
  | 'gelu'
  | 'relu'
  | 'relu2'
  | 'leaky_relu'
  | 'silu'
  | 'quick_gelu'
  | 'tanh'
  | 'sigmoid'
  | 'linear'
  | 'xielu'
  | 'solu'
  | 'solu_ln';
/** Which keys a query sees: those up to its own position, or all of its row (TransformerLens' `attention_dir`). */
export type AttentionDir = 'causal' | 'bidirectional';
/**
 * `LN`: with gain and bias; `LNPre`: centred and scaled only (gain and bias folded away); `RMS`: scaled by the root mean
 * square, with a gain; `RMSPre`: without; `none`: no norm at all. See `normAt` in norm.ts.
 */
export type Normalization = 'LN' | 'LNPre' | 'RMS' | 'RMSPre' | 'none';
/**
 * Where position embeddings go: `standard`: into the residual stream; `shortformer`: into the inputs of queries and keys of
 * every layer, behind the layer norm (Press et al. 2020).
 */
export type PositionEmbedding = 'standard' | 'shortformer';

/** A model of the GPT-2 family. */
export interface Config {
  readonly nLayers: number;
  readonly nHeads: number;
  readonly dModel: number;
  /** Default dModel / nHeads. */
  readonly dHead: number;
  /** Default 4 · dModel; 0 for attention-only models. */
  readonly dMlp: number;
  /** Longest sequence. */
  readonly nCtx: number;
  readonly dVocab: number;
  /** Logits at a position; default dVocab. Where it differs, outputs are not tokens: nothing is generated or scored. */
  readonly dVocabOut: number;
  /** The norms' epsilon, inside the square root. */
  readonly eps: number;
  readonly actFn: ActFn;
  readonly attnOnly: boolean;
  readonly attentionDir: AttentionDir;
  readonly normalization: Normalization;
  /** The last norm divides by the root mean square and centres nothing (some of the first SoLU models). */
  readonly finalRms: boolean;
  readonly positionEmbedding: PositionEmbedding;
  /** Scores are multiplied by 1/√dHead (and by 1/(layer+1) when `scaleAttnByInverseLayerIdx`). */
  readonly scaleAttn: boolean;
  readonly scaleAttnByInverseLayerIdx: boolean;
  /** Token id of `<|endoftext|>`: beginning of sequence and end of text. Null when the model has none. */
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  /** All tokens that end a text; `eosTokenId` is the first. */
  readonly eosTokenIds: readonly number[];
  /** Whether the unembedding is the embedding's matrix; absent where the configuration does not say. */
  readonly tieWordEmbeddings?: boolean;
  /** Name for messages and file headers, e.g. `gpt2`. */
  readonly name: string;
}

/** What messages call a configuration that is an argument. */
const OWN = 'config';

const ACTIVATIONS: Readonly<Record<string, ActFn>> = {
  gelu_new: 'gelu_new',
  gelu_pytorch_tanh: 'gelu_new', // the same formula
  gelu_fast: 'gelu_new', // likewise
  gelu_accurate: 'gelu_new', // likewise
  gelu: 'gelu',
  gelu_python: 'gelu', // by erf
  quick_gelu: 'quick_gelu',
  silu: 'silu',
  swish: 'silu',
  relu: 'relu',
  relu2: 'relu2',
  leaky_relu: 'leaky_relu',
  tanh: 'tanh',
  sigmoid: 'sigmoid',
  linear: 'linear',
  xielu: 'xielu',
  solu: 'solu',
  solu_ln: 'solu_ln',
};

/** What `parseConfig` may know besides the file. */
export interface ConfigHints {
  /** The model's name, for messages and headers. */
  name?: string;
  /** Where the configuration was read, for messages; left out where it is an argument. */
  file?: string;
  /** Used for what the configuration leaves out, e.g. from `inferConfig`. */
  inferred?: Partial<Config>;
}

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

function complete(known: Record<string, unknown>, { name, file = OWN, inferred = {} }: ConfigHints): Config {
  const fail = (key: string, value: unknown, wanted: string) =>
    fileError(file, `${key} is ${shownJson(value)}; it must be ${wanted}`);
  const size = (key: keyof Config, fallback?: number, least = 1): number => {
    const value = known[key] ?? inferred[key] ?? fallback;
    if (value === undefined) throw fileError(file, `${key} (Hugging Face: ${HF_NAMES[key]}) is missing`);
    if (!Number.isSafeInteger(value) || (value as number) < least)
      throw fail(key, value, least > 0 ? 'a positive integer' : `an integer of at least ${least}`);
    return value as number;
  };
  const oneOf = <T extends string>(
    key: keyof Config,
    values: Readonly<Record<string, T>>,
    fallback: T,
  ): T => {
    const value = known[key] ?? inferred[key] ?? fallback;
    if (typeof value !== 'string' || !Object.hasOwn(values, value))
      throw fail(key, value, `one of ${Object.keys(values).join(', ')}`);
    return values[value];
  };
  const flag = (key: keyof Config, fallback: boolean): boolean => {
    const value = known[key] ?? inferred[key] ?? fallback;
    if (typeof value !== 'boolean') throw fail(key, value, 'true or false');
    return value;
  };

  const nLayers = size('nLayers', undefined, 0);
  const nHeads = size('nHeads');
  const dModel = size('dModel');
  const dHead = size('dHead', dModel % nHeads === 0 ? dModel / nHeads : undefined);
  const dVocab = size('dVocab');
  const attnOnly = flag('attnOnly', known.dMlp === 0);
  const dMlp = attnOnly ? 0 : size('dMlp', 4 * dModel);
  const eps = known.eps ?? inferred.eps ?? 1e-5;
  if (typeof eps !== 'number' || !(eps >= 0 && eps < 1)) throw fail('eps', eps, 'a number in [0, 1)');
  const tokens = (key: 'bosTokenId' | 'eosTokenId', value: unknown): number[] => {
    const many = key === 'eosTokenId' && Array.isArray(value);
    return (many ? value : [value ?? -1]).filter((id: unknown): id is number => {
      if (!Number.isSafeInteger(id) || (id as number) < -1)
        throw fail(
          key,
          value,
          many || key === 'eosTokenId' ? 'a token id, a list of them or null' : 'a token id or null',
        );
      // −1: none. GPT-2's default of 50256 stays in the files of models with a smaller vocabulary.
      return (id as number) >= 0 && (id as number) < dVocab;
    });
  };
  const eosTokenIds = tokens('eosTokenId', known.eosTokenIds ?? known.eosTokenId ?? inferred.eosTokenId);
  const tieWordEmbeddings = known.tieWordEmbeddings ?? inferred.tieWordEmbeddings ?? null;
  if (tieWordEmbeddings !== null && typeof tieWordEmbeddings !== 'boolean')
    throw fail('tieWordEmbeddings', tieWordEmbeddings, 'true or false');
  const normalization = oneOf(
    'normalization',
    { LN: 'LN', LNPre: 'LNPre', RMS: 'RMS', RMSPre: 'RMSPre', none: 'none' },
    'LN',
  );
  const actFn = oneOf('actFn', ACTIVATIONS, 'gelu_new');
  if (actFn === 'solu_ln' && normalization === 'none')
    throw fileError(file, `actFn is "solu_ln", which has a layer norm, and normalization is "none"`);
  return {
    nLayers,
    nHeads,
    dModel,
    dHead,
    dMlp,
    nCtx: size('nCtx'),
    dVocab,
    dVocabOut: size('dVocabOut', dVocab),
    eps,
    actFn,
    attnOnly,
    attentionDir: oneOf('attentionDir', { causal: 'causal', bidirectional: 'bidirectional' }, 'causal'),
    normalization,
    finalRms: flag('finalRms', false),
    positionEmbedding: oneOf(
      'positionEmbedding',
      { standard: 'standard', shortformer: 'shortformer' },
      'standard',
    ),
    scaleAttn: flag('scaleAttn', true),
    scaleAttnByInverseLayerIdx: flag('scaleAttnByInverseLayerIdx', false),
    bosTokenId: tokens('bosTokenId', known.bosTokenId ?? inferred.bosTokenId)[0] ?? null,
    eosTokenId: eosTokenIds[0] ?? null,
    eosTokenIds: [...new Set(eosTokenIds)],
    ...(tieWordEmbeddings !== null && { tieWordEmbeddings }),
    name: name ?? (typeof known.name === 'string' ? known.name : 'unnamed'),
  };
}

const HF_NAMES: Partial<Record<keyof Config, string>> = {
  nLayers: 'n_layer',
  nHeads: 'n_head',
  dModel: 'n_embd',
  dHead: 'n_embd / n_head',
  dMlp: 'n_inner',
  nCtx: 'n_positions',
  dVocab: 'vocab_size',
};
