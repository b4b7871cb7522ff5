/** How the shipped model is trained: its first weights, the batches, the optimiser. */

import type { InitOptions } from '../../hooks/init.js';
import { cosineSchedule } from '../../hooks/schedule.js';
import type { TrainerOptions } from '../../hooks/trainer.js';
import type { Recipe } from './batches.js';

/**
 * GPT-2 begins with a standard deviation of 0.02 at a width of 768; 0.05 keeps the same scale of activations at a width
 * of 128. The tokens' embedding begins twice as large, for it is also the unembedding: smaller rows cannot yet give one
 * token a clearly higher logit than the others.
 */
export const INIT: InitOptions = { seed: 1, std: 0.05, embeddingStd: 0.1, positions: 'sinusoidal' };

/** The batches, for a run of so many steps. */
export const recipeOf = (steps: number): Recipe => ({
  steps,
  tokens: 1024,
  repetitionSteps: 300,
  repetitionShare: 0.09,
  longest: 128,
  longestRepetition: 64,
  joinedShare: 0.03,
  cutShare: 0.1,
  byLot: { share: 0.3, weight: 0.5 },
  mixture: { kinds: [4, 6, 1.5, 1], passages: [7, 2, 1] },
});

/** Muon for the matrices of the blocks, AdamW for the rest. Weight decay keeps the circuits small. */
export const optimizerOf = (steps: number): TrainerOptions => ({
  method: 'muon',
  lr: 3e-3,
  weightDecay: 0.1,
  beta2: 0.98,
  schedule: cosineSchedule({ steps, warmup: 50 }),
});
