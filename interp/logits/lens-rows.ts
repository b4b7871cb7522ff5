/** Residual streams read as if they were the last: what the unembedding would see, and what it would say. */

import { LOGITS_BYTES } from '../../engine/budgets.js';
import { inScope } from '../../engine/gpu/storage.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { unembed } from '../../engine/transformer/ops.js';
import { ranksIn } from '../../engine/transformer/vocabulary/vocabulary.js';
import type { Runnable } from '../../hooks/input/model.js';
import { finite } from '../../weights/checks/finite.js';

/** What the lens says of n states. */
export interface LensReading {
  /** The k largest logits, descending: [n, k]. */
  readonly top: { readonly ids: Uint32Array; readonly logits: Float32Array; readonly probs: Float32Array };
  /** Of chosen tokens, [n, tokens]; ranks count from 0, the top. */
  readonly chosen: {
    readonly logits: Float32Array;
    readonly probs: Float32Array;
    readonly ranks: Float32Array;
  };
}

/**
 * Reads states of the residual stream x [n, dModel] with the last norm, gain and bias included, and the
 * unembedding. Their logits exist some rows at a time and stay on the GPU.
 * @param what names a state in the error about numbers that are none
 * @param scale [n, 1]: what the norm divides by; null: computed from each state
 */
export async function readLens(
  { config, gpuWeights: w }: Runnable,
  x: Tensor,
  scale: Tensor | null,
  { k, tokens }: { readonly k: number; readonly tokens: readonly number[] },
  what: (row: number) => string = (row) => `state ${row}`,
): Promise<LensReading> {
  const [n] = x.shape;
  const step = Math.max(1, Math.floor(LOGITS_BYTES / 4 / config.dVocabOut));
  const reading = {
    top: { ids: new Uint32Array(n * k), logits: new Float32Array(n * k), probs: new Float32Array(n * k) },
    chosen: {
      logits: new Float32Array(n * tokens.length),
      probs: new Float32Array(n * tokens.length),
      ranks: new Float32Array(n * tokens.length),
    },
  };
  for (let at = 0; at < n; at += step) {
    await inScope(async (scope) => {
      const part: [[number, number]] = [[at, Math.min(at + step, n)]];
      const own = x.alias(scope).window(part);
      const norm = w.lnFinal;
      const state = scale
        ? (norm?.divideBy(own, scale.alias(scope).window(part), 'whole') ?? own)
        : (norm?.apply(own) ?? own);
      const logits = unembed(state, w.W_U, w.b_U);
      const probs = logits.softmax();
      const { values, indices } = logits.topk(k);
      const { top, chosen } = reading;
      const jobs: [to: Float32Array | Uint32Array, from: Tensor | Tensor<'u32'>, width: number][] = [
        [top.ids, indices, k],
        [top.logits, values, k],
        [top.probs, probs.gather(indices), k],
      ];
      if (tokens.length)
        jobs.push(
          [chosen.logits, logits.gather(tokens), tokens.length],
          [chosen.probs, probs.gather(tokens), tokens.length],
          [chosen.ranks, ranksIn(logits, tokens), tokens.length],
        );
      const read = await Promise.all(jobs.map(([, from]) => from.data()));
      jobs.forEach(([, , width], j) => {
        finite(read[j], (i) => `${what(at + Math.floor(i / width))}: the lens`);
      });
      jobs.forEach(([to, , width], i) => {
        to.set(read[i], at * width);
      });
    });
  }
  return reading;
}
