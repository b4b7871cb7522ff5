/**
 * The runs that attribution rests on: the clean and the corrupted prompts forward, one of them back again. All
 * activations and gradients stay on the GPU; what is read of them are sums of products (interp/attribution/products.ts).
 */

import { Scope } from '../../engine/gpu/storage.js';
import type { Constant } from '../../engine/tensor/tape.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { TextInput } from '../../engine/tokens/text.js';
import type { ActivationCache } from '../../hooks/cache/cache.js';
import { is, needed, options, type Spec } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import type { Align } from '../../hooks/interventions/alignment.js';
import { measuredRun } from '../../hooks/metrics/measured-run.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import { type Metric, mean } from '../../hooks/run/metric.js';
import { runWithGrads } from '../../hooks/transformer/gradients.js';
import { shownJson } from '../../weights/checks/messages.js';
import { alignmentOf, type Pair, readPair } from '../patching/pair.js';
import { endsProblem, warningsIn } from '../results/ends.js';
import { provenance } from '../results/provenance.js';
import { differenceOf, sumOfProducts } from './products.js';

/** Two prompts, or as many of both, what is measured, and how gradients are taken. */
export interface AttributionPair {
  /** The prompts whose activations would be put in: text, texts, or tokens. */
  readonly clean: TextInput;
  /** The prompts that would be patched; as many, each with as many tokens. */
  readonly corrupted: TextInput;
  /** Must have a gradient: `rank` has none. */
  readonly metric: MetricLike;
  /** `false`: in units of the metric, not normalised. Default true. */
  readonly normalize?: boolean;
  /** Default true. */
  readonly prependBos?: boolean;
  /** What counts as a constant on the way back: attention patterns, scales of layer norms, gates of the MLP. */
  readonly constant?: readonly Constant[];
  /**
   * The run whose gradients are taken. `'corrupted'`, the default, is the line through the run that is patched; `'clean'`
   * is the one through the run that values come from.
   */
  readonly gradientsOf?: 'corrupted' | 'clean';
  /** So many of the passes (two forward, one backward with its forward) are done. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A pair of prompts that may differ in length. */
export interface AlignedAttributionPair extends AttributionPair {
  /** Which positions [clean, corrupted] correspond, where the prompts differ in length; as in `patch`. */
  readonly align?: Align;
}

/** What it may be. */
export const ATTRIBUTION_PAIR = {
  clean: needed(is.prompts),
  corrupted: needed(is.prompts),
  metric: needed(is.metric),
  normalize: is.boolean,
  prependBos: is.boolean,
  constant: is.constants,
  gradientsOf: is.oneOf('corrupted', 'clean'),
  onProgress: is.callback,
  signal: is.signal,
} satisfies Spec<AttributionPair>;
/** What takes nothing else. */
export const ATTRIBUTION = options<AttributionPair>(ATTRIBUTION_PAIR);
/** What takes prompts of unequal length besides. */
export const ALIGNED_PAIR = { ...ATTRIBUTION_PAIR, align: is.align } satisfies Spec<AlignedAttributionPair>;

/** Both runs and the gradients of one. Dispose of them. */
export class AttributionRuns {
  readonly model: Model;
  readonly pair: Pair;
  readonly metric: Metric;
  /** Activations of both runs. */
  readonly clean: ActivationCache;
  readonly corrupted: ActivationCache;
  /** Gradients of the metric (of its mean over the prompts; with `per: 'prompt'` of each prompt's own), not normalised. */
  readonly grads: ActivationCache;
  /** The metric of each prompt. */
  readonly values: { readonly clean: readonly number[]; readonly corrupted: readonly number[] };
  readonly #about: Record<string, unknown>;

  /** Made by `attributionRuns`. */
  constructor(
    o: Pick<AttributionRuns, 'model' | 'pair' | 'metric' | 'clean' | 'corrupted' | 'grads' | 'values'>,
    about: Record<string, unknown>,
  ) {
    this.model = o.model;
    this.pair = o.pair;
    this.metric = o.metric;
    this.clean = o.clean;
    this.corrupted = o.corrupted;
    this.grads = o.grads;
    this.values = o.values;
    this.#about = about;
  }

