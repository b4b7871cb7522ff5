/**
 * Attribution of paths between heads (TransformerLens' attr_patch_head_path, done right): how much would the
 * metric change if one head's output reached the queries, keys or values of one later head, and nothing else,
 * as in the clean run?
 *
 *     attribution = ∂m/∂(input of q, k or v of the receiver) · (what the sender writes in the clean run − in the corrupted one)
 *
 * To first order that is direct path patching (`pathPatchDirect`), for all pairs of heads from one backward
 * pass. The gradient at q, k, v goes back through W_Q, W_K, W_V and the layer norm before the heads: the mean
 * is taken off and the rest is divided by the norm's scale in the run. (The demo in TransformerLens
 * multiplies with the *gradient* of the scale, and does not take off the mean; see `layerNorm`.) Behind the
 * receiver everything counts, unless `constant` says otherwise.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { pointName } from '../../engine/transformer/points.js';
import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { shownJson } from '../../weights/checks/messages.js';
import { normBefore } from '../../weights/facts.js';
import {
  nodeOf,
  type PathReceiver,
  type PathSender,
  receiverLabel,
  receiversOf,
} from '../patching/path-nodes.js';
import { positionLabels } from '../results/provenance.js';
import { type Axis, type Labelled, labelled } from '../results/result.js';
import { using } from './attribution-patching.js';
import { ATTRIBUTION_PAIR, type AttributionPair, type AttributionRuns } from './attribution-runs.js';
import { gather, withPrompts } from './attribution-sites.js';
import {
  gradientAtInput,
  type NormPassage,
  pathProducts,
  scaleGradientOfQueries,
  written,
} from './head-reads.js';

/** An axis of a map of paths. */
export type HeadPathAxis = 'receiver' | 'sender' | 'pos';

/** Options of `headPathAttribution`. */
export interface HeadPathOptions extends AttributionPair {
  /** Heads. Default: all. */
  readonly senders?: readonly PathSender[];
  /** Inputs of heads; default: queries, keys and values of all. */
  readonly receivers?: readonly PathReceiver[];
  /** Default `['receiver', 'sender', 'pos']`; without `pos` the sum over positions. */
  readonly by?: readonly HeadPathAxis[];
  /**
   * The layer norm that the receiver reads through: `'frozen'`, the default, has the scale of the run (as
   * path patching in TransformerLens does), `'computed'` a scale that changes with the stream. Norms behind
   * the receiver: see `constant`. `'demo'` is what TransformerLens' Attribution_Patching_Demo computes, to
   * compare with what it plotted. It multiplies by the gradient of the scale, and does not take off the mean,
   * which is no derivative of the norm. That gradient, too, is of the normalised metric, and comes through
   * the queries alone: TransformerLens calls the norm three times, and a hook keeps what it is given last.
   */
  readonly layerNorm?: 'frozen' | 'computed' | 'demo';
}

const HEAD_PATHS = options<HeadPathOptions>({
  ...ATTRIBUTION_PAIR,
  senders: is.listOf(is.plainObject, 'a list of { layer, head }'),
  receivers: is.listOf(is.plainObject, 'a list of { layer, head, input }'),
  by: is.texts,
  layerNorm: is.oneOf('frozen', 'computed', 'demo'),
});

const takes = signatures({
  headPathAttribution: { model: is.model, options: HEAD_PATHS },
});

/**
 * Attributions of direct paths from heads to heads, normalised: 0 = the corrupted run, 1 = the clean run.
 * @returns axes `by`; receivers are called `L9H6.q`, as in `pathPatch`, senders `L5H5`. 0 where the sender
 * does not come before
 *   the receiver.
 * @throws when the prompts differ in length among themselves, or a head is not in the model.
 */
