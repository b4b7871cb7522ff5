/** From logits to the next token, in float64 on the host. */

/** How to choose the next token. */
export interface SamplingOptions {
  /** 0 (the default) takes the most probable token; else logits are divided by it. */
  temperature?: number;
  /** Only the k most probable tokens. */
  topK?: number;
  /**
   * Only the smallest set of tokens whose probabilities (after temperature and `topK`) sum to at least p;
   * never empty.
   */
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

/**
 * Chooses a token. `random` gives uniform numbers in [0, 1); ties go to the lower id. The vocabulary is never
 * sorted: what is looked at are the candidates, most probable first where `topK` or `topP` choose them, else
 * in the order of their ids.
 */
export function sample(logits: Float32Array, options: SamplingOptions, random: () => number): Sampled {
  const { temperature = 0, topK = Infinity, topP = 1 } = options;
  const best = argmax(logits);
  const top = logits[best];
  const all = temperature !== 0 && topK >= logits.length ? new Float64Array(logits.length) : null;
  let [sum, total] = [0, 0];
  for (let i = 0; i < logits.length; i++) {
    const below = logits[i] - top;
    const p = Math.exp(below);
    sum += p;
    if (all) total += all[i] = temperature === 1 ? p : Math.exp(below / temperature);
  }
  const norm = top + Math.log(sum);
  const chosen = (token: number): Sampled => ({ token, logProb: logits[token] - norm });
  if (temperature === 0) return chosen(best);
  if (!all) {
    const ids = largest(logits, topK);
    const weights = Float64Array.from(ids, (i) => Math.exp((logits[i] - top) / temperature));
    return chosen(ids[drawn(weights, nucleus(weights, topP, sumOf(weights)) ?? ids.length, random)]);
  }
  if (topP === 1) return chosen(drawn(all, all.length, random));
  for (let k = FIRST_CANDIDATES; ; k *= 8) {
    const ids = largest(logits, k);
    const weights = Float64Array.from(ids, (i) => all[i]);
    const n = nucleus(weights, topP, total) ?? (ids.length === all.length ? ids.length : null);
    if (n !== null) return chosen(ids[drawn(weights, n, random)]);
  }
}

/** Candidates for `topP` that are tried first; eight times as many follow where they do not sum to it. */
const FIRST_CANDIDATES = 64;

function argmax(x: Float32Array): number {
  let best = 0;
  for (let i = 1; i < x.length; i++) if (x[i] > x[best]) best = i;
  return best;
}

function sumOf(x: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i];
  return sum;
}

/** How many of the weights, largest first, sum to the share p of `total`; null where all together do not. */
function nucleus(weights: Float64Array, p: number, total: number): number | null {
  let sum = 0;
  for (let n = 0; n < weights.length; n++) if ((sum += weights[n]) >= p * total) return n + 1;
  return null;
}

/** Which of the first n weights a random number falls on. */
function drawn(weights: Float64Array, n: number, random: () => number): number {
  let total = 0;
  for (let i = 0; i < n; i++) total += weights[i];
  let left = random() * total;
  for (let i = 0; i < n; i++) if ((left -= weights[i]) < 0) return i;
  return n - 1;
}

/** The ids of the k largest numbers, largest first, of equal ones the lower id: one pass with a heap of k. */
function largest(x: Float32Array, k: number): Int32Array {
  const size = Math.min(k, x.length);
  if (size === x.length) return Int32Array.from(x.keys()).sort((a, b) => x[b] - x[a] || a - b);
  const heap = new Int32Array(size); // the smallest of them at its root
  const below = (a: number, b: number) => x[a] < x[b] || (x[a] === x[b] && a > b);
  const sift = (root: number) => {
    const id = heap[root];
    for (;;) {
      let child = 2 * root + 1;
      if (child >= size) break;
      if (child + 1 < size && below(heap[child + 1], heap[child])) child++;
      if (!below(heap[child], id)) break;
      heap[root] = heap[child];
      root = child;
    }
    heap[root] = id;
  };
  for (let i = 0; i < size; i++) heap[i] = i;
  for (let i = (size >> 1) - 1; i >= 0; i--) sift(i);
  for (let i = size; i < x.length; i++)
    if (x[i] > x[heap[0]]) {
      heap[0] = i;
      sift(0);
    }
  return heap.sort((a, b) => x[b] - x[a] || a - b);
}
