/**
 * One block: attention and MLP read the residual stream through norms, and what they write is added to it,
 * one after the other or both at once,
 *
 *     y = x + A(n₁ x);  x′ = y + M(n₂ y)          x′ = x + A(n₁ x) + M(n₂ x)
 *
 * with norms before, behind or on both sides of A and M. The parts are in parts/ and ops.ts; model.ts has
 * what comes before and after the blocks.
 */

import type { Config } from '../../weights/config.js';
import { type BlockFacts, type BlockPart, blockFacts, normBehind } from '../../weights/facts.js';
import { inScope } from '../gpu/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Batch } from './batch.js';
import { activate, gatedBy, linear, lookUp, softmaxLinearUnit } from './ops.js';
import { headsOutput, weightedHeads } from './parts/heads.js';
import type { Norm } from './parts/norm.js';
import { queriesKeysValues } from './parts/queries-keys-values.js';
import type { Tap } from './tap.js';
import { type GpuBlock, normNamed, type WeightTensors } from './weights.js';

/** One forward pass: a model, a batch, and somebody looking. */
export interface Pass {
  readonly config: Config;
  readonly weights: WeightTensors;
  readonly batch: Batch;
  readonly tap: Tap;
  /** Shortformer models: position embeddings [tokens, dModel], once they have been looked up. */
  positions?: Tensor;
}

/** A layer of a pass, as its parts see it. */
export interface Layer extends Pass {
  readonly layer: number;
  readonly facts: BlockFacts;
  readonly w: GpuBlock;
  /** `blocks.{layer}.{hook}` */
  name(hook: string): string;
  /** Shows an activation of the layer. */
  at(hook: string, t: Tensor): Tensor | Promise<Tensor>;
  /** Position embeddings [tokens, dModel], for models that add them in every layer. */
  embeddedPositions(): Promise<Tensor>;
}

/** A whole block: it reads the residual stream x [tokens, dModel], which it frees, and adds to it. */
export async function block(pass: Pass, l: number, x: Tensor): Promise<Tensor> {
  return mlpHalf(pass, l, await attentionHalf(pass, l, x));
}

/**
 * First half of a block: attention reads the residual stream x [tokens, dModel], which it frees, and adds to
 * it. Parallel blocks are this half as a whole.
 */
export const attentionHalf = (pass: Pass, l: number, x: Tensor): Promise<Tensor> =>
  replaced(x, async (x) => {
    const layer = layerOf(pass, l);
    const { facts, w } = layer;
    const seen = await layer.at('hook_resid_pre', x); //                              [tokens, dModel]
    const { parts, normalized } = await queriesKeysValues(layer, seen); //             [tokens, head, dHead]
    const z = await weightedHeads(layer, ...parts); //                                [tokens, head, dHead]
    const sum = await added(layer, seen, 'attn', (residual) => headsOutput(layer, z, residual));
    if (facts.order === 'sequential') return facts.mlp ? sum : layer.at('hook_resid_post', sum);
    return mlp(layer, seen, sum, facts.before.shared ? (normalized ?? w.ln1?.apply(seen) ?? seen) : null);
  });

/**
 * Second half of a block: the MLP reads the residual stream x [tokens, dModel], which it frees, and adds to
 * it.
 */
export const mlpHalf = (pass: Pass, l: number, x: Tensor): Promise<Tensor> =>
  replaced(x, async (x) => {
    const layer = layerOf(pass, l);
    if (!layer.facts.mlp || layer.facts.order === 'parallel') return x;
    const mid = await layer.at('hook_resid_mid', x); //                               [tokens, dModel]
    return mlp(layer, mid, mid, null);
  });

/**
 * What the MLP makes of `seen` is added to `sum`, [tokens, dModel] both.
 * @param shared `seen` as the norm before attention gives it, where it is the MLP's norm too
 */
async function mlp(layer: Layer, seen: Tensor, sum: Tensor, shared: Tensor | null): Promise<Tensor> {
  const { facts, w, name, at } = layer;
  const into = await at('hook_mlp_in', seen); //                                      [tokens, dModel]
  const changed = into !== seen;
  const normalized = shared
    ? ((changed ? w.ln1?.apply(into) : shared) ?? into)
    : await normed(layer, name('ln2'), into, facts.before.mlp && w.ln2); //           [tokens, dModel]
  const post = await at('mlp.hook_post', await neurons(layer, normalized)); //        [tokens, dMlp]
  const { W_out, b_out } = w.mlp!;
  const out = await added(layer, sum, 'mlp', (residual) => linear(post, W_out, b_out, { residual }));
  return at('hook_resid_post', out);
}

