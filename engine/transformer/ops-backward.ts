/** Vector-Jacobian products of GPT-2's operations (ops.ts): see tape.ts. */

import { isQuantised } from '../../kernels/core/stored.js';
import { occurrences, scatterRowsAdd } from '../../kernels/memory/scatter-add.js';
import { activationBackward, soluBackward } from '../../kernels/pointwise/activation-backward.js';
import type { Activation } from '../../kernels/pointwise/activation-functions.js';
import { columnSums } from '../../kernels/pointwise/column-sums.js';
import { gated, gatedBackward } from '../../kernels/pointwise/gated.js';
import { inputGradient, weightGradient } from '../../kernels/products/linear-backward.js';
import { linear } from '../../kernels/products/matmul.js';
import {
  headInputGradient,
  headInputWeightGradient,
  headResultGradient,
  headResultWeightGradient,
} from '../../kernels/products/products-backward.js';
import { quantisedInputGradient } from '../../kernels/products/quantised.js';
import { launched, summed, sumOverRows, zerosLike } from '../tensor/accumulate.js';
import {
  ALIGN,
  blocksOfRows,
  columnParts,
  rowTooLong,
  rowWindows,
  type Table,
  withDense,
} from '../tensor/launches.js';
import type { Backward, BackwardContext, Save } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { softCapGradient } from './parts/soft-cap.js';

type Make = (save: Save) => Backward;

/**
 * Of rows picked from a table: each row gets the sum of the gradients of those who picked it.
 * @param inputs which inputs of the node the table's chunks are, from this number on
 */
function scatterRows(
  table: { width: number; chunks: readonly { row0: number; rows: number; shape: readonly number[] }[] },
  ids: readonly number[],
  dy: Tensor,
  { sum, wants }: BackwardContext,
  first = 0,
): (Tensor | null)[] {
  if (!table.chunks.some((_, i) => wants(first + i))) return table.chunks.map(() => null);
  const { words, distinct } = occurrences(ids);
  const lists = Tensor.from<'u32'>(dy.gpu, words, [words.length], {
    label: 'who picked what',
    scope: dy.scope,
  });
  return table.chunks.map(({ row0, rows, shape }, i) => {
    if (!wants(first + i)) return null;
    const out = sum(first + i) ?? zerosLike(dy, shape);
    const launch = scatterRowsAdd(
      { distinct, width: table.width, row0, rows, accumulate: true },
      dy.gpu.caps,
    );
    withDense([dy], ([d]) => dy.gpu.launch(launch, [lists.binding(), d.binding(), out.binding()]));
    return out;
  });
}

const sizesOf = ({ width, chunks }: Table) => ({
  width,
  chunks: chunks.map(({ row0, rows, tensor }) => ({ row0, rows, shape: tensor.shape })),
});

/** Of W_E[token] + W_pos[position]. Inputs: the chunks of W_E, then that of W_pos. */
export const embedBackward =
  (W_E: Table, W_pos: Table, tokens: readonly number[], positions: readonly number[]): Make =>
  () => {
    const [e, p] = [sizesOf(W_E), sizesOf(W_pos)];
    return (dy, context) => [
      ...scatterRows(e, tokens, dy, context),
      ...scatterRows(p, positions, dy, context, e.chunks.length),
    ];
  };

/** Of rows of a table. Inputs: its chunks. */
export const gatherTableBackward =
  (table: Table, ids: readonly number[]): Make =>
  () => {
    const sizes = sizesOf(table);
    return (dy, context) => scatterRows(sizes, ids, dy, context);
  };

/** Of x · W + b + residual. Inputs: x, W, b, residual. */
export const linearBackward =
  (x: Tensor, W: Tensor, wantsWeights: boolean): Make =>
  (save) => {
    const [inner, cols] = W.shape;
    const rows = x.size / inner;
    const { shape } = x;
    const [w, own] = [save(W), wantsWeights ? save(x) : null];
    return (dy, context) => {
      const { wants } = context;
      const { caps } = dy.gpu;
      const o = { rows, inner, cols };
      return [
        wants(0)
          ? summed(
              context,
              0,
              dy,
              shape,
              [dy],
              (accumulate) => {
                const { stored } = w;
                return isQuantised(stored)
                  ? quantisedInputGradient({ ...o, accumulate, stored }, caps)
                  : inputGradient({ ...o, accumulate, stored }, caps);
              },
              [w],
            )
          : null,
        wants(1)
          ? summed(context, 1, dy, w.shape, [own!, dy], (accumulate) =>
              weightGradient({ ...o, accumulate }, caps),
            )
          : null,
        wants(2) ? sumOverRows(dy, cols) : null,
        wants(3) ? dy : null,
      ];
    };
  };

/** Of the MLP's nonlinearity. Input: x. */
export const activateBackward =
  (x: Tensor, act: Activation): Make =>
  (save) => {
    const own = save(x);
    return (dy, { constant }) => {
      const gate = constant.has('gate') ? 'frozen' : 'live';
      return [
        launched(dy, own.shape, [own, dy], activationBackward({ n: own.size, act, gate }, dy.gpu.caps)),
      ];
    };
  };

/** Of act(gate) ∘ x. Inputs: gate, x. */
export const gatedByBackward =
  (gate: Tensor, x: Tensor, act: Activation): Make =>
  (save) => {
    const [g, own] = [save(gate), save(x)];
    return (dy, { constant, wants }) => {
      const { caps } = dy.gpu;
      const n = own.size;
      const live = constant.has('gate') ? 'frozen' : 'live';
      return [
        wants(0) ? launched(dy, g.shape, [g, own, dy], gatedBackward({ n, act, gate: live }, caps)) : null,
        wants(1) ? launched(dy, own.shape, [g, dy], gated({ n, act }, caps)) : null,
      ];
    };
  };

