/** What every component of a run writes to the residual stream, in one table; nothing of it is read back. */

import { addInto, zerosLike } from '../../engine/tensor/accumulate.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import { pointName, splitName } from '../../engine/transformer/points.js';
import type { Model, Runnable } from '../../hooks/input/model.js';
import { pointsAt } from '../../hooks/interventions/edits.js';
import type { ModelEdits } from '../../hooks/interventions/model-edits.js';
import { type Ended, run } from '../../hooks/run/run.js';
import { stopping } from '../../hooks/run/stopping.js';
import type { Config } from '../../weights/config.js';
import { type EdgeGraph, edgeGraph, type ReaderGroup } from './edge-graph.js';

/** What the embeddings write: the stream before the first block. */
const START = pointName('hook_resid_pre', 0);

/** The hook point that a group of readers reads, the stream before any of them: [tokens, dModel]. */
export const streamOf = ({ kind, layer }: ReaderGroup): string =>
  kind === 'logits'
    ? pointName('hook_resid_post', layer - 1)
    : pointName(kind === 'head' ? 'hook_resid_pre' : 'hook_resid_mid', layer);

/** Which senders a hook point is the output of: [first, end), or null. */
export function sendersAt(
  graph: EdgeGraph,
  name: string,
  { nHeads }: Config,
): [first: number, end: number] | null {
  if (name === START) return [0, 1];
  const { layer, local } = splitName(name);
  if (layer === null) return null;
  const first = graph.firstHead(layer);
  if (local === 'attn.hook_result') return [first, first + nHeads];
  return local === 'hook_mlp_out' ? [first + nHeads, first + nHeads + 1] : null;
}

/** The hook points of all senders. */
export const senderNames = ({ nLayers, attnOnly }: Config): string[] => [
  START,
  ...Array.from({ length: nLayers }, (_, l) => [
    pointName('attn.hook_result', l),
    ...(attnOnly ? [] : [pointName('hook_mlp_out', l)]),
  ]).flat(),
];

/** A table for the senders of a model: zeros [tokens, senders, dModel]. The caller disposes of it. */
export function senderTable({ gpu, config }: Runnable, tokens: number): Tensor {
  const seed = Tensor.result(gpu, [1], [], 'senders');
  const table = zerosLike(seed, [tokens, edgeGraph(config).senders.length, config.dModel], 'senders');
  seed.dispose();
  return table;
}

/** Adds what a hook point shows to its senders' place in a table. `t`: [tokens, (head,) dModel], in any shape. */
export function addSender(
  table: Tensor,
  t: Tensor,
  [first, end]: readonly [number, number],
  factor = 1,
): void {
  const packed = t.reshape([table.shape[0], end - first, table.shape[2]]);
  addInto(table, packed, [null, [first, end]], factor);
  packed.dispose();
}

/** Options of `addSenders`. */
export interface AddOptions<T> {
  readonly factor?: number;
  /** Gets the streams that readers read, by hook point: [tokens, dModel], to dispose of. */
  readonly streams?: Map<string, Tensor>;
  /** What to do with the end of the run. */
  readonly end?: (ended: Ended) => T | Promise<T>;
  /** Ends the run within a layer. */
  readonly signal?: AbortSignal;
}

/** Runs a batch and adds `factor` times what each sender writes to a table [tokens, senders, dModel]. */
export function addSenders<T = void>(
  model: Runnable,
  inputs: readonly RowInput[],
  table: Tensor,
  { factor = 1, streams, end, signal }: AddOptions<T> = {},
): Promise<T> {
  const { config } = model;
  const graph = edgeGraph(config);
  const wanted = new Set(streams && graph.groups.map(streamOf));
  const put = (name: string, t: Tensor) => {
    const at = sendersAt(graph, name, config);
    if (at) addSender(table, t, at, factor);
    if (wanted.has(name)) streams!.set(name, t.reshape([-1, config.dModel]).keep());
    t.dispose();
  };
  const capture = { names: [...senderNames(config), ...wanted], put };
  const layers = { from: 0, to: end ? null : config.nLayers };
  return run(
    model,
    { inputs, layers, capture, hooks: stopping(model.gpu, signal) },
    (ended) => end?.(ended) as T,
  );
}

/** Zeros [tokens, dModel]. */
export function emptyStream({ gpu, config }: Model, tokens: number): Tensor {
  return Tensor.from(gpu, new Float32Array(tokens * config.dModel), [tokens, config.dModel], {
    label: 'stream',
  });
}

/**
 * An edge carries what its sender writes as it is. @throws when an edit of the model stands in the stream between senders and
 * receivers, and does more than add the same to every run.
 */
export function checkEdits({ edits, points }: Runnable, what: string): void {
  const own = edits as ModelEdits | null | undefined;
  const inStream = (name: string) =>
    name !== START && /\.hook_(attn_out|resid_\w+)$/.test(points.get(name)?.name ?? '');
  const isShared = (name: string) => name.endsWith('.hook_attn_in'); // what queries, keys and values read together
  const found = own?.steps.flatMap((step) =>
    step.kind === 'calls'
      ? step.entries.flatMap(([name]) => (inStream(name) || isShared(name) ? [name] : []))
      : step.list.flatMap((one, i) =>
          pointsAt(one, points).some(
            ({ name }) => isShared(name) || (one.add === undefined && inStream(name)),
          )
            ? [step.lines[i]]
            : [],
        ),
  );
  if (found?.length)
    throw new Error(
      `${what}: the model's edit "${found[0].slice(0, 80)}" stands between what writes to the residual stream and what reads it, so that edges are not what they carry: edit what is written (z, result, mlp_out) or read (q_input, mlp_in)`,
    );
}
