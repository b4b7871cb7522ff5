/** From logits to the next token, in float64 on the host. */

/** How to choose the next token. */
export interface SamplingOptions {
  /** 0 (the default) takes the most probable token; else logits are divided by it. */
  temperature?: number;
  /** Only the k most probable tokens. */
  topK?: number;
  /** Only the smallest set of tokens whose probabilities (after temperature and `topK`) sum to at least p; never empty. */
  topP?: number;
}

/** The choice, and its log-probability under the model (before temperature, top-k and top-p). */
export interface Sampled {
  readonly token: number;
  readonly logProb: number;
}

/** log Σ exp(x), without overflow. */
export function logSumExp(x: ArrayLike<number>): number {
  let max = -Infinity;
  for (let i = 0; i < x.length; i++) if (x[i] > max) max = x[i];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.exp(x[i] - max);
  return max + Math.log(sum);
}

/** @throws on values that make no sense, naming the option. */
export function checkSampling({ temperature = 0, topK, topP }: SamplingOptions): void {
  if (!(temperature >= 0 && temperature < Infinity))
    throw new Error(`temperature ${temperature}: a number ≥ 0 is needed`);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1))
    throw new Error(`topK ${topK}: an integer ≥ 1 is needed`);
  if (topP !== undefined && !(topP > 0 && topP <= 1))
    throw new Error(`topP ${topP}: a number in (0, 1] is needed`);
}

/** Chooses a token. `random` gives uniform numbers in [0, 1); ties go to the lower id. */
export function sample(logits: Float32Array, options: SamplingOptions, random: () => number): Sampled {
  const { temperature = 0, topK, topP } = options;
  const norm = logSumExp(logits);
  const chosen = (token: number): Sampled => ({ token, logProb: logits[token] - norm });
  if (temperature === 0) {
    let best = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
    return chosen(best);
  }
  let ids = Array.from(logits, (_, i) => i);
  if (topK !== undefined || topP !== undefined) ids.sort((a, b) => logits[b] - logits[a] || a - b);
  if (topK !== undefined) ids = ids.slice(0, topK);
  const top = ids.reduce((m, i) => Math.max(m, logits[i]), -Infinity);
  const weights = ids.map((i) => Math.exp((logits[i] - top) / temperature));
  let total = weights.reduce((a, b) => a + b, 0);
  if (topP !== undefined) {
    let n = 0;
    for (let sum = 0; n < ids.length && sum < topP * total; n++) sum += weights[n];
    ids = ids.slice(0, Math.max(1, n));
    total = weights.slice(0, ids.length).reduce((a, b) => a + b, 0);
  }
  let left = random() * total;
  for (let i = 0; i < ids.length; i++) if ((left -= weights[i]) < 0) return chosen(ids[i]);
  return chosen(ids[ids.length - 1]);
}