/** Of SoLU. Input: x. */
export const softmaxLinearUnitBackward =
  (x: Tensor): Make =>
  (save) => {
    const own = save(x);
    const cols = x.shape.at(-1)!;
    return (dy, { constant }) => {
      const gate = constant.has('gate') ? 'frozen' : 'live';
      const launch = soluBackward({ rows: own.size / cols, cols, gate }, dy.gpu.caps);
      return [launched(dy, own.shape, [own, dy], launch)];
    };
  };

/** Of queries, keys or values from an input of their own for each head. Inputs: x, W_QKV, b_QKV. */
export const headProjectBackward =
  (x: Tensor, W: Tensor, part: number, dHead: number): Make =>
  (save) => {
    const [own, w] = [save(x), save(W)];
    const [tokens, heads, dModel] = x.shape;
    const [, wCols] = W.shape;
    const width = heads * dHead;
    const o = { tokens, heads, dModel, dHead, wCols, col0: part && wCols - (3 - part) * width };
    return (dy, context) => {
      const { wants, sum } = context;
      const { gpu } = dy;
      let dW: Tensor | null = null;
      if (wants(1)) {
        dW = sum(1) ?? zerosLike(dy, w.shape);
        withDense([own, dy], (dense) =>
          gpu.launch(
            headInputWeightGradient({ ...o, accumulate: true }, gpu.caps),
            [...dense, dW!].map((t) => t.binding()),
          ),
        );
      }
      let db: Tensor | null = null;
      if (wants(2)) {
        db = sum(2) ?? zerosLike(dy, [wCols]);
        const launch = columnSums(
          { rows: tokens, cols: width, outOffset: o.col0, accumulate: true },
          gpu.caps,
        );
        withDense([dy], ([d]) => gpu.launch(launch, [d.binding(), db!.binding()]));
      }
      const dx =
        wants(0) &&
        summed(context, 0, dy, own.shape, [dy, w], (accumulate) =>
          headInputGradient({ ...o, accumulate }, gpu.caps),
        );
      return [dx || null, dW, db];
    };
  };

/** Of what each head writes. Inputs: z, W_O. */
export const headResultsBackward =
  (z: Tensor, W_O: Tensor): Make =>
  (save) => {
    const [own, w] = [save(z), save(W_O)];
    const [tokens, heads, dHead] = z.shape;
    const o = { tokens, heads, dHead, dModel: W_O.shape[1] };
    return (dy, context) => {
      const { caps } = dy.gpu;
      return [
        context.wants(0)
          ? summed(context, 0, dy, own.shape, [dy, w], (accumulate) =>
              headResultGradient({ ...o, accumulate }, caps),
            )
          : null,
        context.wants(1)
          ? summed(context, 1, dy, w.shape, [own, dy], (accumulate) =>
              headResultWeightGradient({ ...o, accumulate }, caps),
            )
          : null,
      ];
    };
  };

/** Of logits x · W_Uᵀ + b_U, capped. Inputs: x, b_U, the chunks of W_U. */
export const unembedBackward =
  (x: Tensor, W_U: Table, logits: Tensor, wantsWeights: boolean): Make =>
  (save) => {
    const { width: inner, rows: vocabulary, chunks, softCap } = W_U;
    const rows = x.size / inner;
    const capped = softCap ? save(logits) : null;
    const parts = chunks.map(({ row0, rows: cols, tensor }) => ({ row0, cols, w: save(tensor) }));
    const { shape } = x;
    const own = wantsWeights ? save(x) : null;
    return (dCapped, { wants, sum }) => {
      const dy = capped ? softCapGradient(capped, dCapped, softCap!) : dCapped;
      const { gpu } = dy;
      const dx = wants(0) ? (sum(0) ?? zerosLike(dy, shape)) : null;
      const dW = parts.map(({ w }, i) => (wants(2 + i) ? (sum(2 + i) ?? zerosLike(dy, w.shape)) : null));
      // As many rows of logits at once as one binding takes; of long rows 64, some columns after the others.
      const plain = parts.every(({ w }) => !isQuantised(w.stored));
      const long = plain && rowTooLong(gpu, Math.min(rows, ALIGN) * vocabulary);
      for (const [start, n] of long ? blocksOfRows(gpu, rows) : rowWindows(gpu, rows, vocabulary)) {
        const [from, to] = [start * inner, n * inner];
        for (const [i, { row0, cols: all, w }] of parts.entries())
          for (const [first, end] of long ? columnParts(gpu, n, all) : [[0, all]]) {
            const cols = end - first;
            const d = dy.slice([
              [start, start + n],
              [row0 + first, row0 + end],
            ]);
            const o = { rows: n, inner: cols, cols: inner, accumulate: true };
            const at = [first * inner, cols * inner] as const;
            if (dx) {
              const launch = linear({ ...o, stored: w.stored }, gpu.caps);
              gpu.launch(launch, [d.binding(), w.weights(...at), dx.binding(from, to)]);
            }
            if (dW[i])
              withDense([own!], ([x]) =>
                gpu.launch(weightGradient(o, gpu.caps), [
                  d.binding(),
                  x.binding(from, to),
                  dW[i]!.binding(...at),
                ]),
              );
            d.dispose();
          }
      }
      return [dx, wants(1) ? sumOverRows(dy, vocabulary) : null, ...dW];
    };
  };
