/**
 * The shape of a model, and the letters used everywhere: nLayers, nHeads, dModel, dHead, dMlp, nCtx, dVocab.
 */

import type { Rotary } from './rotary.js';

/**
 * The MLP's activation; `gelu_new` is GPT-2's tanh approximation, `gelu` the exact one; `silu` x·σ(x);
 * `relu2` max(x, 0)²; `solu` is x·softmax(x) over the neurons, `solu_ln` that with a layer norm behind it
 * (Elhage et al. 2022). `xielu` has fixed parameters, as in TransformerLens.
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
/**
 * Which keys a query sees: those up to its own position, or all of its row (TransformerLens'
 * `attention_dir`).
 */
export type AttentionDir = 'causal' | 'bidirectional';
/**
 * `LN`: with gain and bias; `LNPre`: centred and scaled only (gain and bias folded away); `RMS`: scaled by
 * the root mean square, with a gain; `RMSPre`: without; `none`: no norm at all. See `normAt` in norm.ts.
 */
export type Normalization = 'LN' | 'LNPre' | 'RMS' | 'RMSPre' | 'none';
/**
 * How a model knows positions. `standard`: learned embeddings, added to the residual stream; `shortformer`:
 * added to what queries and keys read in every layer, behind the layer norm (Press et al. 2020); `rotary`:
 * queries and keys turn by an angle that grows with the position (see `Config.rotary`); `none`: only by what
 * attention may see.
 */
export type PositionEmbedding = 'standard' | 'shortformer' | 'rotary' | 'none';

/**
 * The settings of a model. Of which parts its blocks are made is written here flat; `blockFacts` (facts.ts)
 * says what it means for one layer.
 */
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
  /**
   * Logits at a position; default dVocab. Where it differs, outputs are not tokens: nothing is generated or
   * scored.
   */
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
  /** What its checkpoints are called and how they lie (`families/`): `gpt2`, `llama`, ... Toys are `gpt2`. */
  readonly family: string;
  /**
   * Heads of keys and values; each is read by nHeads / nKeyValueHeads query heads in a row. Default nHeads.
   */
  readonly nKeyValueHeads: number;
  /** The MLP is act(x·W_gate) ∘ (x·W_in), times W_out. */
  readonly gatedMlp: boolean;
  /** Attention and MLP read the same residual stream, and both are added to it. */
  readonly parallelAttnMlp: boolean;
  /** ... and read it through the same norm, `ln1`. */
  readonly sharedNorm: boolean;
  /**
   * Norms stand before attention and MLP, behind them, or both (the ones behind are `ln1_post`, `ln2_post`
   * then).
   */
  readonly normPlaces: 'before' | 'behind' | 'both';
  /** What a norm's weights multiply by: w, or 1 + w (Gemma). */
  readonly normGain: 'w' | '1+w';
  /**
   * Norms of queries and keys, of the same kind as the others: each head, or all heads together (`width`).
   */
  readonly qkNorm: 'none' | 'head' | 'width';
  /** Null unless `positionEmbedding` is `'rotary'`. */
  readonly rotary: Rotary | null;
  /**
   * Per layer, how many positions a query sees (its own the last), or null: all. Null: no layer has a window.
   */
  readonly windows: readonly (number | null)[] | null;
  /** Scores are multiplied by this; null: as `scaleAttn` says. */
  readonly scoreScale: number | null;
  /** Attention scores become C·tanh(score / C). */
  readonly attnScoresSoftCap: number | null;
  /** Logits become C·tanh(logit / C). */
  readonly outputLogitsSoftCap: number | null;
  /** The tokens' embedding is multiplied by this; the unembedding is not, where they are one matrix. */
  readonly embedScale: number;
  /** Whether queries, keys and values, attention's output, and the MLP have biases in the checkpoint. */
  readonly qkvBias: boolean;
  readonly outBias: boolean;
  readonly mlpBias: boolean;
  /**
   * Whether the beginning-of-text token is put before a text unless an option says otherwise; as in
   * TransformerLens.
   */
  readonly defaultPrependBos: boolean;
}
