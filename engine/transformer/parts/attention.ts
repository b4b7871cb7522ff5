/**
 * Attention over the packed layout, causal or in both directions: in one kernel, or as scores, pattern and
 * weighted values one by one when somebody wants to see them. Queries are [tokens, head, dHead], keys and
 * values [tokens, kvHead, dHead], usually windows of one matrix product's output.
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
export function attention(q: Tensor, k: Tensor, v: Tensor, setting: AttentionSetting): Tensor {
  const { gpu } = q;
  const { batch, layer } = setting;
  const [tokens, heads, dHead] = q.shape;
  const z = Tensor.result(gpu, [tokens, heads, dHead], [q], 'hook_z');
  withHeads([q, k, v], ([q, k, v]) => {
    const o = { ...geometry(setting), dHead, q, k, v, prefix: batch.store !== null };
    gpu.launch(fusedAttention(o, gpu.caps), [
      q.binding,
      k.binding,
      v.binding,
      ...tables(batch, layer),
      z.binding(),
    ]);
  });
  return taped(z, [q, k, v], attentionBackward(q, k, v, setting));
}

/**
 * q · k · scale, capped, −∞ where a query does not see: [batch, head, query, key], or flat blocks where rows
 * differ.
 */
export function attentionScores(q: Tensor, k: Tensor, setting: AttentionSetting): Tensor {
  const { gpu } = q;
  const { batch, layer } = setting;
  const [, heads, dHead] = q.shape;
  const out = Tensor.result(gpu, scoresShape(batch, heads), [q], 'hook_attn_scores');
  withHeads([q, k], ([q, k]) => {
    const o = { ...geometry(setting), dHead, q, k, prefix: batch.store !== null };
    gpu.launch(scores(o, gpu.caps), [q.binding, k.binding, ...tables(batch, layer), out.binding()]);
  });
  return taped(out, [q, k], attentionScoresBackward(q, k, out, setting));
}

/** Softmax of the scores over the keys that each query may see. */
export function attentionPattern(s: Tensor, setting: AttentionSetting): Tensor {
  const { gpu } = s;
  const { batch } = setting;
  const out = Tensor.result(gpu, s.shape, [s], 'hook_pattern');
  withDense([s], ([s]) =>
    gpu.launch(pattern(geometry(setting), gpu.caps), [
      s.binding(),
      batch.layout.words.binding(),
      out.binding(),
    ]),
  );
  return taped(out, [s], attentionPatternBackward(out, setting));
}

/** pattern · v: z [tokens, head, dHead]. */
export function attend(p: Tensor, v: Tensor, setting: AttentionSetting): Tensor {
  const { gpu } = p;
  const { batch, layer, facts } = setting;
  const [tokens, , dHead] = v.shape;
  const { heads } = facts;
  const z = Tensor.result(gpu, [tokens, heads, dHead], [p], 'hook_z');
  withDense([p], ([p]) =>
    withHeads([v], ([v]) => {
      const o = { ...geometry(setting), dHead, v, prefix: batch.store !== null };
      gpu.launch(weightedValues(o, gpu.caps), [p.binding(), v.binding, ...tables(batch, layer), z.binding()]);
    }),
  );
  return taped(z, [p, v], attendBackward(p, v, setting));
}

/** Keeps this run's keys and values of one layer in the batch's store. */
export function keepKeysValues(k: Tensor, v: Tensor, batch: Batch, layer: number): void {
  if (!batch.keepIn) return;
  const { gpu } = k;
  const { store, ringSlots } = batch.keepIn;
  const ring = store.rings[layer];
  const slots = ring === undefined ? batch.keepIn.slots : ringSlots.get(ring)!;
  const [tokens, heads, dHead] = k.shape;
  withHeads([k, v], ([k, v]) => {
    const launch = storeKv({ tokens, width: heads * dHead, k, v }, gpu.caps);
    gpu.launch(launch, [k.binding, v.binding, slots.binding(), store.layers[layer].binding()]);
  });
}

/**
 * Rows of one length and position give [batch, head, query, key]; else the rows' blocks lie one after
 * another.
 */
function scoresShape({ equal, rows, layout }: Batch, heads: number): number[] {
  const [{ length, position }] = rows;
  return equal ? [rows.length, heads, length, position + length] : [layout.scores];
}
