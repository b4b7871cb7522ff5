/**
 * Edge attribution patching (EAP; Syed, Rager and Conmy 2023, "Attribution Patching Outperforms Automated Circuit
 * Discovery"). A circuit is a set of edges: which component reads what which other one writes. To find out by patching
 * how much an edge matters takes a run for each of GPT-2's 32,491; to first order it takes two runs and one backward
 * pass for all of them:
 *
 *     score(u → v) = (what u writes in the clean run − in the corrupted run) · (gradient of the metric at the input of v)
 *
 * summed over prompts, positions and dModel: how much the metric of the corrupted run would rise if just that edge carried
 * the clean value. The gradient at a reader's input goes through the reader's own layer norm; those of queries, keys
 * and values are told apart, head by head.
 *
 * EAP-IG (Hanna, Pezzelle and Belinkov 2024, "Have Faith in Faithfulness") takes the mean of the gradient over runs whose
 * embeddings lie between corrupted and clean (the midpoints of `steps` equal parts), since at the corrupted run itself the
 * gradient may vanish although the effect is large. It costs `steps` backward passes, and finds more faithful circuits.
 */

import type { TextInput } from '../../engine/tokens/text.js';
import { is, needed, options, type Spec, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import { shownJson } from '../../weights/checks/messages.js';
import { readPair } from '../patching/pair.js';
import { provenance } from '../results/provenance.js';
import { EdgeList } from './edge-list.js';
import { edgeScores } from './edge-scores.js';

/** Two prompts, or as many of both, and what is measured. */
export interface EdgePair {
  /** The prompts with the behaviour. */
  readonly clean: TextInput;
  /** The prompts without it; as many, each with as many tokens. */
  readonly corrupted: TextInput;
  /** Of several prompts the mean counts. */
  readonly metric: MetricLike;
  /** Default true. */
  readonly prependBos?: boolean;
  readonly signal?: AbortSignal;
}

/** Options of `edgeAttribution`. */
export interface EdgeAttributionOptions extends EdgePair {
  /** Gradients of the corrupted run (`'EAP'`, the default), or their mean on the way to the clean one. */
  readonly method?: 'EAP' | 'EAP-IG';
  /** For EAP-IG: how many runs lie between the two. Default 5. */
  readonly steps?: number;
  /** So many of the backward passes (or parts of them, where not all prompts fit at once) are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What `EdgePair` may be. */
export const EDGE_PAIR = {
  clean: needed(is.prompts),
  corrupted: needed(is.prompts),
  metric: needed(is.metric),
  prependBos: is.boolean,
  signal: is.signal,
} satisfies Spec<EdgePair>;
const EDGE_ATTRIBUTION = options<EdgeAttributionOptions>({
  ...EDGE_PAIR,
  method: is.oneOf('EAP', 'EAP-IG'),
  steps: is.count,
  onProgress: is.callback,
});

const takes = signatures({
  edgeAttribution: { model: is.model, options: EDGE_ATTRIBUTION },
});

/**
 * The score of every edge, in the unit of the metric (not normalised).
 * @returns `topEdges(n)` and `threshold(x)` give circuits; `meta.corrupted` is the metric of that run (EAP only),
 *   `meta.backwardPasses` and `meta.bytes` what it cost
 * @throws when the prompts differ in length, or the metric has no gradient.
 * @example
 * const edges = await edgeAttribution(model, { clean, corrupted, metric: logitDiff(' Mary', ' John'), method: 'EAP-IG' })
 * for (const { sender, receiver, score } of edges.topEdges(10)) console.log(sender, receiver, score)
 */
export const edgeAttribution = takes.edgeAttribution(async function edgeAttribution(
  model: Model,
  options: EdgeAttributionOptions,
): Promise<EdgeList> {
  const { method = 'EAP', onProgress, signal } = options;
  const metric = asMetric(options.metric);
  const pair = edgePair(model, options);
  const at = pointsOf(options);
  const held = model.gpu.memory().bytes;
  const endWatch = model.gpu.watchPeak();
  try {
    const { scores, values, backwardPasses } = await edgeScores(model, pair, metric, {
      at,
      onProgress,
      signal,
    });
    const meta = provenance(model, {
      method: 'edge attribution patching',
      variant: method,
      metric: metric.name,
      ...(method === 'EAP-IG' && { steps: at.length }),
      ...(method === 'EAP' && { corrupted: values[0] }),
      backwardPasses,
      bytes: endWatch() - held,
      ...promptsOf(pair),
    });
    const indices = Uint32Array.from(scores, (_, e) => e);
    return new EdgeList(model.config, indices, Float32Array.from(scores), meta);
  } finally {
    endWatch();
  }
});

/** The tokens of both prompts. @throws when they do not go together. */
export function edgePair(model: Model, { clean, corrupted, prependBos }: EdgePair) {
  const { from, changed } = readPair(model, {
    from: { name: 'clean', input: clean },
    changed: { name: 'corrupted', input: corrupted },
    prependBos,
  });
  return { clean: from, corrupted: changed };
}

/** What results tell of their prompts. */
export const promptsOf = ({ clean, corrupted }: ReturnType<typeof edgePair>) => ({
  prompts: corrupted,
  tokens: corrupted[0],
  cleanPrompts: clean,
});

function pointsOf({ method = 'EAP', steps }: EdgeAttributionOptions): number[] {
  if (method === 'EAP') {
    if (steps !== undefined) throw new Error("edgeAttribution: `steps` goes with method: 'EAP-IG'");
    return [0];
  }
  if (method !== 'EAP-IG') throw new Error(`edgeAttribution: method ${shownJson(method)}: 'EAP' or 'EAP-IG'`);
  return midpoints(steps ?? 5, 'edgeAttribution');
}

/** The midpoints of n equal parts of [0, 1]. */
export function midpoints(n: number, what: string): number[] {
  if (!Number.isInteger(n) || n < 1)
    throw new Error(`${what}: steps is ${n}: a whole number from 1 is needed`);
  return Array.from({ length: n }, (_, k) => (k + 0.5) / n);
}
