/**
 * Training a model in place, on whatever adapter it is: the mean loss over the next tokens of packed batches, clipped
 * gradients, AdamW or Muon. Nothing is read back in between but one number a step.
 */

import { HOLDS } from '../../engine/gpu/user-scope.js';
import { addInto } from '../../engine/tensor/accumulate.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import {
  type MethodOptions,
  Optimizer,
  type OptimizerState,
  parameterGroups,
} from '../../engine/training/optimizer.js';
import { parameters } from '../../engine/training/parameters.js';
import { partsOf } from '../../weights/processing/views.js';
import { checkedMethods, is, needed, options, signature } from '../input/check.js';
import type { HookedTransformer } from '../transformer/model.js';
import { readState } from '../weights/weight-state.js';
import { gradientsOf, type LossGradients, type Predictions, predictionsOf } from './parameter-gradients.js';
import { constantSchedule, type Schedule } from './schedule.js';
import { BadLoss, Reports } from './training-reports.js';

/** A row of a batch that says which of its predictions count. */
export interface WeightedRow {
  readonly tokens: readonly number[];
  /** How much the prediction of each token but the first counts, relative to the others; 0: it is not made. */
  readonly weights: readonly number[];
}

/** Rows of any lengths, with the beginning-of-text token where the model expects one. They are packed, never padded. */
export type TrainingBatch = readonly (readonly number[] | WeightedRow)[];

/** How a model is trained. */
export interface TrainerOptions extends MethodOptions {
  /** The peak learning rate. */
  lr: number;
  /** The factor on it, by step. Default: constant. */
  schedule?: Schedule;
  /** Largest norm of all gradients together; more is scaled down. Default 1; null: no limit. */
  maxNorm?: number | null;
  /** Batches a step. They count as one batch of all their rows: every prediction the same. Default 1. */
  accumulate?: number;
}

/** A step that was taken. */
export interface TrainProgress {
  /** Steps so far, those before a resumption included. */
  readonly step: number;
  readonly steps: number;
  /** Mean loss of the predictions since the last report, in nats. */
  readonly loss: number;
  /** The factor times the peak. */
  readonly lr: number;
  /** Tokens since training began or was resumed, and of them a second. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** Loss on the validation rows, every prediction counting the same; null where it was not measured at this step. */
  readonly validation: number | null;
}

/** One run of a trainer. */
export interface TrainOptions {
  /** Steps in all. A trainer that was resumed goes on from its own. */
  steps: number;
  /** Steps between reports. Default 20. */
  reportEvery?: number;
  /** Called with every report. */
  onProgress?: (progress: TrainProgress) => void;
  /** A sample of these rows is measured at reports, at the first after every so many steps. */
  validation?: { rows: readonly (readonly number[])[]; every: number; sample?: number; seed?: number };
  /** Waited for after every so many steps and at the end: to save a checkpoint, or to look at the model. */
  pause?: {
    every: number;
    /** Is awaited before the next step. */
    call: (trainer: Trainer) => Promise<void>;
  };
  /** Ends training after a step, with the signal's reason; the trainer can go on. */
  signal?: AbortSignal;
}

/** What a run of a trainer is told. */
const TRAIN = options<TrainOptions>({
  steps: needed(is.count),
  reportEvery: is.count,
  onProgress: is.callback,
  validation: options<NonNullable<TrainOptions['validation']>>({
    rows: needed(is.rows),
    every: needed(is.count),
    sample: is.count,
    seed: is.seed,
  }),
  pause: options<NonNullable<TrainOptions['pause']>>({ every: needed(is.count), call: needed(is.callback) }),
  signal: is.signal,
});

/** What a trainer is told. */
export const TRAINER = options<TrainerOptions>({
  lr: needed(is.notNegative),
  schedule: is.callback,
  maxNorm: is.orNull(is.positive),
  accumulate: is.count,
  method: is.oneOf('adamw', 'muon'),
  weightDecay: is.notNegative,
  beta1: is.between(0, 1),
  beta2: is.between(0, 1),
  eps: is.positive,
  momentum: is.between(0, 1),
});

