/**
 * Counterfactuals: "what if this one activation had been different?", asked hundreds of times and answered in about
 * one forward pass, exactly as a loop of whole runs would.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { describeIntervention } from '../../hooks/interventions/describe.js';
import type { Base, Counterfactual } from '../../hooks/interventions/interventions.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import {
  type PlannedSweep,
  type SweepCell,
  type SweepOptions,
  sweepCells,
} from '../../hooks/sweep/counterfactuals.js';
import { type Sweep, startSweep } from '../../hooks/sweep/sweep.js';
import { SWEEP } from '../../hooks/sweep/sweep-options.js';
import type { Labelled } from '../results/result.js';
import { laidOut, layoutOf } from './sweep.js';

const takes = signatures({
  counterfactuals: {
    model: is.model,
    base: is.base,
    list: is.counterfactuals,
    metric: is.metric,
    options: options<SweepOptions>(SWEEP),
  },
});

/**
 * The metric of each counterfactual.
 *
 * Each prompt of each counterfactual joins one shared batch at the layer and position where it starts to differ from
 * the base run; earlier layers and positions are the base's. Only what the metric reads is unembedded.
 *
 * @param base text, tokens, or `{ input, sources, interventions }`
 * @param list each entry a list of interventions
 * @returns `await`: axis counterfactual (× prompt where the metric is `per: 'prompt'`); `meta.base` and
 *   `meta.sources` hold the metric of the runs themselves, `meta.unchanged` the counterfactuals that cannot change it,
 *   `meta.work` what was computed. `for await`: cells as they are done.
 * @throws before anything runs, when an intervention, a source or the metric does not fit the model and the prompts.
 * @example
 * await counterfactuals(model, { input: corrupted, sources: { clean } },
 *   [[{ at: 'blocks.3.attn.hook_z', head: 5, pos: 10, set: { from: 'clean' } }]], logitDiff(' Mary', ' John'))
 */
export const counterfactuals = takes.counterfactuals(function counterfactuals(
  model: Model,
  base: Base,
  list: readonly Counterfactual[],
  metric: MetricLike,
  options: SweepOptions = {},
): Sweep<SweepCell, Labelled> {
  return startSweep(cells(model, base, list, metric, options));
});

async function* cells(
  model: Model,
  base: Base,
  list: readonly Counterfactual[],
  given: MetricLike,
  options: SweepOptions,
): AsyncGenerator<SweepCell, Labelled> {
  const metric = asMetric(given);
  const layout = (plan: PlannedSweep) => {
    const axes = [{ name: 'counterfactual', labels: list.map((c) => describeIntervention(c)) }];
    const meta = { method: 'counterfactuals', unchanged: plan.unchanged };
    return layoutOf(model, { axes, metric, one: null, meta }, plan);
  };
  const about = (plan: PlannedSweep) => ({ layout: layout(plan) });
  const result = yield* sweepCells(model, base, list, metric, { ...options, about });
  return laidOut(layout(result), result, { work: result.work });
}
