/**
 * Is a circuit enough? Is it needed? The answer of Hanna, Pezzelle and Belinkov 2024: run the model with everything outside
 * the circuit corrupted, and see how much of the behaviour is left:
 *
 *     faithfulness = (metric of the circuit − of the corrupted run) / (of the clean run − of the corrupted run)
 *
 * The convention: edges of the circuit carry what their writers write in this very run (which begins with the clean
 * embeddings), all other edges carry the corrupted run's activations. It is exact: every reader's input is put together
 * edge by edge and all is recomputed (interp/circuits/edge-runs.ts), whatever estimate chose the edges. All edges give 1, none 0.
 * The complement keeps exactly the edges that the circuit lacks: near 0 where the circuit is needed. Values beyond 0 and 1
 * are no error: what was left out may have worked against the behaviour.
 */

import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { asMetric } from '../../hooks/run/function-metric.js';
import { mean } from '../../hooks/run/metric.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { EDGE_PAIR, type EdgePair, edgePair, promptsOf } from './edge-attribution.js';
import type { EdgeList } from './edge-list.js';
import { EdgeRuns } from './edge-runs.js';

/** Options of `circuitFaithfulness`. */
export interface FaithfulnessOptions extends EdgePair {
  /** The edges, best first or not: a circuit of n edges is `topEdges(n)`. */
  readonly edges: EdgeList;
  /** Numbers of edges. Default: 0, 1, 2, 4, 8, … and all of the list; or just the list itself: `[edges.length]`. */
  readonly sizes?: readonly number[];
  /** Rank by magnitude of the score (the default), or by the score itself. */
  readonly by?: 'magnitude' | 'score';
  /** Also run the edges that each circuit lacks. Default true. */
  readonly complement?: boolean;
  /** So many of the circuits are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

const FAITHFULNESS = options<FaithfulnessOptions>({
  ...EDGE_PAIR,
  edges: needed(is.having('an EdgeList', 'topEdges', 'indices', 'scores')),
  sizes: is.numbers,
  by: is.oneOf('magnitude', 'score'),
  complement: is.boolean,
  onProgress: is.callback,
});

const takes = signatures({
  circuitFaithfulness: { model: is.model, options: FAITHFULNESS },
});

/**
 * Faithfulness of circuits of growing size; of several prompts the metric's mean counts.
 * @returns axes kept (circuit, complement) × edges; `figure(result)` draws the curves. `meta.connected`: how many edges of each
 *   circuit are on a way from the embeddings to the logits (the others change nothing); `meta.clean`, `meta.corrupted`: the
 *   metric of the two runs
 * @throws when the edges are of another model, the prompts differ in length, or the metric is the same for both.
 */
export const circuitFaithfulness = takes.circuitFaithfulness(async function circuitFaithfulness(
  model: Model,
  options: FaithfulnessOptions,
): Promise<Labelled> {
  const { edges, by, complement = true, onProgress, signal } = options;
  const metric = asMetric(options.metric);
  checkModel(model, edges, 'circuitFaithfulness');
  const sizes = options.sizes ?? doubling(edges.length);
  const bad = sizes.find((n) => !Number.isInteger(n) || n < 0 || n > edges.length);
  if (bad !== undefined || !sizes.length)
    throw new Error(
      `circuitFaithfulness: sizes: ${bad}: numbers from 0 to the ${edges.length} edges are needed`,
    );
  const pair = edgePair(model, options);
  const runs = await EdgeRuns.start(model, pair, metric, signal);
  try {
    const [clean, corrupted] = [mean(runs.clean), mean(runs.corrupted)];
    const scale = faithfulnessOf(metric.name, clean, corrupted);
    const circuits = sizes.map((n) => edges.topEdges(n, { by }));
    const masks = circuits.map((c) => c.mask());
    if (complement) masks.push(...masks.map((mask) => mask.map((x) => 1 - x)));
    const values = await runs.values(masks, { signal, onDone: (done) => onProgress?.(done, masks.length) });
    const axes = [
      { name: 'kept', labels: complement ? ['circuit', 'complement'] : ['circuit'] },
      { name: 'edges', labels: sizes.map((n) => `${n} edges`) },
    ];
    const meta = provenance(model, {
      method: 'circuit faithfulness',
      metric: metric.name,
      clean,
      corrupted,
      sizes,
      connected: circuits.map((c) => c.connected().length),
      scores: edges.meta.variant ?? edges.meta.method,
      work: { ...runs.work },
      ...promptsOf(pair),
    });
    return labelled(
      Float32Array.from(values, (v) => scale(mean(v))),
      axes,
      meta,
    );
  } finally {
    runs.dispose();
  }
});

/** @throws unless the edges are those of a model of this shape. */
export function checkModel({ config }: Model, { shape }: EdgeList, what: string): void {
  for (const size of ['nLayers', 'nHeads', 'attnOnly'] as const)
    if (shape[size] !== config[size])
      throw new Error(
        `${what}: edges of another model: its ${size} is ${shape[size]}, this model's ${config[size]}`,
      );
}

/** From a metric to the fraction of the way from corrupted to clean. @throws when there is no way. */
function faithfulnessOf(name: string, clean: number, corrupted: number): (value: number) => number {
  if (Math.abs(clean - corrupted) < 1e-6)
    throw new Error(
      `the metric ${name} is ${clean.toFixed(4)} for both prompts: there is no difference for a circuit to keep`,
    );
  return (value) => (value - corrupted) / (clean - corrupted);
}

/** 0, 1, 2, 4, 8, … n. */
function doubling(n: number): number[] {
  const sizes = [0];
  for (let size = 1; size < n; size *= 2) sizes.push(size);
  return n ? [...sizes, n] : sizes;
}
