/**
 * What tests need beside uvu: comparing arrays of numbers, expecting errors, and random models that Python
 * can make again, bit for bit.
 */
import { Assertion } from 'uvu/assert';
import { noise } from '../kernels/core/kernel.js';
import type { Config } from '../weights/config.js';
import type { HostTensor } from '../weights/formats/types.js';

export interface AllCloseOptions {
  /** Absolute tolerance. Default 1e-4. */
  atol?: number;
  /** Relative to the expected value. Default 1e-4. */
  rtol?: number;
  /** What is compared, for the message. */
  what?: string;
}

/**
 * Asserts that both have the same length and |actual - expected| <= atol + rtol * |expected| for every
 * element. Equal infinities agree; NaN agrees with nothing. The message names the worst element, not all of
 * them.
 */
export function allClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { atol = 1e-4, rtol = 1e-4, what = 'values' }: AllCloseOptions = {},
): void {
  if (actual.length !== expected.length)
    fail(`${what}: ${actual.length} elements, expected ${expected.length}`);
  let wrong = 0;
  let worst = -1;
  let worstExcess = 0;
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i]) continue;
    const error = Math.abs(actual[i] - expected[i]);
    const allowed = atol + rtol * Math.abs(expected[i]);
    if (error <= allowed && error !== Infinity) continue;
    const excess = Number.isFinite(error) ? error / allowed : Infinity;
    if (wrong++ === 0 || excess > worstExcess) [worst, worstExcess] = [i, excess];
  }
  if (wrong > 0) {
    const [a, b] = [actual[worst], expected[worst]];
    fail(
      `${what}: ${wrong} of ${expected.length} elements differ; the worst is [${worst}]: ${a}, expected ${b} ` +
        `(off by ${Math.abs(a - b).toPrecision(3)}; atol ${atol}, rtol ${rtol})`,
    );
  }
}

/** Fails the test with this message. */
export function fail(message: string): never {
  const error = new Assertion({ message, operator: '', expects: undefined, actual: undefined });
  // uvu prints the message, and then the stack from its second line on: long messages would appear twice.
  error.stack = error.stack?.replace(message, () => message.split('\n')[0]);
  throw error;
}

/**
 * Asserts that `subject` throws, or rejects, with a message that matches. The asynchronous form must be
 * awaited.
 */
export function throws(subject: Promise<unknown> | (() => Promise<unknown>), pattern: RegExp): Promise<void>;
export function throws(subject: () => unknown, pattern: RegExp): void;
export function throws(subject: Promise<unknown> | (() => unknown), pattern: RegExp): void | Promise<void> {
  const nothing = (): never => fail(`nothing was thrown, expected an error that matches ${pattern}`);
  const check = (error: unknown): void => {
    // GPU errors are not instances of Error, but have a message.
    const message = String((error as { message?: unknown } | null)?.message ?? error);
    if (!pattern.test(message)) fail(`expected an error that matches ${pattern}, got: ${message}`);
  };
  let result: unknown;
  try {
    result = typeof subject === 'function' ? subject() : subject;
  } catch (error) {
    return check(error);
  }
  return result instanceof Promise ? result.then(nothing, check) : nothing();
}

/** Deterministic random numbers; the generator is that of `noise` in kernels/core/kernel.ts. */
export interface Rng {
  /** In [0, 1), 24 bits. */
  uniform(): number;
  /** An integer in [0, n). */
  int(n: number): number;
  /** n numbers in [-scale, scale). */
  array(n: number, scale?: number): Float32Array;
  /** n token ids below dVocab. */
  tokens(n: number, dVocab: number): number[];
}

/** A generator with its own state: the same seed, the same numbers. */
export function rng(seed: number): Rng {
  let state = (seed * 2654435761 + 12345) >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 16777216;
  };
  const int = (n: number) => Math.floor(uniform() * n);
  return {
    uniform,
    int,
    array: (n, scale = 1) => Float32Array.from({ length: n }, () => (uniform() * 2 - 1) * scale),
    tokens: (n, dVocab) => Array.from({ length: n }, () => int(dVocab)),
  };
}

/** What a random model needs to know of its configuration. */
export type ModelShape = Pick<
  Config,
  'nLayers' | 'nHeads' | 'dModel' | 'dHead' | 'dMlp' | 'nCtx' | 'dVocab' | 'attnOnly' | 'normalization'
>;

export interface RandomGpt2Options {
  /** Give the model an `lm_head.weight` of its own. Default false: the unembedding is `wte.weight`. */
  untied?: boolean;
}

/**
 * Random weights in Hugging Face's GPT-2 names and layout (Conv1D matrices are [in, out]), of a size that
 * keeps activations near 1. Norm weights exist for 'LN' only, MLP weights unless `attnOnly`.
 *
 * test/fixtures/gpt2/reference.py makes the same: tensor number i, counted in the order below, is
 * `noise(size, 1000 * seed + i, scale)`; gains are 1 + that, rounded to float32 once more. `seed` below 3000.
 */
export function randomGpt2(
  config: ModelShape,
  seed: number,
  { untied = false }: RandomGpt2Options = {},
): Record<string, HostTensor> {
  const { nLayers, nHeads, dModel, dHead, dMlp, nCtx, dVocab, attnOnly, normalization } = config;
  const tensors: Record<string, HostTensor> = {};
  let next = 1000 * seed;
  const add = (name: string, shape: number[], scale: number, offset = 0) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = noise(size, next++, scale);
    tensors[name] = { shape, data: offset ? data.map((x) => x + offset) : data };
  };
  const norm = (name: string) => {
    if (normalization !== 'LN') return;
    add(`${name}.weight`, [dModel], 0.1, 1);
    add(`${name}.bias`, [dModel], 0.1);
  };
  const linear = (name: string, from: number, to: number, gain: number) => {
    add(`${name}.weight`, [from, to], gain / Math.sqrt(from));
    add(`${name}.bias`, [to], 0.1);
  };
  const size = normalization === 'none' ? 1 : 2.5 / Math.sqrt(dModel);
  add('wte.weight', [dVocab, dModel], size);
  add('wpe.weight', [nCtx, dModel], size / 2);
  for (let layer = 0; layer < nLayers; layer++) {
    norm(`h.${layer}.ln_1`);
    linear(`h.${layer}.attn.c_attn`, dModel, 3 * nHeads * dHead, 2);
    linear(`h.${layer}.attn.c_proj`, nHeads * dHead, dModel, 1);
    if (attnOnly) continue;
    norm(`h.${layer}.ln_2`);
    linear(`h.${layer}.mlp.c_fc`, dModel, dMlp, 2);
    linear(`h.${layer}.mlp.c_proj`, dMlp, dModel, 1);
  }
  norm('ln_f');
  if (untied) add('lm_head.weight', [dVocab, dModel], 2.5 / Math.sqrt(dModel));
  return tensors;
}

/** A small model of two layers, and one of three: with `randomGpt2`, what most tests run. */
export const twoLayers = {
  nLayers: 2,
  nHeads: 2,
  dModel: 24,
  dHead: 12,
  dMlp: 48,
  nCtx: 16,
  dVocab: 101,
  attnOnly: false,
  normalization: 'LN',
} as const;
export const threeLayers = {
  nLayers: 3,
  nHeads: 3,
  dModel: 36,
  dHead: 12,
  dMlp: 96,
  nCtx: 24,
  dVocab: 101,
  attnOnly: false,
  normalization: 'LN',
} as const;
