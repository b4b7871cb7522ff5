/** How the shipped model is trained: its first weights, the batches, the optimiser. */

import { cosineSchedule, linearSchedule } from '../../hooks/training/schedule.js';
import type { TrainerOptions } from '../../hooks/training/trainer.js';
import type { InitOptions } from '../../hooks/transformer/init.js';
import type { Corpus, Recipe } from './batches.js';

/**
 * GPT-2 begins with a standard deviation of 0.02 at a width of 768; 0.05 keeps the same scale of activations at a width
 * of 128. The tokens' embedding begins twice as large, for it is also the unembedding: smaller rows cannot yet give one
 * token a clearly higher logit than the others.
 */
export const INIT: InitOptions = { seed: 1, std: 0.05, embeddingStd: 0.1, positions: 'sinusoidal' };

const rows = { cutShare: 0.1, joinedShare: 0.03 };
const passages = [7, 2, 1];
/** Facts have the most to be told. */
const first: Corpus = { ...rows, seed: 1, mixture: { kinds: [4, 6, 1.5, 1], passages } };
/** Once they are known, more of the rest. */
const second: Corpus = { ...rows, seed: 3, mixture: { kinds: [7, 4, 2, 1], passages } };
/** Names where they lack their leading blank. */
const third: Corpus = {
  ...{ seed: 5, cutShare: 0.02, joinedShare: 0.01, otherBeginnings: 0.25 },
  mixture: { kinds: [7, 3, 1.5, 0.5], passages: [8, 2, 0] },
};
const little = { share: 0.3, weight: 0.5 };

/**
 * The batches: looking back and copying; everything; everything once more; names that begin a text;
 * probabilities.
 */
export const RECIPE: Recipe = {
  seed: 1,
  tokens: 1024,
  phases: [
    { steps: 300, repetitionShare: 1, longest: 64, byLot: little, corpus: first },
    { steps: 1700, repetitionShare: 0.09, longest: 128, byLot: little, corpus: first },
    { steps: 700, repetitionShare: 0.1, longest: 128, byLot: little, corpus: second },
    { steps: 330, repetitionShare: 0.06, longest: 128, byLot: little, corpus: third },
    { steps: 100, repetitionShare: 0.05, longest: 128, byLot: { share: 1, weight: 1 }, corpus: second },
  ],
};

/** The learning rate falls to nothing four times: from its peak, twice from half of it, and from a sixth. */
const falls = [
  { steps: 2000, from: 1, schedule: cosineSchedule({ steps: 2000, warmup: 50 }) },
  { steps: 700, from: 1 / 2, schedule: cosineSchedule({ steps: 700, warmup: 20 }) },
  { steps: 330, from: 1 / 2, schedule: cosineSchedule({ steps: 330, warmup: 10 }) },
  { steps: 100, from: 1 / 6, schedule: linearSchedule({ steps: 100, warmup: 10 }) },
];

function schedule(step: number): number {
  let begin = 0;
  for (const { steps, from, schedule } of falls) {
    if (step < begin + steps) return from * schedule(step - begin);
    begin += steps;
  }
  return 0;
}

/** Muon for the matrices of the blocks, AdamW for the rest. Weight decay keeps the circuits small. */
export const OPTIMIZER: TrainerOptions = {
  method: 'muon',
  lr: 3e-3,
  weightDecay: 0.1,
  beta2: 0.98,
  schedule,
};
