/**
 * The components that the residual stream is the sum of: embeddings, what attention layers and MLPs add, and the finer
 * ones, heads, neurons, biases. Each knows its TransformerLens labels and from which activations it is made.
 */

import type { Scope } from '../../engine/gpu/storage.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { headResults, linear } from '../../engine/transformer/ops.js';
import type { WeightTensors } from '../../engine/transformer/weights.js';
import type { Config } from '../../weights/config.js';
import type { Look } from './look.js';

/** Rows of a stack. */
export interface Component {
  readonly labels: readonly string[];
  /** Hook points it is made from. */
  readonly names: readonly string[];
  /** Its rows, [k, tokens, width] at a time. They, and all that is made on the way, are in `scope`. */
  rows(look: Look, weights: WeightTensors, scope: Scope): Iterable<Tensor>;
}

/** Rows are made in pieces of about so many bytes. */
const PIECE_BYTES = 2 ** 26;

/** How many rows [tokens, width] make a piece. */
export const rowsAPiece = ({ tokens, width }: { tokens: number; width: number }): number =>
  Math.max(1, Math.floor(PIECE_BYTES / 4 / (tokens * width)));

/** An activation [..., dModel] as it is. */
export const activation = (label: string, name: string): Component => ({
  labels: [label],
  names: [name],
  *rows(look, _weights, scope) {
    yield look.onto(look.at(name, scope)).reshape([1, look.tokens, look.width]);
  },
});

/** `embed` and `pos_embed`; a shortformer's position embeddings are not in the residual stream. */
export const embeddings = ({ positionEmbedding }: Config): Component[] => [
  activation('embed', 'hook_embed'),
  ...(positionEmbedding === 'standard' ? [activation('pos_embed', 'hook_pos_embed')] : []),
];

/** `3_attn_out`, its bias included. */
export const attentionOut = (layer: number): Component =>
  activation(`${layer}_attn_out`, `blocks.${layer}.hook_attn_out`);

/** `3_mlp_out`, its bias included. */
export const mlpOut = (layer: number): Component =>
  activation(`${layer}_mlp_out`, `blocks.${layer}.hook_mlp_out`);

/**
 * `L3H0`, `L3H1`, ...: what each head adds, z · W_O, which is made on demand.
 * @param cached take it from `attn.hook_result`
 */
export function heads(layer: number, { nHeads, dHead }: Config, cached: boolean): Component {
  const name = `blocks.${layer}.attn.hook_${cached ? 'result' : 'z'}`;
  return {
    labels: Array.from({ length: nHeads }, (_, h) => `L${layer}H${h}`),
    names: [name],
    *rows(look, weights, scope) {
      const source = look.at(name, scope); // [tokens, head, dHead or dModel]
      const W = cached ? null : look.onto(weights.blocks[layer].W_O.alias(scope)); // [head · dHead, width]
      const step = rowsAPiece(look);
      for (let h = 0; h < nHeads; h += step) {
        const end = Math.min(h + step, nHeads);
        const some = source.window([null, [h, end]]);
        const result = W ? headResults(some, W.slice([[h * dHead, end * dHead]])) : look.onto(some);
        yield result.transpose([1, 0, 2]);
      }
    },
  };
}

/** Neurons of each layer, [start, end). */
export type NeuronRange = readonly [start: number, end: number];

/** `L3N0`, `L3N1`, ...: what each neuron adds, its activation times its row of W_out. */
export function neurons(layer: number, [first, end]: NeuronRange): Component {
  const name = `blocks.${layer}.mlp.hook_post`;
  return {
    labels: Array.from({ length: end - first }, (_, i) => `L${layer}N${first + i}`),
    names: [name],
    *rows(look, weights, scope) {
      const post = look.at(name, scope); // [tokens, dMlp]
      const own = weights.blocks[layer].mlp!.W_out.alias(scope).window([[first, end]]);
      const W = look.onto(own); // [neurons, width]
      const step = rowsAPiece(look);
      for (let m = first; m < end; m += step) {
        const n = Math.min(step, end - m);
        const acts = post.window([null, [m, m + n]]).transpose(); // [n, tokens]
        const rows = W.window([[m - first, m - first + n]]);
        yield acts.reshape([n, look.tokens, 1]).mul(rows.reshape([n, 1, look.width]));
      }
    },
  };
}

/** What an MLP adds beside some of its neurons: the others, and its bias. */
export const otherNeurons = (layer: number, chosen: NeuronRange): Component => ({
  labels: [`${layer}_mlp_out without the neurons`],
  names: [`blocks.${layer}.mlp.hook_post`],
  *rows(look, weights, scope) {
    const { W_out, b_out } = weights.blocks[layer].mlp!;
    const post = look.at(`blocks.${layer}.mlp.hook_post`, scope).set([null, chosen], 0);
    yield look.onto(linear(post, W_out, b_out)).reshape([1, look.tokens, look.width]);
  },
});

/** `bias`: the sum of b_O of some layers and of b_out of others, the same at every position. */
export const biases = (attention: readonly number[], mlps: readonly number[]): Component => ({
  labels: ['bias'],
  names: [],
  *rows(look, { blocks }, scope) {
    const all = [...attention.map((l) => blocks[l].b_O), ...mlps.map((l) => blocks[l].mlp!.b_out)];
    const { gpu, shape } = blocks[0].W_O;
    let sum: Tensor | null = null;
    for (const b of all) if (b) sum = sum ? sum.add(b) : b.alias(scope);
    sum ??= Tensor.from(gpu, new Float32Array(shape[1]), [shape[1]], { label: 'no bias', scope });
    yield look.onto(sum.reshape([1, 1, sum.size])).expand([1, look.tokens, look.width]);
  },
});
