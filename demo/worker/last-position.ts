/** What two runs have at their last position: the logit lens by layer, and where heads look. */

import type { ActivationCache } from '../../hooks/cache/cache.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import { guesses, largest, lastLogits } from './predictions.js';

/** The top token of the lens. */
export interface Reading {
  readonly text: string;
  readonly prob: number;
}

/** A head, and the position that it looks at the most, with its weight, in both runs. */
export interface Look {
  readonly layer: number;
  readonly head: number;
  /** Half the sum of the differences, 0–1. */
  readonly change: number;
  readonly before: readonly [pos: number, weight: number];
  readonly after: readonly [pos: number, weight: number];
}

/** By layer, of a cache with `resid_post` at the last position. */
export async function readings(model: HookedTransformer, cache: ActivationCache): Promise<Reading[]> {
  const found: Reading[] = [];
  for (let l = 0; l < model.config.nLayers; l++) {
    const logits = await lastLogits(await model.logitsOfResidual(cache.get('resid_post', l)));
    const [{ text, prob }] = guesses(model, logits, largest(logits, 1));
    found.push({ text, prob });
  }
  return found;
}

/** By layer the patterns [head, key] of the last position. */
export async function lastPatterns(
  model: HookedTransformer,
  cache: ActivationCache,
): Promise<Float32Array[]> {
  const layers = Array.from({ length: model.config.nLayers }, (_, l) => l);
  return Promise.all(layers.map((l) => cache.get('pattern', l).data()));
}

/** Heads of which at least this part of the attention is elsewhere are told. */
const LEAST = 0.05;
const MOST = 4;

/** The heads whose attention has changed the most. */
export function moved(
  before: readonly Float32Array[],
  after: readonly Float32Array[],
  nHeads: number,
): Look[] {
  const looks = before.flatMap((all, layer) => {
    const keys = all.length / nHeads;
    return Array.from({ length: nHeads }, (_, head): Look => {
      const [a, b] = [all, after[layer]].map((p) => p.subarray(head * keys, (head + 1) * keys));
      const change = a.reduce((sum, x, k) => sum + Math.abs(x - b[k]), 0) / 2;
      return { layer, head, change, before: most(a), after: most(b) };
    });
  });
  return looks
    .filter(({ change }) => change >= LEAST)
    .sort((a, b) => b.change - a.change)
    .slice(0, MOST);
}

function most(weights: Float32Array): [number, number] {
  const at = weights.reduce((best, w, k) => (w > weights[best] ? k : best), 0);
  return [at, weights[at]];
}
