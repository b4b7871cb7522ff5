/** All requests that the worker answers, by name. */

import { attention } from './attention.js';
import { attribution } from './attribution.js';
import { counterfactual } from './counterfactual.js';
import { lens } from './lens.js';
import { load, release, status } from './model.js';
import { nextTokens } from './next-tokens.js';
import { patchMap, steer } from './patch-map.js';
import { readPrompts } from './prompts.js';
import { trace } from './trace.js';
import { compareModels, consider, scoreText, write } from './writing.js';

export const handlers = {
  ...{ load, release, status, readPrompts, nextTokens, patchMap, steer, counterfactual },
  ...{ lens, attention, attribution, trace },
  ...{ consider, write, scoreText, compareModels },
};

/** The requests with their types. */
export type Api = typeof handlers;
