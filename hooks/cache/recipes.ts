/**
 * What TransformerLens' decompositions of the residual stream consist of: which components are rows, in which
 * order, and which are left out. decompose.ts makes the stacks.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { pointName } from '../../engine/transformer/points.js';
import { shownJson } from '../../weights/checks/messages.js';
import type { Config } from '../../weights/config.js';
import { check, is, optional, options, type Spec, signatures } from '../input/check.js';
import type { PosSlice } from '../run/positions.js';
import type { ActivationCache } from './cache.js';
import {
  activation,
  attentionOut,
  biases,
  type Component,
  embeddings,
  heads,
  mlpOut,
  type NeuronRange,
  neurons,
  otherNeurons,
} from './components.js';
import { type LayerNormMode, normOf } from './stack.js';

/**
 * Which state of the residual stream: before block `layer`, or before its MLP; after all blocks for -1, null
 * or none.
 */
export type StreamLayer = number | null | undefined;

interface Common {
  /**
   * One position (its axis is dropped; negative counts from each row's end) or [start, end). Default: all.
   */
  readonly pos?: PosSlice | null;
}

interface Parts extends Common {
  /**
   * `'frozen'`: the norm that reads the stream, with its scale in the run; its gain and bias, if they have
   * not been folded into the weights, are left out as in TransformerLens. Default false.
   */
  readonly applyLn?: false | 'frozen';
}

/** Options of stacks that are not the whole sum by themselves. */
export interface Incomplete extends Parts {
  /**
   * Make rows of what the others lack: `true`: TransformerLens' one row, `remainder`, which is what is left
   * of the sum; `'each'`: a row for every component of it, made from its own activations. Default false.
   */
  readonly inclRemainder?: boolean | 'each';
}

/** Options of stacks whose d_model axis need not exist. */
export interface Projected {
  /**
   * Directions [dModel] or [n, dModel]: products with them take the place of d_model, which is never made.
   */
  readonly projectOnto?: Tensor | null;
}

/** Options of `accumulatedResid`. */
export interface AccumulatedOptions extends Common {
  /** Also the states between attention and MLP. Default false. */
  readonly inclMid?: boolean;
  /** End with the state before the MLP of `layer`. Default false. */
  readonly mlpInput?: boolean;
  /**
   * The norm that reads the last state. `'frozen'`: with its scale in the run for all rows, without gain and
   * bias. `'recomputed'`: with each row's own scale; at the final norm gain and bias are applied too, so that
   * `unembed` of a row is what the logit lens shows (TransformerLens' `apply_ln=True`). Default false.
   */
  readonly applyLn?: false | LayerNormMode;
}

/** Options of `decomposeResid`. */
export interface DecomposeOptions extends Incomplete, Projected {
  /** Up to the MLP of `layer`, its attention included. Default false. */
  readonly mlpInput?: boolean;
  /** Only attention layers, or only MLPs. Default 'all'. */
  readonly mode?: 'all' | 'attn' | 'mlp';
  /** Default true. */
  readonly inclEmbeds?: boolean;
}

/** Options of `stackHeadResults`. */
export interface HeadOptions extends Incomplete, Projected {}

/** Options of `stackNeuronResults`. */
export interface NeuronOptions extends Incomplete, Projected {
  /** One neuron, or [start, end), of every layer. Default: all. */
  readonly neurons?: number | NeuronRange;
}

/** Options of `fullResidDecomposition`. */
export interface FullOptions extends Parts, Projected {
  /** Up to the MLP of `layer`, its attention included. Default false. */
  readonly mlpInput?: boolean;
  /** A row a neuron (default), or one an MLP. */
  readonly expandNeurons?: boolean;
}

const PARTS = { pos: is.orNull(is.pos), applyLn: is.oneOf(false, 'frozen') } satisfies Spec<Parts>;
const PROJECTED = { projectOnto: is.orNull(is.tensor) } satisfies Spec<Projected>;
const INCOMPLETE = {
  ...PARTS,
  ...PROJECTED,
  inclRemainder: is.oneOf(true, false, 'each'),
} satisfies Spec<Incomplete & Projected>;

/** What the options of each decomposition may be. */
export const DECOMPOSITIONS = {
  accumulatedResid: options<AccumulatedOptions>({
    pos: PARTS.pos,
    inclMid: is.boolean,
    mlpInput: is.boolean,
    applyLn: is.oneOf(false, 'frozen', 'recomputed'),
  }),
  decomposeResid: options<DecomposeOptions>({
    ...INCOMPLETE,
    mlpInput: is.boolean,
    mode: is.oneOf('all', 'attn', 'mlp'),
    inclEmbeds: is.boolean,
  }),
  stackHeadResults: options<HeadOptions>(INCOMPLETE),
  stackNeuronResults: options<NeuronOptions>({ ...INCOMPLETE, neurons: is.either(is.integer, is.range) }),
  fullResidDecomposition: options<FullOptions>({
    ...PARTS,
    ...PROJECTED,
    mlpInput: is.boolean,
    expandNeurons: is.boolean,
  }),
} satisfies Record<keyof DecompositionKinds, object>;

