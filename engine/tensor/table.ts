/** Matrices that may be larger than one binding. */

import type { Tensor } from './tensor.js';

/** A [rows, width] matrix in pieces that each fit one binding: GPT-2's embedding is 154 MB, many adapters bind 128. */
export interface Table {
  readonly rows: number;
  readonly width: number;
  readonly chunks: readonly { readonly row0: number; readonly rows: number; readonly tensor: Tensor }[];
  /** As an unembedding: its logits become softCap · tanh(logit / softCap). */
  readonly softCap?: number | null;
}
