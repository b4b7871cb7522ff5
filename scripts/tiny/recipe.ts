/** How the shipped models are trained: their first weights, the batches, the optimiser. */

import { cosineSchedule, linearSchedule } from '../../hooks/training/schedule.js';
import type { TrainerOptions } from '../../hooks/training/trainer.js';
import type { InitOptions } from '../../hooks/transformer/init.js';
import type { Corpus, Recipe } from './batches.js';

/**
 * GPT-2 begins with a standard deviation of 0.02 at a width of 768; 0.05 keeps the same scale of activations
 * at a width of 128. The tokens' embedding begins twice as large, for it is also the unembedding: smaller
 * rows cannot yet give one token a clearly higher logit than the others.
 */
const INIT: InitOptions = { seed: 1, std: 0.05, embeddingStd: 0.1, positions: 'sinusoidal' };

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
 * The batches of `tiny`: looking back and copying; everything; everything once more; names that begin a text;
 * probabilities.
 */
const TINY: Recipe = {
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

/**
 * The batches of `tiny-llama`: the same corpus, with an end behind every document. Its first layer begins by
 * looking back (`attentionBiases`): in a copy of this training in PyTorch, 43 % of repeated random tokens were
 * right after 250 steps; without, 2 % after 300.
 */
const TINY_LLAMA: Recipe = {
  seed: 2,
  tokens: 1024,
  phases: [
    { steps: 350, repetitionShare: 1, longest: 64, byLot: little, corpus: ended(first) },
    { steps: 650, repetitionShare: 0.09, longest: 128, byLot: little, corpus: ended(first) },
    { steps: 250, repetitionShare: 0.1, longest: 128, byLot: little, corpus: ended(second) },
    { steps: 200, repetitionShare: 0.06, longest: 128, byLot: little, corpus: ended(third) },
    { steps: 50, repetitionShare: 0.05, longest: 128, byLot: { share: 1, weight: 1 }, corpus: ended(second) },
  ],
};

function ended(corpus: Corpus): Corpus {
  return { ...corpus, ended: true };
}

interface Fall {
  readonly steps: number;
  readonly from: number;
  readonly schedule: (step: number) => number;
}

/** The learning rate falls to nothing four times: from its peak, twice from half of it, and from a sixth. */
const tinyFalls: Fall[] = [
  { steps: 2000, from: 1, schedule: cosineSchedule({ steps: 2000, warmup: 50 }) },
  { steps: 700, from: 1 / 2, schedule: cosineSchedule({ steps: 700, warmup: 20 }) },
  { steps: 330, from: 1 / 2, schedule: cosineSchedule({ steps: 330, warmup: 10 }) },
  { steps: 100, from: 1 / 6, schedule: linearSchedule({ steps: 100, warmup: 10 }) },
];

/** Its learning rate falls from its peak to a third, from there to nothing, and from a sixth. */
const llamaFalls: Fall[] = [
  { steps: 1000, from: 1, schedule: cosineSchedule({ steps: 1600, warmup: 50 }) },
  { steps: 450, from: 1 / 3, schedule: cosineSchedule({ steps: 450, warmup: 1 }) },
  { steps: 50, from: 1 / 6, schedule: linearSchedule({ steps: 50, warmup: 10 }) },
];

const scheduleOf =
  (falls: readonly Fall[]) =>
  (step: number): number => {
    let begin = 0;
    for (const { steps, from, schedule } of falls) {
      if (step < begin + steps) return from * schedule(step - begin);
      begin += steps;
    }
    return 0;
  };

/** Muon for the matrices of the blocks, AdamW for the rest. Weight decay keeps the circuits small. */
const optimizer = (falls: readonly Fall[]): TrainerOptions => ({
  method: 'muon',
  lr: 3e-3,
  weightDecay: 0.1,
  beta2: 0.98,
  schedule: scheduleOf(falls),
});

/** How a shipped model is made. */
export interface Training {
  readonly init: InitOptions;
  readonly recipe: Recipe;
  readonly optimizer: TrainerOptions;
}

/** The shipped models, by name: folders of `weights/`. */
export const TRAININGS: Readonly<Record<string, Training>> = {
  tiny: { init: INIT, recipe: TINY, optimizer: optimizer(tinyFalls) },
  'tiny-llama': {
    init: { seed: 2, std: 0.05, embeddingStd: 0.1, attentionBiases: 'look-back' },
    recipe: TINY_LLAMA,
    optimizer: optimizer(llamaFalls),
  },
};
