/**
 * Queries and keys through the softmax, exactly: AtP*'s QK fix (Kramár et al. 2024, section 3.1). The
 * gradient at a query or key is that of a softmax which may be saturated: it vanishes where attention is sure
 * of itself. So the change of the pattern is computed instead, with another query, or with one other key at a
 * time, and only then multiplied with the gradient.
 */

import { keySwap } from '../../../kernels/attention/key-swap.js';
import { withDense } from '../../tensor/launches.js';
import type { Tensor } from '../../tensor/tensor.js';
import { attentionPattern, attentionScores } from './attention.js';
import type { AttentionSetting } from './attention-windows.js';

/**
 * Queries and keys of a layer, [tokens, head, dHead], and what attention makes of them, [batch, head, query,
 * key].
 */
export interface Attended {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly scores: Tensor;
  readonly pattern: Tensor;
}

/** What the pattern would be with the queries `q`, less what it is: [batch, head, query, key]. */
export function patternOfQueries({ k, pattern }: Attended, q: Tensor, setting: AttentionSetting): Tensor {
  const scores = attentionScores(q, k, setting);
  return attentionPattern(scores, setting).sub(pattern);
}

/** The scores with the keys `k` in place of its own: [batch, head, query, key]. */
export const scoresOfKeys = ({ q }: Attended, k: Tensor, setting: AttentionSetting): Tensor =>
  attentionScores(q, k, setting);

/**
 * Σ over keys of g · (the pattern with one key's score taken from `changed` − the pattern): [batch, head,
 * query, key], where the last axis says which key.
 * @param g gradient at the pattern
 */
export function swapKeys({ scores }: Pick<Attended, 'scores'>, changed: Tensor, g: Tensor): Tensor {
  const { gpu } = scores;
  const keys = scores.shape.at(-1)!;
  const out = scores.empty(scores.shape, 'swapped keys');
  withDense([g, scores, changed], (dense) =>
    gpu.launch(
      keySwap({ rows: scores.size / keys, keys }, gpu.caps),
      [...dense, out].map((t) => t.binding()),
    ),
  );
  return out;
}
