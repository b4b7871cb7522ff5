/**
 * Tiny random models of every family, whose numbers transformers has computed: test/fixtures/parts/make.py.
 */

import { readFileSync } from 'node:fs';
import { HookedTransformer, type LoadOptions } from '../index.js';
import { noise } from '../kernels/core/kernel.js';
import { noProcessing } from '../weights/processing/processing.js';

/** One model, and what it computes of its tokens. */
export interface FamilyReference {
  readonly name: string;
  readonly config: Record<string, unknown>;
  readonly seed: number;
  readonly tensors: readonly (readonly [name: string, shape: number[], scale: number, offset: number])[];
  readonly tokens: number[];
  readonly loss: number;
  readonly logits: number[];
  /** Residual streams before each block. */
  readonly states: number[][];
  readonly patterns: number[][];
  readonly gradients: number[][];
  /** Products of the parameters' gradients with noise, one a tensor. */
  readonly parameters: number[];
  readonly greedy: number[];
}

const file = new URL('./fixtures/parts/families.json', import.meta.url);
export const familyReferences = JSON.parse(readFileSync(file, 'utf8')) as FamilyReference[];

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Its weights, by their names in a checkpoint. */
export const familyWeights = ({ tensors, seed }: FamilyReference) =>
  Object.fromEntries(
    tensors.map(([name, shape, scale, offset], i) => {
      const data = noise(sizeOf(shape), seed + i, scale).map((x) => x + offset);
      return [name, { shape, data }];
    }),
  );

/** Noise in the place of its weights, with which `parameters` are products. */
export const familyDirection = ({ tensors }: FamilyReference) =>
  Object.fromEntries(
    tensors.map(([name, shape], i) => [name, { shape, data: noise(sizeOf(shape), 500 + i, 1) }]),
  );

/** The model of that name; unprocessed unless options say otherwise. */
export function familyModel(name: string, options: LoadOptions = noProcessing): Promise<HookedTransformer> {
  const r = familyReferences.find((r) => r.name === name);
  if (!r) throw new Error(`no model "${name}": ${familyReferences.map((r) => r.name).join(', ')}`);
  return HookedTransformer.fromWeights(r.config, familyWeights(r), options);
}