const takes = signature('Trainer', { model: is.model, options: TRAINER });
const ROW = options<WeightedRow>({ tokens: needed(is.tokens), weights: needed(is.numbers) });
const BATCH = is.listOf(
  is.either(is.tokens, ROW),
  'a batch: a list of rows of token ids, or of { tokens, weights }',
);

/** Trains a model. The model can be used at any time; `model.weights` is as of the last `readBack`. */
export class Trainer {
  readonly model: HookedTransformer;
  readonly #optimizer: Optimizer;
  readonly #options: TrainerOptions;
  /** The step whose loss was not a number. */
  #failedAt: number | null = null;

  /** @throws when the model's weights were processed: what is trained would not be what a checkpoint holds. */
  constructor(model: HookedTransformer, options: TrainerOptions, ...more: []) {
    takes(model, options, ...more);
    const done = Object.entries(model.processing).filter(([, on]) => on);
    if (done.length)
      throw new Error(
        `the weights of ${model.config.name} were processed (${done.map(([flag]) => flag).join(', ')}): load the model to be trained with fromPretrainedNoProcessing`,
      );
    if (model.gpuWeights.shared)
      throw new Error(
        'Trainer: other models share weights with this one (withWeights), and training would change them, too: dispose of them, or load the model anew',
      );
    const rounded = parameters(model.gpuWeights).find(({ tensor }) => tensor.stored !== 'f32');
    if (rounded)
      throw new Error(
        `Trainer: ${rounded.name} of ${model.config.name} is stored as ${rounded.tensor.stored}, and only float32 is trained: load the model with dtype "f32"`,
      );
    this.model = model;
    this.#options = options;
    this.#optimizer = new Optimizer(parameterGroups(parameters(model.gpuWeights), options));
  }

  /** Steps taken so far. */
  get steps(): number {
    return this.#optimizer.steps;
  }

