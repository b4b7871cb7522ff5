/**
 * Activation patching (Vig et al. 2020; Meng et al. 2022; TransformerLens' patching.py).
 *
 * Two prompts of equal length differ in a detail that changes the answer. Run the corrupted one, but put one activation
 * of the clean run in its place: if the answer comes back, that activation carried the detail. The result is
 * normalised: 0 = the corrupted run, 1 = the clean run. Several pairs run as one batch; the metric is their mean.
 *
 * Every cell is exactly what a whole forward pass with that one activation replaced would give. It costs less: a patch
 * at layer l and position p leaves the corrupted run there, so it shares everything before with it.
 *
 * `patch` takes any hook point of the blocks by any axes. TransformerLens' functions are these:
 *
 *     get_act_patch_resid_pre, resid_mid, attn_out, mlp_out     patch({ at: 'resid_pre' … })
 *     get_act_patch_attn_head_out_all_pos (q, k, v, pattern)    patch({ at: 'z' …, by: ['layer', 'head'] })
 *     get_act_patch_attn_head_out_by_pos (q, k, v)              patch({ at: 'z' …, by: ['layer', 'pos', 'head'] })
 *     get_act_patch_attn_head_pattern_by_pos                    patch({ at: 'pattern', by: ['layer', 'head', 'query'] })
 *     get_act_patch_attn_head_pattern_dest_src_pos              … by: ['layer', 'head', 'query', 'key']
 *     get_act_patch_block_every, attn_head_all_pos_every, attn_head_by_pos_every
 *                                                               patchBlocks, patchHeads, patchHeadsByPos
 */

