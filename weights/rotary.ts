/**
 * Rotary positions (Su et al. 2021): pair i of a query or key at position p turns by the angle p·f_i,
 *
 *     u′ = (u cos − v sin)·m       v′ = (v cos + u sin)·m       f_i = base^(−2i/R)
 *
 * `halves`: the pairs are (x_i, x_{i+R/2}); `adjacent`: (x_{2i}, x_{2i+1}). Only the first R dimensions of a
 * head turn. Long contexts change the frequencies f and the magnitude m (`RotaryScaling`). What a family says
 * of them, in float64.
 */

import type { HostTensor } from './formats/types.js';

/** How the frequencies differ from base^(−2i/R). */
export type RotaryScaling =
  /** Position interpolation (Chen et al. 2023): f / factor. */
  | { readonly type: 'linear'; readonly factor: number }
  /** Llama 3: slow frequencies are divided by `factor`, fast ones stay. */
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalContext: number;
    }
  /** YaRN (Peng et al. 2023). */
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalContext: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Whether the ends of the ramp are whole dimensions. */
      readonly truncate: boolean;
      readonly magnitude: number;
    }
  /** One divisor for each pair (LongRoPE, Ding et al. 2024; `rope_freqs` of GGUF files). */
  | { readonly type: 'divisors'; readonly divisors: readonly number[]; readonly magnitude: number };

/** One set of frequencies. */
export interface RotaryBase {
  /** Often called theta. */
  readonly base: number;
  readonly scaling: RotaryScaling | null;
}

/** The rotary positions of a model. */
export interface Rotary extends RotaryBase {
  readonly pairs: 'halves' | 'adjacent';
  /** R: dimensions of each head that turn, the first ones; even. */
  readonly dims: number;
  /** The denominator in the exponent 2i/R; `dims`, but in some GPT-NeoX models one less. */
  readonly exponentDims: number;
  /** Layers with a window have frequencies of their own (Gemma 3); null: all layers have the same. */
  readonly windowed: RotaryBase | null;
}

/** What a kernel needs: angles are position · frequency. */
export interface RotaryTable {
  /** f_i, one a pair: dims / 2. */
  readonly frequencies: readonly number[];
  /** m, by which both cos and sin are multiplied. */
  readonly magnitude: number;
}

/** The frequencies of a model's layers with a window, or of the others. */
export function rotaryTable(rotary: Rotary, windowed = false): RotaryTable {
  const { base, scaling } = (windowed && rotary.windowed) || rotary;
  const pairs = rotary.dims / 2;
  const plain = Array.from({ length: pairs }, (_, i) => base ** ((-2 * i) / rotary.exponentDims));
  if (scaling === null) return { frequencies: plain, magnitude: 1 };
  switch (scaling.type) {
    case 'linear':
      return { frequencies: plain.map((f) => f / scaling.factor), magnitude: 1 };
    case 'llama3': {
      const { factor, lowFreqFactor: low, highFreqFactor: high, originalContext } = scaling;
      const frequencies = plain.map((f) => {
        const kept = clamp((originalContext * f) / (2 * Math.PI), low, high);
        return f * (kept + (1 - kept) / factor);
      });
      return { frequencies, magnitude: 1 };
    }
    case 'yarn': {
      const { factor, originalContext, betaFast, betaSlow, truncate, magnitude } = scaling;
      const dims = rotary.exponentDims;
      /** The dimension that turns `turns` times within the original context. */
      const turning = (turns: number) =>
        (dims * Math.log(originalContext / (2 * Math.PI * turns))) / (2 * Math.log(base));
      const [first, last] = [turning(betaFast), turning(betaSlow)];
      const from = Math.max(truncate ? Math.floor(first) : first, 0);
      const end = Math.min(truncate ? Math.ceil(last) : last, dims - 1);
      const to = end === from ? end + 0.001 : end;
      const frequencies = plain.map((f, i) => {
        const slow = clamp(i, from, to);
        return f * (1 - slow) + (f / factor) * slow;
      });
      return { frequencies, magnitude };
    }
    case 'divisors':
      return { frequencies: plain.map((f, i) => f / scaling.divisors[i]), magnitude: scaling.magnitude };
  }
}

/**
 * Cosines, then sines, of the angles of positions 0 … n − 1, times the magnitude: [n, 2 · pairs], rounded
 * from float64. The angle of a late position is only as good in float32 as 6e-8 of it, which the table
 * avoids.
 */
export function rotaryAngles({ frequencies, magnitude }: RotaryTable, n: number): HostTensor {
  const pairs = frequencies.length;
  const data = new Float32Array(n * 2 * pairs);
  for (let p = 0, at = 0; p < n; p++, at += 2 * pairs)
    frequencies.forEach((f, i) => {
      data[at + i] = Math.cos(p * f) * magnitude;
      data[at + pairs + i] = Math.sin(p * f) * magnitude;
    });
  return { shape: [n, 2 * pairs], data };
}

/** Where x lies between `from` and `to`, 0 to 1. */
const clamp = (x: number, from: number, to: number) => Math.min(1, Math.max(0, (x - from) / (to - from)));
