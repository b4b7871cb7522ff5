/** Facts that the shipped model was trained on, for the averages of the notebook on ROME. */

import type { Fact } from '../../index.js';
import { SIGHTS } from '../tiny/lists.js';
import { fill } from '../tiny/sentences.js';

/** `The Eiffel Tower is located in the city of` Paris, and so on. */
export const tinyFacts = (): Fact[] =>
  SIGHTS.map(([sight, attribute]) => {
    const subject = fill(sight, {});
    return { prompt: `The ${subject} is located in the city of`, subject, attribute };
  });
