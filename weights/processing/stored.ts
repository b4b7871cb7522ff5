/**
 * Number formats of a model's matrices on the GPU, part by part, after processing. What is small stays float32: biases, norms,
 * position embeddings.
 */

import { f16ToF32, f32ToF16 } from '../formats/half.js';
import { BLOCK, isKept, QuantisedTensor, quantise } from '../formats/quantised.js';
import { transpose } from '../formats/tensors.js';
import type { HostTensor, ModelPart } from '../formats/types.js';

/**
 * `f32`; `f16`; `q8`: Q8_0, blocks of 32 numbers of 8 bits with a scale; `q4`: Q4_0, likewise of 4 bits, embedding and unembedding
 * Q8_0.
 */
export const DTYPES = ['f32', 'f16', 'q8', 'q4'] as const;
/** One of them. */
export type Dtype = (typeof DTYPES)[number];

/**
 * Whether blocks of a file stay as they are: with `q8` all that the engine reads, with `q4` those that are no larger than asked for.
 * @param dtype null: as the file has it
 * @param table of the embedding and the unembedding
 */
export function keepsBlocks(dtype: Dtype | null, format: string, table: boolean): boolean {
  if (!isKept(format) || dtype === 'f32' || dtype === 'f16') return false;
  return dtype !== 'q4' || table || format !== 'Q8_0';
}

/**
 * A matrix's format.
 * @param shape as kernels sum: rows lie along what a layer sums over, [rows, width]
 */
export function formatOf(dtype: Dtype, width: number, table: boolean): 'f32' | 'f16' | 'Q8_0' | 'Q4_0' {
  if (dtype === 'f32' || width % 4) return 'f32';
  if (dtype === 'f16' || width % BLOCK) return 'f16';
  return dtype === 'q4' && !table ? 'Q4_0' : 'Q8_0';
}

/**
 * The part with its matrices rounded to a format. `data` says the same numbers. Matrices that are in blocks already stay, and so do
 * those whose rows fit none: where they are no multiple of 32 long they become float16, where no multiple of 4, they stay float32.
 * @throws when a number is too large for the format.
 */
export function storedPart(part: ModelPart, dtype: Dtype | null): ModelPart {
  if (dtype === null || dtype === 'f32') return part;
  if (part.kind === 'embed') {
    const { W_E, ...rest } = part.weights;
    return { ...part, weights: { ...rest, W_E: stored(W_E, dtype, true, 'W_E') } };
  }
  if (part.kind === 'final') {
    const { W_U, ...rest } = part.weights;
    return { ...part, weights: { ...rest, W_U: W_U && stored(W_U, dtype, true, 'W_U') } };
  }
  const { W_QKV, W_O, mlp, ...rest } = part.weights;
  const own = (w: HostTensor, name: string) => stored(w, dtype, false, `blocks.${part.layer}.${name}`);
  const weights = {
    ...rest,
    W_QKV: own(W_QKV, 'W_QKV'),
    W_O: own(W_O, 'W_O'),
    mlp: mlp && {
      ...mlp,
      ...(mlp.W_gate && { W_gate: own(mlp.W_gate, 'W_gate') }),
      W_in: own(mlp.W_in, 'W_in'),
      W_out: own(mlp.W_out, 'W_out'),
    },
  };
  return { ...part, weights };
}

const LARGEST = 65504;

function stored(tensor: HostTensor, dtype: Dtype, table: boolean, name: string): HostTensor {
  if (tensor.blocks) return tensor;
  const { shape, data } = tensor;
  const [rows, columns] = shape;
  const blocks = dtype === 'q8' || dtype === 'q4' ? formatOf(dtype, table ? columns : rows, table) : 'f16';
  if (blocks === 'Q8_0' || blocks === 'Q4_0') {
    const numbers = table ? data : transpose(tensor).data;
    try {
      return new QuantisedTensor(shape, { format: blocks, bytes: quantise(numbers, blocks) }, !table);
    } catch (e) {
      throw new Error(`${name}: ${(e as Error).message}: load the model with dtype "f32"`);
    }
  }
  if (columns % 4) return tensor;
  const halves = f32ToF16(data);
  const values = f16ToF32(halves);
  const at = values.findIndex((x, i) => !Number.isFinite(x) && Number.isFinite(data[i]));
  if (at >= 0)
    throw new Error(
      `${name}: ${data[at]} is too large for float16 (at most ${LARGEST}): load the model with dtype "f32"`,
    );
  return { shape, data: values, halves };
}
