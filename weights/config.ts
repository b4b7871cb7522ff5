/**
 * The shape of a model, and the letters used everywhere: nLayers, nHeads, dModel, dHead, dMlp, nCtx, dVocab.
 */

export type ActFn = 'gelu_new' | 'gelu' | 'relu';
/** `LN`: with gain and bias; `LNPre`: centred and scaled only (gain and bias folded away); `none`: no norm at all. */
export type Normalization = 'LN' | 'LNPre' | 'none';

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
  /** Layer norm's epsilon, inside the square root. */
  readonly eps: number;
  readonly actFn: ActFn;
  readonly attnOnly: boolean;
  readonly normalization: Normalization;
  /** Scores are multiplied by 1/√dHead (and by 1/(layer+1) when `scaleAttnByInverseLayerIdx`). */
  readonly scaleAttn: boolean;
  readonly scaleAttnByInverseLayerIdx: boolean;
  /** Token id of `<|endoftext|>`: beginning of sequence and end of text. Null when the model has none. */
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  /** Name for messages and file headers, e.g. `gpt2`. */
  readonly name: string;
}
