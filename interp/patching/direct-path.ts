/**
 * Direct paths from one component to the queries, keys or values of every later head: TransformerLens'
 * get_act_patch_direct_path. What the sender writes differs between two prompts; that difference goes through the residual
 * connection and the receiver's layer norm, whose scale stays that of the original run, so that all is linear:
 *
 *     q[receiver] += (Δwritten / ln1.scale) · W_Q        (k with W_K, v with W_V)
 *
 * Nothing else changes on the way, so no run is needed to find it. `pathPatch` with `freeze: 'heads+mlps'` is the same
 * with layer norms that see the change.
 */

import type { ActivationCache } from '../../hooks/cache/cache.js';
import { runWithResidual } from '../../hooks/cache/cached-run.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { actName } from '../../hooks/input/names.js';
import type { Counterfactual } from '../../hooks/interventions/interventions.js';
import { stopping } from '../../hooks/run/stopping.js';
import type { Sweep } from '../../hooks/sweep/sweep.js';
import { finite } from '../../weights/checks/finite.js';
import { shownJson } from '../../weights/checks/messages.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { hasNorms, linearNorm, normAt } from '../../weights/norm.js';
import type { Labelled } from '../results/result.js';
import { type Cells, cellsOf } from './cells.js';
import type { Pair } from './pair.js';
import { nodeOf, type PathSender } from './path-nodes.js';
import { firstChange, PATH_PAIR, type PathPair, pathPair, pathPlan } from './path-patching.js';
import { type MapCell, sweepMap } from './sweep.js';

/** Options of `pathPatchDirect`. */
export interface DirectPathOptions extends PathPair {
  /** A head; without `head` the MLP of the layer. */
  readonly sender: PathSender;
  /** Which input of the receivers. */
  readonly to: 'q' | 'k' | 'v';
}

const DIRECT_PATH = options<DirectPathOptions>({
  ...PATH_PAIR,
  sender: needed(options<PathSender>({ layer: needed(is.integer), head: is.integer })),
  to: needed(is.oneOf('q', 'k', 'v')),
});

const takes = signatures({
  pathPatchDirect: { model: is.model, options: DIRECT_PATH },
});

/**
 * The metric when one sender's direct path to each head has its value of the new prompt: 0 is the original run
 * (TransformerLens: corrupted), 1 the run of the new prompt (clean).
 * @returns axes layer × head (the receivers), and prompt where the metric is `per: 'prompt'`. Heads that do not come behind
 *   the sender's layer are 0.
 * @throws when the prompts differ in length without `align` or are the same, or the sender is not in the model.
 */
export const pathPatchDirect = takes.pathPatchDirect(function pathPatchDirect(
  model: Model,
  options: DirectPathOptions,
): Sweep<MapCell, Labelled> {
  const { to } = options;
  const plan = async () => {
    if (!Object.hasOwn(MATRICES, to))
      throw new Error(`pathPatchDirect: to ${shownJson(to)}: 'q', 'k' or 'v' is needed`);
    if (model.config.normPlaces !== 'before')
      throw new Error(
        `pathPatchDirect: ${model.config.name} has norms behind attention and MLP, through which what a head writes is no sum: take pathPatch`,
      );
    const pair = pathPair(model, options);
    const sender = nodeOf(model, options.sender, 'pathPatchDirect: sender');
    const { axes, parts } = cellsOf(model, to, ['layer', 'head'], {}, pair.changed, 'pathPatchDirect');
    const list = await pathsOf(model, pair, sender, to, parts, options.signal);
    const meta = { method: 'direct path patching', sender: options.sender, to };
    return pathPlan(pair, options, { axes, list, meta });
  };
  return sweepMap(model, plan, options);
});

const MATRICES = { q: 'W_Q', k: 'W_K', v: 'W_V' } as const;

type Node = ReturnType<typeof nodeOf>;

