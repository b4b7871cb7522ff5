/** A run that is recorded on a tape, and backward passes over it, any number of them. */

import { Scope } from '../../engine/gpu/storage.js';
import { zerosLike } from '../../engine/tensor/accumulate.js';
import { type Constant, Tape } from '../../engine/tensor/tape.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { ActivationCache } from '../cache/cache.js';
import { Capture } from '../cache/capture.js';
import { INPUT } from '../cache/run-options.js';
import { is, type Spec } from '../input/check.js';
import type { HookEntry } from '../input/hook.js';
import { type InputOptions, layerRange, type ModelInput, readInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import type { NameFilter } from '../input/names.js';
import { hooksByName, hooksInOrder, run } from '../run/run.js';
import { HookTap } from '../run/tap.js';
import { asRows } from '../run/view.js';
import { checkMetric, type Differentiable, measure } from './measure.js';

/** What a backward pass may be asked. */
export interface BackwardPassOptions {
  /**
   * What counts as a constant: attention patterns (gradients reach heads through their values only), scales of layer norms,
   * gates of the MLP's nonlinearity.
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
  /** Points whose activation and gradient are kept; all that always exist by default. `'logits'` may be named too. */
  readonly names?: NameFilter;
  /** Points that gradient hooks will be put on, besides. */
  readonly watch?: readonly string[];
  /** Points whose gradient is wanted as it is before edits of the model and hooks: carried back further, by hand. */
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

/** A run on a tape. It lasts as long as the function that `tapedRun` calls with it; `cache` is the function's to dispose of. */
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
  const { filter, withLogits } = splitLogits(names);
  const ofModel = model.edits?.gradHooks ?? [];
  const tape = new Tape();
  const capture = new Capture(model, filter ?? undefined);
  try {
    const plan = {
      inputs: rows.inputs,
      residual: rows.residual,
      layers,
      hooks,
      capture: filter === null ? undefined : capture,
      watch: { tape, names: [...watch, ...ofModel.map(([name]) => name as string)], before },
    };
    return await run(model, plan, async (ended, scope) => {
      const { batch } = ended;
      const kept = capture.cache(batch);
      const { layout } = kept;
      const watchLogits = (flat: Tensor) => {
        const seen = tape.watch(flat, 'logits');
        kept.put('logits', asRows(seen, ['d_vocab'], batch).detach());
        return seen;
      };
      const setting = {
        tokens: rows.tokens,
        watchLogits: withLogits ? watchLogits : null,
        sources,
        inputOptions,
      };
      const { seeds, ...measured } = await measure(model, metric, ended, scope, setting);
      const backward = async ({ constant, gradHooks = [] }: BackwardPassOptions = {}) => {
        const byName = hooksInOrder(ofModel, hooksByName(model.points, gradHooks, layers, 'gradHooks'));
        const got = new Map<string, Tensor>();
        const own = new Scope();
        const tap = new HookTap(layout, own, byName, new Set(kept.names()), (name, t) => {
          // A point that several inputs pass, as the layer norm of single heads' does: the last one counts, as in the cache.
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

/** Names without `'logits'`, which is no hook point of the forward pass. */
function splitLogits(names: NameFilter | undefined): {
  filter: NameFilter | undefined | null;
  withLogits: boolean;
} {
  if (names === 'logits') return { filter: null, withLogits: true };
  if (!Array.isArray(names) || !names.includes('logits')) return { filter: names, withLogits: false };
  const others = names.filter((n) => n !== 'logits');
  return { filter: others.length ? others : null, withLogits: true };
}
