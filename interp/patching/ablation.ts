/**
 * Ablation: what is lost when a component is missing? Each cell is a run in which one head, MLP, neuron or layer has its
 * activation replaced, at all positions or some. Zero is the crudest and takes the model far from anything it was trained
 * on; the mean over a dataset removes what the component says about this prompt and keeps the rest (Wang et al. 2022); the
 * activation of another prompt (resampling, Chan et al. 2022) keeps it on distribution altogether.
 */

import type { TextInput } from '../../engine/tokens/text.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import type { Selection } from '../../hooks/input/selection.js';
import type { Intervention, Source } from '../../hooks/interventions/interventions.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import type { SweepOptions } from '../../hooks/sweep/counterfactuals.js';
import type { Sweep } from '../../hooks/sweep/sweep.js';
import { SWEEP } from '../../hooks/sweep/sweep-options.js';
import { shownJson } from '../../weights/checks/messages.js';
import type { Labelled } from '../results/result.js';
import { cellsOf, type PartOf, type PatchAxis } from './cells.js';
import { readPair } from './pair.js';
import { type MapCell, type MapPlan, sweepMap } from './sweep.js';

/** What is ablated: outputs of heads (`z`), of whole attention layers, of MLPs, of both together, or single neurons. */
export type AblatedUnit = 'heads' | 'attention' | 'mlps' | 'layers' | 'neurons';

/** Options of `ablate`. */
export interface AblateOptions extends SweepOptions {
  readonly of: AblatedUnit;
  readonly metric: MetricLike;
  /** What takes the place of the activation. Default `'zero'`. */
  readonly with?: 'zero' | 'mean' | 'resample';
  /** For `'mean'`: prompts whose activations are averaged. */
  readonly dataset?: TextInput;
  /**
   * For `'mean'`: over the prompts, position by position (`'rows'`, the default: they must be of one length, no shorter
   * than the input), or over all their positions.
   */
  readonly over?: 'rows' | 'all';
  /** For `'resample'`: other prompts, as many as the input has, each as long as its own. */
  readonly from?: TextInput;
  /**
   * Axes of the result; what is not named is ablated as a whole. Default: layer × head for heads, layer × neuron for
   * neurons (neuron where `only` says one layer), else layer.
   */
  readonly by?: readonly PatchAxis[];
  /** Only these entries of an axis: `{ layer: 5 }`. */
  readonly only?: PartOf;
  /** Only at these positions: `only: { pos }`. */
  readonly pos?: Selection;
  /** Give the change from the intact run instead of the metric itself. Default false. */
  readonly relative?: boolean;
  /** Default true. */
  readonly prependBos?: boolean;
}

const ABLATE = options<AblateOptions>({
  ...SWEEP,
  of: needed(is.oneOf('heads', 'attention', 'mlps', 'layers', 'neurons')),
  metric: needed(is.metric),
  with: is.oneOf('zero', 'mean', 'resample'),
  dataset: is.prompts,
  over: is.oneOf('rows', 'all'),
  from: is.prompts,
  by: is.texts,
  only: is.plainObject,
  pos: is.selection,
  relative: is.boolean,
  prependBos: is.boolean,
});

const takes = signatures({
  ablate: { model: is.model, input: is.prompts, options: ABLATE },
});

/**
 * The metric when each unit is ablated, not normalised.
 * @returns axes `by`, and prompt where the metric is `per: 'prompt'`; a sweep: `for await` gives the cells as they are
 *   done. `meta.base` is the metric of the intact run.
 * @throws before anything runs, when prompts are missing or do not fit, or the model has no such units.
 * @example
 * await ablate(model, prompts, { of: 'heads', with: 'mean', dataset: others, metric: logitDiff(' Mary', ' John') })
 */
export const ablate = takes.ablate(function ablate(
  model: Model,
  input: TextInput,
  options: AblateOptions,
): Sweep<MapCell, Labelled> {
  return sweepMap(model, () => planOf(model, input, options), options);
});

const SITES: Readonly<Record<AblatedUnit, readonly string[]>> = {
  heads: ['z'],
  attention: ['attn_out'],
  mlps: ['mlp_out'],
  layers: ['attn_out', 'mlp_out'],
  neurons: ['mlp.hook_post'],
};

function planOf(model: Model, input: TextInput, options: AblateOptions): MapPlan {
  const { of, with: method = 'zero', over, relative, pos, prependBos } = options;
  if (!Object.hasOwn(SITES, of))
    throw new Error(`ablate: of ${shownJson(of)}: ${Object.keys(SITES).join(', ')} can be ablated`);
  const only = { ...options.only, ...(pos !== undefined && { pos }) };
  const by = options.by ?? usualAxes(of, only);
  const { tokens } = readInput(model, input, { prependBos });
  const { action, sources } = replacement(model, input, options);
  const sites = SITES[of].filter((at) => of !== 'layers' || at === 'attn_out' || !model.config.attnOnly);
  const maps = sites.map((at) => cellsOf(model, at, by, only, tokens, 'ablate'));
  const list = maps[0].parts.map((_, i) =>
    maps.map(({ parts }): Intervention => ({ ...parts[i], ...action })),
  );
  const meta = { method: 'ablation', of, with: method, ...(method === 'mean' && { over: over ?? 'rows' }) };
  const base = { input: tokens, sources, prependBos };
  const metric = asMetric(options.metric);
  return { base, list, axes: maps[0].axes, metric, one: null, relative, meta };
}

function usualAxes(of: AblatedUnit, only: PartOf): PatchAxis[] {
  if (of === 'heads') return ['layer', 'head'];
  if (of === 'neurons') return typeof only.layer === 'number' ? ['neuron'] : ['layer', 'neuron'];
  return ['layer'];
}

/** What happens to an ablated activation, and the run that it takes. @throws when prompts are missing, or not used. */
function replacement(
  model: Model,
  input: TextInput,
  { with: method = 'zero', dataset, over, from, prependBos }: AblateOptions,
): { action: Partial<Intervention>; sources?: Record<string, Source> } {
  const needs = { zero: null, mean: 'dataset', resample: 'from' } as const;
  if (!Object.hasOwn(needs, method))
    throw new Error(`ablate: with ${shownJson(method)}: 'zero', 'mean' or 'resample' is needed`);
  for (const [name, given] of Object.entries({ dataset, over, from })) {
    const used = name === 'over' ? method === 'mean' : needs[method] === name;
    if (given !== undefined && !used) throw new Error(`ablate: \`${name}\` has no meaning with '${method}'`);
    if (given === undefined && used && name !== 'over')
      throw new Error(`ablate with '${method}': \`${name}\` says which prompts' activations to take`);
  }
  if (method === 'zero') return { action: { zero: true } };
  if (method === 'mean')
    return { action: { mean: { mean: 'dataset', over } }, sources: { dataset: dataset! } };
  const pair = readPair(model, {
    changed: { name: 'input', input },
    from: { name: 'resampled', input: from! },
    prependBos,
  });
  return { action: { set: { from: 'resampled' } }, sources: { resampled: pair.from } };
}
