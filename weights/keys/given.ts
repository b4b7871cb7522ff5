/** A `config.json` of Hugging Face, read key by key. */

import { fileError, shownJson } from '../checks/messages.js';
import type { Config } from '../config.js';

/**
 * Settings in our names, not yet checked; what is missing or undefined takes the family's fact, then a
 * default.
 */
export type Settings = Partial<Record<keyof Config, unknown>>;

/**
 * Settings as a file has them. A missing key takes a default; `null` is a value of its own, and often means
 * "off".
 */
export class Given {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #asked = new Set<string>();
  readonly file: string;

  constructor(json: Readonly<Record<string, unknown>>, file: string) {
    this.#json = json;
    this.file = file;
  }

  /** Whether the file has the key, be it as null. */
  has(key: string): boolean {
    this.#asked.add(key);
    return Object.hasOwn(this.#json, key) && this.#json[key] !== undefined;
  }

  /** The value of a key, null included; where it is missing, the default. */
  or<T>(key: string, fallback: T): T {
    return this.has(key) ? (this.#json[key] as T) : fallback;
  }

  /** The value of the first of some keys that the file has; undefined where it has none. */
  first(...keys: string[]): unknown {
    const key = keys.find((k) => this.has(k) && this.#json[k] !== null);
    return key === undefined ? undefined : this.#json[key];
  }

  /** The value of the first of some keys. @throws when it has none of them. */
  need(...keys: string[]): unknown {
    const value = this.first(...keys);
    if (value === undefined)
      throw fileError(this.file, `${keys.join(' or ')} is missing, and a model of its kind needs it`);
    return value;
  }

  /** A whole number of at least 1. */
  size(...keys: string[]): number {
    const value = this.need(...keys);
    if (!Number.isSafeInteger(value) || (value as number) < 1)
      throw this.wrong(keys[0], value, 'a positive integer');
    return value as number;
  }

  /** A number, or null where the file says null. */
  number(key: string, fallback: number | null): number | null {
    const value = this.or<unknown>(key, fallback);
    if (value !== null && (typeof value !== 'number' || !Number.isFinite(value)))
      throw this.wrong(key, value, 'a number');
    return value as number | null;
  }

  /** An object of settings, or null. */
  record(key: string): Readonly<Record<string, unknown>> | null {
    const value = this.or<unknown>(key, null);
    if (value === null) return null;
    if (typeof value !== 'object' || Array.isArray(value)) throw this.wrong(key, value, 'an object');
    return value as Record<string, unknown>;
  }

  /** Whether somebody has asked for the key. */
  asked(key: string): boolean {
    return this.#asked.has(key);
  }

  wrong(key: string, value: unknown, wanted: string): Error {
    return fileError(this.file, `${key} is ${shownJson(value)}; it must be ${wanted}`);
  }

  /** An error for a value that asks for something no part does. */
  unsupported(key: string, value: unknown, why: string): Error {
    return fileError(this.file, `${key} is ${shownJson(value)}: ${why}`);
  }
}

/** What no family here has: key, when it asks for it, and what is missing then. */
const MISSING: readonly (readonly [key: string, asks: (value: unknown) => boolean, why: string])[] = [
  ['is_encoder_decoder', (v) => v === true, 'only decoders are run'],
  ['add_cross_attention', (v) => v === true, 'only decoder-only models are supported'],
  ['use_bidirectional_attention', (v) => v === true, 'only causal attention is run in this family'],
  ...['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_intermediate_size'].map(
    (key) =>
      [key, (v: unknown) => typeof v === 'number' && v > 0, 'mixtures of experts are not supported'] as const,
  ),
];

/** Refuses settings that ask for what no family has. @throws an error that names key and value */
export function refuseForeign(c: Given): void {
  for (const [key, asks, why] of MISSING)
    if (asks(c.or<unknown>(key, null))) throw c.unsupported(key, c.or<unknown>(key, null), why);
}

/** Settings that some families have, and that would change the numbers of others. */
const ELSEWHERE: readonly (readonly [key: string, asks: (value: unknown) => boolean, what: string])[] = [
  ['attn_logit_softcapping', (v) => typeof v === 'number' && v > 0, 'soft caps of scores'],
  ['final_logit_softcapping', (v) => typeof v === 'number' && v > 0, 'soft caps of logits'],
  ['partial_rotary_factor', (v) => typeof v === 'number' && v < 1, 'rotary positions in part of a head'],
  ['qk_layernorm', (v) => v === true, 'norms of queries and keys'],
];

/**
 * Refuses settings that the family did not ask for, and would not follow. @throws an error that names key and
 * value
 */
export function refuseUnread(c: Given, family: string): void {
  for (const [key, asks, what] of ELSEWHERE) {
    if (c.asked(key)) continue;
    const value = c.or<unknown>(key, null);
    if (asks(value))
      throw c.unsupported(
        key,
        value,
        `${family} models have no ${what}; without it the numbers would differ. Leave it out only if the model was trained without`,
      );
  }
}
