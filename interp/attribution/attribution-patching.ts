/**
 * Attribution patching (Nanda 2023): activation patching at the price of two forward passes and one backward
 * pass.
 *
 * Patching asks what the metric would be with one activation a of the corrupted run replaced by the clean
 * run's. For a small change that is a product,
 *
 *     m(a_clean) − m(a_corrupted)  ≈  ∂m/∂a · (a_clean − a_corrupted),
 *
 * and one backward pass has the gradient at every activation at once. It is a linear approximation: exact
 * where nothing but sums and matrices lies between the activation and the metric, good for small changes (the
 * output of a head), and wrong where the change is large and passes layer norms or a softmax (the residual
 * stream, GPT-2's first MLP). How wrong is told by `compareWithPatching`.
 *
 * `attributionPatch` takes the options of `patch`, and gives the same axes and the same scale: 0 = the
 * corrupted run, 1 = the clean run, and a part that is not named as an axis is summed. TransformerLens' demo
 * is attribution-maps.ts.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import type { Spelled } from '../../hooks/input/names.js';
import { cellsOf, type PartOf, type PatchAxis, usualAxes } from '../patching/cells.js';
import { BLOCK_SITES, HEAD_SITES, type PatchSite } from '../patching/patching.js';
import { forReaders, readersOf } from '../patching/shared-columns.js';
import { type Labelled, labelled } from '../results/result.js';
import {
  ALIGNED_PAIR,
  type AlignedAttributionPair,
  type AttributionRuns,
  attributionPair,
  attributionRuns,
} from './attribution-runs.js';
import { siteMap, siteNames } from './attribution-sites.js';

export type { AlignedAttributionPair, AttributionPair } from './attribution-runs.js';

/** Options of `attributionPatch`. */
export interface AttributionPatchOptions extends AlignedAttributionPair {
  /** Default `'resid_pre'`. */
  readonly at?: PatchSite;
  /** Axes of the result; what is not named is summed. Default as in `patch`. */
  readonly by?: readonly PatchAxis[];
  /** Only these entries of an axis: `{ layer: [0, 5], pos: { start: 4 } }`. */
  readonly only?: PartOf;
}

/** Of a result: what it cost, and the forward passes that a loop of patches would take instead. */
export interface AttributionPasses {
  readonly forward: number;
  readonly backward: number;
  readonly replaced: number;
}

const ATTRIBUTION_PATCH = options<AttributionPatchOptions>({
  ...ALIGNED_PAIR,
  at: is.text,
  by: is.texts,
  only: is.plainObject,
});

const ALIGNED = options<AlignedAttributionPair>(ALIGNED_PAIR);

const takes = signatures({
  attributionPatch: { model: is.model, options: ATTRIBUTION_PATCH },
  attributeBlocks: { model: is.model, options: ALIGNED },
  attributeHeads: { model: is.model, options: ALIGNED },
  attributeHeadsByPos: { model: is.model, options: ALIGNED },
});

/**
 * What `patch` would give with the same options, to first order.
 * @returns axes `by`, and prompt where the metric is `per: 'prompt'`; `meta.passes` (`AttributionPasses`),
 * `meta.peakBytes` (GPU
 *   memory of the backward pass)
 * @throws as `patch` does, and when the metric has no gradient.
 */
export const attributionPatch = takes.attributionPatch(async function attributionPatch<
  const At extends PatchSite = 'resid_pre',
>(
  model: Model,
  options: AttributionPatchOptions & { readonly at?: At } & { readonly at?: Spelled<At> },
): Promise<Labelled> {
  const { at = 'resid_pre', only = {} } = options as AttributionPatchOptions;
  const by = options.by ?? usualAxes(model, at, METHOD);
  const { changed, from, partners } = attributionPair(model, options);
  cellsOf(model, at, by, only, changed, METHOD, from, partners); // throws before anything runs
  if (partners && at === 'attn_scores')
    throw new Error(`${METHOD}: attn_scores of prompts of unequal length: take "pattern"`);
  return using(model, options, siteNames(model.config, at, only), async (runs) => {
    const { axes, values } = await siteMap(runs, at, by, { only, what: METHOD });
    return labelled(values, axes, about(runs, { at }, values.length));
  });
});

