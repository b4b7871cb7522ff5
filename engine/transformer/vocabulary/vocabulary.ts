/** What is read of logits without having them all at once: see vocabulary-chunks.ts. */

import { fill } from '../../../kernels/memory/copy.js';
import { lseChunk, pickChunk } from '../../../kernels/pointwise/softmax.js';
import { divergenceChunk } from '../../../kernels/vocabulary/divergence.js';
import { dotRows, NOTHING, rankChunk, targetProbs } from '../../../kernels/vocabulary/vocabulary.js';
import type { Binding } from '../../gpu/gpu.js';
import { columnParts, rowWindows, type Table, withDense } from '../../tensor/launches.js';
import { taped } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { pickRows, unembedColumns } from '../ops.js';
import { alongDirectionsBackward, divergenceBackward, probabilitiesBackward } from './vocabulary-backward.js';
import { forRows, forVocabularyChunks, type VocabularyChunk } from './vocabulary-chunks.js';

/** A target that there is not: fills up lists of targets which are shorter than others. */
export const NO_TARGET = 0xffffffff;

/**
 * For each row the logits of its targets and the log-sum-exp of all logits, as (max, Σ exp(logit − max)).
 * @param targets u32 [rows] or [rows, k]; `NO_TARGET` has the logit −3.4e38
 * @returns picked, of the targets' shape, and state [rows, 2]
 */
function targetLogits(
  x: Tensor,
  targets: Tensor<'u32'>,
  W_U: Table,
  b_U: Tensor | null,
): { picked: Tensor; state: Tensor } {
  const { gpu } = x;
  const rows = x.size / W_U.width;
  const k = targets.size / rows;
  const picked = nothing(x, targets.shape);
  const state = Tensor.result(gpu, [rows, 2], [x], 'log-sum-exp');
  forRows(x, W_U.width, (part, start, n) =>
    forVocabularyChunks([part], W_U, b_U, ([logits], { col0, cols, first }) => {
      const own = [targets, picked].map((t) => t.binding(start * k, n * k));
      gpu.launch(lseChunk({ rows: n, cols, stride: cols, first }, gpu.caps), [
        logits,
        state.binding(2 * start, 2 * n),
      ]);
      gpu.launch(pickChunk({ rows: n, cols, col0, k }, gpu.caps), [logits, ...own]);
    }),
  );
  return { picked, state };
}

/**
 * For each row the probability of its targets together, or its logarithm: [rows].
 * @param targets u32 [rows, k]; `NO_TARGET` does not count
 */
export function targetProbabilities(
  x: Tensor,
  targets: Tensor<'u32'>,
  W_U: Table,
  b_U: Tensor | null,
  { log }: { log: boolean },
): Tensor {
  const { gpu } = x;
  const [rows, k] = targets.shape;
  const { picked, state } = targetLogits(x, targets, W_U, b_U);
  const out = Tensor.result(gpu, [rows], [x], 'probability of the targets');
  gpu.launch(targetProbs({ rows, k, log }, gpu.caps), [picked.binding(), state.binding(), out.binding()]);
  const given = { x, targets, picked, state, out, W_U, b_U, log };
  taped(out, [x, b_U, ...W_U.chunks.map((c) => c.tensor)], probabilitiesBackward(given));
  picked.dispose();
  state.dispose();
  return out;
}

/**
 * How many tokens come before each target: those with a larger logit, and of the same logit those of lower id. The most
 * probable token has rank 0.
 * @param targets [rows, k] token ids, row by row; `NO_TARGET` ranks last
 * @returns [rows, k]
 */
export function rankOf(x: Tensor, targets: Uint32Array<ArrayBuffer>, W_U: Table, b_U: Tensor | null): Tensor {
  const { gpu } = x;
  const rows = x.size / W_U.width;
  const k = targets.length / rows;
  const ids = Tensor.from<'u32'>(gpu, targets, [rows, k], { label: 'targets' });
  const picked = nothing(x, [rows, k]);
  const ranks = Tensor.result(gpu, [rows, k], [x], 'ranks');
  forRows(x, W_U.width, (part, start, n) => {
    const own = (t: Tensor | Tensor<'u32'>) => t.binding(start * k, n * k);
    // Target logits are computed just as those they are compared with: equal weights give equal bits.
    const among = targets.subarray(start * k, (start + n) * k);
    const wanted = (col0: number, cols: number) => among.some((t) => t >= col0 && t < col0 + cols);
    const pick = ([logits]: Binding[], { col0, cols }: VocabularyChunk) =>
      gpu.launch(pickChunk({ rows: n, cols, col0, k }, gpu.caps), [logits, own(ids), own(picked)]);
    forVocabularyChunks([part], W_U, b_U, pick, wanted);
    forVocabularyChunks([part], W_U, b_U, ([logits], { col0, cols, first }) => {
      const buffers = [logits, own(ids), own(picked), own(ranks)];
      gpu.launch(rankChunk({ rows: n, cols, col0, k, first }, gpu.caps), buffers);
    });
  });
  ids.dispose();
  picked.dispose();
  return ranks;
}

