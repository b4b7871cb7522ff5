/**
 * The components that the residual stream is the sum of: embeddings, what attention layers and MLPs add, and
 * the finer ones, heads, neurons, biases. Each knows its TransformerLens labels and from which activations it
 * is made.
 */

import { PIECE_BYTES } from '../../engine/budgets.js';
import type { Scope } from '../../engine/gpu/storage.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { headResults, linear } from '../../engine/transformer/ops.js';
import { Norm } from '../../engine/transformer/parts/norm.js';
import { pointName } from '../../engine/transformer/points.js';
import { normNamed, type WeightTensors } from '../../engine/transformer/weights.js';
import type { Config } from '../../weights/config.js';
import { type BlockPart, normBehind } from '../../weights/facts.js';
import type { Look } from './look.js';

/** Rows of a stack. */
export interface Component {
  readonly labels: readonly string[];
  /** Hook points it is made from. */
  readonly names: readonly string[];
  /** Its rows, [k, tokens, width] at a time. They, and all that is made on the way, are in `scope`. */
  rows(look: Look, weights: WeightTensors, scope: Scope): Iterable<Tensor>;
}

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
  activation(`${layer}_attn_out`, pointName('hook_attn_out', layer));

/** `3_mlp_out`, its bias included. */
export const mlpOut = (layer: number): Component =>
  activation(`${layer}_mlp_out`, pointName('hook_mlp_out', layer));

/**
 * A norm behind attention or MLP, through which the shares of heads or neurons pass with its scale in the
 * run.
 */
class Behind {
  readonly #name: string | null;

  constructor(config: Config, layer: number, part: BlockPart) {
    const name = normBehind(config, layer, part);
    this.#name = name && `blocks.${layer}.${name}`;
  }

  /** What it needs of a run. */
  get names(): string[] {
    return this.#name ? [`${this.#name}.hook_scale`] : [];
  }

  /** The norm; null: there is none. */
  norm(weights: WeightTensors): Norm | null {
    return this.#name ? normNamed(weights, this.#name) : null;
  }

  /**
   * Shares [k, tokens, width] as they are added, in the scope of the rows.
   * @param rows as `look.onto(x, norm)` gives them
   */
  pass(look: Look, weights: WeightTensors, rows: Tensor): Tensor {
    const norm = this.norm(weights);
    if (!norm) return rows;
    const scale = look.at(`${this.#name}.hook_scale`, rows.scope!).reshape([1, look.tokens, 1]);
    if (look.projected) return Norm.divided(rows, scale);
    return norm.divideBy(rows, scale.expand([rows.shape[0], -1, -1]), 'gain');
  }
}

/**
 * `L3H0`, `L3H1`, ...: what each head adds, z · W_O, which is made on demand; through the norm behind
 * attention where there is one.
 * @param cached take it from `attn.hook_result`
 */
export function heads(layer: number, config: Config, cached: boolean): Component {
  const { nHeads, dHead } = config;
  const name = pointName(cached ? 'attn.hook_result' : 'attn.hook_z', layer);
  const behind = new Behind(config, layer, 'attn');
  return {
    labels: Array.from({ length: nHeads }, (_, h) => `L${layer}H${h}`),
    names: [name, ...behind.names],
    *rows(look, weights, scope) {
      const source = look.at(name, scope); // [tokens, head, dHead or dModel]
      const norm = behind.norm(weights);
      const W = cached ? null : look.onto(weights.blocks[layer].W_O.alias(scope), norm); // [head · dHead, width]
      const step = rowsAPiece(look);
      for (let h = 0; h < nHeads; h += step) {
        const end = Math.min(h + step, nHeads);
        const some = source.window([null, [h, end]]);
        const result = W ? headResults(some, W.slice([[h * dHead, end * dHead]])) : look.onto(some, norm);
        yield behind.pass(look, weights, result.transpose([1, 0, 2]));
      }
    },
  };
}

/** Neurons of each layer, [start, end). */
export type NeuronRange = readonly [start: number, end: number];

/**
 * `L3N0`, `L3N1`, ...: what each neuron adds, its activation times its row of W_out, through the norm behind
 * the MLP.
 */
export function neurons(config: Config, layer: number, [first, end]: NeuronRange): Component {
  const name = pointName('mlp.hook_post', layer);
  const behind = new Behind(config, layer, 'mlp');
  return {
    labels: Array.from({ length: end - first }, (_, i) => `L${layer}N${first + i}`),
    names: [name, ...behind.names],
    *rows(look, weights, scope) {
      const post = look.at(name, scope); // [tokens, dMlp]
      const own = weights.blocks[layer].mlp!.W_out.alias(scope).window([[first, end]]);
      const W = look.onto(own, behind.norm(weights)); // [neurons, width]
      const step = rowsAPiece(look);
      for (let m = first; m < end; m += step) {
        const n = Math.min(step, end - m);
        const acts = post.window([null, [m, m + n]]).transpose(); // [n, tokens]
        const rows = W.window([[m - first, m - first + n]]);
        const shares = acts.reshape([n, look.tokens, 1]).mul(rows.reshape([n, 1, look.width]));
        yield behind.pass(look, weights, shares);
      }
    },
  };
}

/** What an MLP adds beside some of its neurons: the others, and its bias. */
export function otherNeurons(config: Config, layer: number, chosen: NeuronRange): Component {
  const name = pointName('mlp.hook_post', layer);
  const behind = new Behind(config, layer, 'mlp');
  return {
    labels: [`${layer}_mlp_out without the neurons`],
    names: [name, ...behind.names],
    *rows(look, weights, scope) {
      const { W_out, b_out } = weights.blocks[layer].mlp!;
      const post = look.at(name, scope).set([null, chosen], 0);
      const out = look.onto(linear(post, W_out, b_out), behind.norm(weights));
      const share = behind.pass(look, weights, out.reshape([1, look.tokens, look.width]));
      const own = behind.norm(weights)?.b;
      yield own ? share.add(look.onto(own.alias(scope).reshape([1, 1, own.size]))) : share;
    },
  };
}

/**
 * `bias`: the sum of b_O of some layers and of b_out of others, as they are added: without norms behind the
 * same everywhere.
 */
export function biases(config: Config, attention: readonly number[], mlps: readonly number[]): Component {
  const parts = [
    ...attention.map((l) => ({ l, part: 'attn' as const, behind: new Behind(config, l, 'attn') })),
    ...mlps.map((l) => ({ l, part: 'mlp' as const, behind: new Behind(config, l, 'mlp') })),
  ];
  return {
    labels: ['bias'],
    names: parts.flatMap(({ behind }) => behind.names),
    *rows(look, weights, scope) {
      const { blocks } = weights;
      const { gpu, shape } = blocks[0].W_O;
      let plain = Tensor.from(gpu, new Float32Array(shape[1]), [shape[1]], { label: 'no bias', scope });
      let normed: Tensor | null = null; // [1, tokens, width]
      for (const { l, part, behind } of parts) {
        const b = part === 'attn' ? blocks[l].b_O : blocks[l].mlp!.b_out;
        const norm = behind.norm(weights);
        const everywhere = norm ? norm.b : b;
        if (everywhere) plain = plain.add(everywhere);
        if (!norm || !b) continue;
        const row = look.onto(b.alias(scope).reshape([1, 1, b.size]), norm);
        const share = behind.pass(look, weights, row.expand([1, look.tokens, look.width]));
        normed = normed ? normed.add(share) : share;
      }
      const everywhere = look.onto(plain.reshape([1, 1, plain.size])).expand([1, look.tokens, look.width]);
      yield normed ? normed.add(everywhere) : everywhere;
    },
  };
}