/** For each receiver what is added to its input, prompt by prompt, from where the prompts differ. */
async function pathsOf(
  model: Model,
  pair: Pair,
  sender: Node,
  to: 'q' | 'k' | 'v',
  receivers: Cells['parts'],
  signal?: AbortSignal,
): Promise<Counterfactual[]> {
  const { dHead } = model.config;
  const { start } = firstChange(pair);
  const added = await addedOf(model, pair, sender, MATRICES[to], signal);
  const tokens = pair.changed.reduce((n, row) => n + row.length, 0);
  return receivers.map(({ layer, head, at }) => {
    const data = added.get(layer as number); // [head, tokens, dHead]
    if (!data) return [];
    let first = (head as number) * tokens;
    return pair.changed.map(({ length }, row) => {
      const part = data.subarray((first + start) * dHead, (first + length) * dHead);
      first += length;
      return { at, layer, head, row, pos: { start }, add: part };
    });
  });
}

/** (Δwritten, as ln1 with the original run's scale makes it) · W for all heads of the layers behind the sender. */
async function addedOf(
  model: Model,
  pair: Pair,
  { layer, head }: Node,
  matrix: 'W_Q' | 'W_K' | 'W_V',
  signal?: AbortSignal,
): Promise<Map<number, Float32Array>> {
  const { changed, from } = pair;
  const { nLayers, dModel } = model.config;
  signal?.throwIfAborted();
  const added = new Map<number, Float32Array>();
  if (layer + 1 === nLayers) return added;
  const site = actName(head === null ? 'mlp_out' : 'result', layer);
  const layers = Array.from({ length: nLayers - layer - 1 }, (_, i) => layer + 1 + i);
  const scaleOf = (l: number) => actName('scale', l, 'ln1');
  const scales = hasNorms(model.config) ? layers.map(scaleOf) : [];
  const runs: ActivationCache[] = [];
  try {
    for (const [input, names] of [
      [changed, [site, ...scales]],
      [from, [site]],
    ] as const)
      runs.push((await runWithResidual(model, input, { names, hooks: stopping(model.gpu, signal) })).cache);
    const [before, after] = [await written(runs[0], site, head), await written(runs[1], site, head)];
    const delta = changeOf(pair, before, after, dModel); // [tokens, dModel]
    finite(
      delta,
      (i) => `pathPatchDirect: what the sender in layer ${layer} writes (token ${Math.floor(i / dModel)})`,
    );
    const norm = normAt(model.config, 'ln1');
    for (const l of layers) {
      signal?.throwIfAborted();
      const scale = scales.length ? await runs[0].get(scaleOf(l)).data() : null; // [tokens]
      const seen =
        norm && scale
          ? Float32Array.from(linearNorm(delta, dModel, norm, model.weights.ln1[l] ?? null, scale))
          : delta;
      added.set(l, await project(model, seen, model.weights[matrix][l]));
    }
    return added;
  } finally {
    for (const cache of runs) cache.dispose();
  }
}

/** What is written in the new run less what is in the original one, [tokens, dModel]; 0 at positions without a partner. */
function changeOf(
  { changed, from, partners }: Pair,
  before: Float32Array,
  after: Float32Array,
  width: number,
) {
  if (!partners) return after.map((x, i) => x - before[i]);
  const delta = new Float32Array(before.length);
  let [to, source] = [0, 0];
  for (const [row, { length }] of changed.entries()) {
    for (const [p, f] of partners[row].entries())
      if (f >= 0)
        for (let i = 0; i < width; i++)
          delta[(to + p) * width + i] = after[(source + f) * width + i] - before[(to + p) * width + i];
    to += length;
    source += from[row].length;
  }
  return delta;
}

/** What a head or an MLP writes, [tokens, dModel]. */
async function written(cache: ActivationCache, site: string, head: number | null): Promise<Float32Array> {
  const t = cache.get(site);
  if (head === null) return t.data();
  const flat = t.reshape([-1, ...t.shape.slice(-2)]); // [tokens, head, dModel]
  const one = flat.slice([null, head]);
  flat.dispose();
  return one.data().finally(() => one.dispose());
}

/** x [tokens, dModel] · W [head, dModel, dHead]: [head, tokens, dHead]. */
async function project(model: Model, x: Float32Array, W: HostTensor): Promise<Float32Array> {
  const [heads, dModel] = W.shape;
  const rows = model.tensor(x, [1, x.length / dModel, dModel]);
  const everyHead = rows.expand([heads, -1, -1]);
  const weights = model.tensor(W.data, W.shape);
  const out = everyHead.matmul(weights);
  for (const t of [rows, everyHead, weights]) t.dispose();
  return out.data().finally(() => out.dispose());
}
