/** One run of the model: packs the rows, taps the pass, frees what nobody kept. */

import { inScope, type Scope } from '../../engine/gpu/storage.js';
import { axesOf, withLast } from '../../engine/shape/axes.js';
import { showShape } from '../../engine/shape/shape.js';
import type { Tape } from '../../engine/tensor/tape.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { type Batch, packBatch, type RowInput } from '../../engine/transformer/batch.js';
import type { KvStore } from '../../engine/transformer/kv.js';
import { transformer } from '../../engine/transformer/model.js';
import type { Point, Points } from '../../engine/transformer/model-points.js';
import { pickRows, unembed } from '../../engine/transformer/ops.js';
import { noTap, type Tap } from '../../engine/transformer/tap.js';
import type { Config } from '../../weights/config.js';
import type { Hook, HookEntry } from '../input/hook.js';
import type { LayerRange } from '../input/input.js';
import type { PromptLength, Runnable } from '../input/model.js';
import { checkNoCopy, matchPoints, type NameFilter } from '../input/names.js';
import { HookTap } from './tap.js';
import { asRows, layoutOf } from './view.js';
import { WatchTap } from './watch-tap.js';

/** What to run, from where to where, and who looks on. */
export interface RunPlan {
  readonly inputs: readonly RowInput[];
  /** Start from this residual stream [batch, pos, dModel] instead of the tokens. */
  readonly residual?: Tensor | null;
  readonly layers?: LayerRange;
  readonly hooks?: readonly HookEntry[];
  /** Hooks before those of an edited model. */
  readonly first?: readonly HookEntry[];
  /** Of each row, where its own tokens are not all of its prompt: what positions of an edited model count in. */
  readonly prompts?: readonly PromptLength[];
  /** Names to capture, and who gets them. */
  readonly capture?: { names: NameFilter | undefined; put: (name: string, t: Tensor, batch: Batch) => void };
  /** Where the rows' keys and values are kept (at the `slots` of the inputs). */
  readonly keepIn?: KvStore;
  /** Records the run for gradients at what is captured, and at these names. */
  readonly watch?: {
    tape: Tape;
    names: readonly string[];
    /** Watched as they are before anybody changes them. */
    before?: readonly string[];
  };
}

/** What is left when the blocks are through. */
export interface Ended {
  /** The residual stream when the run stops early, else the normalised input of the unembedding: [tokens, dModel]. */
  readonly x: Tensor;
  readonly batch: Batch;
  readonly stopped: boolean;
}

/**
 * Runs the plan, and hands what comes out of the last block to `end`, whose tensors are freed afterwards but for
 * those it calls `keep()` on.
 */
export async function run<T>(
  model: Runnable,
  plan: RunPlan,
  end: (ended: Ended, scope: Scope) => T | Promise<T>,
): Promise<T> {
  const { gpu, config, gpuWeights: weights, points, edits } = model;
  const { inputs, residual = null, layers = everything, hooks = [], capture, keepIn, watch } = plan;
  checkAlive(model);
  await model.settled;
  await edits?.ready();
  const room = gpu.makeRoom();
  if (room) {
    await room;
    await edits?.ready(); // another device may have been opened
  }
  const wanted = plannedNames(points, layers, hooks, capture);
  return inScope(async (scope) => {
    const batch = packBatch(gpu, config, inputs, scope, keepIn);
    const seen = layoutOf(batch, points);
    const edited = edits?.hooks(batch.rows, plan.prompts) ?? [];
    const called = hooksInOrder([...(plan.first ?? []), ...edited], wanted.hooks);
    let tap: Tap =
      called.size || wanted.capture.size
        ? new HookTap(seen, scope, called, wanted.capture, (name, t) => capture!.put(name, t, batch))
        : noTap;
    if (watch)
      tap = new WatchTap(
        tap,
        watch.tape,
        new Set([...wanted.capture, ...watch.names]),
        new Set(watch.before),
      );
    const start = residual && packed(residual, config, scope);
    const x = await transformer({ config, weights, batch, tap }, { ...layers, residual: start });
    return await end({ x, batch, stopped: layers.to !== null }, scope);
  });
}

/** @throws when the model was disposed of. */
function checkAlive({ gpuWeights, config }: Runnable): void {
  if (gpuWeights.disposed)
    throw new Error(
      `the model "${config.name}" was disposed of, and its weights are gone: load it again, or dispose of it later`,
    );
}

/** Logits [batch, pos, dVocab] ([tokens, dVocab] where rows differ in length), or the residual when the run stops early. */
export function runToLogits(model: Runnable, plan: RunPlan): Promise<Tensor> {
  return run(model, plan, ({ x, batch, stopped }) => {
    const out = stopped ? x : unembed(x, model.gpuWeights.W_U, model.gpuWeights.b_U);
    if (!stopped) out.storage.guarded = 'logits';
    const shown = asRows(out, [stopped ? 'd_model' : 'd_vocab'], batch);
    return shown.alias(null, stopped ? 'residual stream' : 'logits');
  });
}