import type { TextInput } from '../../engine/tokens/text.js';
import { is, needed, options, type Spec, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import type { Spelled } from '../../hooks/input/names.js';
import type { Align } from '../../hooks/interventions/alignment.js';
import type { Counterfactual } from '../../hooks/interventions/interventions.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import type { SweepOptions } from '../../hooks/sweep/counterfactuals.js';
import type { Sweep } from '../../hooks/sweep/sweep.js';
import { SWEEP } from '../../hooks/sweep/sweep-options.js';
import type { Axis, Labelled } from '../results/result.js';
import { type Cells, cellsOf, type PartOf, type PatchAxis, usualAxes } from './cells.js';
import { alignmentOf, type Pair, readPair } from './pair.js';
import { forReaders, readersOf } from './shared-columns.js';
import { type MapCell, type MapPlan, sweepMap } from './sweep.js';

export type { PatchAxis } from './cells.js';

/** A hook point of the blocks, by its short name: `resid_pre`, `mlp_out`, `z`, `pattern`, `post`, `q_input` … */
export type PatchSite =
  | 'resid_pre'
  | 'resid_mid'
  | 'resid_post'
  | 'attn_out'
  | 'mlp_out'
  | 'z'
  | 'q'
  | 'k'
  | 'v'
  | 'pattern'
  | (string & {});

/** Two prompts, or as many of both, and what is measured. */
export interface PatchPair extends SweepOptions {
  /** The prompts whose activations are put in: text, texts, or tokens. */
  readonly clean: TextInput;
  /** The prompts that are run; as many, each with as many tokens, or with `align`. */
  readonly corrupted: TextInput;
  readonly metric: MetricLike;
  /** `false`: the metric's own numbers, not normalised. Default true. */
  readonly normalize?: boolean;
  /**
   * Which positions correspond, where the prompts differ in length: `'diff'` (the longest common subsequence of tokens, the
   * last position with the last), or pairs [clean, corrupted]. Positions without a partner are left out (`meta.unpaired`).
   */
  readonly align?: Align;
  /** Default true. */
  readonly prependBos?: boolean;
}

/** Options of `patch`. */
export interface PatchOptions extends PatchPair {
  /** Default `'resid_pre'`. */
  readonly at?: PatchSite;
  /**
   * Axes of the result; what is not named is patched as a whole. Default: layer × pos, or layer × head for what heads
   * have of their own.
   */
  readonly by?: readonly PatchAxis[];
  /** Only these entries of an axis: `{ layer: [0, 5], pos: { start: 4 } }`. */
  readonly only?: PartOf;
}

/** What `patch` gives: a map along the axes `by`, where they are given. */
type PatchMap<By> = Sweep<
  MapCell,
  Labelled<By extends readonly (infer Axis extends string)[] ? Axis : string>
>;

/** What `PatchPair` may be. */
export const PATCH_PAIR = {
  ...SWEEP,
  clean: needed(is.prompts),
  corrupted: needed(is.prompts),
  metric: needed(is.metric),
  normalize: is.boolean,
  align: is.align,
  prependBos: is.boolean,
} satisfies Spec<PatchPair>;
const MAP = { at: is.text, by: is.texts, only: is.plainObject };

const takes = signatures({
  patch: { model: is.model, options: options<PatchOptions>({ ...PATCH_PAIR, ...MAP }) },
  patchBlocks: { model: is.model, options: options<PatchPair>(PATCH_PAIR) },
  patchHeads: { model: is.model, options: options<PatchPair>(PATCH_PAIR) },
  patchHeadsByPos: { model: is.model, options: options<PatchPair>(PATCH_PAIR) },
});

/**
 * The metric when the clean run's activation is put into the corrupted run, normalised so that the corrupted run is 0
 * and the clean run 1.
 * @returns axes `by`, and prompt where the metric is `per: 'prompt'`; a sweep: `for await` gives the cells as they are
 *   done. `meta.unchanged`: positions up to which the prompts are the same, where a patch can change nothing (those
 *   cells are 0 and are not run).
 * @throws when the prompts differ in length without `align`, are the same, or the metric is the same for both.
 */
export const patch = takes.patch(function patch<
  const At extends PatchSite = 'resid_pre',
  const By extends readonly PatchAxis[] | undefined = undefined,
>(
  model: Model,
  options: PatchOptions & { readonly at?: At; readonly by?: By } & { readonly at?: Spelled<At> },
): PatchMap<By> {
  const { at = 'resid_pre', by, only = {} } = options as PatchOptions;
  return sweepMap(
    model,
    () => {
      const pair = pairOf(model, options);
      const axes = by ?? usualAxes(model, at, 'patch');
      const map = cellsOf(model, at, axes, only, pair.changed, 'patch', pair.from, pair.partners);
      return planOf(pair, options, map.axes, patched(map), at);
    },
    options,
  ) as unknown as PatchMap<By>;
});

/** Internal: patches just these parts of a hook point, laid out along the axes. */
export const patchCells = (
  model: Model,
  options: PatchPair,
  at: string,
  axes: readonly Axis[],
  parts: Cells['parts'],
): Sweep<MapCell, Labelled> =>
  sweepMap(model, () => planOf(pairOf(model, options), options, axes, patched({ parts }), at), options);

/** What `patchBlocks` patches. */
export const BLOCK_SITES: readonly string[] = ['resid_pre', 'attn_out', 'mlp_out'];

/** Those of a model: one of attention alone has no MLPs. */
const blockSites = ({ config }: Model): readonly string[] =>
  BLOCK_SITES.filter((at) => at !== 'mlp_out' || !config.attnOnly);

/** What `patchHeads` patches. */
export const HEAD_SITES: readonly string[] = ['z', 'q', 'k', 'v', 'pattern'];

/** TransformerLens' get_act_patch_block_every: resid_pre, attn_out and (where there are MLPs) mlp_out, [3, layer, pos]. */
export const patchBlocks = takes.patchBlocks(
  (model: Model, options: PatchPair): Sweep<MapCell, Labelled> =>
    every(model, options, blockSites(model), (): PatchAxis[] => ['layer', 'pos']),
);

/**
 * TransformerLens' get_act_patch_attn_head_all_pos_every: z, q, k, v and pattern at all positions, [5, layer, head]. Heads that share
 * a key or value have the same number for it.
 */
export const patchHeads = takes.patchHeads(
  (model: Model, options: PatchPair): Sweep<MapCell, Labelled> =>
    every(model, options, HEAD_SITES, (): PatchAxis[] => ['layer', 'head']),
);

/**
 * TransformerLens' get_act_patch_attn_head_by_pos_every: z, q, k, v and pattern (by query), [5, layer, pos, head].
 * @returns the position axis is called `pos` for all five
 */
export const patchHeadsByPos = takes.patchHeadsByPos(
  (model: Model, options: PatchPair): Sweep<MapCell, Labelled> =>
    every(model, options, HEAD_SITES, (at): PatchAxis[] =>
      at === 'pattern' ? ['layer', 'query', 'head'] : ['layer', 'pos', 'head'],
    ),
);

const pairOf = (model: Model, { clean, corrupted, prependBos, align }: PatchPair): Pair =>
  readPair(model, {
    from: { name: 'clean', input: clean },
    changed: { name: 'corrupted', input: corrupted },
    prependBos,
    align,
  });

const patched = ({ parts }: Pick<Cells, 'parts'>): Counterfactual[] =>
  parts.map((part) => [{ ...part, set: { from: 'clean' } }]);

function planOf(
  pair: Pair,
  { metric, normalize = true }: PatchPair,
  axes: readonly Axis[],
  list: readonly Counterfactual[],
  at: string | readonly string[],
): MapPlan {
  const { from: clean, changed: corrupted, unchanged } = pair;
  const { align, meta: aligned } = alignmentOf(pair);
  const about = { method: 'activation patching', at, unchanged, cleanTokens: clean[0], cleanPrompts: clean };
  const meta = { ...about, ...aligned };
  return {
    base: { input: corrupted, sources: { clean: align ? { input: clean, align } : clean } },
    list,
    axes,
    metric: asMetric(metric),
    one: 'clean',
    raw: !normalize,
    meta,
  };
}

function every(
  model: Model,
  options: PatchPair,
  sites: readonly string[],
  by: (at: string) => PatchAxis[],
): Sweep<MapCell, Labelled> {
  return sweepMap(
    model,
    () => {
      const pair = pairOf(model, options);
      const maps = sites.map((at) =>
        cellsOf(model, at, by(at), {}, pair.changed, 'patch', pair.from, pair.partners),
      );
      const axes = [{ name: 'site', labels: sites }, ...maps[0].axes];
      const cells = maps.flatMap((map, i) => forReaders(patched(map), readersOf(model, sites[i])));
      return planOf(pair, options, axes, cells, sites);
    },
    options,
  );
}
