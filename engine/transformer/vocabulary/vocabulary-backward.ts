/**
 * Vector-Jacobian products of what is read of the whole vocabulary (vocabulary.ts): see tape.ts. Logits are made again, a
 * chunk of the vocabulary at a time, turned into their gradient where they lie, and multiplied with the weights.
 */

import { isQuantised } from '../../../kernels/core/stored.js';
import { columnSums } from '../../../kernels/pointwise/column-sums.js';
import { weightGradient } from '../../../kernels/products/linear-backward.js';
import { linear } from '../../../kernels/products/matmul.js';
import { crossEntropyBackward } from '../../../kernels/vocabulary/cross-entropy-backward.js';
import { addInto, zerosLike } from '../../tensor/accumulate.js';
import { type Table, withDense } from '../../tensor/launches.js';
import type { Backward, BackwardContext, Save } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { pickRows } from '../ops.js';
import { forRows, forVocabularyChunks, logSumExp } from './vocabulary-chunks.js';

type Make = (save: Save) => Backward;

/** The gradients of x, b_U and the chunks of W_U, in this order: those of the node's inputs. */
interface Sums {
  readonly dx: Tensor | null;
  readonly db: Tensor | null;
  readonly dW: readonly (Tensor | null)[];
}

/** What there is so far, or zeros. */
function sumsOf({ wants, sum }: BackwardContext, dy: Tensor, x: Tensor, W_U: Table): Sums {
  const start = (i: number, shape: readonly number[]) => (wants(i) ? (sum(i) ?? zerosLike(dy, shape)) : null);
  return {
    dx: start(0, x.shape),
    db: start(1, [W_U.rows]),
    dW: W_U.chunks.map(({ tensor }, i) => start(2 + i, tensor.shape)),
  };
}

/** Adds the gradients of Σ weight · (log-sum-exp − logit of the target): that of the logits is weight · (softmax − one-hot). */
function addCrossEntropy(
  o: {
    /** The rows whose softmax it is, and their log-sum-exp: [rows, dModel], [rows, 2]. */
    of: Tensor;
    state: Tensor;
    /** What the gradients of the logits are multiplied with for those of W_U: [rows, dModel]. */
    x: Tensor;
    /** [rows]; beyond the vocabulary: none. */
    targets: Tensor<'u32'>;
    weights: Tensor;
  },
  W_U: Table,
  b_U: Tensor | null,
  { dx, db, dW }: Sums,
): void {
  const { gpu } = o.of;
  const inner = W_U.width;
  const add = { accumulate: true };
  withDense([o.x, o.targets, o.weights], ([x, targets, weights]) =>
    forRows(o.of, inner, (part, start, rows) =>
      forVocabularyChunks([part], W_U, b_U, ([logits], { col0, cols, table, row }) => {
        const own = [
          o.state.binding(2 * start, 2 * rows),
          targets.binding(start, rows),
          weights.binding(start, rows),
        ];
        gpu.launch(crossEntropyBackward({ rows, cols, col0, softCap: W_U.softCap }, gpu.caps), [
          logits,
          ...own,
        ]);
        const { tensor } = W_U.chunks[table];
        const w = tensor.weights(row * inner, cols * inner);
        if (dx) {
          const { stored } = tensor;
          const window = isQuantised(stored) ? { first: row, rows: tensor.shape[0] } : null;
          const launch = linear({ rows, inner: cols, cols: inner, ...add, stored, window }, gpu.caps);
          gpu.launch(launch, [logits, w, dx.binding(start * inner, rows * inner)]);
        }
        const to = dW[table]?.binding(row * inner, cols * inner);
        if (to) {
          const launch = weightGradient({ rows, inner: cols, cols: inner, ...add }, gpu.caps);
          gpu.launch(launch, [logits, x.binding(start * inner, rows * inner), to]);
        }
        if (db)
          gpu.launch(columnSums({ rows, cols, outOffset: col0, ...add }, gpu.caps), [logits, db.binding()]);
      }),
    ),
  );
}

