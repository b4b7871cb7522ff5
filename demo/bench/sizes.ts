/** Models of random weights that are measured: one that everybody knows, and one that a phone holds. */

import { type Size, SMALL } from '../../scripts/bench/model.js';

/** A size and what it takes. */
export interface BenchSize {
  readonly size: Size;
  readonly about: string;
}

export const SIZES: Readonly<Record<string, BenchSize>> = {
  small: { size: SMALL, about: 'GPT-2 small: 0.5 GB, twice, in the page and on the GPU' },
  slim: {
    size: { ...SMALL, name: 'a slim GPT-2', nLayers: 6, dModel: 384, nHeads: 6, dMlp: 1536 },
    about: '6 layers of half the width: 0.1 GB, twice',
  },
};
