/**
 * Settings, asked for one by one: checked, with what the weights told and a default in place of what is
 * missing.
 */

import { fileError, shownJson } from '../checks/messages.js';
import type { Config } from '../config.js';
import type { Settings } from '../keys/given.js';

type Key = keyof Config;

/** What a number may be. Default: greater than 0. */
interface Limits {
  readonly least?: number;
  readonly below?: number;
}

/**
 * Questions to a set of settings. Each throws an error that names file, setting, what it is and what it may
 * be.
 */
export interface Ask {
  readonly file: string;
  /** As it was given, or inferred. */
  value(key: Key): unknown;
  fail(key: string, value: unknown, wanted: string): Error;
  /** A whole number of at least 1, or `least`; without a default it must be given. */
  size(key: Key, fallback?: number, least?: number): number;
  number(key: Key, fallback: number | null, limits?: Limits): number | null;
  flag(key: Key, fallback: boolean): boolean;
  oneOf<T extends string>(key: Key, values: readonly T[], fallback: T): T;
}

const HF_NAMES: Partial<Record<Key, string>> = {
  nLayers: 'n_layer',
  nHeads: 'n_head',
  dModel: 'n_embd',
  dHead: 'n_embd / n_head',
  dMlp: 'n_inner',
  nCtx: 'n_positions',
  dVocab: 'vocab_size',
};

/** Questions to settings in our names. */
export function asking(
  known: Readonly<Record<string, unknown>>,
  inferred: Readonly<Settings>,
  file: string,
): Ask {
  const value = (key: Key) => known[key] ?? inferred[key];
  const fail = (key: string, given: unknown, wanted: string) =>
    fileError(file, `${key} is ${shownJson(given)}; it must be ${wanted}`);
  return {
    file,
    value,
    fail,
    size(key, fallback, least = 1) {
      const given = value(key) ?? fallback;
      if (given === undefined) throw fileError(file, `${key} (Hugging Face: ${HF_NAMES[key]}) is missing`);
      if (!Number.isSafeInteger(given) || (given as number) < least)
        throw fail(key, given, least > 0 ? 'a positive integer' : `an integer of at least ${least}`);
      return given as number;
    },
    number(key, fallback, { least, below = Number.POSITIVE_INFINITY } = {}) {
      const given = value(key) ?? fallback;
      if (given === null) return null;
      const enough = typeof given === 'number' && (least === undefined ? given > 0 : given >= least);
      if (enough && given < below) return given;
      const finite = Number.isFinite(below) ? `a number in [${least}, ${below})` : 'a number';
      throw fail(key, given, least === undefined ? `${finite} greater than 0` : finite);
    },
    flag(key, fallback) {
      const given = value(key) ?? fallback;
      if (typeof given !== 'boolean') throw fail(key, given, 'true or false');
      return given;
    },
    oneOf(key, values, fallback) {
      const given = value(key) ?? fallback;
      if (!values.includes(given as never)) throw fail(key, given, `one of ${values.join(', ')}`);
      return given as (typeof values)[number];
    },
  };
}
