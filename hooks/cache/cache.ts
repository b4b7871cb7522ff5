/** The activations of a run, by name. */

import { HOLDS } from '../../engine/gpu/user-scope.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import type { HookPoint } from '../../engine/transformer/points.js';
import type { Config } from '../../weights/config.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { type Argument, checkedMethods, is, optional, signature } from '../input/check.js';
import type { Runnable } from '../input/model.js';
import { cachedName, pointNamed, type Spelled } from '../input/names.js';
import type { Selection } from '../input/selection.js';
import type { Layout } from '../run/view.js';
import { rowOf, rowsOf, withoutBatch } from './cache-rows.js';
import {
  accumulatedResid,
  decomposeResid,
  fullResidDecomposition,
  stackActivation,
  stackHeadResults,
  stackNeuronResults,
} from './decompose.js';
import { type HostCache, toHost } from './host-cache.js';
import { LOGIT_ATTRS, type LogitAttrOptions, logitAttrs } from './logit-attrs.js';
import {
  type AccumulatedOptions,
  DECOMPOSITIONS,
  type DecomposeOptions,
  type FullOptions,
  type HeadOptions,
  type NeuronOptions,
  resolve,
  type StreamLayer,
} from './recipes.js';
import {
  APPLY_LN,
  type ApplyLnOptions,
  type Decomposition,
  normalizeStack,
  normOf,
  type Stack,
} from './stack.js';

/** What a cache knows of the model. */
export interface CacheModel extends Runnable {
  readonly tokenizer?: Tokenizer | null;
}

const made = signature('ActivationCache', { model: is.model, layout: is.plainObject });

/** What a run kept: `cache.get('resid_post', -1)`. Holds GPU memory until `dispose()`. */
export class ActivationCache {
  readonly config: Config;
  /** Internal: the model of the run, whose weights the decompositions read. */
  readonly model: CacheModel;
  readonly #tensors = new Map<string, Tensor>();
  readonly #layout: Layout;
  #disposed = false;

  /** Made by `runWithCache`. */
  constructor(model: CacheModel, layout: Layout, ...more: []) {
    made(model, layout, ...more);
    this.model = model;
    this.config = model.config;
    this.#layout = layout;
  }

  /** How many rows the run had. */
  get batch(): number {
    return this.#layout.rows.length;
  }

  /** Number of activations. */
  get size(): number {
    return this.#tensors.size;
  }

