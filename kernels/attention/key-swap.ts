/**
 * AtP*'s correction of keys (Kramár et al. 2024, section 3.1): what a row of a pattern does when one of its
 * scores changes. A softmax saturates, so that the gradient at a key may vanish although another key would
 * win; with one score changed it is known exactly. Let key j have the score s, now c, and the logistic
 * function σ; lse and O are the log-sum-exp of the other keys' scores and their mean of the gradient g:
 *
 *     Σ_k g_k (p′_k − p_k) = (g_j − O) · (σ(c − lse) − σ(s − lse))
 *
 * The difference is σ(larger) · σ(−smaller) · (1 − exp(−|c − s|)), so that nothing cancels, however sure the
 * attention is.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { kernel, perElement, perElementMain } from '../core/wgsl.js';

/** Sizes of `keySwap`. */
export interface KeySwap {
  /** Rows of patterns: batch · head · query. */
  readonly rows: number;
  readonly keys: number;
}

/**
 * Y[row, j] = Σ_k G[row, k] · (softmax of S[row] with its entry j taken from C, at k, − softmax of S[row], at
 * k); 0 where the key is masked. Buffers: G, S, C, Y, all [rows, keys]. Plain: each number goes through its
 * row.
 */
export function keySwap({ rows, keys }: KeySwap, _caps: Caps): Launch {
  const n = rows * keys;
  return { kernel: kernel('key-swap', () => wgsl), params: { n, keys }, grid: perElement(n) };
}

const wgsl = /* wgsl */ `
@group(0) @binding(0) var<storage, read> G: array<f32>;
@group(0) @binding(1) var<storage, read> S: array<f32>;
@group(0) @binding(2) var<storage, read> C: array<f32>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
  keys: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

const MASKED = -1e38f; // scores of masked keys are −∞

fn logistic(x: f32) -> f32 { return 1f / (1f + exp(-clamp(x, -80f, 80f))); } // exp must not overflow
${perElementMain()}
  let first = i - i % params.keys;
  let end = first + params.keys;
  var top = MASKED;
  for (var k = first; k < end; k++) { top = max(top, select(S[k], MASKED, k == i)); }
  if (S[i] <= MASKED || top <= MASKED) { // masked, or the only key there is
    Y[i] = 0f;
    return;
  }
  var total = 0f;
  var weighted = 0f;
  for (var k = first; k < end; k++) {
    if (k != i && S[k] > MASKED) {
      let e = exp(S[k] - top);
      total += e;
      weighted = fma(e, G[k], weighted);
    }
  }
  let lse = top + log(total);
  let before = S[i] - lse;
  let after = C[i] - lse;
  let d = min(abs(C[i] - S[i]), 80f);
  // 1 − exp(−d) without cancellation near 0.
  let step = select(1f - exp(-d), d * (1f - d * (0.5f - d * (1f / 6f - d / 24f))), d < 0.03f);
  let change = sign(C[i] - S[i]) * logistic(max(before, after)) * logistic(-min(before, after)) * step;
  Y[i] = (G[i] - weighted / total) * change;
}`;

/** Float64 reference, from the definition. */
export function keySwapReference(
  { rows, keys }: KeySwap,
  { g, s, c }: { g: ArrayLike<number>; s: ArrayLike<number>; c: ArrayLike<number> },
): Float64Array {
  const out = new Float64Array(rows * keys);
  const softmax = (x: number[]) => {
    const top = Math.max(...x);
    const e = x.map((v) => Math.exp(v - top));
    const sum = e.reduce((a, b) => a + b);
    return e.map((v) => v / sum);
  };
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: keys }, (_, k) => s[r * keys + k]);
    const before = softmax(row);
    for (let j = 0; j < keys; j++) {
      if (row[j] === -Infinity) continue;
      const after = softmax(row.map((v, k) => (k === j ? c[r * keys + k] : v)));
      for (let k = 0; k < keys; k++) out[r * keys + j] += g[r * keys + k] * (after[k] - before[k]);
    }
  }
  return out;
}

/** Checks, with masked keys and scores that would overflow. */
export const keySwapFamily: Family = {
  name: 'key-swap',
  about: 'Σ over keys of gradient · change of the pattern, when one score of a row changes',
  examples(caps) {
    return [
      [1, 1, 1],
      [7, 5, 3],
      [12, 17, 3],
      [3, 9, 300],
    ].map(([rows, keys, scale], i): Example => {
      const s = noise(rows * keys, i, 3);
      const c = noise(rows * keys, i + 10, scale);
      const g = noise(rows * keys, i + 20);
      for (let r = 0; r < rows; r++)
        for (let k = (r % keys) + 1; k < keys; k++) s[r * keys + k] = c[r * keys + k] = -Infinity;
      return {
        title: `${rows} rows of ${keys} keys, scores up to ${scale}`,
        launch: keySwap({ rows, keys }, caps),
        buffers: [g, s, c, rows * keys],
        expected: [
          { binding: 3, values: keySwapReference({ rows, keys }, { g, s, c }), atol: 1e-5, rtol: 1e-5 },
        ],
      };
    });
  },
};
