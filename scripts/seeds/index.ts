/** The shipped notebooks, each with what was published of it. */

import type { Config, Notebook } from '../../index.js';
import { notebook as attributionPatching } from './attribution-patching.js';
import { type AttributionComputed, compare as compareAttribution } from './attribution-patching-published.js';
import { notebook as capitalLetters } from './capital-letters.js';
import { type CapitalLettersComputed, compare as compareCapitals } from './capital-letters-published.js';
import type { Comparing } from './comparison.js';
import { notebook as ioi } from './ioi.js';
import { compare as compareIoi, type IoiComputed } from './ioi-published.js';
import { notebook as pyvene } from './pyvene.js';
import { compare as comparePyvene } from './pyvene-published.js';
import { notebook as rome } from './rome.js';
import { notebook as romeAverages } from './rome-averages.js';
import {
  type AveragesComputed,
  compareAverages,
  compare as compareRome,
  type RomeComputed,
} from './rome-published.js';

/** Shapes by which a model is taken for one of which numbers were published. */
const SHAPES = {
  gpt2: { nLayers: 12, nHeads: 12, dModel: 768, dVocab: 50257 },
  'gpt2-xl': { nLayers: 48, nHeads: 25, dModel: 1600, dVocab: 50257 },
} as const;

/** A notebook, and what is known of its numbers. */
export interface Seed {
  readonly notebook: Notebook;
  /** Models of which numbers were published, the usual one first. */
  readonly published: readonly (keyof typeof SHAPES)[];
  /** Compares what the notebook computed: what must hold for any model, and published numbers. */
  compare(x: Comparing, computed: unknown): void | Promise<void>;
}

/** The published model that a model is, by its shape; null: none of them. */
export const publishedModel = ({ published }: Seed, config: Config): string | null =>
  published.find((name) =>
    Object.entries(SHAPES[name]).every(([key, size]) => config[key as keyof Config] === size),
  ) ?? null;

/** The five notebooks, and ROME's averages, which go with the first. */
export const seeds: readonly Seed[] = [
  { notebook: rome, published: ['gpt2-xl'], compare: (x, got) => compareRome(x, got as RomeComputed) },
  {
    notebook: romeAverages,
    published: ['gpt2-xl'],
    compare: (x, got) => compareAverages(x, got as AveragesComputed),
  },
  {
    notebook: pyvene,
    published: ['gpt2-xl'],
    compare: (x, got) => comparePyvene(x, got as Parameters<typeof comparePyvene>[1]),
  },
  { notebook: ioi, published: ['gpt2'], compare: (x, got) => compareIoi(x, got as IoiComputed) },
  {
    notebook: capitalLetters,
    published: ['gpt2'],
    compare: (x, got) => compareCapitals(x, got as CapitalLettersComputed),
  },
  {
    notebook: attributionPatching,
    published: ['gpt2', 'gpt2-xl'],
    compare: (x, got) => compareAttribution(x, got as AttributionComputed),
  },
];
