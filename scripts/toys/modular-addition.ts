/**
 * Modular addition (Power et al. 2022; Nanda et al. 2023): a model of one block learns a + b mod p from a
 * part of all pairs. First it knows those by heart; then it finds a rule that holds for the others, too: it
 * writes numbers as sines and cosines of a few frequencies, which is seen in the Fourier transform of its
 * embedding.
 */

import {
  cosineSchedule,
  type HookedTransformer,
  type Labelled,
  randomModel,
  Trainer,
  type WeightedRow,
} from '../../index.js';
import { provenance } from '../../interp/results/provenance.js';
import { labelled } from '../../interp/results/result.js';
import { Random } from '../tiny/random.js';

/** Options of `trainModularAddition`. */
export interface ModularAdditionOptions {
  /** Default 53. */
  p?: number;
  /** Of all pairs. Default 0.5. */
  trained?: number;
  /** Default 400. */
  steps?: number;
  /** Steps between measurements. Default 25. */
  every?: number;
  /** Pairs of a batch. Default 512. */
  pairs?: number;
  /** Default 1. */
  seed?: number;
  /** Peak learning rate, of Muon. Default 0.01. */
  lr?: number;
  onProgress?: (point: AdditionPoint, steps: number) => void;
  signal?: AbortSignal;
}

/** What was measured at a step: on trained pairs and on the others. */
export interface AdditionPoint {
  readonly step: number;
  /** Mean loss, in nats. */
  readonly trainLoss: number;
  readonly testLoss: number;
  /** Of the embedding's power, the share of the five strongest frequencies. */
  readonly concentration: number;
}

/** A model that adds, and the way there. The caller disposes of the model. */
export interface ModularAdditionRun {
  readonly model: HookedTransformer;
  readonly points: readonly AdditionPoint[];
  /** Axes: curve × step. */
  readonly curves: Labelled;
  /** Power of each frequency in the embedding, as shares: axis frequency, 1 to (p − 1) / 2. */
  readonly spectrum: Labelled;
  /** Share of right answers on pairs that were not trained. */
  readonly right: number;
}

const STRONGEST = 5;

/** Trains the model and measures it on the way. */
export async function trainModularAddition({
  p = 53,
  trained = 0.5,
  steps = 400,
  every = 25,
  pairs = 512,
  seed = 1,
  lr = 0.01,
  onProgress,
  signal,
}: ModularAdditionOptions = {}): Promise<ModularAdditionRun> {
  const config = {
    name: 'addition-toy',
    nLayers: 1,
    nHeads: 4,
    dModel: 64,
    dMlp: 256,
    nCtx: 4,
    dVocab: p + 1,
  };
  const model = await randomModel(
    { ...config, actFn: 'relu' },
    { seed, std: 0.06, embeddingStd: 0.12, tied: false },
  );
  const rng = new Random(seed);
  // a, b, "=", and their sum, which is all that is to be predicted.
  const all = Array.from({ length: p * p }, (_, i) => {
    const [a, b] = [Math.floor(i / p), i % p];
    return [a, b, p, (a + b) % p];
  });
  const shuffled = rng.sample(all, all.length);
  const train = shuffled.slice(0, Math.round(trained * all.length));
  const test = shuffled.slice(train.length);

  const settings = { method: 'muon', weightDecay: 0.5, beta2: 0.98 } as const;
  const schedule = cosineSchedule({ steps, warmup: 10 });
  const trainer = new Trainer(model, { ...settings, lr, schedule });
  const points: AdditionPoint[] = [];
  const note = async (step: number) => {
    await trainer.readBack();
    points.push({
      step,
      trainLoss: await lossOf(model, train.slice(0, test.length)),
      testLoss: await lossOf(model, test),
      concentration: strongest(spectrumOf(model, p)),
    });
    onProgress?.(points.at(-1)!, steps);
  };
  await note(0);
  await trainer.train(batches(), { steps, pause: { every, call: () => note(trainer.steps) }, signal });
  trainer.dispose();

  const meta = provenance(model, { p, trained, steps, pairs, seed, lr });
  const curves = labelled(
    Float32Array.from([
      ...points.map((x) => x.trainLoss),
      ...points.map((x) => x.testLoss),
      ...points.map((x) => x.concentration),
    ]),
    [
      {
        name: 'curve',
        labels: ['loss, trained pairs', 'loss, other pairs', `share of ${STRONGEST} frequencies`],
      },
      { name: 'step', labels: points.map((x) => String(x.step)) },
    ],
    meta,
  );
  const power = spectrumOf(model, p);
  const frequencies = Array.from(power, (_, k) => String(k + 1));
  const spectrum = labelled(power, [{ name: 'frequency', labels: frequencies }], meta);
  return { model, points, curves, spectrum, right: await rightOf(model, test) };

  function* batches(): Generator<WeightedRow[], void> {
    const weights = [0, 0, 1];
    while (true) yield rng.sample(train, pairs).map((tokens) => ({ tokens, weights }));
  }
}

async function lossOf(model: HookedTransformer, rows: readonly number[][]): Promise<number> {
  const logProbs = await model.logProbs(rows);
  return -logProbs.reduce((sum, row) => sum + row[2], 0) / rows.length;
}

async function rightOf(model: HookedTransformer, rows: readonly number[][]): Promise<number> {
  const logits = await model.forward(rows.map((row) => row.slice(0, 3)));
  const best = logits.argmax(); // [rows, 3]
  const ids = await best.data();
  for (const t of [logits, best]) t.dispose();
  return rows.filter((row, i) => ids[3 * i + 2] === row[3]).length / rows.length;
}

/**
 * Of each frequency k = 1 … (p − 1) / 2 the share of the embedding's power: Σ_d |Σ_n W_E[n,
 * d]·e^(−2πikn/p)|².
 */
function spectrumOf(model: HookedTransformer, p: number): Float32Array {
  const { data } = model.weights.W_E;
  const { dModel } = model.config;
  const power = Array.from({ length: (p - 1) / 2 }, (_, k) => {
    let sum = 0;
    for (let d = 0; d < dModel; d++) {
      let [re, im] = [0, 0];
      for (let n = 0; n < p; n++) {
        const angle = (2 * Math.PI * (k + 1) * n) / p;
        re += data[n * dModel + d] * Math.cos(angle);
        im += data[n * dModel + d] * Math.sin(angle);
      }
      sum += re * re + im * im;
    }
    return sum;
  });
  const total = power.reduce((a, b) => a + b, 0);
  return Float32Array.from(power, (x) => x / total);
}

const strongest = (shares: Float32Array): number =>
  [...shares]
    .sort((a, b) => b - a)
    .slice(0, STRONGEST)
    .reduce((a, b) => a + b, 0);