export const headPathAttribution = takes.headPathAttribution(async function headPathAttribution(
  model: Model,
  options: HeadPathOptions,
): Promise<Labelled> {
  const { layerNorm = 'frozen' } = options;
  if (!['frozen', 'computed', 'demo'].includes(layerNorm))
    throw new Error(
      `headPathAttribution: layerNorm ${shownJson(layerNorm)}: 'frozen', 'computed' or 'demo' is needed`,
    );
  if (model.config.normPlaces !== 'before')
    throw new Error(
      `headPathAttribution: heads of ${model.config.name} write through a norm behind attention, which paths between heads leave out: take pathPatch or edgeAttribution`,
    );
  const asDemo = layerNorm === 'demo' && model.config.normalization !== 'none';
  const norm = layerNorm === 'demo' ? 'frozen' : layerNorm;
  const names = headPathNames(model, norm);
  const differentiated = names.filter((name) => VECTORS.has(model.points.get(name)!.local));
  if (!asDemo) {
    const plain = (runs: AttributionRuns) =>
      headPathsOf(runs, options, (layer) => passage(runs, layer, norm));
    return using(model, options, names, plain, differentiated);
  }
  const asPublished = async (runs: AttributionRuns) => {
    const factors = Array.from({ length: model.config.nLayers }, (_, layer) => demoFactor(runs, layer));
    try {
      const twice = (prompt: number) => runs.gap(prompt) ** 2;
      return await headPathsOf(runs, options, (layer) => ({ kind: 'times', factor: factors[layer] }), twice);
    } finally {
      for (const factor of factors) factor.dispose();
    }
  };
  return using(model, options, [...names, ...normalizedNames(model)], asPublished, differentiated);
});

const normalizedNames = ({ config }: Model): string[] =>
  Array.from({ length: config.nLayers }, (_, l) => pointName('ln1.hook_normalized', l));

/** By what the demo multiplies: the gradient of the scale as TransformerLens' hooks have it. */
function demoFactor({ model, grads, differentiated }: AttributionRuns, layer: number): Tensor {
  const [normalized, scale] = (['normalized', 'scale'] as const).map((x) =>
    differentiated.get(x, layer, 'ln1'),
  );
  return scaleGradientOfQueries(model, layer, grads.get('q', layer), { normalized, scale });
}

/** Where heads are reached: the gradients that paths end in. */
const VECTORS: ReadonlySet<string> = new Set(['attn.hook_q', 'attn.hook_k', 'attn.hook_v']);

/** The hook points that the paths need. */
export function headPathNames({ config }: Model, layerNorm: 'frozen' | 'computed' = 'frozen'): string[] {
  const normed = normBefore(config, 0, 'attn') !== null;
  return Array.from({ length: config.nLayers }, (_, l) => [
    ...(['q', 'k', 'v', 'z'] as const).map((x) => pointName(`attn.hook_${x}`, l)),
    ...(normed ? [pointName('ln1.hook_scale', l)] : []),
    ...(normed && layerNorm === 'computed' ? [pointName('hook_resid_pre', l)] : []),
  ]).flat();
}

/**
 * The same of runs that are there.
 * @param norm how gradients pass the layer norm before a layer's heads
 * @param divisor by what a prompt's paths are divided. Default: the difference of the runs
 */
