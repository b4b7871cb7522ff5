/** A model's trainable tensors, by name. */

import type { Tape } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { mapWeights } from '../transformer/map-weights.js';
import type { WeightTensors } from '../transformer/weights.js';

/** A trainable tensor. */
export interface Parameter {
  /**
   * `W_E`, `W_pos`, `blocks.0.W_QKV`, `blocks.0.ln1.w`, `blocks.0.W_gate`, `ln_final.b`, `W_U` (untied only),
   * `b_U` …; a table in several chunks is `W_E[0]`, `W_E[1]` …
   */
  readonly name: string;
  readonly tensor: Tensor;
  /** Widths of the matrices that lie side by side in it: queries, keys, values. Absent: it is one. */
  readonly columns?: readonly number[];
}

/** The trainable tensors of a model, in order of execution: a tied W_U is W_E and not told twice. */
export function parameters(weights: WeightTensors): Parameter[] {
  const out: Parameter[] = [];
  const columns = new Map(
    weights.blocks.map(({ W_QKV, W_O }) => {
      const [queries, keys] = [W_O.shape[0], (W_QKV.shape[1] - W_O.shape[0]) / 2];
      return [W_QKV, [queries, keys, keys]];
    }),
  );
  mapWeights(weights, (tensor, name) => {
    out.push({ name, tensor, columns: columns.get(tensor) });
    return tensor;
  });
  return out;
}

/** The same weights as points of a tape that gradients are wanted for: operations on them are recorded. */
export const watchWeights = (weights: WeightTensors, tape: Tape): WeightTensors =>
  mapWeights(weights, (t, name) => tape.watch(t, name, tape.scope));
