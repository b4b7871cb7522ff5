/**
 * Logits as sums over the components of the residual stream: interp/logits/dla.ts tells what it means.
 * Components are multiplied by the direction of the logits before they are made, so that nothing of size
 * components × d_model exists.
 */

import { inScope, Scope } from '../../engine/gpu/storage.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { Norm } from '../../engine/transformer/parts/norm.js';
import { pointName } from '../../engine/transformer/points.js';
import { alongDirections, logitDirections } from '../../engine/transformer/vocabulary/vocabulary.js';
import type { ActivationCache } from '../../hooks/cache/cache.js';
import { Look } from '../../hooks/cache/look.js';
import { decompositionNames, type FullOptions } from '../../hooks/cache/recipes.js';
import { type Decomposition, frozenScale } from '../../hooks/cache/stack.js';
import type { Runnable } from '../../hooks/input/model.js';
import { type PosSlice, positionRange } from '../../hooks/run/positions.js';
import { finite } from '../../weights/checks/finite.js';
import { isList } from '../../weights/checks/kinds.js';

/** Into what a logit is taken apart. */
export type DirectBy = 'layer' | 'component' | 'head' | 'neuron' | 'source';

/**
 * What is attributed: a weighted sum of logits, by token id, or the product of a vector with what the
 * unembedding reads.
 */
export type DirectTarget = ReadonlyMap<number, number> | ArrayLike<number>;

/** How. */
export interface DirectOptions {
  readonly by: DirectBy;
  /** Divide by the scale of the last norm in the run; else that norm is a row of its own. */
  readonly frozen: boolean;
  readonly pos: PosSlice | null;
}

/** The parts of a logit. */
export interface DirectLogits {
  readonly labels: readonly string[];
  /** [labels, positions] */
  readonly values: Float32Array;
  /** What they should add up to, from the model's own last norm: [positions]. */
  readonly logits: Float32Array;
}

/** The hook points that `directLogits` (and `headSources`) read. */
export function directNames(model: Runnable, by: DirectBy): string[] {
  const { nLayers } = model.config;
  const kind = {
    layer: 'decomposeResid',
    component: 'fullResidDecomposition',
    neuron: 'stackNeuronResults',
  } as const;
  const decomposition = by in kind ? kind[by as keyof typeof kind] : 'stackHeadResults';
  const names = decompositionNames(model, decomposition, -1, by === 'component' ? coarse : {});
  if (by !== 'source') return names;
  const sources = Array.from({ length: nLayers }, (_, l) => [
    pointName('attn.hook_v', l),
    pointName('attn.hook_pattern', l),
  ]);
  return [...names, ...sources.flat()];
}

const isDirection = (target: DirectTarget): target is ArrayLike<number> => isList(target);

const coarse: FullOptions = { expandNeurons: false };

/**
 * One prompt's logits, taken apart.
 * @param cache the activations of `directNames`, of that prompt alone
 * @param final what the unembedding reads at every position of it, [pos, dModel]
 */
export async function directLogits(
  cache: ActivationCache,
  final: Tensor,
  target: DirectTarget,
  { by, frozen, pos }: DirectOptions,
): Promise<DirectLogits> {
  const { gpuWeights, config } = cache.model;
  return inScope(async (scope) => {
    const { u, b } = directionOf(cache.model, target, scope);
    const read = (x: Tensor, bias: Tensor) =>
      alongDirections(x, new Array<number>(x.shape[0]).fill(0), { D: u, b: bias });
    const zero = b.mul(0);
    const [start, end] = pos === null ? [0, final.shape[0]] : positionRange(pos, final.shape[0], 'pos');
    const at = (x: Tensor) => x.window([[start, end]]);

    const parts = decompose(cache, by, frozen, pos, readBy(cache, u, frozen));
    scope.add(parts.stack);
    const { lnFinal } = gpuWeights;
    const logits = read(at(final.alias(scope)), b);
    const extra: [label: string, value: Tensor][] = [];
    if (frozen && lnFinal?.b) extra.push(['ln_final.b', read(lnFinal.b.alias(scope).reshape([1, -1]), zero)]);
    if (!frozen && lnFinal) {
      const stream = cache.get('resid_post', -1).alias(scope).reshape([-1, config.dModel]);
      extra.push(['ln_final', logits.sub(b.reshape([1])).sub(read(at(stream), zero))]);
    }
    if (!isDirection(target)) extra.push(['b_U', b]);
    const [sum, rows, ...rest] = await Promise.all(
      [logits, parts.stack, ...extra.map(([, t]) => t)].map((t) => t.data()),
    );
    const n = sum.length;
    finite(sum, (i) => `position ${start + i}: the logit`);
    [rows, ...rest].forEach((values, part) => {
      finite(
        values,
        (i) => `${part ? extra[part - 1][0] : parts.labels[Math.floor(i / n)]}, position ${start + (i % n)}`,
      );
    });
    const all = [
      ...lump(parts.labels, rows, n, by),
      ...extra.map(([label], i): [string, Float32Array] => [
        label,
        rest[i].length === n ? rest[i] : new Float32Array(n).fill(rest[i][0]),
      ]),
    ];
    const values = new Float32Array(all.length * n);
    all.forEach(([, row], i) => {
      values.set(row, i * n);
    });
    return { labels: all.map(([label]) => label), values, logits: sum };
  });
}