  /** Full names, in order of execution. */
  names(): string[] {
    return [...this.#tensors.keys()];
  }

  /** Whether it holds an activation, named as for `get`. */
  has(name: HookPoint | 'logits', layer?: number | null, layerType?: string | null): boolean;
  has<const N extends string>(name: Spelled<N>, layer?: number | null, layerType?: string | null): boolean;
  has(name: string, layer?: number | null, layerType?: string | null): boolean {
    return this.#held.has(this.#resolve(name, layer, layerType));
  }

  /**
   * An activation; the cache keeps owning it. [batch, pos, ...], or [tokens, ...] where the rows differ in length.
   * @param name full name or shorthand: `'blocks.3.attn.hook_pattern'`, `'resid_post'`, `'z'`, `'pattern'`, `'scale'`
   * @param layer counted from the end when negative
   * @param layerType for `'scale'` and `'normalized'`: `'ln1'` or `'ln2'`
   * @throws when it is not a hook point, or was not asked for.
   */
  get(name: HookPoint | 'logits', layer?: number | null, layerType?: string | null): Tensor;
  get<const N extends string>(name: Spelled<N>, layer?: number | null, layerType?: string | null): Tensor;
  get(name: string, layer?: number | null, layerType?: string | null): Tensor {
    const full = this.#resolve(name, layer, layerType);
    const found = this.#held.get(full);
    if (found) return found;
    pointNamed(full, this.#layout.points);
    throw new Error(
      `"${full}" is not in this cache: name it in runWithCache's \`names\`. It holds ${summary(this.names())}`,
    );
  }

  /** One row as a cache of its own (views: it needs no memory, and must be disposed of like the whole). */
  row(i: number): ActivationCache {
    return rowOf(this, i, this.#like);
  }

  /** Some rows as a cache of their own, in this order: a list, or `{ start, end }`. A copy, but of one row; dispose of it. */
  rows(which: Selection): ActivationCache {
    return rowsOf(this, which, this.#like);
  }

  /**
   * The cache of one row without the batch axis: [pos, ...], patterns [head, query, key] (views, to be disposed of like the whole).
   * Stacks of it are [component, pos, dModel]; `row(0)` has the axis again. @throws when it has several rows.
   */
  removeBatch(): ActivationCache {
    return withoutBatch(this, this.#like);
  }

  /** All activations on the host; this cache stays as it is. `toGpu()` of the result brings them back. */
  async toHost(): Promise<HostCache> {
    return toHost(this, this.#like);
  }

  // ---- the residual stream taken apart: decompose.ts; `layer` -1 or none is the stream after all blocks ---------------

  /**
   * The residual stream as it grows: rows `0_pre`, (`0_mid`,) `1_pre`, … up to the input of block `layer`, at the end `final_post`.
   * Dispose of it.
   */
  accumulatedResid(layer?: StreamLayer, options: AccumulatedOptions = {}): Stack {
    return accumulatedResid(this, layer, options);
  }

  /**
   * The input of block `layer` as a sum: `embed`, `pos_embed`, `0_attn_out`, `0_mlp_out`, … Biases are inside, so that the rows add up
   * unless `mode` or `inclEmbeds` leave some out.
   */
  decomposeResid(layer?: StreamLayer, options: DecomposeOptions = {}): Decomposition {
    return decomposeResid(this, layer, options);
  }

  /** What every head before block `layer` adds, `L0H0`, … The rest of the sum: embeddings, MLPs, and b_O. */
  stackHeadResults(layer?: StreamLayer, options: HeadOptions = {}): Decomposition {
    return stackHeadResults(this, layer, options);
  }

  /**
   * What every neuron before block `layer` adds, `L0N0`, … GPT-2 small has 36,864: take few positions, or directions
   * (`projectOnto`). The rest of the sum: embeddings, attention, other neurons, and b_out.
   */
  stackNeuronResults(layer?: StreamLayer, options: NeuronOptions = {}): Decomposition {
    return stackNeuronResults(this, layer, options);
  }

  /** All of it: heads, neurons (or `0_mlp_out`, …), `embed`, `pos_embed`, and `bias`, the sum of b_O (and b_out). It adds up. */
  fullResidDecomposition(layer?: StreamLayer, options: FullOptions = {}): Decomposition {
    return fullResidDecomposition(this, layer, options);
  }

  /** One activation of all blocks before `layer`: [layer, ...], labels `L0`, `L1`, … `layerType` as in `get`. */
  stackActivation(name: string, layer?: StreamLayer, layerType?: string | null): Stack {
    return stackActivation(this, name, layer, layerType);
  }

  /**
   * A stack [component, ..., dModel], or one component without that axis (`[batch, dModel]` with `pos: -1`), as the layer norm that reads the stream before block `layer` makes it: each row less its
   * mean, divided by the norm's scale in the run (or, `mode: 'recomputed'`, by the row's own). No gain, no bias.
   */
  applyLnToStack(stack: Tensor, layer?: StreamLayer, options: ApplyLnOptions = {}): Tensor {
    const { l, mlpInput } = resolve('applyLnToStack', this.config, layer, options.mlpInput);
    return normalizeStack(this, stack, normOf(this.config, l, mlpInput), options);
  }

  /** How much each row of a stack [component, ..., dModel] adds to logits: see `LogitAttrOptions`. [component, ...] */
  logitAttrs(stack: Tensor, options: LogitAttrOptions): Tensor {
    return logitAttrs(this, stack, options);
  }

  /** Everything on the host, by full name: for `saveSafetensors` (Node) or `writeSafetensors`. */
  async tensors(): Promise<Record<string, HostTensor>> {
    const out: Record<string, HostTensor> = {};
    for (const [name, t] of this.#held) out[name] = { shape: t.shape, data: await t.data() };
    return out;
  }

  /** Gives all memory back. */
  dispose(): void {
    this.#disposed = true;
    for (const t of this.#tensors.values()) t.dispose();
    this.#tensors.clear();
  }

  /** The same as `dispose()`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Names and activations, in the order in which they were kept. */
  *[Symbol.iterator](): IterableIterator<[string, Tensor]> {
    yield* this.#held;
  }

  /** Internal: see `scope`. */
  [HOLDS](): Iterable<Tensor> {
    return this.#tensors.values();
  }

  /** Internal: the run hands an activation over. */
  put(name: string, t: Tensor): void {
    this.#tensors.get(name)?.dispose();
    this.#tensors.set(name, t);
  }

  /** Internal: the layout of its rows. */
  get layout(): Layout {
    return this.#layout;
  }

  /** An empty cache of the same model. */
  readonly #like = (layout: Layout): ActivationCache => new ActivationCache(this.model, layout);

  /** The activations. @throws when they were given back. */
  get #held(): ReadonlyMap<string, Tensor> {
    if (this.#disposed)
      throw new Error(
        'this cache was disposed of, and its activations are gone: dispose of it after its last use',
      );
    return this.#tensors;
  }

  #resolve(name: string, layer?: number | null, layerType?: string | null): string {
    return cachedName(this.#layout.points, name, layer, layerType);
  }
}

const named = { name: is.text, layer: optional(is.layer), layerType: optional(is.layerType) };
const layered = (options: Argument) => ({ layer: optional(is.streamLayer), options });
checkedMethods(
  ActivationCache.prototype,
  {
    names: {},
    has: named,
    get: named,
    row: { i: is.whole },
    rows: { which: is.selection },
    removeBatch: {},
    toHost: {},
    accumulatedResid: layered(DECOMPOSITIONS.accumulatedResid),
    decomposeResid: layered(DECOMPOSITIONS.decomposeResid),
    stackHeadResults: layered(DECOMPOSITIONS.stackHeadResults),
    stackNeuronResults: layered(DECOMPOSITIONS.stackNeuronResults),
    fullResidDecomposition: layered(DECOMPOSITIONS.fullResidDecomposition),
    stackActivation: { ...named, layer: optional(is.streamLayer) },
    applyLnToStack: { stack: is.tensor, ...layered(APPLY_LN) },
    logitAttrs: { stack: is.tensor, options: LOGIT_ATTRS },
    tensors: {},
    dispose: {},
    put: null,
  },
  'cache.',
);

const summary = (names: string[]): string =>
  names.length <= 6
    ? names.join(', ') || 'nothing'
    : `${names.slice(0, 5).join(', ')}, … (${names.length} in all)`;
