/**
 * Forks of a base run. A counterfactual that first differs from a base at layer l and position p needs neither the
 * layers before l (the base's residual stream is theirs) nor the positions before p (the base's keys and values are
 * their prefix). All forks that leave the base in the same layer are one ragged batch.
 */

import { KvStore } from '../engine/kv.js';
import { logitsOf, pickRows } from '../engine/ops.js';
import { Tensor } from '../engine/tensor.js';
import type { ActivationCache } from './cache.js';
import type { HookedTransformer } from './model.js';
import { run } from './run.js';

/** Two runs of equal length, side by side: the base that forks leave, and the source that their patches come from. */
export interface BaseRuns {
  readonly length: number;
  /** Activations [2, pos, ...]: row 0 is the base, row 1 the source. */
  readonly cache: ActivationCache;
  readonly store: KvStore;
  /** Slots of the base's keys and values. */
  readonly slots: readonly number[];
  /** Logits of the chosen tokens at the last position: of the base, of the source. */
  readonly logits: readonly [base: Float32Array, source: Float32Array];
  dispose(): void;
}

/** Runs base and source once, keeping `names`, every block's residual stream, and the base's keys and values. */
export async function runBase(
  model: HookedTransformer,
  base: readonly number[],
  source: readonly number[],
  names: readonly string[],
  tokens: readonly number[],
): Promise<BaseRuns> {
  const { config, gpu, gpuWeights: w } = model;
  const length = base.length;
  if (source.length !== length)
    throw new Error(`prompts of ${source.length} and ${length} tokens: they must have the same number`);
  const store = new KvStore(gpu, config, 2 * length);
  const slots = store.take(length);
  const inputs = [
    { tokens: base, slots },
    { tokens: source, slots: store.take(length) },
  ];
  const residuals = Array.from({ length: config.nLayers }, (_, l) => `blocks.${l}.hook_resid_pre`);
  const cache = model.emptyCache([length, length]);
  const capture = {
    names: [...new Set([...residuals, ...names])],
    put: (name: string, t: Tensor) => cache.put(name, t),
  };
  try {
    const logits = await run(model, { inputs, keepIn: store, capture }, async ({ x }, scope) => {
      const last = pickRows(x, [length - 1, 2 * length - 1], scope);
      return (await logitsOf(last, tokens, w.W_U, w.b_U).data()) as Float32Array;
    });
    return {
      length,
      cache,
      store,
      slots,
      logits: [logits.slice(0, tokens.length), logits.slice(tokens.length)],
      dispose: () => {
        cache.dispose();
        store.dispose();
      },
    };
  } catch (e) {
    cache.dispose();
    store.dispose();
    throw e;
  }
}

/**
 * For each position p: the base run in which activation `name` (in block `layer`) has the source's value at p.
 * @returns the logits of `tokens` at the last position, [positions, tokens].
 */
export async function runForks(
  model: HookedTransformer,
  base: BaseRuns,
  name: string,
  layer: number,
  positions: readonly number[],
  tokens: readonly number[],
): Promise<Float32Array> {
  const { length, store, slots, cache } = base;
  const { W_U, b_U } = model.gpuWeights;
  const { dModel } = model.config;
  const inputs = positions.map((p) => ({
    tokens: length - p,
    prefix: { store, slots: slots.slice(0, p), length: p, tokens: [] },
  }));
  // Row p of the batch is positions p … length - 1 of the base.
  const own = positions.flatMap((p) => Array.from({ length: length - p }, (_, i) => p + i));
  const isFirst = (i: number) => i === 0 || own[i - 1] === length - 1;
  const stream = cache.get('resid_pre', layer).reshape([2 * length, dModel]);
  const residual = pickRows(stream, own, null);
  stream.dispose();
  const hook = (t: Tensor): Tensor => {
    const width = t.size / own.length;
    const flat = t.reshape([own.length, width]);
    const values = cache.get(name).reshape([2 * length, width]);
    const both = Tensor.concat([flat, values]); // row i of the batch, or else row `own.length + length + p` of the source
    const patched = pickRows(
      both,
      own.map((p, i) => (isFirst(i) ? own.length + length + p : i)),
    );
    const out = patched.reshape(t.shape);
    for (const x of [flat, values, both, patched]) x.dispose();
    return out;
  };
  const plan = { inputs, residual, layers: { from: layer, to: null }, hooks: [[name, hook]] as const };
  try {
    return await run(model, plan, async ({ x, batch }, scope) => {
      const last = pickRows(
        x,
        batch.rows.map((r) => r.start + r.length - 1),
        scope,
      );
      return (await logitsOf(last, tokens, W_U, b_U).data()) as Float32Array;
    });
  } finally {
    residual.dispose();
  }
}
