/**
 * GPT-2, top to bottom, with its hook points.
 *
 * Activations are packed, `[tokens, ...]`: the rows of a batch one after another, without padding.
 * `tap.at(name, x)` shows an activation to whoever asked for it and gives back what to go on with. Where nobody
 * asked, steps run fused (`tap.wants` decides): the residual sum inside the matrix product, the whole attention
 * in one kernel. Names and definitions are TransformerLens'; the architecture is Radford et al. 2019.
 */

import type { Config } from '../../weights/config.js';
import { Scope } from '../gpu/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Batch } from './batch.js';
import {
  activate,
  embedTokens,
  headProject,
  headResults,
  linear,
  lookUp,
  softmaxLinearUnit,
  splitHeads,
} from './ops.js';
import { attend, attention, attentionPattern, attentionScores, keepKeysValues } from './parts/attention.js';
import type { Norm } from './parts/norm.js';
import type { Tap } from './tap.js';
import type { GpuBlock, WeightTensors } from './weights.js';

type Mlp = NonNullable<GpuBlock['mlp']>;

/** One forward pass: a model, a batch, and somebody looking. */
export interface Pass {
  readonly config: Config;
  readonly weights: WeightTensors;
  readonly batch: Batch;
  readonly tap: Tap;
  /** Shortformer models: position embeddings [tokens, dModel], once they have been looked up. */
  positions?: Tensor;
}

/** Which blocks a pass goes through; all of them, and the last layer norm, by default. */
export interface Range {
  /** First block. */
  readonly from: number;
  /** Block before which to stop, or null: go on to the end. */
  readonly to: number | null;
  /** The residual stream [tokens, dModel] before block `from`, where a pass does not start from its tokens. */
  readonly residual: Tensor | null;
}

/**
 * The model: tokens in, and out comes what the unembedding reads, [tokens, dModel] (logits are x · W_U + b_U);
 * or the residual stream where the pass stops early.
 */
export async function gpt2(pass: Pass, { from, to, residual }: Range): Promise<Tensor> {
  let x = residual ?? (await embedding(pass)); //                                     [tokens, dModel]
  for (let l = from; l < (to ?? pass.config.nLayers); l++) {
    x = await attentionHalf(pass, l, x);
    x = await mlpHalf(pass, l, x);
  }
  return to === null ? finalNorm(pass, x) : x;
}

/**
 * Token embedding plus position embedding: the residual stream before the first block. Shortformer models (Press et
 * al. 2020) keep positions out of it: they add them to what queries and keys are made of, in every layer.
 */
export async function embedding(pass: Pass): Promise<Tensor> {
  const { config, weights, batch, tap } = pass;
  const shortformer = config.positionEmbedding === 'shortformer';
  if (!shortformer && !tap.wants('hook_embed', 'hook_pos_embed'))
    return embedTokens(weights.W_E, weights.W_pos!, batch);
  const tokens = await tap.at('hook_embed', lookUp(weights.W_E, batch, 'token')); //  [tokens, dModel]
  const positions = await positionEmbedding(pass); //                                 [tokens, dModel]
  return shortformer ? tokens : tokens.add(positions);
}

/** First half of a block: attention reads the residual stream x [tokens, dModel], which it frees, and adds to it. */
export const attentionHalf = (pass: Pass, l: number, x: Tensor): Promise<Tensor> =>
  inScope(x, async (x) => {
    const seen = await pass.tap.at(`blocks.${l}.hook_resid_pre`, x); //               [tokens, dModel]
    const z = await heads(pass, l, seen); //                                          [tokens, head, dHead]
    return addTo(pass, seen, `blocks.${l}.hook_attn_out`, (residual) => output(pass, l, z, residual));
  });

