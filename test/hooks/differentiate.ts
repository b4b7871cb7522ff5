/** What tests of gradients share: a random model, prompts, and runs whose gradients are read to the host. */

import { type ActivationCache, HookedTransformer, hookNames, logitDiff } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, randomGpt2, rng, threeLayers } from '../helpers.js';
import { givenBack } from '../memory.js';

/** Its configuration; three layers, layer norms with gain and bias. */
export const config = threeLayers;
/** A model with unprocessed weights; nobody disposes it. */
export const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 5), noProcessing);

const { tokens } = rng(21);
/** n random tokens. */
export const randomTokens = (n: number): number[] => tokens(n, config.dVocab);
/** Three prompts of seven tokens, and three that differ from them in the fourth and the last. */
export const rows = [7, 7, 7].map(randomTokens);
export const other = rows.map((row) =>
  row.map((t, p) => (p % 3 === 0 && p > 0 ? (t + 50) % config.dVocab : t)),
);
/** The answers of `metric`. */
export const [right, wrong] = [
  [3, 14, 15],
  [92, 65, 35],
];
export const metric = logitDiff(right, wrong);
/** All points that always exist, and the logits. */
export const everyName = [...hookNames(model.config, { onDemand: false }), 'logits'];

type Run = HookedTransformer['runWithGrads'];
/** Options of `runWithGrads`. */
export type GradOptions = NonNullable<Parameters<Run>[2]>;
/** Numbers by hook name. */
export type Numbers = Map<string, Float32Array>;

/** A run and its gradients, on the host; asserts that the GPU's memory is as it was before. */
export async function differentiate(
  input: number[][],
  what: Parameters<Run>[1],
  options: GradOptions = {},
  of: HookedTransformer = model,
): Promise<{ value: number; acts: Numbers; grads: Numbers }> {
  const { bytes } = of.gpu.memory();
  const { value, cache, grads } = await of.runWithGrads(input, what, options);
  const found = { value, acts: await toHost(cache), grads: await toHost(grads) };
  cache.dispose();
  grads.dispose();
  givenBack(of.gpu, bytes);
  return found;
}

async function toHost(cache: ActivationCache): Promise<Numbers> {
  const out: Numbers = new Map();
  for (const name of cache.names()) out.set(name, await cache.get(name).data());
  return out;
}

/** Euclidean. */
export const norm = (x: ArrayLike<number>): number =>
  Math.sqrt(Array.from(x).reduce((sum, v) => sum + v * v, 0));

export const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0);

export const minus = (a: Float32Array, b: Float32Array): Float32Array => a.map((x, i) => x - b[i]);

/** Asserts that both are the same within rounding: 1e-4 of the largest number. */
export function same(actual: Float32Array, expected: Float32Array, what: string): void {
  const largest = expected.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  allClose(actual, expected, { atol: 1e-4 * largest, rtol: 0, what });
}