const saved = (save: Save, W_U: Table): Table => ({
  ...W_U,
  chunks: W_U.chunks.map((c) => ({ ...c, tensor: save(c.tensor) })),
});

/** Of the probability of targets together, or its logarithm. Inputs: x, b_U, the chunks of W_U. */
export const probabilitiesBackward =
  (o: {
    x: Tensor; // [rows, dModel]
    targets: Tensor<'u32'>; // [rows, k]
    picked: Tensor; // their logits
    state: Tensor; // [rows, 2]
    out: Tensor; // [rows]
    W_U: Table;
    b_U: Tensor | null;
    log: boolean;
  }): Make =>
  (save) => {
    const W_U = saved(save, o.W_U);
    const [b_U, targets, ...kept] = [
      save(o.b_U),
      save(o.targets),
      save(o.x),
      save(o.picked),
      save(o.state),
      save(o.out),
    ];
    const [rows, k] = targets.shape;
    return (dy, context) => {
      const [x, picked, state, out] = kept.map((t) => t.detach(dy.scope));
      const sums = sumsOf(context, dy, x, W_U);
      // log Σ p: each target has its share; what is summed up has a minus.
      const ofLog = (o.log ? dy : dy.mul(out)).mul(-1).reshape([rows, 1]); // [rows, 1]
      const weights = picked.softmax().mul(ofLog); //                          [rows, k]
      const each = Array.from({ length: rows * k }, (_, i) => Math.floor(i / k));
      const repeated = (t: Tensor) => (k === 1 ? t : pickRows(t, each, dy.scope));
      const of = repeated(x.reshape([rows, -1]));
      const all: Sums = k === 1 ? sums : { ...sums, dx: sums.dx && zerosLike(dy, of.shape) };
      const flat = {
        targets: targets.detach(dy.scope).reshape([rows * k]),
        weights: weights.reshape([rows * k]),
      };
      addCrossEntropy({ of, x: of, state: repeated(state), ...flat }, W_U, b_U, all);
      const { dx } = all;
      const total = k === 1 || !dx ? dx : addTo(sums.dx!, dx.reshape([rows, k, -1]).sum(1));
      return [total, sums.db, ...sums.dW];
    };
  };

/** Of KL(p ‖ q): that of q's logits is q − p. Inputs: x, b_U, the chunks of W_U; the reference is a constant. */
export const divergenceBackward =
  (o: { x: Tensor; reference: Tensor; which: readonly number[]; W_U: Table; b_U: Tensor | null }): Make =>
  (save) => {
    const W_U = saved(save, o.W_U);
    const [x, reference, b_U] = [save(o.x), save(o.reference), save(o.b_U)];
    const { which } = o;
    return (dy, context) => {
      const { gpu, scope } = dy;
      const sums = sumsOf(context, dy, x, W_U);
      const nobody = new Uint32Array(which.length).fill(0xffffffff);
      const targets = Tensor.from<'u32'>(gpu, nobody, [which.length], { label: 'no targets', scope });
      const own = x.detach(scope).reshape([which.length, -1]);
      const add = (of: Tensor, weights: Tensor) =>
        addCrossEntropy({ of, x: own, state: logSumExp(of, W_U, b_U), targets, weights }, W_U, b_U, sums);
      add(own, dy);
      add(pickRows(reference, which, scope), dy.mul(-1));
      return [sums.dx, sums.db, ...sums.dW];
    };
  };

/** Of x · D[which] + b[which]. Input: x. */
export const alongDirectionsBackward =
  (which: readonly number[], D: Tensor): Make =>
  (save) => {
    const own = save(D);
    return (dy) => [pickRows(own, which, dy.scope).mul(dy.reshape([which.length, 1]))];
  };

function addTo(sum: Tensor, x: Tensor): Tensor {
  addInto(sum, x.reshape(sum.shape));
  return sum;
}
