/**
 * Heads as readers and writers of the residual stream: what a gradient at queries, keys or values is at the
 * stream that they are made of, and what a change of z writes there.
 */

import { inScope } from '../../engine/gpu/storage.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { headResults } from '../../engine/transformer/ops.js';
import type { Runnable } from '../../hooks/input/model.js';
import { normBefore } from '../../weights/facts.js';

/**
 * How a gradient passes the norm before a layer's heads: with its scale as a constant, with the scale as the
 * function of the stream that it is (then `x`, the stream, is needed), or times numbers [..., 1] and nothing
 * else.
 */
export type NormPassage =
  | { readonly kind: 'frozen'; readonly scale: Tensor | null }
  | { readonly kind: 'full'; readonly scale: Tensor | null; readonly x: Tensor }
  | { readonly kind: 'times'; readonly factor: Tensor };

/**
 * Gradients at q (part 0), k (1) or v (2) of single heads (of keys and values there may be fewer), carried
 * back through W_Q, W_K or W_V and the norm before attention: what `runWithGrads` gives at hook_q_input and
 * so on, without making these.
 * @param gradient [batch, pos, head, dHead]
 * @returns [batch, pos, head, dModel]; the caller owns it
 */
export function gradientAtInput(
  { config, gpuWeights }: Runnable,
  layer: number,
  part: 0 | 1 | 2,
  gradient: Tensor,
  norm: NormPassage,
): Tensor {
  const { ln1: own } = gpuWeights.blocks[layer];
  const ln1 = normBefore(config, layer, 'attn') && own;
  return inScope((scope) => {
    let g = beforeWeights({ config, gpuWeights } as Runnable, layer, part, gradient.detach(scope));
    const perToken = (t: Tensor) => t.detach(scope).reshape([-1, 1, t.shape.at(-1)!]);
    if (norm.kind === 'times') g = g.mul(perToken(norm.factor));
    else if (norm.scale && ln1)
      g = ln1.gradientThrough(g, perToken(norm.scale), norm.kind === 'full' ? perToken(norm.x) : null);
    return g.reshape([...gradient.shape.slice(0, -1), config.dModel]).keep();
  });
}

/** Gradients carried back through W_Q, W_K or W_V alone: [tokens, head, dModel]. */
function beforeWeights(
  { config, gpuWeights }: Runnable,
  layer: number,
  part: 0 | 1 | 2,
  gradient: Tensor,
): Tensor {
  const { nHeads, nKeyValueHeads, dHead } = config;
  const heads = part ? nKeyValueHeads : nHeads;
  const from = part && (nHeads + (part - 1) * nKeyValueHeads) * dHead;
  const W = gpuWeights.blocks[layer].W_QKV.detach(gradient.scope).window([
    null,
    [from, from + heads * dHead],
  ]);
  return headResults(gradient.reshape([-1, heads, dHead]), Tensor.concat([W.transpose()])); // W [dModel, head · dHead]
}

/**
 * The gradient at ln1's scale through the queries alone. TransformerLens calls ln1 three times, for queries,
 * keys and values; of a gradient that a hook stores under one name the queries' is left, which is stored
 * last.
 * @param gradient at q, [batch, pos, head, dHead]
 * @param norm what the run has at hook_normalized [batch, pos, dModel] and hook_scale [batch, pos, 1]
 * @returns [batch, pos, 1]; the caller owns it
 */
export function scaleGradientOfQueries(
  model: Runnable,
  layer: number,
  gradient: Tensor,
  norm: { readonly normalized: Tensor; readonly scale: Tensor },
): Tensor {
  return inScope((scope) => {
    const all = beforeWeights(model, layer, 0, gradient.detach(scope)).sum(1); // [tokens, dModel]
    const [normalized, scale] = [norm.normalized, norm.scale].map((t) =>
      t.detach(scope).reshape([-1, t.shape.at(-1)!]),
    );
    const along = model.gpuWeights.blocks[layer]
      .ln1!.pullBack(all)
      .mul(normalized)
      .sum(-1, { keepDims: true });
    return along.div(scale).mul(-1).reshape(norm.scale.shape).keep();
  });
}

/**
 * What a change of z writes into the stream, head by head: [batch, pos, head, dModel]; the caller owns it.
 */
export function written({ config, gpuWeights }: Runnable, layer: number, z: Tensor): Tensor {
  const { nHeads, dHead, dModel } = config;
  return inScope((scope) => {
    const flat = z.detach(scope).reshape([-1, nHeads, dHead]);
    const out = headResults(flat, gpuWeights.blocks[layer].W_O);
    return out.reshape([...z.shape.slice(0, -1), dModel]).keep();
  });
}

/**
 * Products of what receivers read with what senders write, position by position.
 * @param reads gradients [batch, pos, head, dModel], all of one shape: the receivers, one list of heads after
 * another
 * @param writes [batch, pos, head, dModel] of each layer of senders
 * @param perPrompt keep the prompts apart, else they are summed
 * @returns [layer, batch or 1, pos, receivers, head]; the caller owns it
 */
export function pathProducts(
  reads: readonly Tensor[],
  writes: readonly Tensor[],
  perPrompt: boolean,
): Tensor {
  return inScope((scope) => {
    const byHead = reads.map((t) => t.detach(scope).transpose([2, 0, 1, 3])); // joined along their first axis
    const all = Tensor.concat([Tensor.concat(byHead).transpose([1, 2, 0, 3])]); // [batch, pos, receivers, dModel]
    const products = writes.map((t) => {
      const each = all.matmul(t.detach(scope).transpose()); //                    [batch, pos, receivers, head]
      return perPrompt ? each : each.sum(0, { keepDims: true });
    });
    return Tensor.concat(products.map((t) => t.reshape([1, ...t.shape]))).keep();
  });
}
