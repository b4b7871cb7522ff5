/**
 * What a norm is, and its arithmetic in float64. A norm divides a vector by its scale, and may take the mean
 * off first and multiply by a gain and add a bias afterwards:
 *
 *     n = (x − mean) / scale          scale = √(mean of (x − mean)² + eps)          y = n · gain + bias
 *
 * `layer`: as it stands (Ba et al. 2016); `rms`: the mean counts as 0 (Zhang and Sennrich 2019). It works
 * along the last axis, so that a norm of each head is the same norm on [.., head, d_head].
 * `engine/transformer/parts/norm.ts` has it on the GPU.
 */

import type { Config } from './config.js';
import type { HostTensor, NormWeights } from './formats/types.js';

/** The facts of a norm; its weights come with the model. */
export interface NormFacts {
  readonly kind: 'layer' | 'rms';
  /** Inside the square root. */
  readonly eps: number;
  /** What is multiplied where there are weights: w, or 1 + w (Gemma). */
  readonly gain: 'w' | '1+w';
}

/**
 * Where a norm stands: before attention and MLP (or behind them, where `normPlaces` is `'behind'`), behind
 * them where there are both (`_post`), on queries and keys, inside a SoLU model's MLP, before the
 * unembedding.
 */
export type NormPlace =
  | 'ln1'
  | 'ln1_post'
  | 'ln2'
  | 'ln2_post'
  | 'attn.q_norm'
  | 'attn.k_norm'
  | 'mlp.ln'
  | 'ln_final';

type NormConfig = Pick<
  Config,
  'normalization' | 'finalRms' | 'eps' | 'normPlaces' | 'normGain' | 'qkNorm' | 'sharedNorm'
>;

/** The norm that a model has somewhere, or null where it has none. */
export function normAt(config: NormConfig, place: NormPlace): NormFacts | null {
  const { normalization, finalRms, eps, normGain } = config;
  if (normalization === 'none' || !stands(config, place)) return null;
  const rms = normalization.startsWith('RMS') || (place === 'ln_final' && finalRms);
  return { kind: rms && place !== 'mlp.ln' ? 'rms' : 'layer', eps, gain: normGain };
}

function stands({ normPlaces, qkNorm, sharedNorm }: NormConfig, place: NormPlace): boolean {
  if (place === 'ln1_post' || place === 'ln2_post') return normPlaces === 'both';
  if (place === 'attn.q_norm' || place === 'attn.k_norm') return qkNorm !== 'none';
  return !(place === 'ln2' && sharedNorm);
}

/** Whether a norm's gain can go into the weights that read from it: it stands before a linear map. */
export const canFold = ({ normPlaces }: Pick<Config, 'normPlaces'>, place: NormPlace): boolean =>
  place === 'ln_final' ||
  place === 'mlp.ln' ||
  ((place === 'ln1' || place === 'ln2') && normPlaces !== 'behind');

/**
 * Whether the checkpoint of a model has a gain, and a bias, for the norm there (`…Pre`: those that can be
 * folded are).
 */
export function normWeightsAt(
  config: NormConfig,
  place: NormPlace,
): { readonly gain: boolean; readonly bias: boolean } {
  const norm = normAt(config, place);
  const { normalization } = config;
  const folded = normalization.endsWith('Pre') && canFold(config, place);
  const gain = norm !== null && !folded && !(place === 'mlp.ln' && normalization.startsWith('RMS'));
  return { gain, bias: gain && norm.kind === 'layer' };
}

/** Whether the model has norms. */
export const hasNorms = ({ normalization }: Pick<Config, 'normalization'>): boolean =>
  normalization !== 'none';

/**
 * Whether every norm that reads the residual stream takes the mean off, and nothing behind writes into it
 * through a norm, so that a constant added to it changes nothing.
 */
export const ignoresMeans = (config: NormConfig): boolean =>
  config.normPlaces === 'before' &&
  (['ln1', 'ln2', 'ln_final'] as const).every(
    (place) => (config.sharedNorm && place === 'ln2') || normAt(config, place)?.kind === 'layer',
  );

/** The gain of coordinate i; 1 without weights. */
export const gainAt = ({ gain }: NormFacts, weights: NormWeights | null, i: number): number =>
  weights ? (gain === '1+w' ? 1 : 0) + weights.w.data[i] : 1;

/** Mean (0 of an `rms` norm) and scale of one vector. */
export function normStatistics(
  x: ArrayLike<number>,
  { kind, eps }: NormFacts,
): { mean: number; scale: number } {
  const n = x.length;
  let sum = 0;
  if (kind === 'layer') for (let i = 0; i < n; i++) sum += x[i];
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (x[i] - mean) ** 2;
  return { mean, scale: Math.sqrt(squares / n + eps) };
}

/**
 * A norm applied to vectors, one after another in `x`. NaN where a scale is not finite.
 * @param weights null: gain and bias are left out
 * @param scales one a vector; default: their own
 */
