/**
 * The first-order effect of every edge at once: what a writer writes in the clean run less what it writes in
 * the corrupted one, times the gradient of the metric at the input of a reader, summed over prompts,
 * positions and dModel.
 *
 * One table holds the differences, [tokens, writers, dModel]; the gradients of a layer's readers are [tokens,
 * readers, dModel]; the scores of all pairs are one batched product of the two. Gradients at `hook_q_input`
 * and its kin come from those at q, k and v by the algebra of the layer norm, so that the run itself stays
 * fused.
 */

import { headInputGradients } from '../../engine/activations/head-inputs.js';
import { EDGE_READER_BYTES, EDGE_TABLE_BYTES } from '../../engine/budgets.js';
import { inScope, type Scope } from '../../engine/gpu/storage.js';
import { multiplyInto } from '../../engine/tensor/products.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { pointName } from '../../engine/transformer/points.js';
import type { ActivationCache } from '../../hooks/cache/cache.js';
import { forward } from '../../hooks/cache/cached-run.js';
import type { HookEntry } from '../../hooks/input/hook.js';
import type { Model } from '../../hooks/input/model.js';
import { tapedRun } from '../../hooks/metrics/taped-run.js';
import type { Metric } from '../../hooks/run/metric.js';
import { normBefore } from '../../weights/facts.js';
import { edgeGraph, type ReaderGroup } from './edge-graph.js';
import { addSenders, checkEdits, senderTable, streamOf } from './edge-senders.js';

type Prompts = readonly (readonly number[])[];

