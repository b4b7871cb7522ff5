/**
 * Path patching (Wang et al. 2022, "Interpretability in the Wild", section 3.1): which connections between components
 * carry a behaviour?
 *
 * Activation patching changes a head's output, and everything behind it sees the change. A path is narrower: the
 * change reaches a receiver directly, not through other heads. Two runs of the original prompt find out what it does:
 *
 *     1.  The sender's output has its value of the new prompt, all other heads (and, with `freeze: 'heads+mlps'`, all
 *         other MLPs) stay what they are in the original run. What the receiver now sees is noted.
 *     2.  The receiver sees that; everything else is computed as ever. Are the logits the receiver, run 1 is the result.
 *
 * Result: the metric, normalised so that 0 is the original run (which is changed) and 1 the run of the new prompt. The
 * paper's direction: `original` is the prompt with the behaviour, `new` one without, so what breaks it is near 1.
 *
 * With everything frozen nothing but the residual stream is left between sender and receiver, so the receiver sees the
 * original stream plus the change of what the sender writes: that is added, and run 1 is not needed.
 */

import type { TextInput } from '../../engine/tokens/text.js';
import { is, needed, options, type Spec, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import type { Align } from '../../hooks/interventions/alignment.js';
import type { Counterfactual, Intervention, Value } from '../../hooks/interventions/interventions.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import type { Metric } from '../../hooks/run/metric.js';
import type { SweepOptions } from '../../hooks/sweep/counterfactuals.js';
import type { Sweep } from '../../hooks/sweep/sweep.js';
import { SWEEP } from '../../hooks/sweep/sweep-options.js';
import { shownJson } from '../../weights/checks/messages.js';
import type { Labelled } from '../results/result.js';
import { alignmentOf, type Pair, readPair } from './pair.js';
import {
  type PathReceiver,
  type PathSenders,
  type Receiver,
  reaches,
  receiverLabel,
  receiversOf,
  type Sender,
  type SenderAxis,
  sendersOf,
} from './path-nodes.js';
import { type MapCell, type MapPlan, sweepMap } from './sweep.js';

/** Two prompts, or as many of both, and what is measured. */
export interface PathPair extends SweepOptions {
  /** The prompts that are run and changed: text, texts, or tokens. */
  readonly original: TextInput;
  /** The prompts that the sender's value comes from; as many, each with as many tokens, or with `align`. */
  readonly new: TextInput;
  readonly metric: MetricLike;
  /** `false`: the metric's own numbers, not normalised. Default true. */
  readonly normalize?: boolean;
  /** Which positions [new, original] correspond, where the prompts differ in length; as in `patch`. */
  readonly align?: Align;
  /** Default true. */
  readonly prependBos?: boolean;
}

/** What stays what it is in the original run while the sender changes, besides the embeddings. */
export type PathFreeze = 'heads' | 'heads+mlps';

/** Options of `pathPatch`. */
export interface PathPatchOptions extends PathPair {
  /** Every head (the default), every MLP, or these: the axis is then called `sender`. */
  readonly senders?: PathSenders;
  /** Default: layer × head, layer, or sender. With `'pos'` the sender changes at one position at a time. */
  readonly by?: readonly SenderAxis[];
  /** Where the path leads: to the logits (the default), or to these inputs, all together. */
  readonly receivers?: 'logits' | readonly PathReceiver[];
  /** Each receiver by itself: a further axis `receiver`, the first one. Default false. */
  readonly eachReceiver?: boolean;
  /**
   * `'heads'` (the default, as in the paper): all heads; MLPs are computed from what they see, so that a direct path may
   * go through them. `'heads+mlps'`: MLPs too; only the residual connection is left. Layer norms are always computed.
   */
  readonly freeze?: PathFreeze;
}

/** What `PathPair` may be. */
export const PATH_PAIR = {
  ...SWEEP,
  original: needed(is.prompts),
  new: needed(is.prompts),
  metric: needed(is.metric),
  normalize: is.boolean,
  align: is.align,
  prependBos: is.boolean,
} satisfies Spec<PathPair>;
const PATH_PATCH = options<PathPatchOptions>({
  ...PATH_PAIR,
  senders: is.either(is.oneOf('heads', 'mlps'), is.listOf(is.plainObject, 'a list of { layer, head }')),
  by: is.texts,
  receivers: is.either(is.oneOf('logits'), is.listOf(is.plainObject, 'a list of { layer, head, input }')),
  eachReceiver: is.boolean,
  freeze: is.oneOf('heads', 'heads+mlps'),
});

const takes = signatures({
  pathPatch: { model: is.model, options: PATH_PATCH },
});

/**
 * The metric when the path from each sender to the receivers has its value of the new prompt.
 * @returns axes receiver (with `eachReceiver`), `by`, and prompt where the metric is `per: 'prompt'`; a sweep: `for await`
 *   gives the cells as they are done. `meta.freeze` says what was frozen, `meta.original` and `meta.new` the metric of
 *   the two runs. Senders that do not come before a receiver are 0 and are not run (`meta.idle`).
 * @throws when the prompts differ in length without `align` or are the same, or a sender or receiver is not in the model.
 * @example
 * await pathPatch(model, { original: ioi, new: abc, metric: logitDiff(' Mary', ' John'),
 *   receivers: [{ layer: 9, head: 6, input: 'q' }, { layer: 9, head: 9, input: 'q' }] })
 */
export const pathPatch = takes.pathPatch(function pathPatch(
  model: Model,
  options: PathPatchOptions,
): Sweep<MapCell, Labelled> {
  return sweepMap(model, () => planOf(model, options), options);
});

/** Reads the two prompts of a path. @throws when they do not go together. */
export const pathPair = (model: Model, { original, new: other, prependBos, align }: PathPair): Pair =>
  readPair(model, {
    changed: { name: 'original', input: original },
    from: { name: 'new', input: other },
    prependBos,
    align,
  });

/** The map of a pair. */
export function pathPlan(
  pair: Pair,
  { metric, normalize = true }: Pick<PathPair, 'metric' | 'normalize'>,
  map: Pick<MapPlan, 'axes' | 'list' | 'meta'>,
  direct: readonly Counterfactual[] = [],
): MapPlan {
  const { changed, from, unchanged } = pair;
  const { align, meta: aligned } = alignmentOf(pair);
  const sources = {
    new: align ? { input: from, align } : from,
    ...(direct.length && { [RUN1]: { counterfactuals: direct } }),
  };
  const meta = { ...map.meta, unchanged, newTokens: from[0], newPrompts: from, ...aligned };
  return {
    ...map,
    meta,
    base: { input: changed, sources },
    metric: asMetric(metric),
    one: 'new',
    raw: !normalize,
    ends: ['original', 'new'],
  };
}

// ---- inside ------------------------------------------------------------------------------------------------------

/** Name of run 1 among the sources, a cell a sender. */
const RUN1 = 'direct';

function planOf(model: Model, options: PathPatchOptions): MapPlan {
  const { eachReceiver = false, freeze = 'heads' } = options;
  if (freeze !== 'heads' && freeze !== 'heads+mlps')
    throw new Error(`pathPatch: freeze ${shownJson(freeze)}: 'heads' or 'heads+mlps' is needed`);
  const metric = asMetric(options.metric);
  const pair = pathPair(model, options);
  const { axes, senders } = sendersOf(model, options, pair);
  const receivers = receiversOf(model, options.receivers ?? 'logits');
  const groups = eachReceiver ? receivers.map((r) => [r]) : [receivers];
  const direct: Counterfactual[] = [];
  const paths =
    freeze === 'heads+mlps' || model.config.attnOnly
      ? linearPaths(model, pair, metric)
      : frozenPaths(model, pair, metric, receivers, direct);
  const last = metric.reads === 'last' ? pair.changed[0].length - 1 : null;
  const reached = (sender: Sender, group: readonly Receiver[]) =>
    (sender.pos ?? pair.unchanged) < pair.unchanged
      ? []
      : group.filter((r) => reaches(sender, r, last, model.config));
  const list = groups.flatMap((group) => senders.map((s) => paths(s, reached(s, group))));
  const labels = receivers.map(receiverLabel);
  return pathPlan(
    pair,
    options,
    {
      axes: eachReceiver ? [{ name: 'receiver', labels }, ...axes] : axes,
      list,
      meta: { method: 'path patching', freeze, receivers: labels },
    },
    direct,
  );
}

/** One cell of the map: from a sender to the receivers that it reaches. */
type Paths = (sender: Sender, receivers: readonly Receiver[]) => Counterfactual;

/** Everything frozen: what the sender writes in the new run, less what it writes in the original one, is added. */
function linearPaths({ config }: Model, pair: Pair, metric: Metric): Paths {
  if (config.normPlaces !== 'before')
    throw new Error(
      `pathPatch: freeze 'heads+mlps': what heads of ${config.name} write passes a norm behind attention, so that it is no sum to add to: take freeze 'heads'`,
    );
  return ({ layer, head, pos }, receivers) => {
    const written = head === null ? { at: 'mlp_out', layer } : { at: 'result', layer, head };
    const change = (
      where: Omit<Intervention, 'pos'>,
      at: Intervention['pos'] = pos ?? firstChange(pair),
    ): Intervention[] =>
      pairedParts(pair, at).flatMap((part) => [
        { ...where, ...part, add: { from: 'new', ...written } },
        { ...where, ...part, add: { from: 'base', ...written }, times: -1 },
      ]);
    // A receiver that comes before another would change more of what that one sees than the sender does.
    const behind = config.parallelAttnMlp ? 0 : 1; // an MLP reads behind the heads of its layer
    const steps = receivers.map((to) => to !== 'logits' && 2 * to.layer + (to.input === 'mlp' ? behind : 0));
    const apart = new Set(steps).size > 1;
    return receivers.flatMap((to) => {
      if (to === 'logits')
        return change({ at: 'resid_post', layer: config.nLayers - 1 }, pos ?? whatLogitsSee(pair, metric));
      const mlp = to.input === 'mlp';
      const where = { at: mlp ? 'mlp_in' : `${to.input}_input`, layer: to.layer, ...headOf(to) };
      const stream = { from: 'base', at: mlp && behind ? 'resid_mid' : 'resid_pre', layer: to.layer };
      const original = { ...where, pos: { start: pos ?? firstChange(pair).start }, set: stream };
      return [...(apart ? [original] : []), ...change(where)];
    });
  };
}

/** Heads frozen: run 1 of each sender goes into `direct`, once for all receivers, and its inputs are put in. */
function frozenPaths(
  { config }: Model,
  pair: Pair,
  metric: Metric,
  all: readonly Receiver[],
  direct: Counterfactual[],
): Paths {
  // Heads of the receiver's own layer matter to its MLP, not to its heads, nor to the MLP of a parallel block.
  const behind = config.parallelAttnMlp ? 0 : 1;
  const ends = all.map((r) => (r === 'logits' ? config.nLayers : r.layer + (r.input === 'mlp' ? behind : 0)));
  const end = Math.max(...ends);
  const cells = new Map<Sender, number>();
  const run1 = ({ layer, head, pos }: Sender, logits: boolean): Counterfactual => {
    const changed = pos ?? (logits ? whatLogitsSee(pair, metric) : firstChange(pair));
    const set: Value = { from: 'new' };
    const sent = head === null ? { at: 'mlp_out', layer } : { at: 'z', layer, head };
    const later = typeof changed === 'number' && changed >= 0 ? { start: changed } : changed;
    const frozen: Intervention = { at: 'z', layer: { start: layer + 1, end }, pos: later, freeze: true };
    return [{ ...sent, pos: changed, set }, ...(layer + 1 < end ? [frozen] : [])];
  };
  return (sender, receivers) => {
    if (!receivers.length) return [];
    if (receivers[0] === 'logits') return run1(sender, true);
    let cell = cells.get(sender);
    if (cell === undefined) cells.set(sender, (cell = direct.push(run1(sender, false)) - 1));
    // The queries that run 1 makes of its input are those that run 2 would make of it, and so for keys and values.
    return (receivers as PathReceiver[]).map(({ layer, head, input }) => ({
      at: input === 'mlp' ? 'mlp_in' : input,
      layer,
      ...headOf({ head }),
      pos: { start: sender.pos ?? firstChange(pair).start },
      set: { from: RUN1, cell },
    }));
  };
}

/** From where the prompts differ. */
export const firstChange = ({ changed, unchanged }: Pair): { start: number } => ({
  start: Math.min(unchanged, ...changed.map((row) => row.length - 1)),
});

/** No frozen head carries a change to another position: to the logits of the last one only the last one counts. */
const whatLogitsSee = (pair: Pair, metric: Metric) => (metric.reads === 'last' ? -1 : firstChange(pair));

/** The part of each prompt that has partners; all of what is selected where nothing is aligned. */
function pairedParts({ partners }: Pair, pos: Intervention['pos']): Pick<Intervention, 'row' | 'pos'>[] {
  if (!partners || typeof pos === 'number') return [{ pos }];
  const { start = 0 } = pos as { start?: number };
  return partners.flatMap((row, r) => {
    const paired = row.flatMap((f, p) => (f >= 0 && p >= start ? [p] : []));
    return paired.length ? [{ row: r, pos: paired }] : [];
  });
}

const headOf = ({ head }: Pick<PathReceiver, 'head'>) => (head === undefined ? {} : { head });