export function applyNorm(
  x: ArrayLike<number>,
  width: number,
  facts: NormFacts,
  weights: NormWeights | null,
  scales?: ArrayLike<number>,
): Float64Array {
  const out = linearNorm(x, width, facts, weights, scales);
  if (weights?.b) for (let i = 0; i < out.length; i++) out[i] += weights.b.data[i % width];
  return out;
}

/**
 * The part of `applyNorm` that is linear in x once the scales are fixed: gain · (x − mean) / scale. This is
 * how parts of a residual stream pass a norm.
 */
export function linearNorm(
  x: ArrayLike<number>,
  width: number,
  facts: NormFacts,
  weights: NormWeights | null,
  scales?: ArrayLike<number>,
): Float64Array {
  const out = new Float64Array(x.length);
  for (let row = 0; row * width < x.length; row++) {
    const own = Array.from({ length: width }, (_, i) => x[row * width + i]);
    const { mean, scale } = normStatistics(own, facts);
    const divisor = scales ? scales[row] : scale;
    for (let i = 0; i < width; i++)
      out[row * width + i] = Number.isFinite(divisor)
        ? ((own[i] - mean) / divisor) * gainAt(facts, weights, i)
        : Number.NaN;
  }
  return out;
}

/**
 * The gradient of a norm's input from that of its output, both vector after vector.
 * @param scales frozen scales, one a vector: they count as constants; default: the norm's own, differentiated
 */
export function normGradient(
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  width: number,
  facts: NormFacts,
  weights: NormWeights | null,
  scales?: ArrayLike<number>,
): Float64Array {
  const out = new Float64Array(x.length);
  for (let row = 0; row * width < x.length; row++) {
    const at = row * width;
    const own = Array.from({ length: width }, (_, i) => x[at + i]);
    const { mean, scale } = normStatistics(own, facts);
    const s = scales ? scales[row] : scale;
    const dn = own.map((_, i) => dy[at + i] * gainAt(facts, weights, i));
    const dnMean = facts.kind === 'layer' ? dn.reduce((a, b) => a + b, 0) / width : 0;
    const along = scales ? 0 : own.reduce((sum, v, i) => sum + dn[i] * (v - mean), 0) / (width * s * s);
    for (let i = 0; i < width; i++) out[at + i] = (dn[i] - dnMean - (own[i] - mean) * along) / s;
  }
  return out;
}

/** A matrix that reads what a norm gives: element (i, j) multiplies coordinate i for output j. */
export interface ReadingMatrix {
  readonly W: HostTensor;
  /** [outputs]; null: zero. */
  readonly b: HostTensor | null;
  /** `true`: W is [outputs, inputs], as the unembedding is stored; default [inputs, outputs]. */
  readonly transposed?: boolean;
}

/**
 * A norm's gain and bias folded into the weights that read from it, so that the norm itself needs none:
 *
 *     b[j]   += Σ_i bias[i]·W[i,j]
 *     W[i,j]  = gain[i]·W[i,j] − mean_i(gain[i]·W[i,j])
 *
 * The mean is taken off behind a `layer` norm only: what that hands over has mean zero.
 * @param facts null: there is no norm, and nothing is taken off
 */
export function foldNorm(
  facts: NormFacts | null,
  weights: NormWeights | null,
  { W, b, transposed = false }: ReadingMatrix,
): { W: HostTensor; b: HostTensor | null } {
  const [inputs, outputs] = transposed ? [W.shape[1], W.shape[0]] : W.shape;
  const [di, dj] = transposed ? [1, inputs] : [outputs, 1];
  const gain = Float64Array.from({ length: inputs }, (_, i) => (facts ? gainAt(facts, weights, i) : 1));
  const shift = weights?.b?.data;
  const bias = b ? Float64Array.from(b.data) : new Float64Array(outputs);
  const mean = new Float64Array(outputs);
  /** Calls f with every element, in the order in which they lie. */
  const each = (f: (i: number, j: number, at: number) => void) => {
    if (transposed)
      for (let j = 0; j < outputs; j++) for (let i = 0; i < inputs; i++) f(i, j, i * di + j * dj);
    else for (let i = 0; i < inputs; i++) for (let j = 0; j < outputs; j++) f(i, j, i * di + j * dj);
  };
  const { data } = W;
  each((i, j, at) => {
    if (shift) bias[j] += shift[i] * data[at];
    mean[j] += gain[i] * data[at];
  });
  for (let j = 0; j < outputs; j++) mean[j] = facts?.kind === 'layer' ? mean[j] / inputs : 0;
  const folded = new Float32Array(data.length);
  each((i, j, at) => {
    folded[at] = gain[i] * data[at] - mean[j];
  });
  return {
    W: { shape: W.shape, data: folded },
    b: b || shift ? { shape: [outputs], data: Float32Array.from(bias) } : null,
  };
}
