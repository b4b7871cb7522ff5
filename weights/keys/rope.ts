/**
 * Rotary positions in `config.json`, read and written. Two spellings are read: `rope_theta` beside
 * `rope_scaling: { rope_type | type, factor, … } | null` (transformers 4), and all of it in
 * `rope_parameters: { rope_type, rope_theta, partial_rotary_factor, … }` (transformers 5).
 */

import { shownJson } from '../checks/messages.js';
import type { Rotary, RotaryBase, RotaryScaling } from '../rotary.js';
import type { Given } from './given.js';

type Parameters = Readonly<Record<string, unknown>>;

/** Dimensions that turn, from the part of a head that does: truncated, as transformers does. */
export function rotaryDims(c: Given, dHead: number, part: number): Pick<Rotary, 'dims' | 'exponentDims'> {
  const dims = Math.floor(dHead * part);
  if (dims < 2 || dims % 2 !== 0)
    throw c.unsupported(
      'partial_rotary_factor',
      part,
      `${dims} of ${dHead} dimensions would turn, and they turn in pairs`,
    );
  return { dims, exponentDims: dims };
}

/** What the file says of rotary positions in one object, or null. */
export const ropeParameters = (c: Given): Parameters | null =>
  c.record('rope_parameters') ?? c.record('rope_scaling');

/** The part of each head that turns. */
export const partialFactor = (c: Given, key = 'partial_rotary_factor', fallback = 1): number => {
  const value = ropeParameters(c)?.partial_rotary_factor ?? c.or<unknown>(key, null) ?? fallback;
  if (typeof value !== 'number' || !(value > 0 && value <= 1))
    throw c.wrong(key, value, 'a number in (0, 1]');
  return value;
};

/** What a set of frequencies depends on besides its own settings. */
export interface RopeContext {
  /** Default of theta. */
  readonly theta?: number;
  /** Where theta stands outside of the object. */
  readonly thetaKey?: string;
  /** Pairs of dimensions. */
  readonly pairs: number;
  /** Longest sequence, as the file says. */
  readonly nCtx: number;
  /** Names of scalings that mean LongRoPE in this family. */
  readonly long?: readonly string[];
}

/**
 * One set of frequencies, from its object (null: no scaling). @throws for a kind of scaling that is not
 * known.
 */
export function ropeBase(c: Given, parameters: Parameters | null, context: RopeContext): RotaryBase {
  const { theta = 10000, thetaKey = 'rope_theta', long = ['longrope', 'su'] } = context;
  const base = parameters?.rope_theta ?? c.or<unknown>(thetaKey, null) ?? theta;
  if (typeof base !== 'number' || !(base > 0)) throw c.wrong(thetaKey, base, 'a number greater than 0');
  const type = parameters?.rope_type ?? parameters?.type ?? 'default';
  if (parameters === null || type === 'default' || type === 'dynamic') return { base, scaling: null };
  if (long.includes(type as string)) return { base, scaling: longRope(c, parameters, context) };
  const number = (key: string, fallback?: number): number => {
    const value = parameters[key] ?? fallback;
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0)
      throw c.wrong(
        `${key} of rotary positions (rope_type ${shownJson(type)})`,
        value,
        'a number greater than 0',
      );
    return value;
  };
  const original = () => number('original_max_position_embeddings', context.nCtx);
  switch (type) {
    case 'linear':
      return { base, scaling: { type: 'linear', factor: number('factor') } };
    case 'llama3':
      return {
        base,
        scaling: {
          type: 'llama3',
          factor: number('factor'),
          lowFreqFactor: number('low_freq_factor', 1),
          highFreqFactor: number('high_freq_factor', 4),
          originalContext: original(),
        },
      };
    case 'yarn': {
      const factor = number('factor', context.nCtx / original());
      const scaling: RotaryScaling = {
        type: 'yarn',
        factor,
        originalContext: original(),
        betaFast: number('beta_fast', 32),
        betaSlow: number('beta_slow', 1),
        truncate: parameters.truncate !== false,
        magnitude: number('attention_factor', yarnMagnitude(factor, parameters)),
      };
      return { base, scaling };
    }
    default:
      throw c.unsupported(
        'rope_type',
        type,
        'only default, linear, dynamic, llama3, yarn and longrope are known',
      );
  }
}

/** By how much YaRN makes queries and keys longer. */
function yarnMagnitude(factor: number, { mscale, mscale_all_dim: all }: Parameters): number {
  const grown = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  return typeof mscale === 'number' && typeof all === 'number' && mscale && all
    ? grown(mscale) / grown(all)
    : grown(1);
}

/** The context in which LongRoPE's short factors hold; null where the model has no LongRoPE. */
export function shortContext(c: Given, long: readonly string[] = ['longrope', 'su']): number | null {
  const parameters = ropeParameters(c);
  const type = parameters?.rope_type ?? parameters?.type;
  if (parameters === null || !long.includes(type as string)) return null;
  return originalOf(c, parameters, c.size('max_position_embeddings'));
}

function originalOf(c: Given, parameters: Parameters, nCtx: number): number {
  const key = 'original_max_position_embeddings';
  const value = c.or<unknown>(key, null) ?? parameters[key] ?? nCtx;
  if (!Number.isSafeInteger(value) || (value as number) < 1) throw c.wrong(key, value, 'a positive integer');
  return value as number;
}

/** LongRoPE with its short factors: sequences up to the original context (`shortContext`). */
function longRope(c: Given, parameters: Parameters, { pairs, nCtx }: RopeContext): RotaryScaling {
  const divisors = parameters.short_factor;
  const good = Array.isArray(divisors) && divisors.every((d) => typeof d === 'number' && d > 0);
  if (!good || divisors.length !== pairs)
    throw c.wrong('short_factor of rotary positions', divisors, `a list of ${pairs} numbers, one a pair`);
  const original = originalOf(c, parameters, nCtx);
  const factor = Number(parameters.factor ?? nCtx / original);
  const grown = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  return { type: 'divisors', divisors, magnitude: Number(parameters.attention_factor ?? grown) };
}

/** A set of frequencies as transformers 4 spells it: `rope_theta` and `rope_scaling`. */
export function ropeKeys({ base, scaling }: RotaryBase): Record<string, unknown> {
  if (scaling === null) return { rope_theta: base, rope_scaling: null };
  const { type } = scaling;
  const rest = (): Record<string, unknown> => {
    switch (scaling.type) {
      case 'linear':
        return { factor: scaling.factor };
      case 'llama3':
        return {
          factor: scaling.factor,
          low_freq_factor: scaling.lowFreqFactor,
          high_freq_factor: scaling.highFreqFactor,
          original_max_position_embeddings: scaling.originalContext,
        };
      case 'yarn':
        return {
          factor: scaling.factor,
          original_max_position_embeddings: scaling.originalContext,
          beta_fast: scaling.betaFast,
          beta_slow: scaling.betaSlow,
          truncate: scaling.truncate,
          attention_factor: scaling.magnitude,
        };
      case 'divisors':
        return {
          short_factor: scaling.divisors,
          long_factor: scaling.divisors,
          attention_factor: scaling.magnitude,
        };
    }
  };
  return {
    rope_theta: base,
    rope_scaling: { rope_type: type === 'divisors' ? 'longrope' : type, ...rest() },
  };
}
