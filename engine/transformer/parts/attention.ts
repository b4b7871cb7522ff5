/**
 * Attention over the packed layout, causal or in both directions: in one kernel, or as scores, pattern and weighted
 * values one by one when somebody wants to see them. Queries, keys and values are [tokens, head, dHead], usually three
 * windows of one matrix product's output.
 */

import { pattern, scores, storeKv, weightedValues } from '../../../kernels/attention/attention.js';
import { fusedAttention } from '../../../kernels/attention/attention-fused.js';
import { withDense } from '../../tensor/launches.js';
import { taped } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Batch } from '../batch.js';
import {
  attendBackward,
  attentionBackward,
  attentionPatternBackward,
  attentionScoresBackward,
} from './attention-backward.js';
import { type AttentionSetting, geometry, tables, withHeads } from './attention-windows.js';

/** Attention in one kernel: z [tokens, head, dHead]; scores and pattern never exist. */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { batch, layer, scale }: AttentionSetting,
): Tensor {
  const { gpu } = q;
  const [tokens, heads, dHead] = q.shape;
  const z = Tensor.result(gpu, [tokens, heads, dHead], [q], 'hook_z');
  withHeads([q, k, v], ([q, k, v]) => {
    const o = { ...geometry(batch), heads, dHead, q, k, v, scale, prefix: batch.store !== null };
    gpu.launch(fusedAttention(o, gpu.caps), [
      q.binding,
      k.binding,
      v.binding,
      ...tables(batch, layer),
      z.binding(),
    ]);
  });
  return taped(z, [q, k, v], attentionBackward(q, k, v, { batch, layer, scale }));
}

/** q · k · scale, −∞ above the diagonal: [batch, head, query, key], or flat blocks where rows differ. */
export function attentionScores(q: Tensor, k: Tensor, { batch, layer, scale }: AttentionSetting): Tensor {
  const { gpu } = q;
  const [, heads, dHead] = q.shape;
  const out = Tensor.result(gpu, scoresShape(batch, heads), [q], 'hook_attn_scores');
  withHeads([q, k], ([q, k]) => {
    const o = { ...geometry(batch), heads, dHead, q, k, scale, prefix: batch.store !== null };
    gpu.launch(scores(o, gpu.caps), [q.binding, k.binding, ...tables(batch, layer), out.binding()]);
  });
  return taped(out, [q, k], attentionScoresBackward(q, k, { batch, layer, scale }));
}

/** Softmax of the scores over the keys that each query may see. */
export function attentionPattern(s: Tensor, heads: number, batch: Batch): Tensor {
  const { gpu } = s;
  const out = Tensor.result(gpu, s.shape, [s], 'hook_pattern');
  withDense([s], ([s]) =>
    gpu.launch(pattern({ ...geometry(batch), heads }, gpu.caps), [
      s.binding(),
      batch.layout.words.binding(),
      out.binding(),
    ]),
  );
  return taped(out, [s], attentionPatternBackward(out, heads, batch));
}

/** pattern · v: z [tokens, head, dHead]. */
export function attend(p: Tensor, v: Tensor, { batch, layer }: Omit<AttentionSetting, 'scale'>): Tensor {
  const { gpu } = p;
  const [tokens, heads, dHead] = v.shape;
  const z = Tensor.result(gpu, [tokens, heads, dHead], [p], 'hook_z');
  withDense([p], ([p]) =>
    withHeads([v], ([v]) => {
      const o = { ...geometry(batch), heads, dHead, v, prefix: batch.store !== null };
      gpu.launch(weightedValues(o, gpu.caps), [p.binding(), v.binding, ...tables(batch, layer), z.binding()]);
    }),
  );
  return taped(z, [p, v], attendBackward(p, v, { batch, layer }));
}

/** Keeps this run's keys and values of one layer in the batch's store. */
export function keepKeysValues(k: Tensor, v: Tensor, batch: Batch, layer: number): void {
  if (!batch.keepIn) return;
  const { gpu } = k;
  const { store, slots } = batch.keepIn;
  const [tokens, heads, dHead] = k.shape;
  withHeads([k, v], ([k, v]) => {
    const launch = storeKv({ tokens, width: heads * dHead, k, v }, gpu.caps);
    gpu.launch(launch, [k.binding, v.binding, slots.binding(), store.layers[layer].binding()]);
  });
}

/** Rows of one length and position give [batch, head, query, key]; else the rows' blocks lie one after another. */
function scoresShape({ equal, rows, layout }: Batch, heads: number): number[] {
  const [{ length, position }] = rows;
  return equal ? [rows.length, heads, length, position + length] : [layout.scores];
}
