/** One run with interventions. */

import type { TextInput } from '../../engine/tokens/text.js';
import type { ActivationCache } from '../cache/cache.js';
import { forward, runWithCache } from '../cache/cached-run.js';
import { is, options, signatures } from '../input/check.js';
import type { Model } from '../input/model.js';
import { type Holder, owning } from '../input/owning.js';
import { editHooks } from '../interventions/apply.js';
import { describeIntervention } from '../interventions/describe.js';
import { type Edit, editsOf } from '../interventions/edits.js';
import type { Counterfactual, Source } from '../interventions/interventions.js';
import { weighsLater } from '../interventions/later-keys.js';
import { Runs } from '../sweep/runs.js';
import type { CachedRun, CacheOptions } from './model.js';

/** Options of `runWithInterventions`: those of `runWithCache`, and where values come from. */
export interface InterventionOptions
  extends Omit<CacheOptions, 'startAtLayer' | 'stopAtLayer' | 'prefix' | 'maxBytes'> {
  /** Runs and tensors that values come from, by name. */
  readonly sources?: Readonly<Record<string, Source>>;
}

/** A run with interventions. */
export interface IntervenedRun extends Omit<CachedRun, 'cache'>, Holder {
  /** Activations as they are after the interventions; null unless `names` asked for some. */
  readonly cache: ActivationCache | null;
  /** Interventions that cannot change anything: the activation has that value anyway. */
  readonly unchanged: readonly string[];
}

/** What `InterventionOptions` may be. */
export const INTERVENED = options<InterventionOptions>({
  prependBos: is.boolean,
  hooks: is.hooks,
  names: is.names,
  pos: is.pos,
  sources: is.sources,
});
const takes = signatures({
  runWithInterventions: {
    model: is.model,
    input: is.prompts,
    interventions: is.interventions,
    options: INTERVENED,
  },
});

/**
 * Runs prompts with interventions: logits, and with `names` activations. The plain way, one whole forward pass;
 * `counterfactuals` runs many at a fraction of the cost.
 * @throws before anything runs, when an intervention or a source does not fit.
 */
export const runWithInterventions = takes.runWithInterventions(async function runWithInterventions(
  model: Model,
  input: TextInput,
  interventions: Counterfactual,
  { sources, hooks = [], ...options }: InterventionOptions = {},
): Promise<IntervenedRun> {
  const runs = new Runs(model, { input, sources, prependBos: options.prependBos }, 'last');
  try {
    const edits = editsOf(interventions, runs.setting, 'interventions');
    const unchanged = idleOnes(interventions, edits, runs);
    runs.need(edits);
    runs.plan(new Set());
    await runs.start({ forks: false });
    const all = [
      ...editHooks(
        edits.map((edit) => ({ edit, row: edit.row })),
        runs,
      ),
      ...hooks,
    ];
    const run = { ...options, hooks: all };
    if (options.names !== undefined) {
      const { logits, cache, tokens } = await runWithCache(model, input, run);
      return owning({ logits, cache, tokens, unchanged }, logits, cache);
    }
    const logits = await forward(model, input, run);
    return owning({ logits, cache: null, tokens: runs.rows, unchanged }, logits);
  } finally {
    runs.dispose();
  }
});

/** Interventions none of whose edits can change the run: nothing has changed before them, and the values are the same. */
function idleOnes(interventions: Counterfactual, edits: readonly Edit[], runs: Runs): string[] {
  const active = edits.filter((e) => !runs.idle(e));
  const looking = active.some(weighsLater); // then a change at a later position may come first
  const quiet = (e: Edit) =>
    runs.idle(e) &&
    !active.some((a) => a.row === e.row && a.point.order <= e.point.order && (a.pos <= e.pos || looking));
  return interventions
    .filter((i) => editsOf([i], runs.setting, 'intervention').every(quiet))
    .map((i) => describeIntervention(i));
}
