/**
 * The weights of a model as the host holds them, in the layout that the engine uploads as it is.
 * All matrices multiply from the right: y = x · W + b. Row-major, float32.
 */

/** Rows of a matrix, in blocks of 32 numbers as GGUF files have them. */
export interface Blocks {
  readonly format: 'Q8_0' | 'Q4_0' | 'Q4_1';
  readonly bytes: Uint8Array;
}

/** A row-major float32 array with its shape. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** The same numbers as float16 bit patterns, where the engine is to store them so; `data` has been rounded to them. */
  readonly halves?: Uint16Array;
  /** The same numbers in blocks of 32, where the engine is to store them so; with `turned` those of the transpose. */
  readonly blocks?: Blocks;
  readonly turned?: boolean;
}

/** A norm's gain and bias, each [dModel] ([dMlp] inside an MLP). Absent where they have been folded away. */
export interface NormWeights {
  readonly w: HostTensor;
  /** Null: there is none (RMS norms). */
  readonly b: HostTensor | null;
}

/** One transformer block. Biases are null where there are none; norms where there are none, or they need no weights. */
export interface BlockWeights {
  readonly ln1: NormWeights | null;
  /** [dModel, (nHeads + 2 · nKeyValueHeads) · dHead]: columns are q, k, v; within each, head-major (head, dHead). */
  readonly W_QKV: HostTensor;
  /** [(nHeads + 2 · nKeyValueHeads) · dHead] */
  readonly b_QKV: HostTensor | null;
  /** Norms of queries and keys: [dHead] each, or [nHeads · dHead] and [nKeyValueHeads · dHead] (`qkNorm: 'width'`). */
  readonly qNorm?: NormWeights | null;
  readonly kNorm?: NormWeights | null;
  /** [nHeads * dHead, dModel] */
  readonly W_O: HostTensor;
  /** [dModel] */
  readonly b_O: HostTensor | null;
  /** Behind attention, where norms stand before and behind. */
  readonly ln1Post?: NormWeights | null;
  /** Null in attention-only models, and where the MLP reads what ln1 gives (`sharedNorm`). */
  readonly ln2: NormWeights | null;
  /** Null for attention-only models. */
  readonly mlp: {
    /** [dModel, dMlp], in gated MLPs: act(x·W_gate + b_gate) ∘ (x·W_in + b_in). */
    readonly W_gate?: HostTensor | null;
    readonly b_gate?: HostTensor | null;
    /** [dModel, dMlp] */
    readonly W_in: HostTensor;
    readonly b_in: HostTensor | null;
    /** SoLU models: the norm between activation and W_out. */
    readonly ln?: NormWeights | null;
    /** [dMlp, dModel] */
    readonly W_out: HostTensor;
    readonly b_out: HostTensor | null;
  } | null;
  /** Behind the MLP, where norms stand before and behind. */
  readonly ln2Post?: NormWeights | null;
}

/** What comes before the blocks. */
export interface EmbedWeights {
  /** [dVocab, dModel] */
  readonly W_E: HostTensor;
  /** [nCtx, dModel]; null without learned positions. */
  readonly W_pos: HostTensor | null;
}

/** What comes after the blocks. */
export interface FinalWeights {
  readonly lnFinal: NormWeights | null;
  /** [dVocab, dModel]: W_U transposed, one row a token; null when it is W_E itself (tied, unprocessed). */
  readonly W_U: HostTensor | null;
  /** [dVocab], or null when there is none (all zero). */
  readonly b_U: HostTensor | null;
}

/** A model is read part by part, so that each part can go to the GPU before the next is read. */
export type ModelPart =
  | { readonly kind: 'embed'; readonly weights: EmbedWeights }
  | { readonly kind: 'block'; readonly layer: number; readonly weights: BlockWeights }
  | { readonly kind: 'final'; readonly weights: FinalWeights };

/** A whole model: its parts together. */
export interface ModelWeights {
  readonly embed: EmbedWeights;
  readonly blocks: readonly BlockWeights[];
  readonly final: FinalWeights;
}
