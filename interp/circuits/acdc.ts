/**
 * ACDC (Conmy et al. 2023, "Towards Automated Circuit Discovery for Mechanistic Interpretability"): prune the whole model to
 * the edges that matter, by exact patching. Readers are visited from the logits back to the first layer, and of each
 * reader its writers, the latest first: an edge is taken out (it then carries the corrupted run's activation) if that
 * raises KL(clean ‖ circuit) by less than τ, given all that was taken out before it; else it stays for good.
 *
 * The decisions are those of the loop, one edge at a time. But most edges go, so the next w of them are tried at once, as rows of
 * a batch in which row i lacks the first i + 1 of them: up to the first row that loses too much, each decision is the loop's
 * own, and that edge stays. w doubles while all goes and halves when something stays. Edges into components that nobody
 * listens to any more change nothing, and go without a run. And since everything before the reader that is visited is still
 * whole, its runs begin at its layer.
 */

import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import { mean } from '../../hooks/run/metric.js';
import { kl } from '../logits/metrics.js';
import { provenance } from '../results/provenance.js';
import { type EdgePair, edgePair, promptsOf } from './edge-attribution.js';
import { EdgeList } from './edge-list.js';
import { EdgeRuns } from './edge-runs.js';

/** Options of `acdc`. */
export interface AcdcOptions extends Omit<EdgePair, 'metric'> {
  /** τ: what an edge must change the metric by to stay, in the metric's unit. */
  readonly threshold: number;
  /**
   * `'kl'` (the default): KL(clean ‖ circuit) at the last position, in nats; an edge goes if the divergence rises by less than τ (or
   * falls). Any other metric: an edge goes if the metric changes by less than τ, up or down.
   */
  readonly metric?: 'kl' | MetricLike;
  /** So many of the edges are decided. */
  readonly onProgress?: (done: number, total: number) => void;
}

const ACDC = options<AcdcOptions>({
  clean: needed(is.prompts),
  corrupted: needed(is.prompts),
  threshold: needed(is.positive),
  metric: is.either(is.oneOf('kl'), is.metric),
  prependBos: is.boolean,
  signal: is.signal,
  onProgress: is.callback,
});

const takes = signatures({
  acdc: { model: is.model, options: ACDC },
});

/**
 * The circuit that is left, with the change that taking out each edge would have made as its score.
 * @returns edges in the order of the graph, all on a way from the embeddings to the logits. `meta.value`: the metric of the
 *   circuit, `meta.clean` and `meta.corrupted` that of the two runs; `meta.unconnected`: edges that stayed by themselves but lost
 *   their way to the logits or from the embeddings; `meta.work`: circuits that were run
 * @throws when the prompts differ in length, or the threshold is no positive number.
 */
export const acdc = takes.acdc(async function acdc(model: Model, options: AcdcOptions): Promise<EdgeList> {
  const { threshold, metric: given = 'kl', onProgress, signal } = options;
  if (!(threshold > 0)) throw new Error(`acdc: threshold is ${threshold}: a positive number is needed`);
  const metric = given === 'kl' ? kl('clean') : asMetric(given);
  const pair = edgePair(model, { ...options, metric });
  const runs = await EdgeRuns.start(model, pair, metric, signal);
  try {
    const { graph } = runs;
    const change = (to: number, from: number) => (given === 'kl' ? to - from : Math.abs(to - from));
    const mask = new Float32Array(graph.count).fill(1);
    const scores = new Float32Array(graph.count);
    let value = mean(runs.clean);
    let decided = 0;
    const done = (n: number) => onProgress?.((decided += n), graph.count);
    let window = 4;
    const heard = new Set<number>();
    for (const group of [...graph.groups].reverse()) {
      const readers = Array.from({ length: group.count }, (_, i) => group.first + i);
      const live = readers.filter((r) => {
        const writes = graph.sendersBehind(r);
        return !writes.length || writes.some((w) => heard.has(w));
      });
      const idle = readers.filter((r) => !live.includes(r));
      const edgesOf = (r: number) =>
        Array.from({ length: group.senders }, (_, i) => graph.edge(group.senders - 1 - i, r)!);
      for (const e of idle.flatMap(edgesOf)) mask[e] = 0;
      done(idle.length * group.senders);
      const candidates = live.flatMap(edgesOf);
      for (let at = 0; at < candidates.length; ) {
        const tried = candidates.slice(at, at + Math.min(window, runs.circuitsAtOnce));
        const masks = tried.map((_, i) => {
          const without = mask.slice();
          for (const e of tried.slice(0, i + 1)) without[e] = 0;
          return without;
        });
        const values = (await runs.values(masks, { signal })).map(mean);
        let gone = 0;
        for (; gone < tried.length; gone++) {
          const edge = tried[gone];
          scores[edge] = change(values[gone], value);
          if (!(scores[edge] < threshold)) break;
          mask[edge] = 0;
          value = values[gone];
        }
        const stayed = gone < tried.length;
        if (stayed) heard.add(graph.ends(tried[gone])[0]);
        const all = stayed ? gone + 1 : gone;
        at += all;
        done(all);
        window = stayed ? Math.max(1, window >> 1) : 2 * window;
      }
    }
    const left = Uint32Array.from(mask.keys()).filter((e) => mask[e] === 1);
    const kept = graph.connected(left);
    const edges = left.filter((e) => kept.has(e));
    const meta = provenance(model, {
      method: 'ACDC',
      metric: metric.name,
      threshold,
      value,
      clean: mean(runs.clean),
      corrupted: mean(runs.corrupted),
      unconnected: left.length - edges.length,
      work: { ...runs.work },
      ...promptsOf(pair),
    });
    return new EdgeList(
      model.config,
      edges,
      Float32Array.from(edges, (e) => scores[e]),
      meta,
    );
  } finally {
    runs.dispose();
  }
});