/** `patchBlocks`, to first order: resid_pre, attn_out and mlp_out, [site, layer, pos]. */
export const attributeBlocks = takes.attributeBlocks(
  async (model: Model, options: AlignedAttributionPair): Promise<Labelled> =>
    alone(model, options, blockSites(model), blocksOf),
);

/** `patchHeads`, to first order: z, q, k, v and pattern at all positions, [site, layer, head]. */
export const attributeHeads = takes.attributeHeads(
  async (model: Model, options: AlignedAttributionPair): Promise<Labelled> =>
    alone(model, options, HEAD_SITES, headsOf),
);

/** `patchHeadsByPos`, to first order: z, q, k, v and pattern (by query), [site, layer, pos, head]. */
export const attributeHeadsByPos = takes.attributeHeadsByPos(
  async (model: Model, options: AlignedAttributionPair): Promise<Labelled> =>
    alone(model, options, HEAD_SITES, headsByPosOf),
);

/** `attributeBlocks` of runs that are there. */
export const blocksOf = (runs: AttributionRuns): Promise<Labelled> =>
  every(runs, blockSites(runs.model), () => ['layer', 'pos']);

/** `attributeHeads` of runs that are there. */
export const headsOf = (runs: AttributionRuns): Promise<Labelled> =>
  every(runs, HEAD_SITES, () => ['layer', 'head']);

/** `attributeHeadsByPos` of runs that are there. */
export const headsByPosOf = (runs: AttributionRuns): Promise<Labelled> =>
  every(runs, HEAD_SITES, (at) => (at === 'pattern' ? ['layer', 'query', 'head'] : ['layer', 'pos', 'head']));

// ---- inside
// ------------------------------------------------------------------------------------------------------

const METHOD = 'attributionPatch';

/** Runs, uses and frees. @param before as `attributionRuns` takes it */
export async function using<T>(
  model: Model,
  options: AlignedAttributionPair,
  names: readonly string[],
  use: (runs: AttributionRuns) => Promise<T>,
  before?: readonly string[],
): Promise<T> {
  const runs = await attributionRuns(model, options, [...new Set(names)], before);
  try {
    return await use(runs);
  } finally {
    runs.dispose();
  }
}

/** `meta` of attribution patching. @param cells how many patches it stands for */
export function about(
  runs: AttributionRuns,
  more: Record<string, unknown>,
  cells: number,
): Record<string, unknown> {
  const prompts = runs.metric.per === 'prompt' ? runs.pair.changed.length : 1;
  const passes: AttributionPasses = { forward: 2, backward: 1, replaced: cells / prompts };
  return runs.meta('attribution patching', { ...more, passes });
}

const blockSites = ({ config }: Model): readonly string[] =>
  BLOCK_SITES.filter((at) => !config.attnOnly || at !== 'mlp_out');

const alone = (
  model: Model,
  options: AlignedAttributionPair,
  sites: readonly string[],
  make: (runs: AttributionRuns) => Promise<Labelled>,
): Promise<Labelled> =>
  using(
    model,
    options,
    sites.flatMap((at) => siteNames(model.config, at)),
    make,
  );

async function every(
  runs: AttributionRuns,
  sites: readonly string[],
  by: (at: string) => PatchAxis[],
): Promise<Labelled> {
  const maps = [];
  for (const at of sites) maps.push(await siteMap(runs, at, by(at), { what: METHOD }));
  const prompts = runs.metric.per === 'prompt' ? runs.pair.changed.length : 1;
  const values = Float32Array.from(
    maps.flatMap((m, i) => forReaders(m.values, readersOf(runs.model, sites[i]), prompts)),
  );
  const axes = [{ name: 'site', labels: [...sites] }, ...maps[0].axes];
  return labelled(values, axes, about(runs, { at: sites }, values.length));
}