  /**
   * One step.
   * @param batches any number of them; they are one batch of all their rows
   * @returns the mean loss of their predictions before the step: []. NaN when it or a gradient is not a number; the
   * weights are then those of the last step that began with a loss that was one. The caller disposes of it.
   */
  async step(batches: readonly TrainingBatch[]): Promise<Tensor> {
    return (await this.#take(batches)).loss;
  }

  async #take(batches: readonly TrainingBatch[]): Promise<{ loss: Tensor; total: number }> {
    if (this.#failedAt !== null)
      throw new Error(`training has failed at step ${this.#failedAt}: go on with a new Trainer`);
    const { maxNorm = 1 } = this.#options;
    const lr = this.rateAt(this.steps);
    const parts = batches.map((batch) => partOf(this.model, batch));
    if (!parts.length) throw new Error('a training step needs a batch');
    const total = parts.reduce((sum, part) => sum + part.chosen.total, 0);
    let sum: LossGradients | null = null;
    try {
      for (const { rows, chosen } of parts)
        sum = added(sum, await gradientsOf(this.model, rows, chosen, total));
      const { grads, loss } = sum!;
      this.model.gpuWeights.changed();
      this.#optimizer.step(grads, { lr, maxNorm, loss });
      return { loss: loss.mul(1).keep(), total };
    } finally {
      sum?.dispose();
      this.model.gpu.flush();
    }
  }

  /**
   * Trains until `steps` steps are done, or the batches run out, and reads the weights back. Batches that are left when they
   * run out are a last, smaller step.
   * @param batches of the whole run, from its first step on: a resumed trainer skips those that it has seen
   * @throws when a loss or a gradient is not a number: the weights are then those of the last step that began with a good loss
   */
  async train(
    batches: Iterable<TrainingBatch> | AsyncIterable<TrainingBatch>,
    options: TrainOptions,
  ): Promise<void> {
    const { steps, pause, signal } = options;
    const { accumulate = 1 } = this.#options;
    const report = new Reports(this, options);
    let seen = this.steps * accumulate;
    const take = async (group: readonly TrainingBatch[]) => {
      signal?.throwIfAborted();
      await report.stepped(await this.#take(group), group);
      const last = this.steps >= steps;
      if (pause && (last || this.steps % pause.every === 0)) {
        await report.settle();
        await pause.call(this);
      }
      return last;
    };
    try {
      let group: TrainingBatch[] = [];
      let last = this.steps >= steps;
      if (!last)
        for await (const batch of batches) {
          if (seen-- > 0) continue;
          group.push(batch);
          if (group.length < accumulate) continue;
          last = await take(group);
          group = [];
          if (last) break;
        }
      if (group.length && !last) await take(group);
      await report.settle();
    } catch (e) {
      if (!(e instanceof BadLoss)) throw e;
      await this.#fail(e.step);
    }
    await this.readBack();
  }

  /** Brings the weights back that step `step - 1` began with, and says so. */
  async #fail(step: number): Promise<never> {
    this.#failedAt = step;
    const good = Math.max(0, step - 2);
    this.#optimizer.restoreGood(good);
    await this.readBack();
    throw new Error(
      `step ${step}: the loss or its gradient is not a number. The weights are those after ${good} steps, the last with a good loss. A smaller lr, a warm-up or a smaller maxNorm helps`,
    );
  }

  /** The factor times the peak learning rate, at a step. */
  rateAt(step: number): number {
    const { lr, schedule = constantSchedule() } = this.#options;
    const factor = schedule(step);
    if (!(Number.isFinite(factor) && factor >= 0))
      throw new Error(
        `Trainer: the schedule gives ${factor} for step ${step}: it must be a number, 0 or more`,
      );
    return lr * factor;
  }

  /** Brings `model.weights`, `checkpoint()` and `hash` up to date with the weights on the GPU. */
  async readBack(): Promise<void> {
    const { model } = this;
    const { state, parts } = await readState(model.gpuWeights, model.config);
    model.trained = state;
    model.gpuWeights.comeFrom(model.config, () => partsOf(parts));
  }

  /** What the optimiser remembers: with the weights, all that is needed to go on exactly. */
  async state(): Promise<OptimizerState> {
    if (this.#failedAt !== null)
      throw new Error(`training has failed at step ${this.#failedAt}: its state is not worth keeping`);
    return this.#optimizer.state();
  }

  /** Goes on from a state. The model must have the weights of the same moment. @throws when it is of another model. */
  restore(state: OptimizerState): void {
    this.#optimizer.restore(state);
  }

  /** Gives the optimiser's memory back; the model stays. */
  dispose(): void {
    this.#optimizer.dispose();
  }

  /** The same as `dispose()`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Internal: see `scope`. */
  [HOLDS](): Iterable<unknown> {
    return [this.#optimizer, this.model];
  }
}

checkedMethods(Trainer.prototype, {
  step: { batches: is.listOf(BATCH, 'a list of batches, each a list of rows of token ids') },
  train: { batches: is.iterable, options: TRAIN },
  rateAt: { step: is.whole },
  readBack: {},
  state: {},
  restore: { state: is.having('a state, as state() gives it', 'steps', 'tensors') },
  dispose: {},
});

/** The rows of a batch, and which of their predictions count. @throws as `lossGradients` does */
function partOf(
  model: HookedTransformer,
  batch: TrainingBatch,
): { rows: (readonly number[])[]; chosen: Predictions } {
  const rows = batch.map((row) => ('tokens' in row ? row.tokens : row));
  batch.forEach((row, i) => {
    if ('tokens' in row && row.weights.length !== row.tokens.length - 1)
      throw new Error(
        `row ${i} has ${row.tokens.length} tokens and ${row.weights.length} weights: every token but the first needs one`,
      );
  });
  const where = (row: number, pos: number) => {
    const given = batch[row];
    return 'tokens' in given ? given.weights[pos] : 1;
  };
  return { rows, chosen: predictionsOf(model, rows, where) };
}

/** Both together, in the memory of the first. */
function added(sum: LossGradients | null, next: LossGradients): LossGradients {
  if (!sum) return next;
  addInto(sum.loss, next.loss);
  for (const [name, gradient] of next.grads) addInto(sum.grads.get(name)!, gradient);
  next.dispose();
  return sum;
}
