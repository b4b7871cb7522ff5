/**
 * Integrated gradients (Sundararajan, Taly and Yan 2017): which part of an activation does the change of the metric come from?
 * A gradient at one end of the way may say little about the whole of it (the metric may be flat there). So its mean along the
 * straight line from a baseline to the activation is taken:
 *
 *     attribution = (activation − baseline) · mean over a of ∂m/∂activation at baseline + a · (activation − baseline)
 *
 * at the midpoints a of `steps` equal parts. Completeness: all attributions add up to the metric's difference between the two
 * ends, up to the error of that sum, which `meta.completeness` tells: if it is not small, take more steps.
 *
 * By default the activation is the residual stream before the first block, the embeddings of the clean prompts, and
 * the baseline that of the corrupted prompts. Anything else that is computed on the way is as in that run.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { TextInput } from '../../engine/tokens/text.js';
import { runWithResidual } from '../../hooks/cache/cached-run.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { pointIn } from '../../hooks/input/names.js';
import { indexOf } from '../../hooks/input/selection.js';
import { tapedRun } from '../../hooks/metrics/taped-run.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import { type Metric, mean } from '../../hooks/run/metric.js';
import { midpoints } from '../circuits/edge-attribution.js';
import { readPair } from '../patching/pair.js';
import type { PatchSite } from '../patching/patching.js';
import { positionLabels, provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { sumOfProducts } from './products.js';

/** Options of `integratedGradients`. */
export interface IntegratedGradientsOptions {
  /** The prompts whose activation is explained: of one length. */
  readonly clean: TextInput;
  /** The prompts whose activation is the baseline; as many, each with as many tokens. They are the ones that are run. */
  readonly corrupted?: TextInput;
  /** Instead: zeros, or one vector for all positions (and heads); the clean prompts are run. */
  readonly baseline?: 'zero' | ArrayLike<number>;
  readonly metric: MetricLike;
  /** Default `'resid_pre'`. */
  readonly at?: PatchSite;
  /** Default 0; negative ones count from the end. */
  readonly layer?: number;
  /** Backward passes. Default 20. */
  readonly steps?: number;
  /** Default true. */
  readonly prependBos?: boolean;
  /** So many of the steps are done. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const INTEGRATED = options<IntegratedGradientsOptions>({
  clean: needed(is.prompts),
  corrupted: is.prompts,
  baseline: is.either(is.oneOf('zero'), is.numbers),
  metric: needed(is.metric),
  at: is.text,
  layer: is.integer,
  steps: is.count,
  prependBos: is.boolean,
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  integratedGradients: { model: is.model, options: INTEGRATED },
});

/**
 * Attributions as shares of the difference: they add up to 1 (of a metric that is the mean over prompts, all prompts together;
 * with `per: 'prompt'`, each).
 * @returns axes prompt × pos, and head where the activation has one; of a pattern prompt × head × query × key.
 *   `meta.difference`: the metric at the activation less that at the baseline; `meta.completeness`: what the attributions add up to, less
 *   1; `meta.passes`
 * @throws when there is not exactly one of `corrupted` and `baseline`, prompts do not fit, or the metric is the same at both ends.
 */
export const integratedGradients = takes.integratedGradients(async function integratedGradients(
  model: Model,
  options: IntegratedGradientsOptions,
): Promise<Labelled> {
  const { at = 'resid_pre', layer = 0, steps = 20, onProgress, signal } = options;
  const metric = asMetric(options.metric);
  const points = midpoints(steps, 'integratedGradients');
  const { name, pattern, heads } = pointIn(at, indexOf(layer, model.config.nLayers, 'layer'), model.points);
  const { tokens, runs } = promptsOf(model, options);
  const [first] = runs;
  signal?.throwIfAborted();
  const path = await pathOf(model, name, tokens, runs, options.baseline);
  try {
    const along = <T>(a: number, use: Parameters<typeof tapedRun<T>>[4]) => {
      const hook = (x: Tensor) => path.start.alias(x.scope).add(path.change.alias(x.scope).mul(a));
      const sources = { clean: tokens, ...(options.corrupted !== undefined && { corrupted: runs }) };
      return tapedRun(model, runs, metric, { names: name, hooks: [[name, hook]], sources }, use);
    };
    const valuesAt = (a: number) =>
      along(a, async ({ prompts, cache }) => {
        cache.dispose();
        return [...prompts];
      });
    const [low, high] = [await valuesAt(0), await valuesAt(1)];
    const gaps = gapsOf(metric, low, high);
    const keep = pattern ? [0, 1, 2, 3] : heads ? [0, 1, 2] : [0, 1];
    let sums: Float64Array | null = null;
    for (const [i, a] of points.entries()) {
      signal?.throwIfAborted();
      const part = await along(a, async ({ cache, backward }) => {
        const grads = await backward().finally(() => cache.dispose());
        try {
          const sum = sumOfProducts(grads.get(name), path.change, keep);
          const data = await sum.data();
          sum.dispose();
          return data;
        } finally {
          grads.dispose();
        }
      });
      sums ??= new Float64Array(part.length);
      for (let j = 0; j < part.length; j++) sums[j] += part[j] / steps;
      onProgress?.(i + 1, steps);
    }
    const each = sums!.length / runs.length;
    const values = Float32Array.from(sums!, (x, i) => x / gaps[Math.floor(i / each)]);
    const total = values.reduce((a, b) => a + b, 0);
    const labels = positionLabels(model, options.baseline === undefined ? first : tokens[0]);
    const list = (n: number, label: string) => Array.from({ length: n }, (_, i) => label + i);
    const axes = [
      { name: 'prompt', labels: list(runs.length, '') },
      ...(pattern ? ['head', 'query', 'key'] : heads ? ['pos', 'head'] : ['pos']).map((axis) => ({
        name: axis,
        labels: axis === 'head' ? list(model.config.nHeads, 'H') : labels,
      })),
    ];
    const meta = provenance(model, {
      method: 'integrated gradients',
      metric: metric.name,
      at: name,
      baseline: options.corrupted !== undefined ? 'corrupted' : (options.baseline ?? null),
      steps,
      difference: mean(high) - mean(low),
      completeness: total / (metric.per === 'prompt' ? runs.length : 1) - 1,
      passes: { forward: 4 + steps, backward: steps },
      prompts: runs,
      tokens: first,
      cleanPrompts: tokens,
    });
    return labelled(values, axes, meta);
  } finally {
    path.start.dispose();
    path.change.dispose();
  }
});

/** The clean prompts, and those that are run. @throws when they do not fit. */
function promptsOf(
  model: Model,
  { clean, corrupted, baseline, prependBos }: IntegratedGradientsOptions,
): { tokens: number[][]; runs: number[][] } {
  const what = 'integratedGradients';
  if ((corrupted === undefined) === (baseline === undefined))
    throw new Error(`${what}: exactly one of \`corrupted\` and \`baseline\` is needed`);
  let tokens = readInput(model, clean, { prependBos }).tokens;
  let runs = tokens;
  if (corrupted !== undefined) {
    const pair = readPair(model, {
      from: { name: 'clean', input: clean },
      changed: { name: 'corrupted', input: corrupted },
      prependBos,
    });
    [tokens, runs] = [pair.from, pair.changed];
  }
  if (tokens.some((row) => row.length !== tokens[0].length))
    throw new Error(
      `${what}: prompts of different lengths have no common positions: take prompts of one length`,
    );
  return { tokens: tokens as number[][], runs: runs as number[][] };
}

/** Where the way begins, and how far it goes. The caller disposes of both. */
async function pathOf(
  model: Model,
  name: string,
  tokens: number[][],
  runs: number[][],
  baseline: IntegratedGradientsOptions['baseline'],
): Promise<{ start: Tensor; change: Tensor }> {
  const of = async (prompts: number[][]) => {
    const { cache } = await runWithResidual(model, prompts, { names: name });
    const t = cache.get(name).alias();
    cache.dispose();
    return t;
  };
  const end = await of(tokens);
  let start: Tensor;
  if (baseline === undefined) start = await of(runs);
  else {
    const width = end.shape.at(-1)!;
    if (baseline !== 'zero' && baseline.length !== width)
      throw new Error(
        `integratedGradients: a baseline of ${baseline.length} numbers for ${name}: ${width} are needed`,
      );
    const numbers = baseline === 'zero' ? new Float32Array(width) : Float32Array.from(baseline);
    const vector = model.tensor(numbers);
    const zero = end.mul(0);
    start = zero.add(vector);
    zero.dispose();
    vector.dispose();
  }
  const change = end.sub(start);
  end.dispose();
  return { start, change };
}

/** By what a prompt's attributions are divided. @throws when there is nothing to divide by. */
function gapsOf({ name, per }: Metric, low: readonly number[], high: readonly number[]): number[] {
  const all = mean(high) - mean(low);
  const gaps = high.map((v, i) => (per === 'prompt' ? v - low[i] : all));
  if (gaps.some((gap) => Math.abs(gap) < 1e-6))
    throw new Error(
      `the metric ${name} is ${mean(high).toFixed(4)} at both ends: there is no difference to explain`,
    );
  return gaps;
}
