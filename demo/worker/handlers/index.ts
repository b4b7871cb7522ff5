/** All requests that the worker answers, by name. */

import { counterfactual } from './counterfactual.js';
import { load, release, status } from './model.js';
import { nextTokens } from './next-tokens.js';
import { patchMap, steer } from './patch-map.js';
import { readPrompts } from './prompts.js';

export const handlers = { load, release, status, readPrompts, nextTokens, patchMap, steer, counterfactual };

/** The requests with their types. */
export type Api = typeof handlers;
