/** One run of prompts for a sweep: with edits, and keeping just what is asked for. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Batch, RowInput } from '../../engine/transformer/batch.js';
import type { KvStore } from '../../engine/transformer/kv.js';
import { pickRows } from '../../engine/transformer/ops.js';
import { ActivationCache } from '../cache/cache.js';
import type { HookEntry } from '../input/hook.js';
import type { Runnable } from '../input/model.js';
import { layerOf } from '../input/names.js';
import { editHooks, type Values } from '../interventions/apply.js';
import type { Edit } from '../interventions/edits.js';
import type { Read } from '../run/metric.js';
import { run } from '../run/run.js';

/** What to run, and what to keep. */
export interface TokenRunPlan {
  readonly inputs: readonly RowInput[];
  readonly edits: readonly Edit[];
  readonly values: Values;
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
  const { inputs, edits, values, names, keepIn, reads } = plan;
  const { config } = model;
  const stages = new Map<number, Tensor>();
  const hooks = [
    ...[...plan.stages].map((half) => stageHook(half, config.dModel, (t) => stages.set(half, t))),
    ...editHooks(
      edits.map((edit) => ({ edit, row: edit.row })),
      values,
    ),
  ];
  let cache: ActivationCache | null = null;
  const put = (name: string, t: Tensor, batch: Batch) => {
    cache ??= new ActivationCache(model, { rows: batch.rows, equal: batch.equal, nHeads: config.nHeads });
    cache.put(name, t);
  };
  const capture = names.size ? { names: [...names], put } : undefined;
  const last = Math.max(
    0,
    ...[...names].map((n) => layerOf(n) ?? (n.startsWith('ln_') ? config.nLayers : 0)),
  );
  const layers = { from: 0, to: reads || last === config.nLayers ? null : last + 1 };
  const within = hooks.filter(([name]) => layers.to === null || (layerOf(name as string) ?? 0) < layers.to);
  try {
    const final = await run(model, { inputs, hooks: within, capture, layers, keepIn }, ({ x, batch }) => {
      if (!reads) return null;
      const at = reads.map(({ row, pos }) => batch.rows[row].start + pos - batch.rows[row].position);
      return pickRows(x, at).keep();
    });
    const empty = { rows: [], equal: true, nHeads: config.nHeads };
    return { cache: cache ?? new ActivationCache(model, empty), stages, final };
  } catch (e) {
    (cache as ActivationCache | null)?.dispose();
    for (const t of stages.values()) t.dispose();
    throw e;
  }
}

function stageHook(half: number, dModel: number, put: (t: Tensor) => void): HookEntry {
  const layer = (half - 1) >> 1;
  const name =
    half === 1
      ? 'blocks.0.hook_resid_pre'
      : half % 2 === 0
        ? `blocks.${layer}.hook_resid_mid`
        : `blocks.${layer - 1}.hook_resid_post`;
  return [
    name,
    (t) => {
      put(t.reshape([-1, dModel]).alias(null, name));
    },
  ];
}