/** Logits of the last position of every row: [rows, dVocab]. */
export function runToLastLogits(model: Runnable, plan: RunPlan): Promise<Tensor> {
  return run(model, plan, ({ x, batch }) => {
    const last = pickRows(
      x,
      batch.rows.map((r) => r.start + r.length - 1),
    );
    const logits = unembed(last, model.gpuWeights.W_U, model.gpuWeights.b_U);
    logits.named = axesOf(['batch', 'd_vocab']);
    return logits.keep();
  });
}

/** Final norm and unembedding of a residual stream [..., dModel]: [..., dVocab]. */
export function logitsOfResidual(model: Runnable, residual: Tensor): Tensor {
  checkAlive(model);
  const { config, gpuWeights: w } = model;
  if (residual.shape.at(-1) !== config.dModel)
    throw new Error(
      `a residual stream has shape [..., ${config.dModel}], this one ${showShape(residual.shape)}`,
    );
  return inScope((scope) => {
    const x = packed(residual, config, scope);
    const logits = unembed(w.lnFinal?.apply(x) ?? x, w.W_U, w.b_U).reshape([
      ...residual.shape.slice(0, -1),
      config.dVocabOut,
    ]);
    logits.storage.guarded = 'logits';
    logits.named = withLast(residual.named, 'd_vocab');
    return logits.alias(null, 'logits');
  });
}

/** A residual stream of the user's as [tokens, dModel] without names, for the time of a run. */
function packed(residual: Tensor, { dModel }: Config, scope: Scope): Tensor {
  const own = residual.alias(scope).renamed(null);
  return own.reshape([-1, dModel]);
}

/** All blocks, and the last layer norm. */
const everything: LayerRange = { from: 0, to: null };

/** Which hooks go where, checked before anything runs. @throws when a filter names nothing, or nothing that is reached. */
function plannedNames(
  points: Points,
  layers: LayerRange,
  hooks: readonly HookEntry[],
  capture: RunPlan['capture'],
) {
  let captured: string[] = [];
  if (capture?.names === undefined) {
    if (capture) captured = points.always.filter((n) => isReached(points.get(n)!, layers, points));
  } else {
    captured = reached(capture.names, layers, points, 'names');
  }
  return { hooks: hooksByName(points, hooks, layers), capture: new Set(captured) };
}

/** Hooks of single points, and behind them others: the hooks of each point, in order. */
export function hooksInOrder(
  first: readonly HookEntry[],
  own: ReadonlyMap<string, readonly Hook[]>,
): ReadonlyMap<string, readonly Hook[]> {
  if (!first.length) return own;
  const out = new Map<string, readonly Hook[]>();
  const add = (name: string, hooks: readonly Hook[]) => out.set(name, [...(out.get(name) ?? []), ...hooks]);
  for (const [name, hook] of first) add(name as string, [hook]);
  for (const [name, hooks] of own) add(name, hooks);
  return out;
}

/**
 * The hooks of each hook point, in their order.
 * @param what for messages
 * @throws when an entry is none, or names nothing that the run reaches.
 */
export function hooksByName(
  points: Points,
  hooks: readonly HookEntry[],
  layers = everything,
  what = 'hooks',
): Map<string, Hook[]> {
  const byName = new Map<string, Hook[]>();
  for (const entry of hooks) {
    if (!Array.isArray(entry) || typeof entry[1] !== 'function')
      throw new Error(`${what}: a list of [hook point, function] pairs is needed`);
    const [filter, hook] = entry as HookEntry;
    checkNoCopy(filter, points);
    for (const name of reached(filter, layers, points, 'hook')) {
      const list = byName.get(name);
      if (list) list.push(hook);
      else byName.set(name, [hook]);
    }
  }
  return byName;
}

/** Those names that a run comes by. @throws when it comes by none. */
function reached(filter: NameFilter, layers: LayerRange, points: Points, what: string): string[] {
  const named = matchPoints(filter, points);
  const live = named.filter((point) => isReached(point, layers, points));
  if (!live.length)
    throw new Error(
      `${what} ${show(filter)}: ${named.length > 1 ? 'none of these is' : 'not'} reached by this run, which goes from layer ${layers.from} to ${layers.to === null ? 'the logits' : `before layer ${layers.to}`}`,
    );
  return live.map(({ name }) => name);
}

/** What is said of entries of a list of names that a run does not come by; it keeps the others. */
export function unreached(filter: NameFilter | undefined, layers: LayerRange, points: Points): string[] {
  if (!Array.isArray(filter)) return [];
  const live = (entry: NameFilter) => matchPoints(entry, points).some((p) => isReached(p, layers, points));
  const range = `from layer ${layers.from} to ${layers.to === null ? 'the logits' : `before layer ${layers.to}`}`;
  return filter
    .filter((entry) => !live(entry))
    .map((entry) => `names: ${show(entry)} is not reached by this run, which goes ${range}`);
}

function isReached({ layer, step }: Point, { from, to }: LayerRange, { config }: Points): boolean {
  if (layer !== null) return layer >= from && layer < (to ?? config.nLayers);
  return step > 0 ? to === null : from === 0;
}

const show = (filter: NameFilter): string =>
  typeof filter === 'string'
    ? `"${filter}"`
    : Array.isArray(filter)
      ? `[${filter.map(String).join(', ')}]`
      : String(filter);
