/**
 * How induction heads form (Olsson et al. 2022): a model of two layers of attention and nothing else is
 * trained on random tokens that are said again and again. At first nothing helps; then a head of the first
 * layer learns to look at the previous token, and a head of the second layer to find, by what that one wrote,
 * what came after the present token before. The loss on what is repeated drops as the induction score rises.
 */

import {
  cosineSchedule,
  type HookedTransformer,
  headScores,
  type Labelled,
  randomModel,
  Trainer,
  type WeightedRow,
} from '../../index.js';
import { provenance } from '../../interp/results/provenance.js';
import { labelled } from '../../interp/results/result.js';
import { Random } from '../tiny/random.js';

/** Options of `trainInduction`. */
export interface InductionOptions {
  /** Default 500. */
  steps?: number;
  /** Steps between measurements. Default 20. */
  every?: number;
  /** Different tokens. Default 64. */
  words?: number;
  /** Rows of a batch. Default 24. */
  rows?: number;
  /** Of the first weights, and of the tokens. Default 1. */
  seed?: number;
  /** Peak learning rate, of Muon. Default 0.01. */
  lr?: number;
  onProgress?: (point: InductionPoint, steps: number) => void;
  signal?: AbortSignal;
}

/** What was measured at a step. */
export interface InductionPoint {
  readonly step: number;
  /**
   * Mean loss the first time and the second, in nats; the first tokens, which nothing announces, are left
   * out.
   */
  readonly first: number;
  readonly second: number;
  /** Of the head that attends most to the token after the same one earlier (see `headScores`). */
  readonly induction: number;
  /** Of the head that attends most to the previous token. */
  readonly previous: number;
}

/** A model that has learnt induction, and the way there. The caller disposes of the model. */
export interface InductionRun {
  readonly model: HookedTransformer;
  readonly points: readonly InductionPoint[];
  /** Axes: curve × step. */
  readonly curves: Labelled;
}

/** Tokens of a list, and of a row, after its beginning-of-text token. */
const LISTS = { least: 3, most: 20 };
const ROW = 40;
/** What is said for the first time cannot be known: how much its prediction counts. */
const FIRST_TIME = 0.1;
/** What is measured, with which seed: rows that were not trained on. */
const MEASURED = { length: 20, rows: 16, seed: 77 };

/** Trains the model and measures it on the way. */
export async function trainInduction({
  steps = 500,
  every = 20,
  words = 64,
  rows = 24,
  seed = 1,
  lr = 0.01,
  onProgress,
  signal,
}: InductionOptions = {}): Promise<InductionRun> {
  const config = {
    name: 'induction-toy',
    nLayers: 2,
    nHeads: 4,
    dModel: 64,
    nCtx: 1 + ROW,
    dVocab: words + 1,
    attnOnly: true,
    bosTokenId: words,
  };
  const model = await randomModel(config, {
    ...{ seed, std: 0.08, embeddingStd: 0.16, positions: 'sinusoidal', tied: false },
  });
  const trainer = new Trainer(model, {
    method: 'muon',
    lr,
    beta2: 0.98,
    schedule: cosineSchedule({ steps, warmup: 20 }),
  });
  const points: InductionPoint[] = [];
  const note = async (step: number) => {
    points.push(await measure(model, step, words, signal));
    onProgress?.(points.at(-1)!, steps);
  };
  await note(0);
  await trainer.train(repeatedLists(seed, words, rows), {
    steps,
    pause: { every, call: () => note(trainer.steps) },
    signal,
  });
  trainer.dispose();
  const series = ['loss, first time', 'loss, second time', 'induction score', 'previous-token score'];
  const values = [
    points.map((p) => p.first),
    points.map((p) => p.second),
    points.map((p) => p.induction),
    points.map((p) => p.previous),
  ];
  const axes = [
    { name: 'curve', labels: series },
    { name: 'step', labels: points.map((p) => String(p.step)) },
  ];
  const curves = labelled(
    Float32Array.from(values.flat()),
    axes,
    provenance(model, { steps, words, rows, seed, lr }),
  );
  return { model, points, curves };
}

/** Endless batches: lists of different lengths, each said again and again until the row is full. */
function* repeatedLists(seed: number, words: number, rows: number): Generator<WeightedRow[], void> {
  const rng = new Random(seed);
  while (true)
    yield Array.from({ length: rows }, () => {
      const length = LISTS.least + rng.int(LISTS.most - LISTS.least + 1);
      const list = Array.from({ length }, () => rng.int(words));
      return {
        tokens: [words, ...Array.from({ length: ROW }, (_, i) => list[i % length])],
        weights: Array.from({ length: ROW }, (_, i) => (i > length ? 1 : FIRST_TIME)),
      };
    });
}

function twice(rng: Random, length: number, words: number): number[] {
  const list = Array.from({ length }, () => rng.int(words));
  return [words, ...list, ...list];
}

async function measure(
  model: HookedTransformer,
  step: number,
  words: number,
  signal?: AbortSignal,
): Promise<InductionPoint> {
  const { length, rows, seed } = MEASURED;
  const rng = new Random(seed);
  const on = Array.from({ length: rows }, () => twice(rng, length, words));
  const logProbs = await model.logProbs(on);
  const mean = (from: number, to: number) =>
    -logProbs.reduce((sum, row) => row.subarray(from, to).reduce((a, b) => a + b, sum), 0) /
    (rows * (to - from));
  const best = async (kind: 'induction' | 'previous') => {
    const { values } = await headScores(model, { kind, on, prependBos: false, signal });
    return values.reduce((a, b) => Math.max(a, b));
  };
  return {
    step,
    first: mean(1, length),
    second: mean(length + 1, 2 * length),
    induction: await best('induction'),
    previous: await best('previous'),
  };
}