/** Second half of a block: the MLP reads the residual stream x [tokens, dModel], which it frees, and adds to it. */
export const mlpHalf = (pass: Pass, l: number, x: Tensor): Promise<Tensor> =>
  inScope(x, async (x) => {
    const { weights, tap } = pass;
    const { mlp, ln2 } = weights.blocks[l];
    const name = (hook: string) => `blocks.${l}.${hook}`;
    const at = (hook: string, t: Tensor) => tap.at(name(hook), t);
    if (!mlp) return at('hook_resid_post', x);

    const mid = await at('hook_resid_mid', x); //                                     [tokens, dModel]
    const into = await at('hook_mlp_in', mid); //                                     [tokens, dModel]
    const normalized = await normed(pass, name('ln2'), into, ln2); //                 [tokens, dModel]
    const post = await at('mlp.hook_post', await neurons(pass, l, normalized, mlp)); // [tokens, dMlp]
    const out = await addTo(pass, mid, name('hook_mlp_out'), (residual) =>
      linear(post, mlp.W_out, mlp.b_out, { residual }),
    );
    return at('hook_resid_post', out);
  });

/** act(x · W_in + b_in), [tokens, dMlp]. SoLU models may have a norm behind it (Elhage et al. 2022). */
async function neurons(pass: Pass, l: number, x: Tensor, mlp: Mlp): Promise<Tensor> {
  const { config, tap } = pass;
  const { actFn } = config;
  const { W_in, b_in } = mlp;
  const name = (hook: string) => `blocks.${l}.mlp.${hook}`;
  const soft = actFn === 'solu' || actFn === 'solu_ln';
  if (!soft && !tap.wants(name('hook_pre'))) return linear(x, W_in, b_in, { act: actFn });
  const pre = await tap.at(name('hook_pre'), linear(x, W_in, b_in));
  if (!soft) return activate(pre, actFn);
  const mid = softmaxLinearUnit(pre);
  return actFn === 'solu' ? mid : normed(pass, name('ln'), await tap.at(name('hook_mid'), mid), mlp.ln);
}

/** The last norm: what the unembedding reads, [tokens, dModel]. */
export const finalNorm = async (pass: Pass, x: Tensor): Promise<Tensor> =>
  normed(pass, 'ln_final', x, pass.weights.lnFinal);

/** W_pos of each token's position, [tokens, dModel]; looked up once a pass. */
async function positionEmbedding(pass: Pass): Promise<Tensor> {
  const { weights, batch, tap } = pass;
  return (pass.positions ??= await tap.at('hook_pos_embed', lookUp(weights.W_pos!, batch, 'position')));
}

/** Keys and values of block l go to the batch's store, and nothing else is computed: for tokens that are only attended to. */
export async function storeKeysValues(pass: Pass, l: number, x: Tensor): Promise<void> {
  await headParts(pass, l, await pass.tap.at(`blocks.${l}.hook_resid_pre`, x));
}

/** Every head's weighted sum of values: z [tokens, head, dHead]. */
async function heads(pass: Pass, l: number, x: Tensor): Promise<Tensor> {
  const { config, batch, tap } = pass;
  const name = (hook: string) => `blocks.${l}.attn.${hook}`;
  const inverseLayer = config.scaleAttnByInverseLayerIdx ? 1 / (l + 1) : 1;
  const scale = (config.scaleAttn ? 1 / Math.sqrt(config.dHead) : 1) * inverseLayer;
  const setting = { batch, layer: l, scale };

  const [q, k, v] = await headParts(pass, l, x); //                                  [tokens, head, dHead]
  if (!tap.wants(name('hook_attn_scores'), name('hook_pattern')))
    return tap.at(name('hook_z'), attention(q, k, v, setting));

  const scores = await tap.at(name('hook_attn_scores'), attentionScores(q, k, setting)); // [batch, head, query, key]
  const pattern = await tap.at(name('hook_pattern'), attentionPattern(scores, config.nHeads, batch));
  return tap.at(name('hook_z'), attend(pattern, v, setting));
}

