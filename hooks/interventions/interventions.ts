/**
 * Interventions as plain data. "At `blocks.7.hook_resid_pre`, position 4, put the clean run's value" is
 *
 *     { at: 'blocks.7.hook_resid_pre', pos: 4, set: { from: 'clean' } }
 *
 * An object that can be printed, compared, saved as JSON and planned. One intervention says where (a hook
 * point, and which positions, heads, neurons or keys of it) and what happens there (exactly one action). A
 * list of them is one counterfactual run.
 */

import type { NestedNumbers } from '../../engine/numbers.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { TextInput } from '../../engine/tokens/text.js';
import type { ActivationCache } from '../cache/cache.js';
import type { Spelled } from '../input/names.js';
import type { Selection } from '../input/selection.js';
import type { Align } from './alignment.js';

/** Which part of an activation. What is left out is all of it. */
export interface Part {
  /** Prompts of the batch. */
  readonly row?: Selection;
  /** Positions; of scores and patterns, the queries. */
  readonly pos?: Selection;
  /** Heads: of q, k, v, z, result, scores, pattern and the inputs of attention. */
  readonly head?: Selection;
  /**
   * Entries of the last axis: neurons of `mlp.hook_pre|post`, dimensions of anything else that has a last
   * axis.
   */
  readonly neuron?: Selection;
  /** Keys: of scores and patterns only. */
  readonly key?: Selection;
}

/** The activation of another run, at the same place unless another is named. */
export interface FromRun {
  /** `'base'` (the run that is changed), or the name of a source. */
  readonly from: string;
  /**
   * Another hook point, of the same width: `resid_pre` serves every head of `q_input`; of `result` name the
   * `head`.
   */
  readonly at?: string;
  readonly layer?: number;
  /** One prompt of that run, one position, one head, instead of the same ones. */
  readonly row?: number;
  readonly pos?: number;
  readonly head?: number;
  /** Which counterfactual, where the source is a list of them. */
  readonly cell?: number;
}

/**
 * Mean activation over the prompts of a source: at each position (`'rows'`, the default), or over all
 * positions too.
 */
export interface MeanOf {
  readonly mean: string;
  readonly over?: 'rows' | 'all';
}

/**
 * Normal noise as NumPy's `RandomState(seed).randn` draws it, bit for bit before it is rounded to f32. Draw
 * number `sample` is the one for the prompt, or the given one for all.
 */
export interface Noise {
  readonly noise: { readonly seed: number; readonly std?: number; readonly sample?: number };
}

/** Numbers for the selected part, or for a trailing part of its shape that is repeated. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/**
 * What is put in, added, and so on. A list (also a typed array of any kind, or lists of lists) or tensor
 * fills the selected part, or repeats along its leading axes.
 */
export type Value = NestedNumbers | Numbers | Tensor | FromRun | MeanOf | Noise;

/** What happens there: exactly one of these. */
export interface Action {
  /** Replace. */
  readonly set?: Value;
  /** Add `times` (default 1) the value: steering vectors, noise. */
  readonly add?: Value;
  readonly times?: number;
  /** Multiply. */
  readonly scale?: number;
  /** Replace by zeros. */
  readonly zero?: true;
  /** Replace by the mean over a source's prompts. */
  readonly mean?: string | MeanOf;
  /** (1 − by) · activation + by · value. */
  readonly interpolate?: { readonly to: Value; readonly by: number };
  /** Remove the component along a direction. */
  readonly projectOut?: Value;
  /** Keep at the base run's value. */
  readonly freeze?: true;
}

/** One change of one activation. */
export interface Intervention extends Part, Action {
  /**
   * Full name (`blocks.3.attn.hook_z`), or a shorthand (`z`) with `layer`; without a layer: in all of them.
   */
  readonly at: string;
  readonly layer?: Selection;
}

/** A list of interventions: one run that might have been. */
export type Counterfactual = readonly Intervention[];
/** Interventions, or lists of them, at hook points that are spelled as some are: see `Spelled`. */
export type SpelledEdits<I> = I extends readonly unknown[]
  ? { readonly [K in keyof I]: SpelledEdits<I[K]> }
  : I extends { readonly at: infer At }
    ? { readonly [K in keyof I]: K extends 'at' ? Spelled<At> : I[K] }
    : I;

/** A run to take values from. */
export type Source =
  | TextInput
  | ActivationCache
  | {
      readonly input?: TextInput;
      readonly prependBos?: boolean;
      /** Which of its positions go with which of the base run, where the prompts differ in length. */
      readonly align?: Align;
      /** This run is itself changed; earlier sources may be named. */
      readonly interventions?: Counterfactual;
      /** Many runs that leave the base: `{ from: name, cell: i }` reads counterfactual i. */
      readonly counterfactuals?: readonly Counterfactual[];
    };

/** The run that counterfactuals leave: text, or tokens, or these with sources and interventions. */
export type Base =
  | TextInput
  | {
      readonly input: TextInput;
      readonly prependBos?: boolean;
      /** The base run is itself changed (causal tracing leaves a corrupted run). */
      readonly interventions?: Counterfactual;
      /** Runs to take values from, by name. */
      readonly sources?: Readonly<Record<string, Source>>;
    };
