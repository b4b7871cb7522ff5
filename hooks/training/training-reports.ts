/** The books of a training run: losses, validation, progress, and the stop when a loss is not a number. */

import { uniform } from '../../engine/random/random.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Trainer, TrainingBatch, TrainOptions } from './trainer.js';

/** A step whose loss is not a number. */
export class BadLoss extends Error {
  readonly step: number;
  constructor(step: number) {
    super(`step ${step}`);
    this.step = step;
  }
}

/** Keeps the books of a run: at most two steps are on their way to the GPU, so that it is never idle. */
export class Reports {
  readonly #trainer: Trainer;
  readonly #options: TrainOptions;
  readonly #begun = performance.now();
  #pending: Promise<void> | null = null;
  /**
   * Since the last report: the sum of the losses of all predictions, by their weights, and the sum of those.
   */
  #loss = 0;
  #weight = 0;
  #tokens = 0;
  #measured = 0;

  constructor(trainer: Trainer, options: TrainOptions) {
    this.#trainer = trainer;
    this.#options = options;
  }

  /** A step was submitted: waits for the one before. */
  async stepped(
    { loss, total }: { loss: Tensor; total: number },
    batches: readonly TrainingBatch[],
  ): Promise<void> {
    const { steps: step } = this.#trainer;
    const taken = this.#read(loss, total, step);
    taken.catch(() => {}); // whoever awaits it hears of it
    const before = this.#pending;
    this.#pending = taken;
    await before;
    for (const row of batches.flat()) this.#tokens += 'tokens' in row ? row.tokens.length : row.length;
    const { reportEvery = 20, steps } = this.#options;
    if (step % reportEvery === 0 || step === steps) await this.#report(step);
  }

  async #read(loss: Tensor, total: number, step: number): Promise<void> {
    const value = await loss.item().finally(() => loss.dispose());
    if (!Number.isFinite(value)) throw new BadLoss(step);
    this.#loss += value * total;
    this.#weight += total;
  }

  /** Waits for all that was submitted. */
  async settle(): Promise<void> {
    const last = this.#pending;
    this.#pending = null;
    await last;
  }

  async #report(step: number): Promise<void> {
    await this.settle();
    const { steps, validation, onProgress } = this.#options;
    const due = validation && Math.floor(step / validation.every) > this.#measured;
    if (due) this.#measured = Math.floor(step / validation.every);
    const loss = this.#loss / this.#weight;
    this.#loss = this.#weight = 0;
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
