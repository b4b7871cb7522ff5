/**
 * Training a model in place, on whatever adapter it is: the mean loss over the next tokens of packed batches, clipped
 * gradients, AdamW or Muon. Nothing is read back in between but one number a step.
 */

import { addInto } from '../engine/accumulate.js';
import { type MethodOptions, Optimizer, type OptimizerState, parameterGroups } from '../engine/optimizer.js';
import { parameters } from '../engine/parameters.js';
import { uniform } from '../engine/random.js';
import { readWeights } from '../engine/read-weights.js';
import type { Tensor } from '../engine/tensor.js';
import { Fingerprint } from '../weights/fingerprint.js';
import { weightViews } from '../weights/views.js';
import { checkedMethods, is, needed, options, signature } from './check.js';
import type { HookedTransformer } from './model.js';
import { type LossGradients, lossGradients } from './parameter-gradients.js';
import { constantSchedule, type Schedule } from './schedule.js';

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
  /** Batches a step, whose gradients are averaged. Default 1. */
  accumulate?: number;
}

/** A step that was taken. */
export interface TrainProgress {
  /** Steps so far, those before a resumption included. */
  readonly step: number;
  readonly steps: number;
  /** Mean loss of the steps since the last report, in nats. */
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
  onProgress?: (progress: TrainProgress) => void;
  /** A sample of these rows is measured at reports, at the first after every so many steps. */
  validation?: { rows: readonly (readonly number[])[]; every: number; sample?: number; seed?: number };
  /** Waited for after every so many steps and at the end: to save a checkpoint, or to look at the model. */
  pause?: { every: number; call: (trainer: Trainer) => Promise<void> };
  /** Ends training after a step, with the signal's reason; the trainer can go on. */
  signal?: AbortSignal;
}

