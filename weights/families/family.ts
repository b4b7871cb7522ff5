/**
 * What a family of models is: facts that all its models share, what its `config.json` says, and what its
 * tensors are called and how they lie. Nothing else knows of families.
 */

import type { Config } from '../config.js';
import type { Given, Settings } from '../keys/given.js';
import type { TensorNames } from '../keys/names.js';

/** A family of models. */
export interface Family {
  /** `model_type` in `config.json`, and `Config.family`. */
  readonly name: string;
  /** Further spellings of `model_type` that mean the same. */
  readonly aliases?: readonly string[];
  /** `architectures` in `config.json`; the first is the one that is written. */
  readonly architectures: readonly string[];
  /** Facts of all its models, in our names, where a setting does not say otherwise. */
  readonly facts: Settings;
  /**
   * What a `config.json` says. @throws an error that names a key that is missing, or asks for what no part
   * does
   */
  read(c: Given): Settings;
  /** `config.json` of a model, without what all families write alike (`architectures`, tokens, tying). */
  write(config: Config): Record<string, unknown>;
  readonly tensors: TensorNames;
  /** Whether the unembedding has a bias (`lm_head.bias`). */
  readonly headBias?: boolean;
  /** `general.architecture` in GGUF files. */
  readonly gguf?: string;
  /**
   * Noise of ROME's causal trace, as published for it; 's3' where nothing is: three deviations of the
   * embeddings.
   */
  readonly noise?: number | 's3';
}