/** Queries, keys and values, [tokens, head, dHead] each; the last two go to the store where the batch has one. */
async function headParts(pass: Pass, l: number, x: Tensor): Promise<[q: Tensor, k: Tensor, v: Tensor]> {
  const { config, weights, batch, tap } = pass;
  const w = weights.blocks[l];
  const at = (hook: string, t: Tensor) => tap.at(`blocks.${l}.attn.${hook}`, t);
  let parts = await headInputs(pass, l, x);
  if (!parts) {
    const project = (input: Tensor) =>
      splitHeads(linear(input, w.W_QKV, w.b_QKV), config.nHeads, config.dHead); //    [tokens, 3 · head · dHead]
    const normalized = await normed(pass, `blocks.${l}.ln1`, x, w.ln1); //            [tokens, dModel]
    parts = project(normalized);
    if (config.positionEmbedding === 'shortformer') {
      const [q, k] = project(normalized.add(await positionEmbedding(pass)));
      parts = [q, k, parts[2]];
    }
  }
  const q = await at('hook_q', parts[0]);
  const k = await at('hook_k', parts[1]);
  const v = await at('hook_v', parts[2]);
  keepKeysValues(k, v, batch, l);
  return [q, k, v];
}

/** What the heads write: Σ_heads z · W_O + b_O (+ residual), [tokens, dModel]. */
async function output(
  { weights, tap }: Pass,
  l: number,
  z: Tensor,
  residual: Tensor | null,
): Promise<Tensor> {
  const { W_O, b_O } = weights.blocks[l];
  const hook = `blocks.${l}.attn.hook_result`;
  if (!tap.wants(hook)) return linear(z, W_O, b_O, { residual });
  const result = await tap.at(hook, headResults(z, W_O)); //                         [tokens, head, dModel]
  const sum = result.sum(1).add(b_O);
  return residual ? residual.add(sum) : sum;
}

/** What a norm makes of x, [..., width]; x itself in models without norms. */
const normed = ({ tap }: Pass, name: string, x: Tensor, norm: Norm | null): Tensor | Promise<Tensor> =>
  norm ? norm.run(tap, name, x) : x;

/**
 * The on-demand inputs of attention: each head may be given a residual stream of its own, and its queries, keys
 * and values one each. Null where nobody changed any of them (the usual, fast way goes on). As in TransformerLens
 * the norm then runs for each of the three, and its hook points see [tokens, head, dModel].
 */
async function headInputs(
  pass: Pass,
  l: number,
  x: Tensor,
): Promise<[q: Tensor, k: Tensor, v: Tensor] | null> {
  const { config, weights, tap } = pass;
  const name = (hook: string) => `blocks.${l}.${hook}`;
  const parts = ['hook_q_input', 'hook_k_input', 'hook_v_input'];
  if (!tap.wants(name('hook_attn_in'), ...parts.map(name))) return null;
  const everyHead = x.reshape([-1, 1, config.dModel]).expand([-1, config.nHeads, -1]); // [tokens, head, dModel]
  const shared = await tap.at(name('hook_attn_in'), everyHead);
  const inputs: Tensor[] = [];
  for (const part of parts) inputs.push(await tap.at(name(part), shared));
  if (inputs.every((t) => t === everyHead)) return null;
  const w = weights.blocks[l];
  const made: Tensor[] = [];
  for (const [i, input] of inputs.entries()) {
    let normalized = await normed(pass, name('ln1'), input, w.ln1); //                [tokens, head, dModel]
    if (config.positionEmbedding === 'shortformer' && i < 2)
      normalized = normalized.add((await positionEmbedding(pass)).reshape([-1, 1, config.dModel]));
    made.push(headProject(normalized, w, i as 0 | 1 | 2, config.dHead));
  }
  return made as [Tensor, Tensor, Tensor];
}

/** x + f: in one kernel, unless somebody wants to see what is added. */
async function addTo(
  { tap }: Pass,
  x: Tensor,
  hook: string,
  f: (residual: Tensor | null) => Tensor | Promise<Tensor>,
): Promise<Tensor> {
  if (!tap.wants(hook)) return f(x);
  return x.add(await tap.at(hook, await f(null)));
}

/** Whatever f makes goes back to the pool at its end, but for its result. */
async function inScope(x: Tensor, f: (x: Tensor) => Promise<Tensor>): Promise<Tensor> {
  const outer = x.scope;
  const scope = new Scope();
  try {
    const y = await f(x.alias(scope));
    const result = y.alias(outer);
    x.dispose();
    return result;
  } finally {
    scope.close();
  }
}
