/**
 * A transformer, top to bottom, with its hook points; block.ts is what happens in a layer.
 *
 * Activations are packed, `[tokens, ...]`: the rows of a batch one after another, without padding.
 * `tap.at(name, x)` shows an activation to whoever asked for it and gives back what to go on with. Where
 * nobody asked, steps run fused (`tap.wants` decides): the residual sum inside the matrix product, the whole
 * attention in one kernel. Names and definitions are TransformerLens'; of which parts a model is made is told
 * by its facts (`blockFacts`). The architecture is Radford et al. 2019, and what came after it.
 */

import type { Tensor } from '../tensor/tensor.js';
import { block, normed, type Pass, positionEmbedding } from './block.js';
import { embedTokens, lookUp, uncapped, unembed } from './ops.js';

export { attentionHalf, mlpHalf, type Pass, storeKeysValues } from './block.js';

/** Which blocks a pass goes through; all of them, and the last norm, by default. */
export interface Range {
  /** First block. */
  readonly from: number;
  /** Block before which to stop, or null: go on to the end. */
  readonly to: number | null;
  /**
   * The residual stream [tokens, dModel] before block `from`, where a pass does not start from its tokens.
   */
  readonly residual: Tensor | null;
}

/**
 * The model: tokens in, and out comes what the unembedding reads, [tokens, dModel] (logits are x · W_U +
 * b_U); or the residual stream where the pass stops early.
 */
export async function transformer(pass: Pass, { from, to, residual }: Range): Promise<Tensor> {
  let x = residual ?? (await embedding(pass)); //                                     [tokens, dModel]
  for (let l = from; l < (to ?? pass.config.nLayers); l++) x = await block(pass, l, x);
  return to === null ? finalNorm(pass, x) : x;
}

/**
 * Token embedding, and position embedding where positions are embedded: the residual stream before the first
 * block. Shortformer models (Press et al. 2020) keep positions out of it: they add them to what queries and
 * keys are made of, in every layer. Rotary models turn queries and keys.
 */
export async function embedding(pass: Pass): Promise<Tensor> {
  const { config, weights, batch, tap } = pass;
  const { embedScale } = config;
  const standard = config.positionEmbedding === 'standard';
  if (standard && embedScale === 1 && !tap.wants('hook_embed', 'hook_pos_embed'))
    return embedTokens(weights.W_E, weights.W_pos!, batch);
  const found = lookUp(weights.W_E, batch, 'token'); //                               [tokens, dModel]
  const tokens = await tap.at('hook_embed', embedScale === 1 ? found : found.mul(embedScale));
  return standard ? tokens.add(await positionEmbedding(pass)) : tokens;
}

/** The last norm: what the unembedding reads, [tokens, dModel]. */
export async function finalNorm(pass: Pass, x: Tensor): Promise<Tensor> {
  const { tap, weights } = pass;
  const { lnFinal, W_U, b_U } = weights;
  const read = await tap.at('unembed.hook_in', await normed(pass, 'ln_final', x, lnFinal));
  if (tap.wants('unembed.hook_out')) await tap.at('unembed.hook_out', unembed(read, uncapped(W_U), b_U));
  return read;
}
