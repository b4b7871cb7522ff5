/**
 * A planned sweep gives what a loop of whole forward passes gives, for every kind of block: shared keys and
 * values, windows, parallel blocks with one norm and with two, norms behind, norms of queries and keys.
 * `GLASSBOX_FUZZ` draws more.
 */

import { test } from 'uvu';
import { familyModel } from '../families.js';
import { rng } from '../helpers.js';
import { CELLS, checkPlanned } from './planned.js';

const rounds = Math.ceil(Number(process.env.GLASSBOX_FUZZ ?? 1));
const kinds = ['llama', 'mistral', 'gpt_neox', 'gptj', 'gemma2', 'olmo2'];

for (const [i, name] of kinds.entries())
  for (let round = 0; round < rounds; round++)
    test(`${name}: ${CELLS} random counterfactuals of a random base run, number ${round + 1}`, async () => {
      using model = await familyModel(name);
      const seed = 100 * (i + 1) + round;
      await checkPlanned(rng(seed), model, seed, 2e-5);
    });

test.run();
