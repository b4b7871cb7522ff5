/**
 * What autograd in float64 gives: test/fixtures/gradients/*.json, made by the Python modules of the same
 * names, which say precisely what each array is.
 */
import { readFileSync } from 'node:fs';
import { noise } from '../../kernels/core/kernel.js';
import { sampleIndices } from '../engine/reference.js';
import { allClose, fail } from '../helpers.js';
import type { OracleModel } from '../interp/oracle.js';

/** Stands for a gradient of n numbers: see `record` in autograd.py. */
export interface GradientRecord {
  readonly n: number;
  /** Some of them, found at `sampleIndices`. */
  readonly at: readonly number[];
  /** Euclidean norm, and the largest magnitude. */
  readonly norm: number;
  readonly max: number;
  readonly sum: number;
  /** With noise(n, 1). */
  readonly dot: number;
}

/** What no gradient passes through. */
export type Held = 'pattern' | 'scale' | 'gate';

/** Gradients at hook points: see hooks.py. */
export interface HooksOracle {
  readonly model: OracleModel | { readonly toy: string };
  readonly rows: number[][];
  /** Of logitDiff, logProb and prob: a list of tokens for each row; of kl: rows of the same lengths. */
  readonly metric: {
    readonly name: 'logitDiff' | 'logProb' | 'prob' | 'kl' | 'loss';
    readonly correct?: number[][];
    readonly wrong?: number[][];
    readonly tokens?: number[][];
    readonly reference?: number[][];
  };
  readonly value: number;
  readonly runs: readonly {
    readonly constant: readonly Held[];
    readonly hooks: Readonly<Record<string, GradientRecord>>;
  }[];
}

/** Gradients of the loss, and training steps: see parameters.py. */
export interface ParametersOracle {
  readonly grads: readonly {
    readonly model: OracleModel;
    readonly rows: number[][];
    readonly loss: number;
    /** By Hugging Face name. */
    readonly parameters: Readonly<Record<string, GradientRecord>>;
  }[];
  readonly steps: readonly {
    readonly model: OracleModel;
    readonly rows: number[][];
    readonly clip: number | null;
    /** Before each of five steps and after the last. */
    readonly losses: number[];
    /** Norm of the whole gradient before each step. */
    readonly norms: number[];
  }[];
}

/** Attribution of everything, normalised: see attribution.py. */
export interface AttributionOracle {
  readonly model: OracleModel;
  readonly clean: number[][];
  readonly corrupted: number[][];
  readonly correct: number[];
  readonly wrong: number[];
  readonly cleanValue: number;
  readonly corruptedValue: number;
  readonly edges: readonly [sender: string, receiver: string][];
  readonly arrays: Readonly<Record<string, { readonly shape: number[]; readonly values: number[] }>>;
}

interface Oracles {
  hooks: readonly HooksOracle[];
  parameters: ParametersOracle;
  attribution: readonly AttributionOracle[];
}

/** Reads what one of the Python modules has written. */
export function gradientsOracle<K extends keyof Oracles>(name: K): Oracles[K] {
  const path = new URL(`../fixtures/gradients/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as Oracles[K];
}

/**
 * Asserts that an array agrees with float64, number by number: 1e-4 of each, plus 1e-5 of the largest for
 * rounding (measured on SwiftShader: 1.3e-6). Of the 15,474 numbers in attribution.json only 7 are so small
 * that 0 would pass for them.
 */
export function agreesWith(values: ArrayLike<number>, expected: readonly number[], what: string): void {
  const largest = expected.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  allClose(values, expected, { atol: 1e-5 * largest, rtol: 1e-4, what });
}

/**
 * Asserts that a gradient agrees with its reference: no number is off by more than 1e-4 of the largest, and
 * the whole by no more than 1e-4 of its norm.
 * @param floor below this norm a gradient is what rounding leaves of zero
 */
export function compareGradient(
  reference: GradientRecord,
  data: ArrayLike<number>,
  what: string,
  floor = 0,
): void {
  const { n, at, norm, max } = reference;
  if (data.length !== n) fail(`${what}: ${data.length} numbers, expected ${n}`);
  const close = (actual: number, expected: number, allowed: number, of: string) => {
    const error = Math.abs(actual - expected);
    if (!(error <= allowed))
      fail(`${what}: ${of} is ${actual}, expected ${expected} (off by ${error}, allowed ${allowed})`);
  };
  let squares = 0;
  for (const [k, i] of sampleIndices(n, at.length).entries()) {
    close(data[i], at[k], 1e-4 * Math.max(max, floor / Math.sqrt(n)), `[${i}]`);
    squares += (data[i] - at[k]) ** 2;
  }
  const whole = 1e-4 * Math.max(norm, floor);
  close(Math.sqrt((squares * n) / at.length), 0, whole, 'the error of the sample, as a norm,');
  let [sum, dot, square] = [0, 0, 0];
  const weights = noise(n, 1);
  for (let i = 0; i < n; i++) {
    sum += data[i];
    dot += data[i] * weights[i];
    square += data[i] ** 2;
  }
  close(Math.sqrt(square), norm, whole, 'norm');
  close(dot, reference.dot, whole, 'weighted sum');
  // Rounding errors of single numbers may all have one sign.
  close(sum, reference.sum, 4 * whole, 'sum');
}
