/** What every component of a run writes to the residual stream, in one table; nothing of it is read back. */

import { Scope } from '../../engine/gpu/storage.js';
import { addInto, zerosLike } from '../../engine/tensor/accumulate.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import { type BlockPointName, pointName, splitName } from '../../engine/transformer/points.js';
import { normNamed } from '../../engine/transformer/weights.js';
import type { Model, Runnable } from '../../hooks/input/model.js';
import { pointsAt } from '../../hooks/interventions/edits.js';
import type { ModelEdits } from '../../hooks/interventions/model-edits.js';
import { type Ended, run } from '../../hooks/run/run.js';
import { stopping } from '../../hooks/run/stopping.js';
import type { Config } from '../../weights/config.js';
import { normBehind } from '../../weights/facts.js';
import { type EdgeGraph, edgeGraph, type ReaderGroup } from './edge-graph.js';

/** What the embeddings write: the stream before the first block. */
const START = pointName('hook_resid_pre', 0);

/** The hook point that a group of readers reads, the stream before any of them: [tokens, dModel]. */
export const streamOf = ({ kind, layer }: ReaderGroup, { parallelAttnMlp }: Config): string =>
  kind === 'logits'
    ? pointName('hook_resid_post', layer - 1)
    : pointName(kind === 'head' || parallelAttnMlp ? 'hook_resid_pre' : 'hook_resid_mid', layer);

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
  const mlp = graph.mlpOf(layer);
  return local === 'hook_mlp_out' ? [mlp, mlp + 1] : null;
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

/**
 * Adds what a hook point shows to its senders' place in a table. Heads write what a norm behind them makes of
 * it, its scale that of this run. `t`: [tokens, (head,) dModel], in any shape.
 */
export function addSender(
  model: Runnable,
  table: Tensor,
  name: string,
  t: Tensor,
  [first, end]: readonly [number, number],
  factor = 1,
): void {
  const scope = new Scope();
  const packed = t.alias(scope).reshape([table.shape[0], end - first, table.shape[2]]);
  const { layer, local } = splitName(name);
  const behind = local === 'attn.hook_result' ? normBehind(model.config, layer!, 'attn') : null;
  const norm = behind && normNamed(model.gpuWeights, `blocks.${layer}.${behind}`);
  let written: Tensor = packed;
  if (norm) {
    const { b_O } = model.gpuWeights.blocks[layer!];
    const heads = packed.sum(1);
    const scale = norm.scaleOf(b_O ? heads.add(b_O) : heads).reshape([-1, 1, 1]);
    written = norm.divideBy(packed, scale.expand([-1, end - first, -1]), 'gain');
  }
  addInto(table, written, [null, [first, end]], factor);
  scope.close();
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
  const wanted = new Set(streams && graph.groups.map((group) => streamOf(group, config)));
  const put = (name: string, t: Tensor) => {
    const at = sendersAt(graph, name, config);
    if (at) addSender(model, table, name, t, at, factor);
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

/** The residual stream between senders and receivers, and what attention adds to it as a whole. */
const STREAM: ReadonlySet<string> = new Set<BlockPointName>([
  'hook_attn_out',
  'hook_resid_pre',
  'hook_resid_mid',
  'hook_resid_post',
]);

/**
 * An edge carries what its sender writes as it is. @throws when an edit of the model stands in the stream
 * between senders and receivers, and does more than add the same to every run.
 */
export function checkEdits({ edits, points }: Runnable, what: string): void {
  const own = edits as ModelEdits | null | undefined;
  const inStream = (name: string) => name !== START && STREAM.has(points.get(name)?.local ?? '');
  const isShared = (name: string) => points.get(name)?.local === 'hook_attn_in'; // what queries, keys and values read together
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
