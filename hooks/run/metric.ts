/** What a metric is: numbers made from logits, on the GPU. The metrics themselves are in `interp/logits/metrics.ts`. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Model } from '../input/model.js';

/** A position whose logits a metric reads. */
export interface Read {
  /** Prompt, counted in the batch. */
  readonly row: number;
  readonly pos: number;
}

/** What a metric may know when it gets ready. */
export interface MetricContext {
  readonly model: Model;
  /** The prompts' tokens. */
  readonly rows: readonly (readonly number[])[];
  /** What it will read of each run, prompt by prompt: the last position of each, or all of them. */
  readonly reads: readonly Read[];
  /**
   * What the unembedding reads at `reads` in another run, [reads, dModel]; the caller does not own it.
   * @param run `'base'`, or the name of one of the sources
   * @throws when there is no such run, or its prompts have other lengths.
   */
  final(run: string): Promise<Tensor>;
}

/** A metric that has been checked against a model and its prompts. */
export interface PreparedMetric {
  /**
   * One number a read: [n]. Later the reads of a prompt are averaged.
   * @param x what the unembedding reads there, [n, dModel]: logits are x · W_U + b_U
   * @param reads where the n rows of x come from
   */
  evaluate(x: Tensor, reads: readonly Read[]): Tensor | Promise<Tensor>;
  /** The same from logits [n, dVocab] that are there, for gradients at them; metrics without a gradient have none. */
  ofLogits?(logits: Tensor, reads: readonly Read[]): Tensor | Promise<Tensor>;
  /**
   * What is odd about the answers in a run, as sentences: that the run prefers other tokens. Metrics of answers have it.
   * @param x as `evaluate` takes it
   */
  remarks?(x: Tensor, reads: readonly Read[]): Promise<readonly string[]>;
  /** Frees what `prepare` made. */
  dispose?(): void;
}

/**
 * What a metric is measured in, where more of it means more of the answer: a probability, or logits and log-probabilities
 * (nats).
 */
export type MetricUnit = 'probability' | 'logit';

/** Where a metric reads the logits. */
export type MetricReads = 'last' | 'all' | 'whole';

/** A number, or one a prompt, made from the logits of a run. */
export interface Metric {
  /** For titles and provenance. */
  readonly name: string;
  /**
   * Where it reads the logits: at the last position of each prompt, at all that predict a token of it, or (`'whole'`) at every
   * position of all prompts of a run, which are then given together.
   */
  readonly reads: MetricReads;
  /** Whether a batch of prompts gives their mean, or one number each. */
  readonly per: 'batch' | 'prompt';
  /** Of metrics that measure an answer. Scales have their floor from it. */
  readonly unit?: MetricUnit;
  /** Of a function of the user's: its source, which tells records apart. */
  readonly text?: string;
  /** Gets ready for some prompts. @throws when a token is not single, or the lists do not fit the prompts. */
  prepare(context: MetricContext): PreparedMetric | Promise<PreparedMetric>;
}

/** Mean of a metric over prompts, or of anything else. */
export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Mean over each prompt's reads. */
export function perPrompt(reads: readonly Read[], values: readonly number[], prompts: number): number[] {
  const sum = new Array<number>(prompts).fill(0);
  const count = new Array<number>(prompts).fill(0);
  reads.forEach(({ row }, i) => {
    sum[row] += values[i];
    count[row]++;
  });
  return sum.map((s, row) => s / count[row]);
}
