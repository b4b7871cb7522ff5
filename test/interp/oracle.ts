/**
 * What counterfactual runs give in float64: test/fixtures/counterfactuals/*.json, made by the Python modules
 * of the same names, which say precisely what each method is. Arrays are flat, in the order of their axes.
 *
 *     for (const { model, prompt, subject, traces } of oracle('tracing').rome) {
 *       const { scores } = await causalTrace(await oracleModel(model), { prompt, subject, ... });
 */
import { readFileSync } from 'node:fs';
import type { Base, Counterfactual } from '../../hooks/interventions/interventions.js';
import { HookedTransformer } from '../../index.js';
import type { Config } from '../../weights/config.js';
import { defaultProcessing, noProcessing } from '../../weights/processing/processing.js';
import { randomGpt2 } from '../helpers.js';

/** A random model. */
export interface OracleModel {
  readonly config: Config;
  readonly seed: number;
  readonly untied: boolean;
  /** With TransformerLens' default processing, else without any. */
  readonly processed: boolean;
}

/** Prompts of equal length, and two answers for each prompt. */
interface Answers {
  readonly model: OracleModel;
  readonly correct: number[];
  readonly wrong: number[];
}

/** TransformerLens' patching family: see patching.py. */
export interface PatchingOracle extends Answers {
  readonly clean: number[][];
  readonly corrupted: number[][];
  /** Mean logit difference of the two runs. */
  readonly cleanValue: number;
  readonly corruptedValue: number;
  /** Normalised: the corrupted run is 0, the clean run 1. */
  readonly sweeps: readonly {
    readonly at:
      | 'resid_pre'
      | 'resid_mid'
      | 'resid_post'
      | 'attn_out'
      | 'mlp_out'
      | 'z'
      | 'q'
      | 'k'
      | 'v'
      | 'pattern';
    readonly by: readonly ('layer' | 'pos' | 'head' | 'query' | 'key')[];
    readonly shape: number[];
    readonly values: number[];
  }[];
  /**
   * Other metrics of patching resid_pre, as they are: [layer, pos, prompt], and those of the two runs:
   * [prompt].
   */
  readonly metrics: readonly {
    readonly metric: 'logProb' | 'prob' | 'rank' | 'klFromBase' | 'klFromClean' | 'loss';
    readonly values: number[];
    readonly clean: number[];
    readonly corrupted: number[];
  }[];
}

interface Trace {
  readonly window: number;
  /** Probability of the answer: [pos, layer]. */
  readonly scores: number[];
}

interface Traced<T extends Trace> {
  readonly model: OracleModel;
  readonly prompt: number[];
  /** [begin, end). */
  readonly subject: [number, number];
  readonly answer: number;
  readonly highScore: number;
  readonly lowScore: number;
  readonly traces: readonly T[];
}

/** Causal tracing: see tracing.py. */
export interface TracingOracle {
  readonly rome: readonly (Traced<
    Trace & {
      readonly kind: null | 'mlp' | 'attn';
      readonly disableMlp: boolean;
      readonly disableAttn: boolean;
    }
  > & {
    readonly samples: number;
    readonly noise: number | 's3';
    /** The number that `noise` comes to. */
    readonly noiseValue: number;
  })[];
  readonly pyvene: readonly (Traced<
    Trace & { readonly stream: 'block_output' | 'mlp_activation' | 'attention_output' }
  > & { readonly std: number })[];
}

interface TwoRuns extends Answers {
  /** The run that is changed, and the one that values come from. */
  readonly original: number[][];
  readonly new: number[][];
  /** Mean logit difference of the two runs. */
  readonly originalValue: number;
  readonly newValue: number;
}

/** The input that a path leads to. */
export type OracleReceiver =
  | { readonly to: 'logits' }
  | { readonly to: 'q' | 'k' | 'v'; readonly layer: number; readonly head: number }
  | { readonly to: 'mlp'; readonly layer: number };

/** Path patching: see paths.py. Values are normalised: the original run is 0, the new one 1. */
export interface PathsOracle {
  readonly paths: readonly (TwoRuns & {
    readonly patches: readonly {
      readonly senders: 'heads' | 'mlps';
      readonly receivers: readonly OracleReceiver[];
      readonly mlps: 'frozen' | 'recomputed';
      readonly by: readonly ('layer' | 'head' | 'pos')[];
      readonly shape: number[];
      readonly values: number[];
    }[];
  })[];
  /** TransformerLens' linear variant. */
  readonly direct: readonly (TwoRuns & {
    readonly patches: readonly {
      readonly sender: { readonly layer: number; readonly head: number };
      readonly to: 'q' | 'k' | 'v';
      readonly shape: number[];
      readonly values: number[];
    }[];
  })[];
}

/** Ablations: see ablations.py. Logit differences of each prompt, as they are. */
export interface AblationsOracle extends Answers {
  readonly rows: number[][];
  readonly dataset: number[][];
  readonly resample: number[][];
  /** [prompt]. */
  readonly base: number[];
  readonly ablations: readonly {
    readonly unit: 'head' | 'attn' | 'mlp' | 'neuron' | 'layer';
    readonly by: readonly ('layer' | 'head' | 'neuron')[];
    /** [layer, neuron] of each neuron. */
    readonly neurons?: readonly [number, number][];
    readonly method: 'zero' | 'mean' | 'meanAll' | 'resample';
    /** [...by, prompt]. */
    readonly values: number[];
  }[];
}

/** Interventions of all kinds: see free.py. */
export interface FreeOracle extends Answers {
  readonly base: Base & { readonly input: number[][] };
  /** Logit difference and loss of each prompt of the base run: [prompt]. */
  readonly value: number[];
  readonly loss: number[];
  readonly counterfactuals: readonly {
    readonly interventions: Counterfactual;
    readonly values: number[];
    readonly losses: number[];
  }[];
}

interface Oracles {
  patching: readonly PatchingOracle[];
  tracing: TracingOracle;
  paths: PathsOracle;
  ablations: readonly AblationsOracle[];
  free: readonly FreeOracle[];
}

/** Reads what one of the Python modules has written. */
export function oracle<K extends keyof Oracles>(name: K): Oracles[K] {
  const path = new URL(`../fixtures/counterfactuals/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as Oracles[K];
}

const models = new Map<string, Promise<HookedTransformer>>();

/** The model; the same one whenever it is asked for, so nobody disposes it. */
export function oracleModel({ config, seed, untied, processed }: OracleModel): Promise<HookedTransformer> {
  const key = `${config.name}, ${seed}, ${processed}`;
  let model = models.get(key);
  if (!model) {
    const processing = processed ? defaultProcessing : noProcessing;
    model = HookedTransformer.fromWeights(config, randomGpt2(config, seed, { untied }), processing);
    models.set(key, model);
  }
  return model;
}
