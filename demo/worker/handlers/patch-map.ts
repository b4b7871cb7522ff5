/**
 * A patching map, part by part: each takes its turn on the GPU, so that a pause, a cancellation, a click or
 * the cell under the cursor is heard between two of them. The numbers are those of `patch`: the same plan,
 * the same scale.
 */

import type { Counterfactual } from '../../../hooks/interventions/interventions.js';
import { type SweepCell, sweepCells } from '../../../hooks/sweep/counterfactuals.js';
import type { HookedTransformer } from '../../../hooks/transformer/model.js';
import { attributionPatch } from '../../../interp/attribution/attribution-patching.js';
import { logitDiff, logProb, type Metric, prob } from '../../../interp/logits/metrics.js';
import { cellsOf, type PatchAxis } from '../../../interp/patching/cells.js';
import { readPair } from '../../../interp/patching/pair.js';
import { laidOut, layoutOf } from '../../../interp/patching/sweep.js';
import type { Axis, LabelledData } from '../../../interp/results/result.js';
import type { Edits } from '../../app/changes.js';
import type { Handler } from '../handler.js';

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
  readonly edits: Edits;
}

/**
 * Before the first cell: how the map is laid out, and perhaps estimates of all cells. After it: cells as
 * [index, value].
 */
export type PatchMapEvent =
  | { readonly kind: 'plan'; readonly axes: readonly Axis[]; readonly cells: number }
  | { readonly kind: 'estimates'; readonly values: Float32Array }
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

/** A part of a sweep should take so long, so that the page sees something new several times a second. */
const PART_MS = 200;
/** Cells that come in less time than this were computed together. */
const TOGETHER_MS = 15;
/** Multiply-adds in a second, roughly, from which the size of a part is guessed. */
const SPEED = { software: 3e9, hardware: 3e11 };

const wish = { paused: false, near: null as number | null, wake: () => {} };

/** Pauses, goes on, or turns to a part of the map. */
export const steer: Handler<Steering, null> = async ({ paused, near }) => {
  if (paused !== undefined) wish.paused = paused;
  if (near !== undefined) wish.near = near;
  wish.wake();
  return null;
};

/** Runs a map. */
export const patchMap: Handler<PatchMapParams, LabelledData, PatchMapEvent> = async (
  params,
  { engine, signal, emit },
) => {
  const whole = engine.model;
  const model = engine.changed(params.edits);
  const { at, by } = params;
  const pair = readPair(model, {
    from: { name: 'clean', input: params.clean },
    changed: { name: 'corrupted', input: params.corrupted },
  });
  const [[clean], [corrupted]] = [pair.from, pair.changed];
  const { axes, parts } = cellsOf(model, at, by, {}, pair.changed, 'patch', pair.from);
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
  if (takesLong(model, clean.length, pair.unchanged, axes)) {
    const estimates = await engine.turn(() => estimated(model, params, metric));
    if (estimates && !signal.aborted) emit({ kind: 'estimates', values: estimates });
  }
  const base = { input: [corrupted], sources: { clean: [clean] } };
  const sweep = sweepCells(model, base, list, metric, {
    signal,
    maxTokens: tokensAtOnce(model),
    rank: (index) => (wish.near === null ? index : distance(index, wish.near, axes.at(-1)!.labels.length)),
  });
  const planned = layoutOf(model, layout, { tokens: pair.changed, unchanged: [] });
  const news = new News(planned, emit);
  try {
    for (;;) {
      await unpaused(signal);
      const found = await engine.turn(
        async () => {
          if (engine.current !== whole) throw new Error('the model was changed: the map was given up');
          // Cells of one part come together; the next part has a turn of its own.
          for (const began = performance.now(); performance.now() - began < TOGETHER_MS; ) {
            const step = await sweep.next();
            if (step.done) return step.value;
            news.add(step.value);
          }
          return null;
        },
        { patient: true },
      );
      if (found) {
        news.end();
        const { unchanged, work } = found;
        return laidOut(layoutOf(model, layout, { tokens: pair.changed, unchanged }), found, { work });
      }
    }
  } finally {
    await sweep.return(undefined as never); // it frees what it holds when the map ends early
  }
};

/** Tells the page of cells: those that come together, together. */
class News {
  readonly #layout: ReturnType<typeof layoutOf>;
  readonly #emit: (event: PatchMapEvent) => void;
  #cells: SweepCell[] = [];
  #checked = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(layout: ReturnType<typeof layoutOf>, emit: (event: PatchMapEvent) => void) {
    this.#layout = layout;
    this.#emit = emit;
  }

  /** @throws on the first one, when the metric is the same for both runs. */
  add(cell: SweepCell): void {
    if (!this.#checked) this.#values([cell]);
    this.#checked = true;
    this.#cells.push(cell);
    this.#timer ??= setTimeout(() => this.end(), 30);
  }

  #values(cells: readonly SweepCell[]): Float32Array {
    const [{ runs }] = cells;
    const axes = [{ name: 'cell', labels: cells.map(({ index }) => String(index)) }];
    return laidOut({ ...this.#layout, axes }, { ...runs, cells: cells.map((c) => c.prompts) }).values;
  }

  /** Tells what has not been told. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const cells = this.#cells.splice(0);
    if (!cells.length) return;
    const [{ runs }] = cells;
    const values = this.#values(cells);
    this.#emit({
      kind: 'cells',
      cells: cells.map(({ index }, i) => [index, values[i]] as const),
      ends: { clean: runs.sources.clean[0], corrupted: runs.base[0] },
    });
  }
}

function metricOf({ metric, answer, wrong }: PatchMapParams): Metric {
  if (metric === 'logit-diff') return logitDiff(answer, wrong);
  return metric === 'prob' ? prob(answer) : logProb(answer);
}

/** Attribution patching pays when the exact values take longer than this. */
const LONG_MS = 1000;

/**
 * Whether a map takes long: cells leave the corrupted run at their layer and, if they have one, their
 * position.
 */
function takesLong(
  model: HookedTransformer,
  tokens: number,
  unchanged: number,
  axes: readonly Axis[],
): boolean {
  const { nLayers } = model.config;
  const changed = tokens - unchanged;
  const columns = axes.some((a) => a.name === 'pos') ? changed : axes.at(-1)!.labels.length;
  const each = axes.some((a) => a.name === 'pos') ? changed / 2 : changed;
  return ((columns * nLayers * each) / tokensAtOnce(model)) * PART_MS > LONG_MS;
}

/**
 * All cells to first order, by one backward pass; null where that is not to be had (no memory, no gradient).
 */
async function estimated(
  model: HookedTransformer,
  { clean, corrupted, at, by }: PatchMapParams,
  metric: Metric,
): Promise<Float32Array | null> {
  try {
    return (await attributionPatch(model, { clean, corrupted, at, by, metric })).values;
  } catch {
    return null; // the exact values come in any case, and say what is wrong
  }
}

/** How far a cell is from the one that is looked at. */
const distance = (index: number, near: number, width: number): number =>
  Math.abs(Math.floor(index / width) - Math.floor(near / width)) + Math.abs((index % width) - (near % width));

/** Tokens that go through half of the layers in the time of a part. */
function tokensAtOnce({ config: { dModel, nLayers }, gpu }: HookedTransformer): number {
  const perToken = 12 * dModel ** 2 * (nLayers / 2);
  const speed = SPEED[gpu.caps.adapterClass];
  return Math.max(8, Math.min(1024, Math.round((speed * PART_MS) / 1000 / perToken)));
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
