/** Which of the two runs is read: one choice for all views that read one. */

import type { App } from '../app/app.js';
import type { Asked, Reading } from '../app/state.js';
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
  store.watch((s) => s.reading, show);
  return element;
}

/** The tokens that are read. */
export const readIds = ({ prompts, reading }: Asked): readonly number[] => prompts![reading].ids;

/** The prompt that is read, as it was typed. */
export const readText = ({ experiment, reading }: Asked): string => experiment[reading];
