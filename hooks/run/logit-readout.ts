/**
 * What metrics make of logits that are there, [reads, dVocab], in operations on tensors: for gradients at the
 * logits themselves. readout.ts reads the same without them.
 */

import { Tensor } from '../../engine/tensor/tensor.js';

/** Σ weight · logit of each read: [reads]. `sums`: one a read, weights by token. */
export function sumsOfLogits(logits: Tensor, sums: readonly ReadonlyMap<number, number>[]): Tensor {
  const k = Math.max(...sums.map((s) => s.size));
  const ids = new Uint32Array(sums.length * k);
  const weights = new Float32Array(ids.length);
  sums.forEach((sum, row) => {
    [...sum].forEach(([token, weight], i) => {
      ids[row * k + i] = token;
      weights[row * k + i] = weight;
    });
  });
  const [which, factors] = upload(logits, ids, weights, k);
  return logits.gather(which).mul(factors).sum(1);
}

/** log p of each read's tokens together (or p itself): [reads]. */
export function probabilityOfLogits(
  logits: Tensor,
  tokens: readonly (readonly number[])[],
  { log }: { log: boolean },
): Tensor {
  const k = Math.max(...tokens.map((list) => list.length));
  const ids = new Uint32Array(tokens.length * k);
  const there = new Float32Array(ids.length);
  tokens.forEach((list, row) => {
    ids.set(list, row * k);
    there.fill(1, row * k, row * k + list.length);
  });
  const [which, mask] = upload(logits, ids, there, k);
  const each = logits.gather(which).sub(logSumExp(logits)); // log p, [reads, k]
  if (k === 1) return log ? each.sum(1) : each.map('exp').sum(1);
  if (!log) return each.map('exp').mul(mask).sum(1);
  // Not the logarithm of a sum that may have vanished.
  const top = each.max(-1, { keepDims: true }).detach(logits.scope);
  return each.sub(top).map('exp').mul(mask).sum(1).map('log').add(top.sum(1));
}

/** KL(reference ‖ run) of each read: [reads]. `reference`: logits of the other run at the same reads. */
export function divergenceOfLogits(logits: Tensor, reference: Tensor): Tensor {
  const logP = reference.sub(logSumExp(reference));
  const logQ = logits.sub(logSumExp(logits));
  return logP.sub(logQ).mul(logP.map('exp')).sum(1);
}

/** log Σ exp over the vocabulary: [reads, 1]. */
function logSumExp(logits: Tensor): Tensor {
  const top = logits.max(-1, { keepDims: true }).detach(logits.scope);
  return logits.sub(top).map('exp').sum(-1, { keepDims: true }).map('log').add(top);
}

function upload(
  logits: Tensor,
  ids: Uint32Array<ArrayBuffer>,
  factors: Float32Array<ArrayBuffer>,
  k: number,
): [Tensor<'u32'>, Tensor] {
  const { gpu, scope } = logits;
  const shape = [ids.length / k, k];
  return [
    Tensor.from<'u32'>(gpu, ids, shape, { label: 'tokens', scope }),
    Tensor.from(gpu, factors, shape, { label: 'factors', scope }),
  ];
}