/** Options of `edgeScores`. */
export interface EdgeScoreOptions {
  /**
   * The embeddings at which gradients are taken: this far from corrupted (0) to clean (1); their mean counts.
   */
  readonly at: readonly number[];
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What `edgeScores` gives. */
export interface EdgeScores {
  /** In the order of the graph's edges. */
  readonly scores: Float64Array;
  /** The metric at each of the embeddings. */
  readonly values: readonly number[];
  readonly backwardPasses: number;
}

/** Scores of all edges. Only the scores are read back. */
export async function edgeScores(
  model: Model,
  { clean, corrupted }: { clean: Prompts; corrupted: Prompts },
  metric: Metric,
  { at, onProgress, signal }: EdgeScoreOptions,
): Promise<EdgeScores> {
  const { config } = model;
  const graph = edgeGraph(config);
  const scores = new Float64Array(graph.count);
  const values: number[] = [];
  const parts = partsOf(
    clean.map((row) => row.length),
    EDGE_TABLE_BYTES / (4 * graph.senders.length * config.dModel),
  );
  let kept: Tensor | null = null;
  const tokens = corrupted as number[][];
  const start = pointName('hook_resid_pre', 0);
  checkEdits(model, 'edgeAttribution');
  const names = namesOf(model, graph.groups);
  const streams = new Set(graph.groups.map((group) => streamOf(group, config)));
  const change = at.some((a) => a !== 0) ? await embeddingChange(model, clean, corrupted) : null;
  let done = 0;
  try {
    for (const a of at) {
      signal?.throwIfAborted();
      const hooks: HookEntry[] =
        a === 0 ? [] : [[start, (x) => x.add(change!.alias(x.scope).mul(a).reshape(x.shape))]];
      const options = {
        names,
        before: names.filter((name) => !streams.has(name)),
        hooks,
        sources: { clean: clean as number[][], corrupted: tokens },
      };
      await tapedRun(
        model,
        tokens,
        { ...metric, per: 'batch' },
        options,
        async ({ value, cache, backward }) => {
          let grads: ActivationCache | null = null;
          try {
            values.push(value);
            grads = await backward();
            for (const { rows, from, count } of parts) {
              signal?.throwIfAborted();
              const table = kept ?? (await differences(model, clean, corrupted, rows, count));
              if (parts.length === 1) kept = table;
              try {
                for (const group of graph.groups)
                  await addScores(model, group, { cache, grads, table, from, count }, scores, 1 / at.length);
              } finally {
                if (table !== kept) table.dispose();
              }
              onProgress?.(++done, at.length * parts.length);
            }
          } finally {
            grads?.dispose();
            cache.dispose();
          }
        },
      );
    }
    return { scores, values, backwardPasses: at.length };
  } finally {
    (kept as Tensor | null)?.dispose();
    change?.dispose();
  }
}

/**
 * Where gradients are needed: at q, k and v of every layer, at the MLPs' inputs, and behind the last block.
 */
const namesOf = (model: Model, groups: readonly ReaderGroup[]): string[] =>
  groups.flatMap((group) => {
    const stream = streamOf(group, model.config);
    if (group.kind === 'head') return [stream, ...readersOf(model, group)];
    return group.kind === 'mlp' ? [pointName('hook_mlp_in', group.layer)] : [stream];
  });

/** What heads read: q, k and v; where an edit of the model stands before them, their inputs themselves. */
function readersOf({ edits }: Model, { layer }: ReaderGroup): string[] {
  const between = ['ln1.hook_scale', 'ln1.hook_normalized'] as const;
  const inputs = ['hook_q_input', 'hook_k_input', 'hook_v_input'] as const;
  const edited = [...between, ...inputs].some((name) => edits?.names.has(pointName(name, layer)));
  return (edited ? inputs : (['attn.hook_q', 'attn.hook_k', 'attn.hook_v'] as const)).map((name) =>
    pointName(name, layer),
  );
}

/** Adds `weight` times the scores of a group's edges, of tokens [from, from + count). */
async function addScores(
  model: Model,
  group: ReaderGroup,
  run: { cache: ActivationCache; grads: ActivationCache; table: Tensor; from: number; count: number },
  scores: Float64Array,
  weight: number,
): Promise<void> {
  const { dModel } = model.config;
  const { senders, firstEdge } = group;
  const step = Math.max(1, Math.floor(EDGE_READER_BYTES / 4 / (group.count * Math.max(4 * dModel, senders))));
  for (let start = 0; start < run.count; start += step) {
    await inScope(async (scope) => {
      const n = Math.min(step, run.count - start);
      const g = gradientsOf(model, group, run, [run.from + start, run.from + start + n], scope); // [tokens, readers, dModel]
      const written = run.table.alias(scope).window([
        [start, start + n],
        [0, senders],
      ]); // [tokens, senders, dModel]
      const out = written.empty([n, group.count, senders], 'scores');
      multiplyInto(g, written.transpose(), out);
      const sums = await out.sum(0).data();
      sums.forEach((x, i) => {
        scores[firstEdge + i] += weight * x;
      });
    });
  }
}

/** The gradient at the input of each of a group's readers, for some tokens: [tokens, readers, dModel]. */
function gradientsOf(
  model: Model,
  group: ReaderGroup,
  { cache, grads }: { cache: ActivationCache; grads: ActivationCache },
  span: readonly [number, number],
  scope: Scope,
): Tensor {
  const { config, gpuWeights } = model;
  const { nHeads, nKeyValueHeads, dModel, dHead } = config;
  const part = (from: ActivationCache, name: string, shape: readonly number[]) =>
    from
      .get(name)
      .alias(scope)
      .reshape([-1, ...shape])
      .window([[...span]]);
  if (group.kind === 'logits') return part(grads, streamOf(group, config), [1, dModel]);
  if (group.kind === 'mlp') return part(grads, pointName('hook_mlp_in', group.layer), [1, dModel]);
  const stream = part(cache, streamOf(group, config), [1, dModel]);
  const { W_QKV, ln1 } = gpuWeights.blocks[group.layer];
  const norm = normBefore(config, group.layer, 'attn') && ln1;
  const each = readersOf(model, group).map((name, i) => {
    const heads = i ? nKeyValueHeads : nHeads;
    if (name.endsWith('_input')) return part(grads, name, [heads, dModel]).transpose([1, 0, 2]);
    const x = stream.expand([-1, heads, -1]).slice([]);
    const dy = part(grads, name, [heads, dHead]);
    return headInputGradients(x, dy, W_QKV, norm, i as 0 | 1 | 2).transpose([1, 0, 2]); // [head, tokens, dModel]
  });
  return Tensor.concat(each).transpose([1, 0, 2]);
}

/** Clean less corrupted writings of some prompts: [tokens, senders, dModel]. */
async function differences(
  model: Model,
  clean: Prompts,
  corrupted: Prompts,
  [first, end]: readonly [number, number],
  tokens: number,
): Promise<Tensor> {
  const table = senderTable(model, tokens);
  try {
    for (const [prompts, factor] of [
      [clean, 1],
      [corrupted, -1],
    ] as const)
      await addSenders(
        model,
        prompts.slice(first, end).map((tokens) => ({ tokens })),
        table,
        { factor },
      );
    return table;
  } catch (e) {
    table.dispose();
    throw e;
  }
}

/** Clean less corrupted embeddings: [tokens, dModel]. */
async function embeddingChange(model: Model, clean: Prompts, corrupted: Prompts): Promise<Tensor> {
  const of = (prompts: Prompts) => forward(model, prompts as number[][], { stopAtLayer: 0 });
  const [one, other] = [await of(clean), await of(corrupted)];
  const change = one.sub(other);
  one.dispose();
  other.dispose();
  return change;
}

/**
 * Prompts in parts of about as many tokens: rows [first, end), tokens [from, from + count) of the packed
 * batch.
 */
function partsOf(lengths: readonly number[], tokens: number) {
  const parts: { rows: [number, number]; from: number; count: number }[] = [];
  lengths.forEach((n, row) => {
    const last = parts.at(-1);
    if (last && last.count + n <= tokens) {
      last.rows[1] = row + 1;
      last.count += n;
    } else parts.push({ rows: [row, row + 1], from: last ? last.from + last.count : 0, count: n });
  });
  return parts;
}
