/**
 * Heads as the attention kernels see them: windows of one matrix product's output, and the batch they belong
 * to.
 */

import type { AttentionFacts } from '../../../weights/facts.js';
import type { Binding } from '../../gpu/gpu.js';
import { isContiguous } from '../../shape/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Batch } from '../batch.js';

/** What the attention kernels need besides the tensors. */
export interface AttentionSetting {
  readonly batch: Batch;
  readonly layer: number;
  /** What attention does in this layer. */
  readonly facts: Pick<AttentionFacts, 'heads' | 'kvHeads' | 'window' | 'scale' | 'softCap'>;
}

/** What every launch is told of a batch and of what its queries see. */
export const geometry = ({ batch, facts }: Pick<AttentionSetting, 'batch' | 'facts'>) => {
  const { tiles, tileTable, rowTable, maxKeys } = batch.layout;
  return { tiles, tileTable, rowTable, maxKeys, bidirectional: batch.bidirectional, ...facts };
};

/** The bindings that describe a batch, with the stored keys and values where it has them. */
export function tables({ layout, store, ringWords }: Batch, layer: number): Binding[] {
  if (!store) return [layout.words.binding()];
  const ring = store.rings[layer];
  const words = ring === undefined ? layout.words : ringWords.get(ring)!;
  return [words.binding(), store.layers[layer].binding()];
}

/** Where heads lie in a buffer. */
export interface HeadWindow {
  binding: Binding;
  stride: number;
  offset: number;
}

/** Tensors [tokens, head, dHead] as the attention kernels read them: any row stride, heads side by side. */
export function withHeads(tensors: Tensor[], f: (windows: HeadWindow[]) => void): void {
  const made: Tensor[] = [];
  const windows = tensors.map((t) => {
    let source = t;
    if (!isContiguous(t.shape.slice(1), t.strides.slice(1))) made.push((source = t.clone()));
    const { shape, strides, offset, storage } = source;
    const reach = offset + (shape[0] - 1) * strides[0] + shape[1] * shape[2];
    return { binding: { buffer: storage.buffer, offset: 0, bytes: 4 * reach }, stride: strides[0], offset };
  });
  f(windows);
  for (const t of made) t.dispose();
}
