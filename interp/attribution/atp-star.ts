/**
 * AtP* (Kramár, Lieberum, Shah and Nanda 2024, "AtP*: An efficient and scalable method for localizing LLM behaviour to
 * components"). Attribution patching misses components in two ways, and both can be repaired:
 *
 *   - **Saturated attention.** The gradient at a query or key goes through the softmax, and vanishes where attention is sure
 *     of itself. The *QK fix* computes the pattern that the clean query, or one clean key at a time, really gives, and
 *     multiplies its change with the gradient at the pattern: two products of queries and keys a layer, no backward pass.
 *   - **Cancellation.** A component may act on the metric directly and, with the other sign, through a later layer: the two
 *     nearly cancel in the gradient, and not in truth. *GradDrop* takes one backward pass for each layer, in which that
 *     layer's attention and MLP pass no gradient on, and averages the magnitudes: 1 / (L − 1) · Σ_l |attribution without l|.
 *
 * Nodes are the queries, keys, values and outputs z of heads, the outputs of MLPs, and single neurons if asked for.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { type BlockPointName, pointName } from '../../engine/transformer/points.js';
import type { ActivationCache } from '../../hooks/cache/cache.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { HookEntry } from '../../hooks/input/hook.js';
import type { Model } from '../../hooks/input/model.js';
import { measuredRun } from '../../hooks/metrics/measured-run.js';
import { tapedRun } from '../../hooks/metrics/taped-run.js';
import { asMetric } from '../../hooks/run/function-metric.js';
import { positionLabels, provenance } from '../results/provenance.js';
import { type Axis, type Labelled, labelled } from '../results/result.js';
import { type AttributionPair, attributionPair } from './attribution-runs.js';
import { differenceOf, stacked, sumOfProducts } from './products.js';
import { QueryKeyFix, queryKeyNames } from './query-key-fix.js';

/** Options of `atpStar`. */
export interface AtpStarOptions
  extends Pick<AttributionPair, 'clean' | 'corrupted' | 'metric' | 'prependBos' | 'signal'> {
  /** Correct queries and keys. Default true. */
  readonly qkFix?: boolean;
  /**
   * Average magnitudes over backward passes that each drop a layer. Default true; false: signed attributions of one pass;
   * `'each'`: the signed attributions of every pass, with a first axis `dropped`.
   */
  readonly gradDrop?: boolean | 'each';
  /** A node for each position, instead of one for all of them. Default false. */
  readonly byPos?: boolean;
  /** Single neurons of the MLPs (`mlp.hook_post`), too. Default false. */
  readonly neurons?: boolean;
  /** So many of the backward passes are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What `atpStar` gives: axes as they follow, with `dropped` in front where each pass is asked for, and pos after the layer with `byPos`. */
export interface AtpStar {
  /** Vector (q, k, v, z) × layer × head. */
  readonly heads: Labelled;
  /** Layer; null in a model without MLPs. */
  readonly mlps: Labelled | null;
  /** Layer × neuron, if asked for. */
  readonly neurons: Labelled | null;
}

const ATP_STAR = options<AtpStarOptions>({
  clean: needed(is.prompts),
  corrupted: needed(is.prompts),
  metric: needed(is.metric),
  prependBos: is.boolean,
  signal: is.signal,
  qkFix: is.boolean,
  gradDrop: is.oneOf(true, false, 'each'),
  byPos: is.boolean,
  neurons: is.boolean,
  onProgress: is.callback,
});

const takes = signatures({
  atpStar: { model: is.model, options: ATP_STAR },
});

/**
 * Attributions of all nodes, normalised: 0 = the corrupted run, 1 = the clean run (magnitudes of such, with GradDrop: of each
 * prompt's share, then added up).
 * @returns maps whose `meta` tells `passes` (forward and backward: as many as there are layers, with GradDrop)
 * @throws when prompts differ in length, the metric has no gradient or is the same for both, or GradDrop has one layer only.
 */
export const atpStar = takes.atpStar(async function atpStar(
  model: Model,
  options: AtpStarOptions,
): Promise<AtpStar> {
  const { qkFix = true, gradDrop = true, byPos = false, neurons = false, onProgress, signal } = options;
  const metric = { ...asMetric(options.metric), per: 'batch' as const };
  const { nLayers, nHeads, nKeyValueHeads, dMlp, attnOnly } = model.config;
  if (nKeyValueHeads !== nHeads)
    throw new Error(
      `atpStar: the ${nHeads} heads of ${model.config.name} share ${nKeyValueHeads} heads of keys and values, so that q, k, v and z make no map: take attributionPatch, site by site`,
    );
  const scored = [...(model.edits?.names ?? [])].find((name) => model.points.get(name)?.pattern);
  if (qkFix && scored)
    throw new Error(
      `atpStar: the model is edited at ${scored}, and the QK fix computes attention anew from queries and keys: take qkFix: false`,
    );
  const pair = attributionPair(model, options);
  const [tokens, clean] = [pair.changed as number[][], pair.from as number[][]];
  const [first] = tokens;
  if (tokens.some((row) => row.length !== first.length))
    throw new Error(
      'atpStar: prompts of different lengths have no common positions: take prompts of one length',
    );
  if (gradDrop === true && nLayers < 2)
    throw new Error('atpStar: a model of one layer has none to drop: gradDrop: false');
  const layers = Array.from({ length: nLayers }, (_, l) => l);
  const sites: BlockPointName[] = [
    ...VECTORS.map((x) => `attn.hook_${x}` as const),
    ...(attnOnly ? [] : (['hook_mlp_out', ...(neurons ? (['mlp.hook_post'] as const) : [])] as const)),
  ];
  const names = [
    ...sites.flatMap((site) => layers.map((l) => pointName(site, l))),
    ...(qkFix ? queryKeyNames(model.config) : []),
  ];
  const outputs = (l: number) => [
    pointName('hook_attn_out', l),
    ...(attnOnly ? [] : [pointName('hook_mlp_out', l)]),
  ];
  const sources = { clean, corrupted: tokens };
  signal?.throwIfAborted();
  const high = await measuredRun(model, clean, metric, [...new Set(names)], sources);
  const differences = new Map<string, Tensor>();
  try {
    const watch = gradDrop ? layers.flatMap(outputs) : [];
    const given = { names: [...new Set(names)], watch, sources };
    return await tapedRun(model, tokens, metric, given, async (run) => {
      const { cache, backward } = run;
      const fix = qkFix ? new QueryKeyFix(model, tokens, { clean: high.cache!, corrupted: cache }) : null;
      try {
        const gap = high.value - run.value;
        if (Math.abs(gap) < 1e-6)
          throw new Error(
            `the metric ${metric.name} is ${high.value.toFixed(4)} for both prompts: there is no difference to restore`,
          );
        for (const site of sites)
          for (const l of layers) {
            const name = pointName(site, l);
            differences.set(
              name,
              differenceOf(model.points.get(name)!, high.cache!.get(name), cache.get(name)),
            );
          }
        const passes: Float32Array[][] = []; // [pass][site], [layer, prompt, pos, (head | neuron)]
        const drops = gradDrop ? layers : [null];
        for (const drop of drops) {
          signal?.throwIfAborted();
          const gradHooks: HookEntry[] = drop === null ? [] : [[outputs(drop), (dy) => dy.mul(0)]];
          const grads = await backward({ gradHooks });
          try {
            passes.push(await sumsOf(sites, layers, grads, differences, fix));
          } finally {
            grads.dispose();
          }
          onProgress?.(passes.length, drops.length);
        }
        const meta = provenance(model, {
          method: gradDrop || qkFix ? 'AtP*' : 'attribution patching',
          metric: metric.name,
          qkFix,
          gradDrop,
          passes: { forward: 2, backward: drops.length },
          prompts: tokens,
          tokens: first,
          cleanPrompts: clean,
          clean: high.value,
          corrupted: run.value,
        });
        const shape = { prompts: tokens.length, length: first.length, byPos, gradDrop, gap };
        const label = (n: number, name: string) => Array.from({ length: n }, (_, i) => name + i);
        const layer = { name: 'layer', labels: label(nLayers, 'L') };
        const pos = byPos ? [{ name: 'pos', labels: positionLabels(model, first) }] : [];
        const dropped = gradDrop === 'each' ? [{ name: 'dropped', labels: label(nLayers, 'L') }] : [];
        const map = (from: number, to: number, width: number, before: Axis[], after: Axis[]): Labelled => {
          const values = combine(passes, [from, to], { ...shape, nLayers, width });
          return labelled(values, [...dropped, ...before, layer, ...pos, ...after], meta);
        };
        const vector = { name: 'vector', labels: [...VECTORS] };
        return {
          heads: map(0, 4, nHeads, [vector], [{ name: 'head', labels: label(nHeads, 'H') }]),
          mlps: attnOnly ? null : map(4, 5, 1, [], []),
          neurons:
            attnOnly || !neurons ? null : map(5, 6, dMlp, [], [{ name: 'neuron', labels: label(dMlp, 'N') }]),
        };
      } finally {
        fix?.dispose();
        cache.dispose();
      }
    });
  } finally {
    for (const t of differences.values()) t.dispose();
    high.cache?.dispose();
  }
});

const VECTORS = ['q', 'k', 'v', 'z'] as const;

/** Of one backward pass, per site: gradient · difference, or the QK fix, [layer, prompt, pos, (head | neuron)]. */
async function sumsOf(
  sites: readonly BlockPointName[],
  layers: readonly number[],
  grads: ActivationCache,
  differences: ReadonlyMap<string, Tensor>,
  fix: QueryKeyFix | null,
): Promise<Float32Array[]> {
  const out: Float32Array[] = [];
  for (const site of sites) {
    const keep = site === 'hook_mlp_out' ? [0, 1] : [0, 1, 2];
    const one = (l: number) => {
      const name = pointName(site, l);
      const corrected = fix && (site === 'attn.hook_q' || site === 'attn.hook_k');
      if (!corrected) return sumOfProducts(grads.get(name), differences.get(name)!, keep);
      const g = grads.get(pointName('attn.hook_pattern', l));
      const sum = site.endsWith('q') ? fix.queries(l, g) : fix.keys(l, g); // [prompt, head, pos]
      const turned = sum.transpose();
      const dense = turned.clone();
      turned.dispose();
      sum.dispose();
      return dense;
    };
    const stack = stacked(layers.map(one));
    out.push(await stack.data());
    stack.dispose();
  }
  return out;
}

/** Passes, prompts and (unless asked for) positions together: [(dropped,) site, layer, (pos,) width]. */
function combine(
  passes: readonly (readonly Float32Array[])[],
  [from, to]: readonly [number, number],
  o: {
    prompts: number;
    length: number;
    byPos: boolean;
    gradDrop: boolean | 'each';
    gap: number;
    nLayers: number;
    width: number;
  },
): Float32Array {
  const { prompts, length, byPos, gradDrop, gap, nLayers, width } = o;
  const places = byPos ? length : 1;
  const perSite = nLayers * places * width;
  const perPass = (to - from) * perSite;
  const each = gradDrop === 'each';
  const out = new Float64Array((each ? passes.length : 1) * perPass);
  passes.forEach((pass, drop) => {
    for (let site = from; site < to; site++)
      for (let l = 0; l < nLayers; l++)
        for (let b = 0; b < prompts; b++) {
          const own = new Float64Array(places * width); // of this prompt
          for (let p = 0; p < length; p++)
            for (let w = 0; w < width; w++)
              own[(byPos ? p : 0) * width + w] +=
                pass[site][((l * prompts + b) * length + p) * width + w] / gap;
          const at = (each ? drop * perPass : 0) + (site - from) * perSite + l * places * width;
          own.forEach((x, i) => {
            out[at + i] += gradDrop === true ? Math.abs(x) / (nLayers - 1) : x;
          });
        }
  });
  return Float32Array.from(out);
}
