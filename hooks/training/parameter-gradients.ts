/** Gradients of a loss with respect to every parameter: what training needs of a batch. */

import { Tape } from '../../engine/tensor/tape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { watchWeights } from '../../engine/training/parameters.js';
import { pickRows } from '../../engine/transformer/ops.js';
import { targetProbabilities } from '../../engine/transformer/vocabulary/vocabulary.js';
import { is, options, signatures } from '../input/check.js';
import { checkTokens, needLanguageModel } from '../input/input.js';
import type { Runnable } from '../input/model.js';
import { type Holder, owning } from '../input/owning.js';
import { hooksInOrder, run } from '../run/run.js';
import { HookTap } from '../run/tap.js';
import { layoutOf } from '../run/view.js';

/** Options of `lossGradients`. */
export interface LossOptions {
  /**
   * Which predictions count: all (the default), the last of each row, or those for which this says so, with
   * how much: `true` is 1, 0 is not at all. `pos` is the position that the prediction is made at: its target
   * is the token at pos + 1.
   */
  readonly where?: 'all' | 'last' | ((row: number, pos: number) => boolean | number);
}

/** The predictions of a batch that count. */
export interface Predictions {
  /** Packed positions that they are made at. */
  readonly at: readonly number[];
  /** The tokens that follow there. */
  readonly next: readonly number[];
  readonly weights: readonly number[];
  /** Sum of the weights. */
  readonly total: number;
}

/** A loss and its gradients, on the GPU. */
export interface LossGradients extends Holder {
  /** (Weighted) mean of −log p(next token) over the predictions, in nats: []. */
  readonly loss: Tensor;
  /** By the names of `parameters`. */
  readonly grads: ReadonlyMap<string, Tensor>;
  /** How many predictions were counted. */
  readonly predictions: number;
}

const LOSS = options<LossOptions>({ where: is.either(is.oneOf('all', 'last'), is.callback) });

const takes = signatures({
  lossGradients: { model: is.model, rows: is.rows, options: LOSS },
});

/**
 * The mean loss over the next tokens of a packed batch, and its gradient for every parameter. Nothing is read
 * back.
 * @param rows token ids of any lengths, with the beginning-of-text token where the model expects one
 * @throws on ids outside the vocabulary, rows longer than the context, and batches without a prediction
 */
export const lossGradients = takes.lossGradients(async function lossGradients(
  model: Runnable,
  rows: readonly (readonly number[])[],
  { where = 'all' }: LossOptions = {},
): Promise<LossGradients> {
  const chosen = predictionsOf(model, rows, where);
  return gradientsOf(model, rows, chosen, chosen.total);
});

/** Which predictions of a batch count, with how much. @throws as `lossGradients` does */
export function predictionsOf(
  { config }: Pick<Runnable, 'config'>,
  rows: readonly (readonly number[])[],
  where: NonNullable<LossOptions['where']>,
): Predictions {
  needLanguageModel(config, 'loss of next tokens');
  const at: number[] = [];
  const next: number[] = [];
  const weights: number[] = [];
  let start = 0;
  rows.forEach((tokens, row) => {
    checkTokens(tokens, config, `row ${row}`);
    if (tokens.length > config.nCtx)
      throw new Error(`row ${row} has ${tokens.length} tokens: this model reads at most ${config.nCtx}`);
    const last = tokens.length - 2;
    for (let pos = 0; pos <= last; pos++) {
      const weight = Number(where === 'all' || (where === 'last' ? pos === last : where(row, pos)));
      if (!(Number.isFinite(weight) && weight >= 0))
        throw new Error(
          `row ${row}: the weight of the prediction at position ${pos} is ${weight}: it must be 0 or more`,
        );
      if (!weight) continue;
      at.push(start + pos);
      next.push(tokens[pos + 1]);
      weights.push(weight);
    }
    start += tokens.length;
  });
  if (!at.length)
    throw new Error('there is nothing to predict in this batch: rows of two tokens or more are needed');
  return { at, next, weights, total: weights.reduce((a, b) => a + b, 0) };
}

/**
 * The loss of a batch that may be a part of a larger one, and its gradients.
 * @param total sum of the weights of all predictions of the larger batch: losses and gradients of its parts
 * add up
 */
export async function gradientsOf(
  model: Runnable,
  rows: readonly (readonly number[])[],
  { at, next, weights }: Predictions,
  total: number,
): Promise<LossGradients> {
  const { config, gpu } = model;
  const n = at.length;
  const tape = new Tape();
  const grads = new Map<string, Tensor>();
  try {
    const watched = watchWeights(model.gpuWeights, tape);
    const inputs = rows.map((tokens) => ({ tokens }));
    const byName = hooksInOrder(model.edits?.gradHooks ?? [], new Map());
    const runnable = { gpu, config, points: model.points, gpuWeights: watched, edits: model.edits };
    const watch = { tape, names: [...byName.keys()] };
    const loss = await run(runnable, { inputs, watch }, async ({ x, batch }, scope) => {
      const tap = new HookTap(layoutOf(batch, model.points), scope, byName);
      const label = 'targets';
      const targets = Tensor.from<'u32'>(gpu, Uint32Array.from(next), [n, 1], { label, scope });
      const read = pickRows(x, at);
      const logProbs = targetProbabilities(read, targets, watched.W_U, watched.b_U, { log: true });
      const shares = Float32Array.from(weights, (w) => -w / total);
      const seed = Tensor.from(gpu, shares, [n], { label: 'seed', scope });
      const loss = logProbs.detach(scope).mul(seed).sum().keep();
      loss.storage.guarded = 'the loss of the batch';
      const take = (name: string, gradient: Tensor) => {
        if (byName.has(name)) return tap.at(name, gradient);
        grads.set(name, gradient.detach());
        return gradient;
      };
      await tape.backward([[logProbs, seed]], { at: take });
      return loss;
    });
    return owning({ loss, grads, predictions: n }, loss, ...grads.values());
  } catch (e) {
    for (const t of grads.values()) t.dispose();
    throw e;
  } finally {
    tape.close();
  }
}
