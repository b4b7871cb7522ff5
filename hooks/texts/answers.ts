/**
 * What a model says at some positions of one text: the most probable next tokens, and how chosen ones fare
 * among them.
 */

import { Tensor } from '../../engine/tensor/tensor.js';
import { pickRows } from '../../engine/transformer/ops.js';
import { logSumExps, pairLogits, topLogits } from '../../engine/transformer/vocabulary/score.js';
import { rankOf } from '../../engine/transformer/vocabulary/vocabulary.js';
import { finite } from '../../weights/checks/finite.js';
import type { Runnable } from '../input/model.js';
import { run } from '../run/run.js';
import { stopping } from '../run/stopping.js';

/** A token that may come next. */
export interface ScoredToken {
  readonly token: number;
  readonly logit: number;
  readonly prob: number;
}

/** A chosen token. */
export interface RankedToken extends ScoredToken {
  /** Tokens with a larger logit (of equal ones, those of lower id count): 0 is the model's own answer. */
  readonly rank: number;
}

/** What is said after one position. */
export interface Prediction {
  /** Descending. */
  readonly top: readonly ScoredToken[];
  /** In the order in which they were asked for. */
  readonly chosen: readonly RankedToken[];
}

/**
 * Runs a text once and reads what comes after some of its positions; logits stay on the GPU.
 * @param tokens checked ids, no more than the context
 * @param reads positions, and the tokens to look for: equally many at each, at least one
 * @param k most probable tokens a position, from 1 to the size of the vocabulary
 */
export function predictions(
  model: Runnable,
  tokens: readonly number[],
  reads: readonly { readonly pos: number; readonly tokens: readonly number[] }[],
  k: number,
  signal?: AbortSignal,
): Promise<Prediction[]> {
  signal?.throwIfAborted();
  const { gpu, gpuWeights: w } = model;
  const each = reads[0].tokens.length;
  const hooks = stopping(gpu, signal);
  return run(model, { inputs: [{ tokens }], hooks }, async ({ x }, scope) => {
    const at = pickRows(
      x,
      reads.map((r) => r.pos),
      scope,
    );
    const targets = Uint32Array.from(reads.flatMap((r) => r.tokens));
    const pairs = new Uint32Array(2 * targets.length);
    pairs.set(targets.map((_, i) => Math.floor(i / each)));
    pairs.set(targets, targets.length);
    const label = 'positions and chosen tokens';
    const which = Tensor.from<'u32'>(gpu, pairs, [2, targets.length], { label, scope });
    const { values, indices, state } = topLogits(at, k, w.W_U, w.b_U);
    const { picked } = pairLogits(at, which, w.W_U, w.b_U);
    const ranks = await rankOf(at, targets, w.W_U, w.b_U).data();
    const [logit, token, own] = [await values.data(), await indices.data(), await picked.data()];
    const lse = logSumExps(await state.data());
    finite(lse, (row) => `the logits at position ${reads[row].pos}: their log-sum-exp`);
    finite(own, (i) => `position ${reads[Math.floor(i / each)].pos}: a logit`);
    const scored = (row: number, token: number, logit: number): ScoredToken => ({
      token,
      logit,
      prob: Math.exp(logit - lse[row]),
    });
    return reads.map((read, row) => ({
      top: Array.from({ length: k }, (_, i) => scored(row, token[row * k + i], logit[row * k + i])),
      chosen: read.tokens.map((t, i) => ({
        ...scored(row, t, own[row * each + i]),
        rank: ranks[row * each + i],
      })),
    }));
  });
}
