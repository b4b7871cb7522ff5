/**
 * Sweeps that are normalised between two runs: 0 is the run that is changed, 1 the run that values come from. The methods
 * (patching, path patching, ...) only say which counterfactuals they mean, and how the cells are laid out.
 */

import { is, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import type { Base, Counterfactual } from '../../hooks/interventions/interventions.js';
import { type Metric, mean } from '../../hooks/run/metric.js';
import {
  type PlannedSweep,
  type RunValues,
  type SweepOptions,
  type SweepResult,
  sweepCells,
} from '../../hooks/sweep/counterfactuals.js';
import type { WholeRecord } from '../../hooks/sweep/record/record.js';
import { type Sweep, startSweep } from '../../hooks/sweep/sweep.js';
import { endsProblem, warningsIn } from '../results/ends.js';
import { provenance } from '../results/provenance.js';
import { type Axis, type Labelled, labelled } from '../results/result.js';

/** One cell of a map. */
export interface MapCell {
  /** Its place in `values`, where there is no axis for prompts. */
  readonly index: number;
  /** Its indices along the axes. */
  readonly at: readonly number[];
  /** Normalised (but with `normalize: false`); mean over the prompts. */
  readonly value: number;
  /** Normalised, of each prompt. */
  readonly prompts: readonly number[];
}

/** A sweep laid out as a map; what is wrong with it is thrown when it is made. */
export interface MapPlan {
  readonly base: Base;
  /** Cells in row-major order of the axes. */
  readonly list: readonly Counterfactual[];
  readonly axes: readonly Axis[];
  readonly metric: Metric;
  /** The source that is 1; null: the metric's own numbers are given. */
  readonly one: string | null;
  /** With `one`: the metric's own numbers all the same. */
  readonly raw?: boolean;
  /** What the runs at 0 and at 1 are called in `meta`; default corrupted and clean. */
  readonly ends?: readonly [zero: string, one: string];
  /** Without `one`: what is given is the change from the base run. */
  readonly relative?: boolean;
  /** What else belongs into `meta`. */
  readonly meta?: Record<string, unknown>;
}

/**
 * Runs a map. `meta.work` says what was computed, `meta.corrupted` and `meta.clean` (or as `ends` calls them) the metric
 * at 0 and at 1, `meta.base` that of the base run where nothing is normalised, `meta.idle` the cells (their indices) that cannot change anything.
 * @throws when the metric is the same for both runs.
 */
export const sweepMap = (
  model: Model,
  plan: () => MapPlan | Promise<MapPlan>,
  options: SweepOptions,
): Sweep<MapCell, Labelled> => startSweep(cells(model, plan, options));

async function* cells(
  model: Model,
  make: () => MapPlan | Promise<MapPlan>,
  options: SweepOptions,
): AsyncGenerator<MapCell, Labelled> {
  const plan = await make();
  const { base, list, axes, metric } = plan;
  const shape = axes.map((a) => a.labels.length);
  const about = (planned: PlannedSweep) => ({ layout: layoutOf(model, plan, planned) });
  const run = sweepCells(model, base, list, metric, { ...options, about, answerOf: answerRun(plan) });
  let scale: Scale | null = null;
  try {
    for (;;) {
      const step = await run.next();
      if (step.done) return laidOut(about(step.value).layout, step.value, { work: step.value.work });
      const { index, prompts, runs } = step.value;
      scale ??= scaleOf(plan, runs);
      const at: number[] = [];
      let rest = index;
      for (const n of [...shape].reverse()) {
        at.unshift(rest % n);
        rest = Math.floor(rest / n);
      }
      yield { index, at, value: scale.all(prompts), prompts: prompts.map(scale.one) };
    }
  } finally {
    await run.return(undefined as never); // it frees what it holds when the map ends early
  }
}

/** The run that the answer is of: the one at 1, where it is called clean. */
const answerRun = ({ one, ends }: Pick<MapPlan, 'one' | 'ends'>): string | null => (ends ? null : one);

/** From the metric to what is shown. */
interface Scale {
  all(prompts: readonly number[]): number;
  one(value: number, prompt: number): number;
}

function scaleOf({ metric, one, relative, raw }: Scaled, { base: low, sources }: RunValues): Scale {
  if (one === null || raw) {
    const from = (prompt: number) => (relative ? low[prompt] : 0);
    return { all: (p) => mean(p.map((v, i) => v - from(i))), one: (v, i) => v - from(i) };
  }
  const high = sources[one];
  if (!high)
    throw new Error(
      `the metric ${metric.name} reads every position, and the prompts differ in length: take one that reads the last, like logitDiff or prob`,
    );
  const between = (a: number, b: number) => {
    if (Math.abs(b - a) < 1e-6)
      throw new Error(
        `the metric ${metric.name} is ${b.toFixed(4)} for both prompts: there is no difference to restore`,
      );
    return (v: number) => (v - a) / (b - a);
  };
  if (metric.per === 'prompt') {
    const each = low.map((a, i) => between(a, high[i]));
    return { all: (p) => mean(p.map((v, i) => each[i](v))), one: (v, i) => each[i](v) };
  }
  const all = between(mean(low), mean(high));
  return { all: (p) => all(mean(p)), one: (v) => all(v) };
}

/** From what to what values are scaled. */
interface Scaled extends Pick<MapPlan, 'one' | 'raw' | 'ends' | 'relative'> {
  readonly metric: Pick<Metric, 'name' | 'per' | 'unit'>;
}

/** How the numbers of a sweep become a labelled array: plain data, which a record keeps. */
interface Layout extends Scaled {
  readonly axes: readonly Axis[];
  readonly meta: Readonly<Record<string, unknown>>;
}

/** The layout of a sweep that has been planned. */
export function layoutOf(
  model: Model,
  { axes, metric: { name, per, unit }, one, raw, ends, relative, meta }: Omit<MapPlan, 'base' | 'list'>,
  { tokens, unchanged }: PlannedSweep,
): Layout {
  const idle = unchanged.map((u) => u.index);
  const all = { metric: name, ...(unit && { unit }), idle, prompts: tokens, tokens: tokens[0], ...meta };
  const told = { name, per, ...(unit && { unit }) };
  return { axes, metric: told, one, ...(raw && { raw }), ends, relative, meta: provenance(model, all) };
}

/** Lays out the numbers of a sweep. @param more goes into `meta` */
export function laidOut(
  layout: Layout,
  { cells, ...runs }: RunValues & Pick<SweepResult, 'cells'>,
  more: Record<string, unknown> = {},
): Labelled {
  const { axes, metric, one, raw, ends: [zero, full] = ['corrupted', 'clean'], meta } = layout;
  const { base, sources } = runs;
  const perPrompt = metric.per === 'prompt';
  const scale = scaleOf(layout, runs);
  const none = base.map(() => Number.NaN);
  const values = cells.flatMap((c) => (perPrompt ? (c ?? none).map(scale.one) : scale.all(c ?? none)));
  const summary = (v: readonly number[]) => (perPrompt ? v : mean(v));
  const ends =
    one === null
      ? { base: summary(base), sources: mapValues(sources, summary) }
      : { [full]: summary(sources[one]), [zero]: summary(base) };
  const all = perPrompt ? [...axes, { name: 'prompt', labels: base.map((_, i) => String(i)) }] : axes;
  // The metric's numbers have been checked; cells of other shards have none.
  const told = [...(runs.remarks ?? []), ...(one === null || raw ? [] : endsWarnings(layout, runs))];
  const about = {
    ...meta,
    ...(raw && one !== null && { normalize: false }),
    ...ends,
    ...warningsIn(...told),
    ...more,
  };
  return labelled(Float32Array.from(values), all, about, 'allowed');
}

/** What is odd about the two runs between which the numbers are shares. */
function endsWarnings({ metric, one, ends }: Layout, { base, sources }: RunValues): (string | null)[] {
  const names = ends ?? (['corrupted', 'clean'] as const);
  const between = (zero: number, full: number) =>
    endsProblem({ zero, one: full, unit: metric.unit ?? null, names, metric: metric.name });
  const high = sources[one!];
  if (metric.per !== 'prompt') return [between(mean(base), mean(high))];
  return base.map((zero, i) => {
    const said = between(zero, high[i]);
    return said && `prompt ${i}: ${said}`;
  });
}

const mapValues = <A, B>(of: Readonly<Record<string, A>>, f: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(of).map(([name, value]) => [name, f(value)]));

/** A record comes from a file. @throws when its layout does not fit its cells. */
function checkLayout({ axes, metric, one, meta }: Layout, cells: number, { base, sources }: RunValues): void {
  const isAxis = (axis: Axis) =>
    typeof axis?.name === 'string' &&
    Array.isArray(axis.labels) &&
    axis.labels.every((l) => typeof l === 'string');
  const fits =
    Array.isArray(axes) &&
    axes.every(isAxis) &&
    axes.reduce((n, axis) => n * axis.labels.length, 1) === cells &&
    ['batch', 'prompt'].includes(metric?.per) &&
    (one === null || (metric.per === 'prompt' ? sources[one]?.length === base.length : one in sources)) &&
    typeof meta === 'object' &&
    meta !== null;
  if (!fits) throw new Error(`record: its layout does not fit its ${cells} cells; it is damaged`);
}

const takes = signatures({
  recordResult: { record: is.having('a whole record, as mergeRecords gives it', 'header', 'cells', 'runs') },
});

/**
 * The result of a sweep from its record, or from the merged records of its shards: what the sweep itself gave, but for
 * `meta.work`.
 */
export const recordResult = takes.recordResult(function recordResult({
  header,
  cells,
  runs,
}: WholeRecord): Labelled {
  const layout = header.about.layout as Layout | undefined;
  if (!layout)
    throw new Error('the record does not say how its cells are laid out: it is of an older version');
  checkLayout(layout, header.cells, runs);
  return laidOut(layout, { ...runs, cells: Array.from({ length: header.cells }, (_, i) => cells.get(i)!) });
});
