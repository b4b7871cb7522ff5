/** Which of the two runs is read: one choice for all views that read one. */

import type { App } from '../app/app.js';
import type { Asked, Reading, State } from '../app/state.js';
import { segmented } from './dom.js';

/** The switch. */
export function readingSwitch({ store }: App): HTMLElement {
  const { element, show } = segmented<Reading>(
    'Which run is read',
    [
      ['clean', 'Clean', 'The run on the clean prompt'],
      ['corrupted', 'Corrupted', 'The run on the corrupted prompt'],
    ],
    (reading) => store.set({ reading }),
  );
  store.watch(readingOf, show);
  store.watch(
    (s) => s.experiment.corrupted === '',
    (alone) => {
      element.hidden = alone;
    },
  );
  return element;
}

/** The run that is read: without a corrupted prompt there is one only. */
export const readingOf = ({ experiment, reading }: Pick<State, 'experiment' | 'reading'>): Reading =>
  experiment.corrupted === '' ? 'clean' : reading;

/** The tokens that are read. */
export const readIds = (of: Asked): readonly number[] => of.prompts![readingOf(of)].ids;

/** The prompt that is read, as it was typed. */
export const readText = (of: Asked): string => of.experiment[readingOf(of)];