/** What a stack is made of. */
export interface Recipe {
  readonly what: string;
  /** The state that is taken apart, and the norm that reads it. */
  readonly target: string;
  readonly norm: string | null;
  readonly rows: readonly Component[];
  readonly rest: readonly Component[];
}

/** What the recipes read of a cache; none: what a run would have to keep. */
type Holder = Pick<ActivationCache, 'has'> | null;

/** States of the residual stream, one after another. */
export function accumulated(config: Config, layer: StreamLayer, o: AccumulatedOptions): Recipe {
  const { nLayers, attnOnly } = config;
  const { l: last, mlpInput } = resolve('accumulatedResid', config, layer, o.mlpInput);
  if (o.inclMid && config.parallelAttnMlp)
    throw new Error(
      'accumulatedResid: inclMid: this model adds attention and MLP to the same stream: there is no state between them',
    );
  const rows: Component[] = [];
  for (let l = 0; l <= last; l++) {
    if (l === nLayers) rows.push(activation('final_post', pointName('hook_resid_post', l - 1)));
    else rows.push(activation(`${l}_pre`, pointName('hook_resid_pre', l)));
    if ((o.inclMid && !attnOnly && l < last) || (mlpInput && l === last))
      rows.push(activation(`${l}_mid`, pointName('hook_resid_mid', l)));
  }
  return { what: 'accumulatedResid', ...stream(config, last, mlpInput, null), rows, rest: [] };
}

/** Embeddings, and what attention layers and MLPs add. */
export function decomposed(config: Config, layer: StreamLayer, o: DecomposeOptions, holder: Holder): Recipe {
  const { mode = 'all', inclEmbeds = true } = o;
  if (!['all', 'attn', 'mlp'].includes(mode))
    throw new Error(`decomposeResid: mode ${shownJson(mode)}: 'all', 'attn' or 'mlp' is needed`);
  const { l: last, mlpInput } = resolve('decomposeResid', config, layer, o.mlpInput);
  const rows: Component[] = [];
  const rest: Component[] = [];
  (inclEmbeds ? rows : rest).push(...embeddings(config));
  for (let l = 0; l < last + (mlpInput ? 1 : 0); l++) {
    (mode === 'mlp' ? rest : rows).push(attentionOut(l));
    if (l < last && !config.attnOnly) (mode === 'attn' ? rest : rows).push(mlpOut(l));
  }
  return { what: 'decomposeResid', ...stream(config, last, mlpInput, holder), rows, rest };
}

/** What heads add. */
export function headStack(config: Config, layer: StreamLayer, holder: Holder): Recipe {
  const { l: last } = resolve('stackHeadResults', config, layer);
  const layers = range(last);
  const rest = [
    ...embeddings(config),
    ...(config.attnOnly ? [] : layers.map(mlpOut)),
    biases(config, layers, []),
  ];
  const rows = layers.map((l) => headsOf(config, l, holder));
  return { what: 'stackHeadResults', ...stream(config, last, false, holder), rows, rest };
}

/** What neurons add. */
export function neuronStack(config: Config, layer: StreamLayer, o: NeuronOptions, holder: Holder): Recipe {
  const what = 'stackNeuronResults';
  if (config.attnOnly) throw new Error(`${what}: this model has no MLPs (attention only)`);
  const { l: last } = resolve(what, config, layer);
  const chosen = neuronRange(what, o.neurons, config);
  const layers = range(last);
  const all = chosen[1] - chosen[0] === config.dMlp;
  const rest = [
    ...embeddings(config),
    ...layers.flatMap((l) => [attentionOut(l), ...(all ? [] : [otherNeurons(config, l, chosen)])]),
    ...(all ? [biases(config, [], layers)] : []),
  ];
  const rows = layers.map((l) => neurons(config, l, chosen));
  return { what, ...stream(config, last, false, holder), rows, rest };
}

/** Everything, as fine as asked. */
export function full(config: Config, layer: StreamLayer, o: FullOptions, holder: Holder): Recipe {
  const { expandNeurons = true } = o;
  const what = 'fullResidDecomposition';
  const { l: last, mlpInput } = resolve(what, config, layer, o.mlpInput);
  const attention = range(last + (mlpInput ? 1 : 0));
  const mlps = config.attnOnly ? [] : range(last);
  const rows = [
    ...attention.map((l) => headsOf(config, l, holder)),
    ...mlps.map((l) => (expandNeurons ? neurons(config, l, [0, config.dMlp]) : mlpOut(l))),
    ...embeddings(config),
    biases(config, attention, expandNeurons ? mlps : []),
  ];
  return { what, ...stream(config, last, mlpInput, holder), rows, rest: [] };
}

