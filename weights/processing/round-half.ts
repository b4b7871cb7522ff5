/** Rounding a model's matrices to float16, part by part: half the bytes on the GPU, arithmetic stays float32. */

import { f16ToF32, f32ToF16 } from '../formats/half.js';
import type { HostTensor, ModelPart } from '../formats/types.js';

/**
 * The part with its matrices rounded to the nearest float16 (`halves`, and `data` says the same). What is small stays float32:
 * biases, layer norms, position embeddings; and matrices whose rows are no multiple of 4 long.
 * @throws when a number is too large for float16.
 */
export function roundToHalf(part: ModelPart): ModelPart {
  if (part.kind === 'embed') {
    const { W_E, ...rest } = part.weights;
    return { ...part, weights: { ...rest, W_E: rounded(W_E, 'W_E') } };
  }
  if (part.kind === 'final') {
    const { W_U, ...rest } = part.weights;
    return { ...part, weights: { ...rest, W_U: W_U && rounded(W_U, 'W_U') } };
  }
  const { W_QKV, W_O, mlp, ...rest } = part.weights;
  const own = (w: HostTensor, name: string) => rounded(w, `blocks.${part.layer}.${name}`);
  const weights = {
    ...rest,
    W_QKV: own(W_QKV, 'W_QKV'),
    W_O: own(W_O, 'W_O'),
    mlp: mlp && { ...mlp, W_in: own(mlp.W_in, 'W_in'), W_out: own(mlp.W_out, 'W_out') },
  };
  return { ...part, weights };
}

const LARGEST = 65504;

function rounded({ shape, data }: HostTensor, name: string): HostTensor {
  if (shape.at(-1)! % 4) return { shape, data };
  const halves = f32ToF16(data);
  const values = f16ToF32(halves);
  const at = values.findIndex((x, i) => !Number.isFinite(x) && Number.isFinite(data[i]));
  if (at >= 0)
    throw new Error(
      `${name}: ${data[at]} is too large for float16 (at most ${LARGEST}): load the model with dtype "f32"`,
    );
  return { shape, data: values, halves };
}