/**
 * act(x · W_in + b_in), or gated act(x · W_gate + b_gate) ∘ (x · W_in + b_in): [tokens, dMlp]. SoLU models
 * may have a norm behind it (Elhage et al. 2022).
 */
async function neurons(layer: Layer, x: Tensor): Promise<Tensor> {
  const { tap, name, at, w } = layer;
  const { activation: act, gated } = layer.facts.mlp!;
  const { W_in, b_in, W_gate, b_gate, ln } = w.mlp!;
  const [pre, up] = ['mlp.hook_pre', 'mlp.hook_pre_linear'].map(name);
  const soft = act === 'solu' || act === 'solu_ln';
  if (gated && !soft) {
    if (!tap.wants(pre, up)) return linear(x, W_in, b_in, { times: linear(x, W_gate!, b_gate, { act }) });
    const gate = await at('mlp.hook_pre', linear(x, W_gate!, b_gate));
    return gatedBy(gate, await at('mlp.hook_pre_linear', linear(x, W_in, b_in)), act);
  }
  if (!soft && !tap.wants(pre)) return linear(x, W_in, b_in, { act });
  const before = await at('mlp.hook_pre', linear(x, W_in, b_in));
  if (!soft) return activate(before, act);
  const mid = softmaxLinearUnit(before);
  return act === 'solu' ? mid : normed(layer, name('mlp.ln'), await at('mlp.hook_mid', mid), ln);
}

/**
 * Keys and values of block l go to the batch's store, and nothing else is computed: for tokens that are only
 * attended to.
 */
export async function storeKeysValues(pass: Pass, l: number, x: Tensor): Promise<void> {
  const layer = layerOf(pass, l);
  await queriesKeysValues(layer, await layer.at('hook_resid_pre', x));
}

/** W_pos of each token's position, [tokens, dModel]; looked up once a pass. */
export async function positionEmbedding(pass: Pass): Promise<Tensor> {
  const { weights, batch, tap } = pass;
  return (pass.positions ??= await tap.at('hook_pos_embed', lookUp(weights.W_pos!, batch, 'position')));
}

/** What a norm makes of x, [..., width]; x itself where there is none. */
export const normed = (
  { tap }: Pick<Pass, 'tap'>,
  name: string,
  x: Tensor,
  norm: Norm | null,
): Tensor | Promise<Tensor> => (norm ? norm.run(tap, name, x) : x);

function layerOf(pass: Pass, l: number): Layer {
  const { config, weights, batch, tap } = pass;
  const name = (hook: string) => `blocks.${l}.${hook}`;
  return {
    ...{ config, weights, batch, tap, layer: l, name },
    facts: blockFacts(config, l),
    w: weights.blocks[l],
    at: (hook, t) => tap.at(name(hook), t),
    embeddedPositions: () => positionEmbedding(pass),
  };
}

/**
 * x + f, through a norm behind attention or MLP where there is one: in one kernel, unless there is, or
 * somebody wants to see what is added.
 */
async function added(
  layer: Layer,
  x: Tensor,
  part: BlockPart,
  f: (residual: Tensor | null) => Tensor | Promise<Tensor>,
): Promise<Tensor> {
  const { tap, name, at, config, weights } = layer;
  const hook = `hook_${part}_out`;
  const behind = normBehind(config, layer.layer, part);
  if (!behind && !tap.wants(name(hook))) return f(x);
  const out = await f(null);
  const norm = behind && normNamed(weights, name(behind));
  return x.add(await at(hook, norm ? await norm.run(tap, name(behind!), out) : out));
}

/** What f makes of x, which is freed with everything else that f makes. */
function replaced(x: Tensor, f: (x: Tensor) => Promise<Tensor>): Promise<Tensor> {
  const outer = x.scope;
  return inScope(async (scope) => {
    const result = (await f(x.alias(scope))).alias(outer);
    x.dispose();
    return result;
  });
}
