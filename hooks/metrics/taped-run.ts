/** A run that is recorded on a tape, and backward passes over it, any number of them. */

import { Scope } from '../../engine/gpu/storage.js';
import { zerosLike } from '../../engine/tensor/accumulate.js';
import { type Constant, Tape } from '../../engine/tensor/tape.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Points } from '../../engine/transformer/model-points.js';
import { uncapped, unembed } from '../../engine/transformer/ops.js';
import { softCapped } from '../../engine/transformer/parts/soft-cap.js';
import { ActivationCache } from '../cache/cache.js';
import { Capture } from '../cache/capture.js';
import { INPUT } from '../cache/run-options.js';
import { is, type Spec } from '../input/check.js';
import type { HookEntry } from '../input/hook.js';
import { type InputOptions, layerRange, type ModelInput, readInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import { matchNames, type NameFilter } from '../input/names.js';
import { hooksByName, hooksInOrder, run } from '../run/run.js';
import { HookTap } from '../run/tap.js';
import { asRows } from '../run/view.js';
import { checkMetric, type Differentiable, measure } from './measure.js';

/** What a backward pass may be asked. */
export interface BackwardPassOptions {
  /**
   * What counts as a constant: attention patterns (gradients reach heads through their values only), scales
   * of layer norms, gates of the MLP's nonlinearity.
   */
  readonly constant?: readonly Constant[];
  /** Called with gradients, last first, as `hooks` are with activations: what they return goes on instead. */
  readonly gradHooks?: readonly HookEntry[];
}

/** Options of a recorded run. */
export interface TapedRunOptions extends InputOptions {
  /** First block to run; the input is then a residual stream. */
  readonly startAtLayer?: number;
  readonly hooks?: readonly HookEntry[];
  /**
   * Points whose activation and gradient are kept; all that always exist by default. `'logits'` may be named
   * too.
   */
  readonly names?: NameFilter;
  /** Points that gradient hooks will be put on, besides. */
  readonly watch?: readonly string[];
  /**
   * Points whose gradient is wanted as it is before edits of the model and hooks: carried back further, by
   * hand.
   */
  readonly before?: readonly string[];
  /** Other prompts that the metric compares with: `kl('clean')`. */
  readonly sources?: Readonly<Record<string, ModelInput>>;
}

/** Of a recorded run and its backward pass; `watch` is internal. */
export const TAPED_RUN = {
  ...INPUT,
  startAtLayer: is.integer,
  hooks: is.hooks,
  names: is.names,
  sources: is.sources,
  constant: is.constants,
  gradHooks: is.hooks,
} satisfies Spec<Omit<TapedRunOptions, 'watch' | 'before'> & BackwardPassOptions>;

/**
 * A run on a tape. It lasts as long as the function that `tapedRun` calls with it; `cache` is the function's
 * to dispose of.
 */
export interface TapedRun {
  /** What is differentiated: the metric's mean over prompts, or with `per: 'prompt'` their sum. */
  readonly value: number;
  /** The metric of each prompt; of a function of the logits just the one number. */
  readonly prompts: Float32Array;
  readonly cache: ActivationCache;
  readonly tokens: readonly (readonly number[])[];
  /** The gradients at `names`, in the shapes of the activations. The caller disposes of them. */
  backward(options?: BackwardPassOptions): Promise<ActivationCache>;
}

/**
 * Runs a model and keeps what backward passes need while `use` is at work.
 * @throws when the metric cannot be differentiated, or something is wrong with names or prompts.
 */
export async function tapedRun<T>(
  model: Model,
  input: ModelInput,
  metric: Differentiable,
  options: TapedRunOptions,
  use: (run: TapedRun) => Promise<T>,
): Promise<T> {
  const { names, watch = [], before, hooks, startAtLayer, sources = {}, ...inputOptions } = options;
  checkMetric(metric);
  const rows = readInput(model, input, inputOptions);
  const layers = layerRange(model.config, startAtLayer, undefined, rows.residual !== null);
  const ofModel = model.edits?.gradHooks ?? [];
  const watched = [...watch, ...ofModel.map(([name]) => name as string)];
  const { filter, ofLogits } = splitLogits(names, model.points);
  const uncappedToo = ofLogits.includes(UNCAPPED) || watched.includes(UNCAPPED);
  const tape = new Tape();
  const capture = new Capture(model, filter ?? undefined);
  try {
    const plan = {
      inputs: rows.inputs,
      residual: rows.residual,
      layers,
      hooks,
      capture: filter === null ? undefined : capture,
      watch: { tape, names: watched.filter((name) => name !== UNCAPPED), before },
    };
    return await run(model, plan, async (ended, scope) => {
      const { batch } = ended;
      const kept = capture.cache(batch);
      const { layout } = kept;
      const keep = (flat: Tensor, name: string) => {
        const seen = tape.watch(flat, name);
        if (ofLogits.includes(name)) kept.put(name, asRows(seen, ['d_vocab'], batch).detach());
        return seen;
      };
      const watchLogits = (x: Tensor) => {
        const { W_U, b_U } = model.gpuWeights;
        const before = uncappedToo ? keep(unembed(x, uncapped(W_U), b_U), UNCAPPED) : null;
        const capped = before && (W_U.softCap ? softCapped(before, W_U.softCap) : before);
        return keep(capped ?? unembed(x, W_U, b_U), 'logits');
      };
      const setting = {
        tokens: rows.tokens,
        watchLogits: ofLogits.length || uncappedToo ? watchLogits : null,
        sources,
        inputOptions,
      };
      const { seeds, ...measured } = await measure(model, metric, ended, scope, setting);
      const backward = async ({ constant, gradHooks = [] }: BackwardPassOptions = {}) => {
        const byName = hooksInOrder(ofModel, hooksByName(model.points, gradHooks, layers, 'gradHooks'));
        const got = new Map<string, Tensor>();
        const own = new Scope();
        const tap = new HookTap(layout, own, byName, new Set(kept.names()), (name, t) => {
          // A point that several inputs pass, as the layer norm of single heads' does: the last one counts,
          // as in the cache.
          if (got.has(name)) t.dispose();
          else got.set(name, t);
        });
        try {
          await tape.backward(seeds, { constant, again: true, at: (name, g) => tap.at(name, g) });
          const grads = new ActivationCache(model, layout);
          for (const [name, t] of kept) {
            const grad = got.get(name) ?? zerosLike(t, t.shape).keep();
            grad.named = t.named;
            grads.put(name, grad);
          }
          return grads;
        } catch (e) {
          for (const t of got.values()) t.dispose();
          throw e;
        } finally {
          own.close();
        }
      };
      return use({ ...measured, cache: kept, tokens: rows.tokens, backward });
    });
  } catch (e) {
    capture.dispose();
    throw e;
  } finally {
    tape.close();
  }
}

/** The logits before their cap: metrics read what is behind it, so this run makes them itself. */
const UNCAPPED = 'unembed.hook_out';

/** Names, and apart from them those of logits: `'logits'`, which is no hook point, and `unembed.hook_out`. */
function splitLogits(
  names: NameFilter | undefined,
  points: Points,
): { filter: NameFilter | undefined | null; ofLogits: readonly string[] } {
  if (names === undefined) return { filter: names, ofLogits: [] };
  const list: readonly unknown[] = Array.isArray(names) ? names : [names];
  const others = list.filter((n) => n !== 'logits') as NameFilter[];
  const ofLogits = others.length < list.length ? ['logits'] : [];
  const all = others.length ? matchNames((Array.isArray(names) ? others : names) as NameFilter, points) : [];
  const filter = all.filter((name) => name !== UNCAPPED);
  if (filter.length < all.length) ofLogits.push(UNCAPPED);
  return { filter: filter.length ? filter : null, ofLogits };
}
