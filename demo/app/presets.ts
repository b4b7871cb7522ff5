/** Worked examples: one of each published experiment, in words that the shipped model knows. */

import type { Experiment } from './state.js';

/** An example to choose. */
export interface Preset {
  readonly name: string;
  /** Which experiment it comes from. */
  readonly from: string;
  readonly experiment: Pick<Experiment, 'clean' | 'corrupted' | 'answer' | 'wrong' | 'subject'>;
}

export const presets: readonly Preset[] = [
  {
    name: 'Who gets the bag?',
    from: 'indirect objects, Wang et al. 2022',
    experiment: {
      clean: 'When John and Mary went to the shops, John gave the bag to',
      corrupted: 'When John and Mary went to the shops, Mary gave the bag to',
      answer: ' Mary',
      wrong: ' John',
      subject: 'John and Mary', // noise on one name alone takes nothing away
    },
  },
  {
    name: 'Where is the Space Needle?',
    from: 'causal tracing, pyvene',
    experiment: {
      clean: 'The Space Needle is in downtown',
      corrupted: 'The Lincoln Memorial Park is in downtown', // as many tokens, here and in GPT-2
      answer: ' Seattle',
      wrong: ' Washington',
      subject: 'The Space Needle',
    },
  },
  {
    name: 'Who does it know?',
    from: 'Who does GPT-2 know?, with ROME’s traces',
    experiment: {
      clean: 'The Eiffel Tower is located in the city of',
      corrupted: 'The Colosseum is located in the city of',
      answer: ' Paris',
      wrong: ' Rome',
      subject: 'The Eiffel Tower',
    },
  },
  {
    name: 'The capital of France',
    from: 'attribution patching demo',
    experiment: {
      clean: 'The capital of Canada is Ottawa while the capital of France is',
      corrupted: 'The capital of Canada is Ottawa while the capital of Spain is',
      answer: ' Paris',
      wrong: ' Madrid',
      subject: 'France',
    },
  },
  {
    name: 'Learning capital letters',
    from: 'capital-letters circuit',
    experiment: {
      clean: 'Mary is a really great friend.',
      corrupted: 'Mary is a really great friend;',
      answer: ' She',
      wrong: ' she',
      subject: 'Mary',
    },
  },
];
