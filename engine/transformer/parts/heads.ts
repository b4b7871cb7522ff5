/** Attention's heads: what each gathers, and what they write. */

import type { Tensor } from '../../tensor/tensor.js';
import type { Layer } from '../block.js';
import { headResults, linear } from '../ops.js';
import { attend, attention, attentionPattern, attentionScores } from './attention.js';

/**
 * Every head's weighted sum of values: z [tokens, head, dHead]. In one kernel where nobody looks at scores or
 * pattern.
 */
export async function weightedHeads(layer: Layer, q: Tensor, k: Tensor, v: Tensor): Promise<Tensor> {
  const { batch, tap, name, at } = layer;
  const setting = { batch, layer: layer.layer, facts: layer.facts.attention };
  if (!tap.wants(name('attn.hook_attn_scores'), name('attn.hook_pattern')))
    return at('attn.hook_z', attention(q, k, v, setting));
  const scores = await at('attn.hook_attn_scores', attentionScores(q, k, setting)); // [batch, head, query, key]
  const pattern = await at('attn.hook_pattern', attentionPattern(scores, setting));
  return at('attn.hook_z', attend(pattern, v, setting));
}

/** What the heads write: Σ_heads z · W_O + b_O (+ residual), [tokens, dModel]. */
export async function headsOutput(layer: Layer, z: Tensor, residual: Tensor | null): Promise<Tensor> {
  const { tap, name, at, w } = layer;
  const { W_O, b_O } = w;
  if (!tap.wants(name('attn.hook_result'))) return linear(z, W_O, b_O, { residual });
  const result = await at('attn.hook_result', headResults(z, W_O)); //                [tokens, head, dModel]
  const heads = result.sum(1);
  const sum = b_O ? heads.add(b_O) : heads;
  return residual ? residual.add(sum) : sum;
}