/** What a run of a trainer is told. */
const TRAIN = options<TrainOptions>({
  steps: needed(is.whole),
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
  lr: needed(is.positive),
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
  /** @throws when the model's weights were processed: what is trained would not be what a checkpoint holds. */
  constructor(model: HookedTransformer, options: TrainerOptions, ...more: []) {
    takes(model, options, ...more);
    const done = Object.entries(model.processing).filter(([, on]) => on);
    if (done.length)
      throw new Error(
        `the weights of ${model.config.name} were processed (${done.map(([flag]) => flag).join(', ')}): load the model to be trained with fromPretrainedNoProcessing`,
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
   * @param batches as many as `accumulate` says (any number is right: gradients are averaged over them)
   * @returns the mean loss before the step: []. The caller disposes of it.
   */
  async step(batches: readonly TrainingBatch[]): Promise<Tensor> {
    const { maxNorm = 1 } = this.#options;
    let sum: LossGradients | null = null;
    try {
      for (const batch of batches) sum = added(sum, await gradientsOf(this.model, batch));
      if (!sum) throw new Error('a training step needs a batch');
      const settings = { lr: this.rateAt(this.steps), maxNorm, gradientScale: 1 / batches.length };
      this.#optimizer.step(sum.grads, settings);
      return sum.loss.mul(1 / batches.length).keep();
    } finally {
      sum?.dispose();
      this.model.gpu.flush();
    }
  }

  /**
   * Trains until `steps` steps are done, or the batches run out, and reads the weights back.
   * @param batches of the whole run, from its first step on: a resumed trainer skips those that it has seen
   */
  async train(
    batches: Iterable<TrainingBatch> | AsyncIterable<TrainingBatch>,
    options: TrainOptions,
  ): Promise<void> {
    const { steps, pause, signal } = options;
    const { accumulate = 1 } = this.#options;
    const report = new Reports(this, options);
    let seen = this.steps * accumulate;
    let group: TrainingBatch[] = [];
    if (this.steps < steps)
      for await (const batch of batches) {
        if (seen-- > 0) continue;
        group.push(batch);
        if (group.length < accumulate) continue;
        signal?.throwIfAborted();
        await report.stepped(await this.step(group), group);
        group = [];
        const last = this.steps >= steps;
        if (pause && (last || this.steps % pause.every === 0)) {
          await report.settle();
          await pause.call(this);
        }
        if (last) break;
      }
    await report.settle();
    await this.readBack();
  }

  /** The factor times the peak learning rate, at a step. */
  rateAt(step: number): number {
    const { lr, schedule = constantSchedule() } = this.#options;
    return lr * schedule(step);
  }

  /** Brings `model.weights`, `checkpoint()` and `hash` up to date with the weights on the GPU. */
  async readBack(): Promise<void> {
    const { model } = this;
    const { embed, blocks, final } = await readWeights(model.gpuWeights);
    const fingerprint = new Fingerprint();
    fingerprint.add({ kind: 'embed', weights: embed });
    blocks.forEach((weights, layer) => {
      fingerprint.add({ kind: 'block', layer, weights });
    });
    fingerprint.add({ kind: 'final', weights: final });
    model.hash = fingerprint.text;
    model.views = weightViews(embed, blocks, final, model.config);
  }

  /** What the optimiser remembers: with the weights, all that is needed to go on exactly. */
  state(): Promise<OptimizerState> {
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

function gradientsOf(model: HookedTransformer, batch: TrainingBatch): Promise<LossGradients> {
  const rows = batch.map((row) => ('tokens' in row ? row.tokens : row));
  const where = (row: number, pos: number) => {
    const given = batch[row];
    return 'tokens' in given ? given.weights[pos] : 1;
  };
  return lossGradients(model, rows, { where });
}

/** Both together, in the memory of the first. */
function added(sum: LossGradients | null, next: LossGradients): LossGradients {
  if (!sum) return next;
  addInto(sum.loss, next.loss);
  for (const [name, gradient] of next.grads) addInto(sum.grads.get(name)!, gradient);
  next.dispose();
  return sum;
}

/** Keeps the books of a run: at most two steps are on their way to the GPU, so that it is never idle. */
class Reports {
  readonly #trainer: Trainer;
  readonly #options: TrainOptions;
  readonly #begun = performance.now();
  #pending: Promise<number> | null = null;
  #losses: number[] = [];
  #tokens = 0;
  #measured = 0;

  constructor(trainer: Trainer, options: TrainOptions) {
    this.#trainer = trainer;
    this.#options = options;
  }

  /** A step was submitted: waits for the one before. */
  async stepped(loss: Tensor, batches: readonly TrainingBatch[]): Promise<void> {
    const value = loss.item().finally(() => loss.dispose());
    value.catch(() => {}); // whoever awaits it hears of it
    const before = this.#pending;
    this.#pending = value;
    if (before) this.#losses.push(await before);
    for (const row of batches.flat()) this.#tokens += 'tokens' in row ? row.tokens.length : row.length;
    const { reportEvery = 20, steps } = this.#options;
    const { steps: step } = this.#trainer;
    if (step % reportEvery === 0 || step === steps) await this.#report(step);
  }

  /** Waits for all that was submitted. */
  async settle(): Promise<void> {
    const last = this.#pending;
    this.#pending = null;
    if (last) this.#losses.push(await last);
  }

  async #report(step: number): Promise<void> {
    await this.settle();
    const { steps, validation, onProgress } = this.#options;
    const due = validation && Math.floor(step / validation.every) > this.#measured;
    if (due) this.#measured = Math.floor(step / validation.every);
    const loss = this.#losses.reduce((a, b) => a + b, 0) / this.#losses.length;
    this.#losses = [];
    const seconds = (performance.now() - this.#begun) / 1000;
    const rows = due ? sampled(validation, step) : [];
    onProgress?.({
      step,
      steps,
      loss,
      lr: this.#trainer.rateAt(step - 1),
      tokens: this.#tokens,
      tokensPerSecond: this.#tokens / seconds,
      validation: due ? await this.#trainer.model.loss(rows, { prependBos: false }) : null,
    });
  }
}

/** Other rows at every step, the same ones in every run. */
function sampled(
  { rows, sample = rows.length, seed = 1 }: NonNullable<TrainOptions['validation']>,
  step: number,
): (readonly number[])[] {
  const random = uniform(seed + step);
  const left = [...rows];
  return Array.from(
    { length: Math.min(sample, rows.length) },
    () => left.splice(Math.floor(random() * left.length), 1)[0],
  );
}
