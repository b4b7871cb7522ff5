/** What scoring reads of the logits: some of them, the largest, and their log-sum-exp; never [tokens, dVocab] at once. */

import { lseChunk } from '../../../kernels/pointwise/softmax.js';
import { pickPairs } from '../../../kernels/vocabulary/pick.js';
import { columnParts, type Table } from '../../tensor/launches.js';
import { Tensor } from '../../tensor/tensor.js';
import { unembed } from '../ops.js';
import { forVocabularyChunks } from './vocabulary-chunks.js';

/**
 * The logits of (row, target) pairs, any number a row, and for each row the log-sum-exp of all its logits, as
 * (max, Σ exp(logit − max)): a row with many targets is multiplied with W_U once.
 * @param x what the unembedding reads, [rows, dModel]
 * @param pairs u32 [2, n]: rows of x, then targets
 * @returns picked [n] and state [rows, 2]
 */
export function pairLogits(
  x: Tensor,
  pairs: Tensor<'u32'>,
  W_U: Table,
  b_U: Tensor | null,
): { picked: Tensor; state: Tensor } {
  const { gpu } = x;
  const rows = x.size / W_U.width;
  const n = pairs.shape[1];
  const picked = Tensor.result(gpu, [n], [x], 'logits of the targets');
  const state = Tensor.result(gpu, [rows, 2], [x], 'log-sum-exp');
  forVocabularyChunks([x], W_U, b_U, ([logits], { cols, col0, first }) => {
    gpu.launch(lseChunk({ rows, cols, stride: cols, first }, gpu.caps), [logits, state.binding()]);
    gpu.launch(pickPairs({ n, rows, cols, col0 }, gpu.caps), [logits, pairs.binding(), picked.binding()]);
  });
  return { picked, state };
}

/**
 * The k largest logits of each row, with their tokens, descending, and the log-sum-exp of all as in `pairLogits`. The
 * logits of these rows exist at once: give it a few hundred.
 * @param x what the unembedding reads, [rows, dModel]
 * @returns values and indices [rows, k], state [rows, 2]
 */
export function topLogits(
  x: Tensor,
  k: number,
  W_U: Table,
  b_U: Tensor | null,
): { values: Tensor; indices: Tensor<'u32'>; state: Tensor } {
  const { gpu } = x;
  const logits = unembed(x, W_U, b_U);
  const [rows, cols] = logits.shape;
  const state = Tensor.result(gpu, [rows, 2], [x], 'log-sum-exp');
  for (const [from, to] of columnParts(gpu, rows, cols)) {
    const n = to - from;
    const part = n < cols ? logits.window([null, [from, to]]).copy() : logits.alias(logits.scope);
    const launch = lseChunk({ rows, cols: n, stride: n, first: from === 0 }, gpu.caps);
    gpu.launch(launch, [part.binding(), state.binding()]);
    part.dispose();
  }
  const top = logits.topk(k);
  logits.dispose();
  return { ...top, state };
}

/** log-sum-exp of each row, in float64, from (max, Σ exp(logit − max)). */
export const logSumExps = (state: Float32Array): Float64Array =>
  Float64Array.from({ length: state.length / 2 }, (_, r) => state[2 * r] + Math.log(state[2 * r + 1]));