const headsOf = (config: Config, l: number, holder: Holder): Component =>
  heads(l, config, holder?.has(pointName('attn.hook_result', l)) ?? false);

/** The methods of a cache, and the options that decide what they read. */
export interface DecompositionKinds {
  accumulatedResid: AccumulatedOptions;
  decomposeResid: DecomposeOptions;
  stackHeadResults: HeadOptions;
  stackNeuronResults: NeuronOptions;
  fullResidDecomposition: FullOptions;
}

const takes = signatures({
  decompositionNames: {
    model: is.having('a model', 'config'),
    kind: is.text,
    layer: optional(is.streamLayer),
    options: optional(is.plainObject),
  },
});

/**
 * The hook points that an analysis of a cache reads, for `runWithCache`'s `names`: those of its rows, of what
 * they lack, of the sum, and of the layer norm.
 * @example await model.runWithCache(text, { names: decompositionNames(model, 'stackHeadResults') })
 */
export const decompositionNames = takes.decompositionNames(function decompositionNames<
  K extends keyof DecompositionKinds,
>(
  { config }: { readonly config: Config },
  kind: K,
  layer: StreamLayer = null,
  options: DecompositionKinds[K] = {},
): string[] {
  const recipes: { [K in keyof DecompositionKinds]: (o: DecompositionKinds[K]) => Recipe } = {
    accumulatedResid: (o) => accumulated(config, layer, o),
    decomposeResid: (o) => decomposed(config, layer, o, null),
    stackHeadResults: () => headStack(config, layer, null),
    stackNeuronResults: (o) => neuronStack(config, layer, o, null),
    fullResidDecomposition: (o) => full(config, layer, o, null),
  };
  if (!Object.hasOwn(recipes, kind))
    throw new Error(`decompositionNames: no "${kind}": ${Object.keys(recipes).join(', ')}`);
  check('decompositionNames', DECOMPOSITIONS[kind], options);
  const recipe = recipes[kind](options);
  return [
    ...new Set([...namesOf([...recipe.rows, ...recipe.rest]), recipe.target, ...scaleOf(recipe, true)]),
  ];
});

// ---- inside
// --------------------------------------------------------------------------------------------------------

/**
 * The state before a block or its MLP, by the name under which the cache has it, and the norm that reads it.
 */
function stream(config: Config, l: number, mlpInput: boolean, holder: Holder) {
  const before = pointName(mlpInput ? 'hook_resid_mid' : 'hook_resid_pre', l);
  const after = pointName('hook_resid_post', l - 1); // the same numbers
  const same = l > 0 && !mlpInput && holder && !holder.has(before) && holder.has(after);
  const target = l === config.nLayers || same ? after : before;
  return { target, norm: normOf(config, l, mlpInput) };
}

/** The layer in [0, nLayers], checked. */
export function resolve(what: string, config: Config, layer: StreamLayer, mlpInput = false) {
  const { nLayers, attnOnly } = config;
  const l = layer ?? -1;
  if (!Number.isInteger(l) || l < -1 || l > nLayers)
    throw new Error(
      `${what}: layer ${layer}: 0–${nLayers - 1} is the stream before that block, ${nLayers} or -1 after all blocks`,
    );
  const resolved = l === -1 ? nLayers : l;
  if (mlpInput && attnOnly) throw new Error(`${what}: mlpInput: this model has no MLPs (attention only)`);
  if (mlpInput && config.parallelAttnMlp)
    throw new Error(
      `${what}: mlpInput: attention and MLP of this model read the same stream: take the state before the block`,
    );
  if (mlpInput && resolved === nLayers)
    throw new Error(`${what}: mlpInput: no MLP reads the stream after all blocks: give a layer`);
  return { l: resolved, mlpInput };
}

function neuronRange(what: string, chosen: NeuronOptions['neurons'], { dMlp }: Config): NeuronRange {
  if (chosen === undefined) return [0, dMlp];
  const from = (n: number) => (n < 0 ? n + dMlp : n);
  const [a, b] =
    typeof chosen === 'number' ? [from(chosen), from(chosen) + 1] : [from(chosen[0]), from(chosen[1])];
  if (!Number.isInteger(a) || !Number.isInteger(b) || a < 0 || a >= b || b > dMlp)
    throw new Error(`${what}: neurons ${shownJson(chosen)} of ${dMlp} a layer`);
  return [a, b];
}

/** Where the scale of the norm is, if it is wanted and there is one. */
export const scaleOf = ({ norm }: Recipe, wanted: boolean | string): string[] =>
  wanted && norm ? [`${norm}.hook_scale`] : [];
/** Hook points of components. */
export const namesOf = (components: readonly Component[]): string[] => components.flatMap((c) => c.names);
/** Labels of components. */
export const labelsOf = (components: readonly Component[]): string[] => components.flatMap((c) => c.labels);
/** 0 … n − 1 */
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