export async function headPathsOf(
  runs: AttributionRuns,
  {
    senders,
    receivers,
    by = ['receiver', 'sender', 'pos'],
  }: Pick<HeadPathOptions, 'senders' | 'receivers' | 'by'>,
  norm: (layer: number) => NormPassage = (layer) => passage(runs, layer, 'frozen'),
  divisor = (prompt: number): number => runs.gap(prompt),
): Promise<Labelled> {
  const { model, pair, metric } = runs;
  const { nLayers, nHeads, nKeyValueHeads } = model.config;
  const known: readonly string[] = ['receiver', 'sender', 'pos'];
  if (
    by.some((a) => !known.includes(a)) ||
    new Set(by).size < by.length ||
    !['receiver', 'sender'].every((a) => by.includes(a as HeadPathAxis))
  )
    throw new Error(
      `headPathAttribution: by [${by.join(', ')}]: receiver and sender, and pos if it is asked for`,
    );
  const length = pair.changed[0].length;
  if (!runs.grads.layout.equal)
    throw new Error(
      'headPathAttribution: prompts of different lengths have no common positions: take prompts of one length',
    );
  const to = receivers ? receiversIn(model, receivers) : everyInput(nLayers, nHeads, nKeyValueHeads);
  const from = senders
    ? senders
        .map((s) => nodeOf(model, s, 'sender'))
        .map(({ layer, head }) => ({ layer, head: headOf(head, 'sender') }))
    : everyHead(nLayers, nHeads);
  const perPrompt = metric.per === 'prompt';
  const prompts = perPrompt ? pair.changed.length : 1;
  const lying = [
    { name: 'receiver', length: to.length },
    { name: 'sender', length: from.length },
    { name: 'pos', length },
    { name: 'prompt', length: prompts },
  ];
  const paths = new Float32Array(to.length * from.length * length * prompts);
  const writes = new Map<number, Tensor>();
  try {
    for (let layer = 1; layer < nLayers; layer++) {
      const mine = to.flatMap((r, i) => (r.layer === layer ? [{ ...r, i }] : []));
      const before = [...new Set(from.map((s) => s.layer))].filter((l) => l < layer).sort((a, b) => a - b);
      if (!mine.length || !before.length) continue;
      for (const l of before)
        if (!writes.has(l)) {
          const change = runs.difference(pointName('attn.hook_z', l));
          writes.set(l, written(model, l, change));
          change.dispose();
        }
      const parts = INPUTS.filter((x) => mine.some((r) => r.input === x));
      const reads = parts.map((x) =>
        gradientAtInput(model, layer, INPUTS.indexOf(x) as 0 | 1 | 2, runs.grads.get(x, layer), norm(layer)),
      );
      const products = pathProducts(
        reads,
        before.map((l) => writes.get(l)!),
        perPrompt,
      );
      for (const t of reads) t.dispose();
      const data = await products.data(); // [layer, prompt, pos, receiver, head]
      products.dispose();
      const headsOf = (x: Input['input']) => (x === 'q' ? nHeads : nKeyValueHeads);
      const starts = new Map<Input['input'], number>();
      let width = 0;
      for (const x of parts) {
        starts.set(x, width);
        width += headsOf(x);
      }
      for (const { head, input, i } of mine)
        for (const [j, sender] of from.entries()) {
          const l = before.indexOf(sender.layer);
          if (l < 0) continue;
          const r = starts.get(input)! + head;
          for (let p = 0; p < length; p++)
            for (let b = 0; b < prompts; b++)
              paths[((i * from.length + j) * length + p) * prompts + b] =
                data[(((l * prompts + b) * length + p) * width + r) * nHeads + sender.head] / divisor(b);
        }
    }
  } finally {
    for (const t of writes.values()) t.dispose();
  }
  const order = [...by, ...(perPrompt ? ['prompt'] : [])];
  const values = Float32Array.from(
    gather(paths, lying, order, (_, n) => Array.from({ length: n }, (_, i) => i)),
  );
  const axes: Record<HeadPathAxis, Axis> = {
    receiver: { name: 'receiver', labels: to.map(receiverLabel) },
    sender: { name: 'sender', labels: from.map(({ layer, head }) => `L${layer}H${head}`) },
    pos: { name: 'pos', labels: positionLabels(model, pair.changed[0], pair.from[0]) },
  };
  return labelled(
    values,
    withPrompts(
      runs,
      by.map((axis) => axes[axis]),
    ),
    runs.meta('head path attribution'),
  );
}

// ---- inside
// --------------------------------------------------------------------------------------------------------

const INPUTS = ['q', 'k', 'v'] as const;

interface Input {
  readonly layer: number;
  readonly head: number;
  readonly input: (typeof INPUTS)[number];
}

function passage(runs: AttributionRuns, layer: number, kind: 'frozen' | 'computed'): NormPassage {
  const differentiated = runs.differentiated;
  const there = normBefore(runs.model.config, layer, 'attn');
  const scale = there ? differentiated.get('scale', layer, there) : null;
  if (kind === 'frozen' || !scale) return { kind: 'frozen', scale };
  return { kind: 'full', scale, x: differentiated.get('resid_pre', layer) };
}

const everyHead = (layers: number, heads: number) =>
  Array.from({ length: layers * heads }, (_, i) => ({ layer: Math.floor(i / heads), head: i % heads }));

/** In the order of TransformerLens' demo. */
const everyInput = (layers: number, heads: number, kvHeads: number): Input[] =>
  everyHead(layers, heads).flatMap((h) =>
    INPUTS.filter((input) => input === 'q' || h.head < kvHeads).map((input) => ({ ...h, input })),
  );

function receiversIn(model: Model, receivers: readonly PathReceiver[]): Input[] {
  return receiversOf(model, receivers).map((r) => {
    if (r === 'logits' || r.input === 'mlp')
      throw new Error('headPathAttribution: receivers are inputs of heads: { layer, head, input: "q" }');
    return { layer: r.layer, head: headOf(r.head ?? null, 'receiver'), input: r.input };
  });
}

function headOf(head: number | null, what: string): number {
  if (head === null) throw new Error(`headPathAttribution: a ${what} without \`head\`: name one`);
  return head;
}
