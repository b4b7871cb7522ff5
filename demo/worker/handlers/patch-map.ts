/**
 * A patching map, in batches: each takes its turn on the GPU, so that a pause, a cancellation, a click or the cell under the
 * cursor is heard between two of them. The numbers are those of `patch`: the same plan, the same scale.
 */

import { type SweepWork, sweepCells } from '../../../hooks/counterfactuals.js';
import type { Counterfactual } from '../../../hooks/interventions.js';
import { cellsOf, type PatchAxis } from '../../../interp/cells.js';
import { logitDiff, logProb, type Metric, prob } from '../../../interp/metrics.js';
import { readPair } from '../../../interp/pair.js';
import type { Axis, Labelled } from '../../../interp/result.js';
import { laidOut, layoutOf } from '../../../interp/sweep.js';
import type { Handler } from '../handler.js';
import { addedWork } from '../work.js';

/** What is measured at the last position. */
export type MetricName = 'logit-diff' | 'log-prob' | 'prob';

/** Which map. */
export interface PatchMapParams {
  readonly clean: readonly number[];
  readonly corrupted: readonly number[];
  readonly at: string;
  readonly by: readonly PatchAxis[];
  readonly metric: MetricName;
  /** As text, because results name them. */
  readonly answer: string;
  readonly wrong: string;
}

/** Before the first cell: how the map is laid out. After it: cells as [index, value]. */
export type PatchMapEvent =
  | { readonly kind: 'plan'; readonly axes: readonly Axis[]; readonly cells: number }
  | {
      readonly kind: 'cells';
      readonly cells: readonly (readonly [index: number, value: number])[];
      /** The metric of both runs. */
      readonly ends: { readonly clean: number; readonly corrupted: number };
    };

/** What the reader wants of the sweep that runs. */
export interface Steering {
  readonly paused?: boolean;
  /** Index of the cell that is looked at: it and its neighbours come first. Null: in order. */
  readonly near?: number | null;
}

/** Batches are as large as fits this time, so that the page sees something new several times a second. */
const BATCH_MS = 220;

const wish = { paused: false, near: null as number | null, wake: () => {} };

/** Pauses, goes on, or turns to a part of the map. */
export const steer: Handler<Steering, null> = async ({ paused, near }) => {
  if (paused !== undefined) wish.paused = paused;
  if (near !== undefined) wish.near = near;
  wish.wake();
  return null;
};

/** Runs a map. */
export const patchMap: Handler<PatchMapParams, Labelled, PatchMapEvent> = async (
  params,
  { engine, signal, emit },
) => {
  const { model } = engine;
  const { at, by } = params;
  const pair = readPair(model, {
    from: { name: 'clean', input: params.clean },
    changed: { name: 'corrupted', input: params.corrupted },
  });
  const [[clean], [corrupted]] = [pair.from, pair.changed];
  const { axes, parts } = cellsOf(model, at, by, {}, pair.changed, 'patch');
  const list = parts.map((part): Counterfactual => [{ ...part, set: { from: 'clean' } }]);
  const metric = metricOf(params);
  const layout = {
    ...{ axes, metric, one: 'clean' },
    meta: {
      ...{ method: 'activation patching', at, unchanged: pair.unchanged },
      ...{ cleanTokens: clean, cleanPrompts: [clean] },
    },
  };
  emit({ kind: 'plan', axes, cells: list.length });
  Object.assign(wish, { paused: false, near: null });
  const cells: (readonly number[] | null)[] = list.map(() => null);
  const unchanged: { index: number; reason: string }[] = [];
  const left = new Set(list.keys());
  const width = axes.at(-1)!.labels.length;
  // What cannot change anything needs no run: all of it comes with the first batch.
  const idle = parts.flatMap(({ pos }, i) => (typeof pos === 'number' && pos < pair.unchanged ? [i] : []));
  let batch = 8;
  let runs = { base: [] as readonly number[], sources: {} as Readonly<Record<string, readonly number[]>> };
  let work: SweepWork | null = null;

  while (left.size) {
    await unpaused(signal);
    const first = idle.splice(0);
    for (const i of first) left.delete(i);
    const indices = [...first, ...nearest([...left], wish.near, width).slice(0, batch)];
    const began = performance.now();
    await engine.turn(
      async () => {
        signal.throwIfAborted();
        if (engine.current !== model) throw new Error('the model was changed: the map was given up');
        const some = indices.map((i) => list[i]);
        const base = { input: [corrupted], sources: { clean: [clean] } };
        const sweep = sweepCells(model, base, some, metric, { signal });
        for (;;) {
          const step = await sweep.next();
          if (step.done) {
            runs = { base: step.value.base, sources: step.value.sources };
            for (const u of step.value.unchanged) unchanged.push({ ...u, index: indices[u.index] });
            work = work ? addedWork(work, step.value.work) : step.value.work;
            break;
          }
          cells[indices[step.value.index]] = step.value.prompts;
        }
      },
      { patient: true },
    );
    const planned = layoutOf(model, layout, { tokens: pair.changed, unchanged });
    const some = { ...planned, axes: [{ name: 'cell', labels: indices.map(String) }] };
    const part = laidOut(some, { ...runs, cells: indices.map((i) => cells[i]) });
    emit({
      kind: 'cells',
      cells: indices.map((i, k) => [i, part.values[k]] as const),
      ends: { clean: runs.sources.clean[0], corrupted: runs.base[0] },
    });
    for (const i of indices) left.delete(i);
    const ms = performance.now() - began;
    batch = Math.round(Math.min(batch * 4, Math.max(4, (batch * BATCH_MS) / ms)));
  }
  const planned = layoutOf(model, layout, { tokens: pair.changed, unchanged });
  return laidOut(planned, { ...runs, cells }, { work });
};

function metricOf({ metric, answer, wrong }: PatchMapParams): Metric {
  if (metric === 'logit-diff') return logitDiff(answer, wrong);
  return metric === 'prob' ? prob(answer) : logProb(answer);
}

/** Cells in the order in which they should run: those near the one that is looked at first. */
function nearest(cells: number[], near: number | null, width: number): number[] {
  if (near === null) return cells;
  const far = (i: number) =>
    Math.abs(Math.floor(i / width) - Math.floor(near / width)) + Math.abs((i % width) - (near % width));
  return cells.sort((a, b) => far(a) - far(b) || a - b);
}

async function unpaused(signal: AbortSignal): Promise<void> {
  while (wish.paused) {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      wish.wake = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }
  signal.throwIfAborted();
}