  /** Activations of the run whose gradients were taken. */
  get differentiated(): ActivationCache {
    return this.#about.gradientsOf === 'clean' ? this.clean : this.corrupted;
  }

  /** By what a prompt's attributions are divided, so that the corrupted run is 0 and the clean run 1. */
  gap(prompt: number): number {
    const { clean, corrupted } = this.values;
    if (this.#about.normalize === false) return 1;
    return this.metric.per === 'prompt' ? clean[prompt] - corrupted[prompt] : mean(clean) - mean(corrupted);
  }

  /** Clean less corrupted activation of a hook point; the caller owns it. */
  difference(name: string): Tensor {
    return differenceOf(this.model.points.get(name)!, this.clean.get(name), this.corrupted.get(name));
  }

  /**
   * Σ gradient · (clean − corrupted) at a hook point, over the axes that are not kept; not normalised. The caller owns it.
   * @param keep axes of the activation, [batch, pos, …] or [batch, head, query, key], ascending
   * @param row of ragged prompts, which have to be taken one by one: [1, pos, …]
   */
  sums(name: string, keep: readonly number[], row: number | null = null): Tensor {
    if (this.pair.partners) return this.#alignedSums(name, keep, row!, this.pair.partners[row!]);
    const all = [this.grads, this.clean, this.corrupted];
    const [grads, clean, corrupted] = row === null ? all : all.map((cache) => cache.row(row));
    const change = differenceOf(this.model.points.get(name)!, clean.get(name), corrupted.get(name));
    try {
      return sumOfProducts(grads.get(name), change, keep);
    } finally {
      change.dispose();
      if (row !== null) for (const cache of [grads, clean, corrupted]) cache.dispose();
    }
  }

  /** `sums` over the positions of a prompt that have a partner: the axes of positions have these alone. */
  #alignedSums(name: string, keep: readonly number[], row: number, partners: readonly number[]): Tensor {
    const to = partners.flatMap((f, p) => (f >= 0 ? [p] : []));
    const from = to.map((p) => partners[p]);
    const rows = [this.grads, this.clean, this.corrupted].map((cache) => cache.row(row));
    const { pattern } = this.model.points.get(name)!;
    const scope = new Scope();
    try {
      const part = (cache: ActivationCache, list: readonly number[]) =>
        cache
          .get(name)
          .detach(scope)
          .take(pattern ? { query: list, key: list } : { pos: list });
      const change = part(rows[1], from).sub(part(rows[2], to));
      return sumOfProducts(part(rows[0], to), change, keep);
    } finally {
      scope.close();
      for (const cache of rows) cache.dispose();
    }
  }

  /** `meta` of a result that is made of these runs. */
  meta(method: string, more: Record<string, unknown> = {}): Record<string, unknown> {
    const { pair, metric, values } = this;
    const summary = (v: readonly number[]) => (metric.per === 'prompt' ? [...v] : mean(v));
    return provenance(this.model, {
      method,
      metric: metric.name,
      ...(metric.unit && { unit: metric.unit }),
      prompts: pair.changed,
      tokens: pair.changed[0],
      unchanged: pair.unchanged,
      cleanTokens: pair.from[0],
      cleanPrompts: pair.from,
      ...alignmentOf(pair).meta,
      ...this.#about,
      clean: summary(values.clean),
      corrupted: summary(values.corrupted),
      ...warningsIn(
        ...(metric.per === 'prompt'
          ? []
          : [
              endsProblem({
                ...{ zero: mean(values.corrupted), one: mean(values.clean) },
                ...{ unit: metric.unit ?? null, metric: metric.name },
              }),
            ]),
      ),
      ...more,
    });
  }

