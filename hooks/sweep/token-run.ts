/** One run of prompts for a sweep: with edits, and keeping just what is asked for. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import type { KvStore } from '../../engine/transformer/kv.js';
import { pickRows } from '../../engine/transformer/ops.js';
import { pointName } from '../../engine/transformer/points.js';
import type { ActivationCache } from '../cache/cache.js';
import { Capture } from '../cache/capture.js';
import type { HookEntry } from '../input/hook.js';
import type { Runnable } from '../input/model.js';
import type { Read } from '../run/metric.js';
import { run } from '../run/run.js';

/** What to run, and what to keep. */
export interface TokenRunPlan {
  readonly inputs: readonly RowInput[];
  /** What changes it, in order; each at one hook point. */
  readonly hooks: readonly HookEntry[];
  /** Activations to keep. */
  readonly names: ReadonlySet<string>;
  /** Halves (see plan.ts) before which the residual stream is kept, as it is before anybody edits it. */
  readonly stages: ReadonlySet<number>;
  /** Where keys and values are kept. */
  readonly keepIn?: KvStore;
  /** Where to read what the unembedding reads; null: the run stops when it has what is to be kept. */
  readonly reads: readonly Read[] | null;
}

/** What a run kept; the receiver disposes of it. */
export interface TokenRunResult {
  readonly cache: ActivationCache;
  /** Per half [tokens, dModel]. */
  readonly stages: ReadonlyMap<number, Tensor>;
  /** [reads, dModel], or null. */
  readonly final: Tensor | null;
}

/** Runs prompts. Nothing is left behind after an error. */
export async function runTokens(model: Runnable, plan: TokenRunPlan): Promise<TokenRunResult> {
  const { inputs, names, keepIn, reads } = plan;
  const { gpu, config, points, gpuWeights } = model;
  const stages = new Map<number, Tensor>();
  const hooks = [
    ...[...plan.stages].map((half) => stageHook(half, config.dModel, (t) => stages.set(half, t))),
    ...plan.hooks,
  ];
  const capture = new Capture(model, [...names]);
  // The layer behind which nothing is kept; a step of the final norm counts as layer nLayers.
  const layerOf = (name: string) => Math.floor((points.get(name)!.step - 1) / 2);
  const last = Math.max(0, ...[...names].map(layerOf));
  const layers = { from: 0, to: reads || last === config.nLayers ? null : last + 1 };
  const within = hooks.filter(([name]) => layers.to === null || layerOf(name as string) < layers.to);
  try {
    const bare = { gpu, config, points, gpuWeights }; // edits of the model are among the hooks
    const final = await run(
      bare,
      { inputs, hooks: within, capture: names.size ? capture : undefined, layers, keepIn },
      ({ x, batch }) => {
        if (!reads) return null;
        const at = reads.map(({ row, pos }) => batch.rows[row].start + pos - batch.rows[row].position);
        return pickRows(x, at).keep();
      },
    );
    return { cache: capture.cache(), stages, final };
  } catch (e) {
    capture.dispose();
    for (const t of stages.values()) t.dispose();
    throw e;
  }
}

function stageHook(half: number, dModel: number, put: (t: Tensor) => void): HookEntry {
  const layer = (half - 1) >> 1;
  const name =
    half === 1
      ? pointName('hook_resid_pre', 0)
      : half % 2 === 0
        ? pointName('hook_resid_mid', layer)
        : pointName('hook_resid_post', layer - 1);
  return [
    name,
    (t) => {
      put(t.reshape([-1, dModel]).alias(null, name));
    },
  ];
}