/** `rankOf` in logits that are there: of the same tokens in every row. [rows, dVocab] → [rows, tokens] */
export function ranksIn(logits: Tensor, tokens: readonly number[]): Tensor {
  const { gpu } = logits;
  const [rows, cols] = logits.shape;
  const k = tokens.length;
  const all = Uint32Array.from({ length: rows * k }, (_, i) => tokens[i % k]);
  const ids = Tensor.from<'u32'>(gpu, all, [rows, k], { label: 'targets' });
  const picked = logits.gather(ids);
  const ranks = Tensor.result(gpu, [rows, k], [logits], 'ranks');
  for (const [from, to] of columnParts(gpu, rows, cols)) {
    const part = to - from < cols ? logits.window([null, [from, to]]).copy() : logits.alias(logits.scope);
    const buffers = [part, ids, picked, ranks].map((t) => t.binding());
    gpu.launch(rankChunk({ rows, cols: to - from, col0: from, k, first: from === 0 }, gpu.caps), buffers);
    part.dispose();
  }
  ids.dispose();
  picked.dispose();
  return ranks;
}

/**
 * KL(p ‖ q) for each row: p is what the model predicts from a row of `reference`, q from the row of x. [rows].
 * @param reference [references, dModel]
 * @param which for each row of x its row of `reference`
 */
export function divergence(
  x: Tensor,
  reference: Tensor,
  which: readonly number[],
  W_U: Table,
  b_U: Tensor | null,
): Tensor {
  const { gpu } = x;
  const out = Tensor.result(gpu, [which.length], [x], 'KL divergence');
  forRows(x, W_U.width, (part, start, n) => {
    const own = which.slice(start, start + n);
    const distinct = [...new Set(own)];
    const places = new Map(distinct.map((r, i) => [r, i]));
    const index = Uint32Array.from(own, (r) => places.get(r)!);
    const rows = pickRows(reference, distinct, x.scope);
    const ids = Tensor.from<'u32'>(gpu, index, [n], { label: 'which reference' });
    const state = Tensor.result(gpu, [n, 5], [x], 'sums of the divergence');
    forVocabularyChunks([rows, part], W_U, b_U, ([p, q], { cols, first, last }) => {
      const buffers = [p, ids.binding(), q, state.binding(), out.binding(start, n)];
      gpu.launch(divergenceChunk({ rows: n, cols, first, last }, gpu.caps), buffers);
    });
    for (const t of [rows, ids, state]) t.dispose();
  });
  const tables = W_U.chunks.map((c) => c.tensor);
  return taped(out, [x, b_U, ...tables], divergenceBackward({ x, reference, which, W_U, b_U }));
}

/** Directions of the unembedding's input space, and what comes on top of the product with them. */
export interface Directions {
  /** [directions, dModel] */
  readonly D: Tensor;
  /** [directions, 1] */
  readonly b: Tensor;
}

/**
 * Sums of weighted logits as directions: x · D[i] + b[i] is Σ weight · logit of sum i.
 * @param sums weights by token id
 */
export function logitDirections(
  sums: readonly ReadonlyMap<number, number>[],
  W_U: Table,
  b_U: Tensor | null,
): Directions {
  const { gpu } = W_U.chunks[0].tensor;
  const tokens = [...new Set(sums.flatMap((s) => [...s.keys()]))];
  const n = tokens.length;
  const weights = Float32Array.from(sums.flatMap((s) => tokens.map((t) => s.get(t) ?? 0)));
  const w = Tensor.from(gpu, weights, [sums.length, n], { label: 'weights of logits' });
  const ids = Tensor.from<'u32'>(gpu, Uint32Array.from(tokens), [n], { label: 'tokens' });
  const columns = unembedColumns(ids, tokens, W_U, b_U);
  const bias = columns.b ?? Tensor.from(gpu, new Float32Array(n), [n, 1], { label: 'no bias' });
  const directions = { D: w.matmul(columns.W), b: w.matmul(bias) };
  for (const t of [w, ids, columns.W, bias]) t.dispose();
  return directions;
}

/** x · D[which] + b[which] for each row: [rows]. Logits that nobody asked for are not computed. */
export function alongDirections(x: Tensor, which: readonly number[], { D, b }: Directions): Tensor {
  const { gpu } = x;
  const width = D.shape[1];
  const rows = which.length;
  const out = Tensor.result(gpu, [rows], [x], 'sums of logits');
  const ids = Tensor.from<'u32'>(gpu, Uint32Array.from(which), [rows], { label: 'which direction' });
  withDense([x], ([x]) => {
    for (const [start, n] of rowWindows(gpu, rows, width)) {
      const [own, to] = [ids, out].map((t) => t.binding(start, n));
      const from = x.binding(start * width, n * width);
      gpu.launch(dotRows({ rows: n, width }, gpu.caps), [from, own, D.binding(), b.binding(), to]);
    }
  });
  ids.dispose();
  return taped(out, [x], alongDirectionsBackward(which, D));
}

/** As many times the logit of no target. */
function nothing(x: Tensor, shape: readonly number[]): Tensor {
  const { gpu } = x;
  const out = Tensor.result(gpu, shape, [x], 'logits of the targets');
  const part = { shape: [out.size], strides: [1], offset: 0 };
  gpu.launch(fill({ ...part, value: NOTHING }, gpu.caps), [out.binding()]);
  return out;
}
