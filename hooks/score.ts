/** How probable a model finds a text: log-probabilities without logits in memory. */

import { pickRows, targetLogits } from '../engine/ops.js';
import { Tensor } from '../engine/tensor.js';
import { type Runnable, run } from './run.js';
import type { HookEntry } from './tap.js';

/** Tokens that one run takes: bounds the memory of scoring many texts. */
const TOKENS_A_RUN = 2048;

/** Options of scoring texts. */
export interface ScoreOptions {
  readonly hooks?: readonly HookEntry[];
  readonly signal?: AbortSignal;
  /** Called after every part with the number of rows done and in all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Per row, log p(token[i + 1] | tokens[0..i]): one number less than the row has tokens. The logit of the target and
 * the sum of exponentials come from the GPU; the logarithm is taken in float64 on the host.
 */
export async function logProbs(
  model: Runnable,
  rows: readonly (readonly number[])[],
  { hooks, signal, onProgress }: ScoreOptions = {},
): Promise<Float32Array[]> {
  const out: Float32Array[] = [];
  for (const part of parts(rows)) {
    signal?.throwIfAborted();
    out.push(...(await logProbsOf(model, part, hooks)));
    onProgress?.(out.length, rows.length);
  }
  return out;
}

function logProbsOf(
  model: Runnable,
  rows: readonly (readonly number[])[],
  hooks?: readonly HookEntry[],
): Promise<Float32Array[]> {
  const { gpu, gpuWeights: w } = model;
  return run(model, { inputs: rows.map((tokens) => ({ tokens })), hooks }, async ({ x, batch }, scope) => {
    const positions = batch.rows.flatMap(({ start, length }) =>
      Array.from({ length: length - 1 }, (_, i) => start + i),
    );
    if (!positions.length) return rows.map(() => new Float32Array(0));
    const next = Uint32Array.from(positions, (p) => batch.ids![p + 1]);
    const targets = Tensor.from<'u32'>(gpu, next, [next.length], { label: 'next tokens', scope });
    const { picked, state } = targetLogits(pickRows(x, positions, scope), targets, w.W_U, w.b_U);
    const [logit, lse] = [await picked.data(), await state.data()];
    let at = 0;
    return rows.map(({ length }) =>
      Float32Array.from({ length: length - 1 }, () => {
        const value = logit[at] - (lse[2 * at] + Math.log(lse[2 * at + 1]));
        at++;
        return value;
      }),
    );
  });
}

/** Rows in order, as many at once as fit `TOKENS_A_RUN`. */
function* parts(rows: readonly (readonly number[])[]): Generator<(readonly number[])[]> {
  let part: (readonly number[])[] = [];
  let tokens = 0;
  for (const row of rows) {
    if (part.length && tokens + row.length > TOKENS_A_RUN) {
      yield part;
      part = [];
      tokens = 0;
    }
    part.push(row);
    tokens += row.length;
  }
  if (part.length) yield part;
}
