/** A model's trainable tensors, by name. */

import type { Tape } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { mapWeights } from '../transformer/map-weights.js';
import type { WeightTensors } from '../transformer/weights.js';

/** A trainable tensor. */
export interface Parameter {
  /**
   * `W_E`, `W_pos`, `blocks.0.W_QKV`, `blocks.0.ln1.w`, `blocks.0.W_gate`, `ln_final.b`, `W_U` (untied only), `b_U` …; a table in several
   * chunks is `W_E[0]`, `W_E[1]` …
   */
  readonly name: string;
  readonly tensor: Tensor;
}

/** The trainable tensors of a model, in order of execution: a tied W_U is W_E and not told twice. */
export function parameters(weights: WeightTensors): Parameter[] {
  const out: Parameter[] = [];
  mapWeights(weights, (tensor, name) => {
    out.push({ name, tensor });
    return tensor;
  });
  return out;
}

/** The same weights as points of a tape that gradients are wanted for: operations on them are recorded. */
export const watchWeights = (weights: WeightTensors, tape: Tape): WeightTensors =>
  mapWeights(weights, (t, name) => tape.watch(t, name, tape.scope));