  /** Gives all memory back. */
  dispose(): void {
    for (const cache of [this.clean, this.corrupted, this.grads]) cache.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Runs both prompts, and one of them back: all that attributions at `names` need.
 * @param names full names of hook points
 * @param before those of them whose gradient is wanted as it is before edits of the model
 * @throws when the prompts do not go together, the metric has no gradient, or is the same for both.
 */
export async function attributionRuns(
  model: Model,
  options: AlignedAttributionPair,
  names: readonly string[],
  before?: readonly string[],
): Promise<AttributionRuns> {
  const { constant = [], gradientsOf = 'corrupted', normalize = true, onProgress, signal } = options;
  const metric = asMetric(options.metric);
  if (gradientsOf !== 'corrupted' && gradientsOf !== 'clean')
    throw new Error(`gradientsOf ${shownJson(gradientsOf)}: 'corrupted' or 'clean' is needed`);
  const pair = attributionPair(model, options);
  const tokens = { clean: pair.from, corrupted: pair.changed };
  const sources = tokens as unknown as Record<string, number[][]>;
  const other = gradientsOf === 'corrupted' ? 'clean' : 'corrupted';
  signal?.throwIfAborted();
  const second = await measuredRun(model, tokens[other], comparing(metric), names, sources);
  try {
    onProgress?.(1, 2);
    signal?.throwIfAborted();
    const first = await runWithGrads(model, sources[gradientsOf], comparing(metric, gradientsOf), {
      names,
      constant,
      sources,
      before,
    });
    onProgress?.(2, 2);
    const values = { [gradientsOf]: [...first.prompts], [other]: [...second.prompts] };
    const caches = { [gradientsOf]: first.cache, [other]: second.cache, grads: first.grads };
    const about = {
      gradientsOf,
      ...(!normalize && { normalize }),
      ...(constant.length && { constant }),
      peakBytes: first.memory.peak,
    };
    const parts = { model, pair, metric, values, ...caches };
    const runs = new AttributionRuns(parts as unknown as AttributionRuns, about);
    try {
      if (normalize) checkGap(runs);
    } catch (e) {
      first.cache.dispose();
      first.grads.dispose();
      throw e;
    }
    return runs;
  } catch (e) {
    second.cache?.dispose();
    throw e;
  }
}

/** The tokens of both prompts. @throws when they do not go together. */
export const attributionPair = (
  model: Model,
  {
    clean,
    corrupted,
    prependBos,
    align,
  }: Pick<AlignedAttributionPair, 'clean' | 'corrupted' | 'prependBos' | 'align'>,
): Pair =>
  readPair(model, {
    from: { name: 'clean', input: clean },
    changed: { name: 'corrupted', input: corrupted },
    prependBos,
    align,
  });

/** @throws when there is nothing to divide by. */
function checkGap({ metric, values: { clean, corrupted }, pair }: AttributionRuns): void {
  const same = (a: number, b: number) => {
    if (Math.abs(b - a) < 1e-6)
      throw new Error(
        `the metric ${metric.name} is ${b.toFixed(4)} for both prompts: there is no difference to restore`,
      );
  };
  if (metric.per === 'batch') same(mean(corrupted), mean(clean));
  else for (const i of pair.from.keys()) same(corrupted[i], clean[i]);
}

/**
 * A metric whose `'base'` is the corrupted run, whichever run it is evaluated on.
 * @param self the run that is differentiated
 * @throws when that is the run it compares with: a divergence from itself is least there, and has no slope.
 */
function comparing(metric: Metric, self: 'clean' | 'corrupted' | null = null): Metric {
  return {
    ...metric,
    prepare: (context) =>
      metric.prepare({
        ...context,
        final: (name) => {
          const run = name === 'base' ? 'corrupted' : name;
          if (run === self)
            throw new Error(
              `metric ${metric.name} compares with the ${run} run, where it is least and has no slope: take gradientsOf '${run === 'clean' ? 'corrupted' : 'clean'}', or compare with the other run`,
            );
          return context.final(run);
        },
      }),
  };
}