/**
 * What heads read at each source position and send to the logits from `pos`: pattern × (value · W_O ·
 * direction), for every head. Row-major [layer · head, source], sources 0 … pos.
 */
export async function headSources(
  cache: ActivationCache,
  target: DirectTarget,
  { frozen, pos }: { frozen: boolean; pos: number },
): Promise<Float32Array> {
  const { nLayers, nHeads, dHead } = cache.config;
  return inScope(async (scope) => {
    const direction = readBy(cache, directionOf(cache.model, target, scope).u, frozen).reshape([-1, 1]);
    const scale = frozen
      ? frozenScale(new Look(cache, { pos }, 'pos', scope), 'ln_final', scope, 'by source')
      : null;
    const layers: Tensor[] = [];
    for (let l = 0; l < nLayers; l++) {
      const own = new Scope();
      const out = cache.model.gpuWeights.blocks[l].W_O.alias(own).matmul(direction).reshape([nHeads, dHead]);
      const v = cache.get('v', l).alias(own).slice([0]); //                             [source, head, dHead]
      const sent = v.mul(out).sum(-1).transpose(); //                                   [head, source]
      const pattern = cache.get('pattern', l).alias(own).slice([0, null, pos]); //      [head, source]
      layers.push(
        pattern
          .mul(sent)
          .slice([null, [0, pos + 1]])
          .alias(scope),
      );
      own.close();
    }
    const all = Tensor.concat(layers);
    return await (scale ? Norm.divided(all, scale.reshape([1, 1])) : all).data();
  });
}

// ---- inside
// --------------------------------------------------------------------------------------------------------

/**
 * A target as a direction of what the unembedding reads, [1, dModel], and the bias on top of the product, [1,
 * 1].
 */
function directionOf(
  { gpu, gpuWeights: w }: Runnable,
  target: DirectTarget,
  scope: Scope,
): { u: Tensor; b: Tensor } {
  if (isDirection(target)) {
    const u = Tensor.from(gpu, Float32Array.from(target), [1, target.length], { label: 'direction', scope });
    return { u, b: Tensor.from(gpu, new Float32Array(1), [1, 1], { label: 'no bias', scope }) };
  }
  const { D, b } = logitDirections([target], w.W_U, w.b_U);
  scope.add(D);
  scope.add(b);
  return { u: D, b };
}

/** The direction as the residual stream is read along it, [dModel]: through a norm that is a fixed scale. */
function readBy({ model }: ActivationCache, u: Tensor, frozen: boolean): Tensor {
  const { lnFinal } = model.gpuWeights;
  return (frozen && lnFinal ? lnFinal.pullBack(u) : u).reshape([-1]);
}

function decompose(
  cache: ActivationCache,
  by: DirectBy,
  frozen: boolean,
  pos: PosSlice | null,
  projectOnto: Tensor,
): Decomposition {
  const all = { pos, projectOnto, applyLn: frozen ? 'frozen' : false } as const;
  if (by === 'component') return cache.fullResidDecomposition(-1, { ...all, ...coarse });
  const o = { ...all, inclRemainder: 'each' } as const;
  if (by === 'layer') return cache.decomposeResid(-1, o);
  return by === 'neuron' ? cache.stackNeuronResults(-1, o) : cache.stackHeadResults(-1, o);
}

/** Rows by label; of heads and neurons, whatever else there is as one row, `remainder`. */
function lump(
  labels: readonly string[],
  rows: Float32Array,
  n: number,
  by: DirectBy,
): [string, Float32Array][] {
  const all = labels.map((label, i): [string, Float32Array] => [label, rows.subarray(i * n, (i + 1) * n)]);
  if (by === 'layer' || by === 'component') return all;
  const own = all.filter(([label]) => /^L\d+[HN]\d+$/.test(label));
  const remainder = new Float32Array(n);
  for (const [, row] of all.slice(own.length)) for (let i = 0; i < n; i++) remainder[i] += row[i];
  return [...own, ['remainder', remainder]];
}
