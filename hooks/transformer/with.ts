/** Edited models: what `model.with` is given, and what becomes of it. */

import { Tensor } from '../../engine/tensor/tensor.js';
import { isList } from '../../weights/checks/kinds.js';
import { ActivationCache } from '../cache/cache.js';
import { is, options } from '../input/check.js';
import type { HookEntry } from '../input/hook.js';
import type { Model } from '../input/model.js';
import { EditStep, type StepSource } from '../interventions/edit-step.js';
import { needsOf } from '../interventions/every-input.js';
import type { Counterfactual, Source } from '../interventions/interventions.js';
import { opensPatterns } from '../interventions/later-keys.js';
import { callStep, ModelEdits, type Step } from '../interventions/model-edits.js';
import { type ReadSource, readBase } from '../sweep/base.js';
import type { KnownWeights } from '../weights/weight-state.js';
import { runWithInterventions } from './intervene.js';

/** What an edited model changes in every run. */
export interface EditOptions {
  /**
   * Changes as data, first. `pos` counts in each prompt (negative: from its end; in generation a range
   * without end goes on into the new tokens), `row` and the base run's own values mean nothing here. `{ from:
   * name }` and `{ mean: name }` name a source.
   */
  readonly interventions?: Counterfactual;
  /**
   * Where values come from, by name: a tensor, or a run as in a base run (text, tokens, a cache, `{ input,
   * interventions }`), which is one of the model before this edit. It runs once, before the first input; the
   * edit owns what it needs of it.
   */
  readonly sources?: Readonly<Record<string, Source | Tensor>>;
  /**
   * Functions, called with whole rows of every run behind the interventions: `[[points, (activation, hook) =>
   * replacement]]`.
   */
  readonly hooks?: readonly HookEntry[];
  /** Functions that are called with gradients on the way back, before those of the run. */
  readonly gradHooks?: readonly HookEntry[];
}

/** What a model has that was made from another. */
export interface MadeFrom {
  readonly edits: ModelEdits | null;
  /** What is known of the weights: of an edited model that of the model it was made from. */
  readonly known: KnownWeights;
  /** Does `dispose()` free its weights? Else only its own edits. */
  readonly ownsWeights: boolean;
}

/** What `with` may be told. */
export const EDITS = options<EditOptions>({
  interventions: is.interventions,
  sources: is.sources,
  hooks: is.hooks,
  gradHooks: is.hooks,
});

/** A model that may have been edited before. */
type Editable = Model & { readonly edits: ModelEdits | null };

/**
 * The edits of a model that is edited once more. @throws when something is wrong with them, whatever the
 * prompt.
 */
export function editsWith(model: Editable, given: EditOptions): ModelEdits {
  const { interventions = [], sources = {}, hooks = [], gradHooks = [] } = given;
  const { points } = model;
  if (!interventions.length && !hooks.length && !gradHooks.length)
    throw new Error('with: there is nothing to change: give interventions, hooks or gradHooks');
  const steps: Step[] = [];
  if (interventions.length) steps.push(dataStep(model, interventions, sources));
  else if (Object.keys(sources).length)
    throw new Error('with: `sources` are for interventions, and there are none');
  if (hooks.length) steps.push(callStep(hooks, points));
  return new ModelEdits(points, model.edits, steps, gradHooks);
}

function dataStep(
  model: Editable,
  interventions: Counterfactual,
  given: Readonly<Record<string, Source | Tensor>>,
): EditStep {
  const held: Tensor[] = [];
  try {
    const tensors = new Map<string, Tensor>();
    for (const [name, source] of Object.entries(given))
      if (source instanceof Tensor) tensors.set(name, source);
    const list = owned(interventions, tensors, held) as Counterfactual;
    const runs = Object.fromEntries(Object.entries(given).filter(([name]) => !tensors.has(name)));
    const sources = new Map<string, StepSource>();
    const before: Record<string, Source> = {};
    // The input is none of the edit's: every input will be one.
    for (const read of readBase(model, { input: [[0]], sources: runs as Record<string, Source> }).sources) {
      sources.set(read.name, sourceFor(model, read, { ...before }, { list, held, sources }));
      before[read.name] = runs[read.name] as Source;
    }
    return new EditStep(model, list, sources, held, model.edits?.opens ?? false);
  } catch (e) {
    for (const t of held) t.dispose();
    throw e;
  }
}

/** A run that values come from. @param before sources that it may rest on itself */
function sourceFor(
  model: Editable,
  read: ReadSource,
  before: Readonly<Record<string, Source>>,
  { list, held, sources }: { list: Counterfactual; held: Tensor[]; sources: ReadonlyMap<string, StepSource> },
): StepSource {
  const { name, lengths } = read;
  const info = { lengths, cells: null };
  if (read.kind === 'forks')
    throw new Error(
      `with: source "${name}": counterfactuals leave a base run, and an edit that holds for every input has none: give { input, interventions }`,
    );
  if (read.kind === 'cache') {
    const own = new ActivationCache(read.cache.model, read.cache.layout);
    for (const at of needsOf(list, model.points).get(name) ?? []) {
      const t = read.cache.get(at).detach();
      held.push(t);
      own.put(at, t);
    }
    return { info, given: null, open: true, load: async () => own };
  }
  const interventions = owned(read.interventions, new Map(), held) as Counterfactual;
  const open = new Set([...sources].flatMap(([n, s]) => (s.open ? [n] : [])));
  return {
    info,
    given: { input: read.rows, interventions },
    open: opensPatterns(interventions, open, model.points) || (model.edits?.opens ?? false),
    load: async (names) => {
      const options = { names, ...(interventions.length && { sources: before }) };
      const run = await runWithInterventions(model, read.rows, interventions, options);
      run.logits.dispose();
      return run.cache!;
    },
  };
}

/**
 * A copy of interventions that nobody else can change; tensors, also those that sources name, are held by
 * handles of their own.
 */
function owned(value: unknown, sources: ReadonlyMap<string, Tensor>, held: Tensor[]): unknown {
  if (value instanceof Tensor) {
    const own = value.detach();
    held.push(own);
    return own;
  }
  if (Array.isArray(value)) return value.map((v) => owned(v, sources, held));
  if (isList(value)) return (value as unknown as Float32Array).slice();
  if (typeof value !== 'object' || value === null) return value;
  const { from, mean } = value as { from?: string; mean?: string };
  const tensor = typeof from === 'string' ? sources.get(from) : undefined;
  if (typeof mean === 'string' && sources.has(mean))
    throw new Error(`with: source "${mean}" is a tensor: it has no prompts to take a mean over`);
  if (tensor) {
    const others = Object.keys(value).filter((key) => key !== 'from');
    if (others.length)
      throw new Error(
        `with: source "${from}" is a tensor: it has no ${others.join(', ')}; slice it, or give a run`,
      );
    return owned(tensor, sources, held);
  }
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, owned(v, sources, held)]));
}
