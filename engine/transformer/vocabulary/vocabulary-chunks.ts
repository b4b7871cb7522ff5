/**
 * Logits a chunk of the vocabulary at a time: [rows, dVocab] would not fit, so they are made for some rows and columns,
 * looked at, and overwritten.
 */

import { isQuantised } from '../../../kernels/core/stored.js';
import { lseChunk } from '../../../kernels/pointwise/softmax.js';
import { unembed } from '../../../kernels/products/matmul.js';
import type { Binding } from '../../gpu/gpu.js';
import { ALIGN, columnParts, type Table, withDense } from '../../tensor/launches.js';
import { Tensor } from '../../tensor/tensor.js';

/** Columns that are computed at once, at most, and rows: 64 MiB of logits. */
const VOCABULARY_CHUNK = 4096;
const ROWS_AT_ONCE = 4096;

/** A chunk of the vocabulary: columns [col0, col0 + cols). */
export interface VocabularyChunk {
  readonly col0: number;
  readonly cols: number;
  readonly first: boolean;
  readonly last: boolean;
  /** Number of the chunk of the table that it lies in, and its first row there. */
  readonly table: number;
  readonly row: number;
}

/**
 * Calls f with the logits of each of `xs` ([rows, cols], dense) for one chunk of the vocabulary after the other; they
 * are gone when it returns.
 * @param xs what the unembedding reads, [rows, dModel] each
 * @param wanted leaves chunks out
 */
export function forVocabularyChunks(
  xs: readonly Tensor[],
  W_U: Table,
  b_U: Tensor | null,
  f: (logits: Binding[], chunk: VocabularyChunk) => void,
  wanted: (col0: number, cols: number) => boolean = () => true,
): void {
  const { gpu } = xs[0];
  const inner = W_U.width;
  // At most about a quarter of a small vocabulary.
  const most = Math.max(...xs.map((x) => x.size / inner));
  const [[, fit]] = columnParts(gpu, most, W_U.rows);
  const width = Math.min(VOCABULARY_CHUNK, ALIGN * Math.ceil(W_U.rows / 4 / ALIGN), fit);
  const chunks = xs.map((x) => Tensor.result(gpu, [x.size / inner, width], [x], 'chunk of logits'));
  withDense(xs, (dense) => {
    let first = true;
    for (const [table, { row0, rows: columns, tensor }] of W_U.chunks.entries())
      for (let c = 0; c < columns; c += width) {
        const cols = Math.min(width, columns - c);
        const col0 = row0 + c;
        if (!wanted(col0, cols)) continue;
        const weights = [tensor.weights(c * inner, cols * inner)];
        if (b_U) weights.push(b_U.binding(col0, cols));
        const logits = dense.map((x, i) => {
          const rows = x.size / inner;
          const out = chunks[i].binding(0, rows * cols);
          const { stored } = tensor;
          const size = { rows, inner, cols, col0: 0, stride: cols, bias: b_U !== null, stored };
          const { softCap } = W_U;
          const window = isQuantised(stored) ? { first: c, rows: columns } : null;
          gpu.launch(unembed({ ...size, softCap, window }, gpu.caps), [x.binding(), ...weights, out]);
          return out;
        });
        f(logits, { col0, cols, first, last: col0 + cols === W_U.rows, table, row: c });
        first = false;
      }
  });
  for (const chunk of chunks) chunk.dispose();
}

/** Calls f with some rows of x [..., width] at a time, the first of them and their number. */
export function forRows(x: Tensor, width: number, f: (part: Tensor, start: number, n: number) => void): void {
  const rows = x.size / width;
  const all = x.reshape([rows, width]);
  for (let start = 0; start < rows; start += ROWS_AT_ONCE) {
    const n = Math.min(ROWS_AT_ONCE, rows - start);
    const part = all.window([[start, start + n]]);
    f(part, start, n);
    part.dispose();
  }
  all.dispose();
}

/** The log-sum-exp of all logits of each row, as (max, Σ exp(logit − max)): [rows, 2]. */
export function logSumExp(x: Tensor, W_U: Table, b_U: Tensor | null): Tensor {
  const { gpu } = x;
  const state = Tensor.result(gpu, [x.size / W_U.width, 2], [x], 'log-sum-exp');
  forRows(x, W_U.width, (part, start, n) =>
    forVocabularyChunks([part], W_U, b_U, ([logits], { cols, first }) => {
      const own = state.binding(2 * start, 2 * n);
      gpu.launch(lseChunk({ rows: n, cols, stride: cols, first }, gpu.caps), [logits, own]);
    }),
  );
  return state;
}
