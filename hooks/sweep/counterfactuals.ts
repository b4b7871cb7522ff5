/**
 * Many counterfactuals in about one run: plans them, runs what they rest on, walks the layers once a chunk, and reads
 * one number a prompt.
 */

import { pickRows } from '../../engine/transformer/ops.js';
import { ActivationCache } from '../cache/cache.js';
import type { Model } from '../input/model.js';
import { describeIntervention, interventionsText } from '../interventions/describe.js';
import { checkNorms, editsOf } from '../interventions/edits.js';
import type { Base, Counterfactual } from '../interventions/interventions.js';
import { type Metric, type MetricReads, mean, type PreparedMetric, perPrompt } from '../run/metric.js';
import { metricValues } from '../run/metric-values.js';
import { remarksOn } from '../run/readout.js';
import { tokensThatFit } from './budget.js';
import { joins } from './fork-run.js';
import { chunksInTurn, type Fork, planCell, tokensIn } from './plan.js';
import {
  checkRuns,
  PartDone,
  type RecordContent,
  type RecordStore,
  recordHeader,
  recordLine,
  resumeRecord,
  sha256,
} from './record/record.js';
import { Runs } from './runs.js';
import { outlasting } from './sweep.js';
import { checkOptions, type SweepOptions } from './sweep-options.js';
import { type Span, walk } from './walk.js';
import { WholeRuns } from './whole-runs.js';

export type { SweepOptions } from './sweep-options.js';

/** The metric of the runs that a sweep rests on, one value a prompt. */
export interface RunValues {
  readonly base: readonly number[];
  /** Of the sources that have prompts of the same lengths as the base. */
  readonly sources: Readonly<Record<string, readonly number[]>>;
  /** What is odd about the answers in the run that should give them; left out where nothing is. */
  readonly remarks?: readonly string[];
}

/** One counterfactual's result. */
export interface SweepCell {
  /** In the list. */
  readonly index: number;
  /** Mean of the metric over the prompts. */
  readonly value: number;
  /** The metric of each prompt. */
  readonly prompts: readonly number[];
  readonly runs: RunValues;
}

/** What a sweep did. */
export interface SweepWork {
  /** One token through one block once; sources that are counterfactuals themselves count, too. */
  readonly tokenLayers: number;
  /** What a loop of whole forward passes would count. The base and source runs are in neither. */
  readonly naiveTokenLayers: number;
  readonly dispatches: number;
  /** The most GPU memory that was held beyond what was there before. */
  readonly bytes: number;
  readonly chunks: number;
  readonly ms: number;
  /** How often the GPU's device was lost and opened again; the other numbers are of what came after. Left out where never. */
  readonly losses?: number;
}

/** Everything a sweep gives. */
export interface SweepResult extends RunValues {
  /** Per counterfactual one value a prompt; null: a cell of another shard. */
  readonly cells: readonly (readonly number[] | null)[];
  /** Counterfactuals that cannot differ from the base where the metric reads. */
  readonly unchanged: readonly { readonly index: number; readonly reason: string }[];
  /** Tokens of the base run. */
  readonly tokens: readonly (readonly number[])[];
  readonly work: SweepWork;
}

/** What is known of a sweep before it runs. */
export type PlannedSweep = Pick<SweepResult, 'tokens' | 'unchanged'>;

/** What a method adds to the options of a sweep. */
export interface CellOptions extends SweepOptions {
  /** The source whose answers the metric is about: `remarks` are of it. */
  readonly answerOf?: string | null;
  /** What the record tells besides, as plain data: all it takes to show the cells without the model. */
  readonly about?: (plan: PlannedSweep) => Record<string, unknown>;
}

/** Yields cells as they are done, those of one chunk together; returns everything. */
export async function* sweepCells(
  model: Model,
  base: Base,
  list: readonly Counterfactual[],
  metric: Metric,
  options: CellOptions = {},
): AsyncGenerator<SweepCell, SweepResult> {
  checkOptions(list, metric, options);
  options.signal?.throwIfAborted();
  const begun: Begun = { at: performance.now(), tokenLayers: 0 };
  return yield* outlasting<SweepCell, SweepResult>(model.gpu, (kept, losses) =>
    sweepOnce(model, base, list, metric, options, begun, kept, losses),
  );
}

/** What a sweep remembers beyond the loss of a device. */
interface Begun {
  readonly at: number;
  /** Of the whole, once they are known. */
  tokenLayers: number;
}

/** The sweep as it is while no device is lost. */
async function* sweepOnce(
  model: Model,
  base: Base,
  list: readonly Counterfactual[],
  metric: Metric,
  options: CellOptions,
  begun: Begun,
  kept: ReadonlyMap<number, SweepCell>,
  losses: number,
): AsyncGenerator<SweepCell, SweepResult> {
  const { onProgress, signal, record, shard = record?.shard } = options;
  const { gpu } = model;
  const reads = metric.reads === 'last' ? 'last' : 'all';
  const { nLayers } = model.config;
  const dispatches = gpu.stats.dispatches;
  const held = gpu.memory().bytes;
  let bytes = 0;
  const weigh = () => {
    bytes = Math.max(bytes, gpu.memory().bytes - held);
  };

  await model.edits?.ready();
  const runs = new Runs(model, base, metric.reads);
  let prepared: PreparedMetric | null = null;
  let whole: WholeRuns | null = null;
  try {
    const { forks, unchanged } = plan(runs, list, metric.reads, nLayers);
    const mine = (cell: number) => !shard || cell % shard.of === shard.index;
    const more = options.about?.({ tokens: runs.rows, unchanged });
    const { cells, ...recorded } = await openRecord(record, model, base, list, metric, runs, more);
    const done = new Map([...[...kept].map(([i, cell]) => [i, cell.prompts] as const), ...cells]);
    const wanted = forks.filter((f) => mine(f.cell) && !done.has(f.cell));
    for (const fork of wanted) runs.need(fork.edits);
    runs.plan(new Set(wanted.flatMap(joins)));
    const context = { model, rows: runs.rows, reads: runs.reads, final: (run: string) => runs.final(run) };
    prepared = await metric.prepare(context);
    signal?.throwIfAborted();
    await runs.start({ signal });
    weigh();

    const evaluate = async (name: string) =>
      Array.from(
        (await metricValues(
          prepared!,
          await runs.final(name),
          runs.reads,
          () => `run "${name}"`,
        )) as Float32Array,
      );
    const baseReads = await evaluate('base');
    if (metric.reads === 'whole') whole = new WholeRuns(prepared, await runs.final('base'), runs.reads);
    const sources: Record<string, number[]> = {};
    for (const name of runs.sources)
      if (runs.comparable(name))
        sources[name] = perPrompt(runs.reads, await evaluate(name), runs.rows.length);
    const values: RunValues = {
      base: perPrompt(runs.reads, baseReads, runs.rows.length),
      sources,
      ...(await remarksOn(prepared, runs, options.answerOf)),
    };
    if (recorded.runs) checkRuns(values, recorded.runs, 'the record');
    else await record?.append([recordLine({ runs: values })]);

    const all: (readonly number[] | null)[] = list.map((_, i) => done.get(i) ?? null);
    const give = (index: number, prompts: readonly number[]): SweepCell => {
      all[index] = prompts;
      return { index, value: mean(prompts), prompts, runs: values };
    };
    for (const [index, prompts] of done) yield give(index, prompts);
    const left = new Map<number, number>();
    for (const { cell } of wanted) left.set(cell, (left.get(cell) ?? 0) + 1);
    const idle = [...list.keys()].filter((index) => mine(index) && !left.has(index) && !done.has(index));
    const save = async (cells: readonly { index: number; prompts: readonly number[] }[]) => {
      if (cells.length)
        await record?.append(cells.map(({ index, prompts }) => recordLine({ index, value: prompts })));
    };
    await save(idle.map((index) => ({ index, prompts: values.base })));
    for (const index of idle) yield give(index, values.base);

    const total = layerTokens(wanted, nLayers).reduce((a, b) => a + b, 0);
    begun.tokenLayers ||= total;
    const readsOfCell = new Map<number, number[]>();
    const at = new Map(runs.reads.map(({ row, pos }, i) => [row * 2 ** 20 + pos, i]));
    let progress = begun.tokenLayers - total;
    let chunks = 0;
    const maxTokens = options.maxTokens ?? tokensThatFit(model, wanted);
    for (const chunk of chunksInTurn(wanted, maxTokens, options.rank, runs.called.length > 0)) {
      chunks++;
      const layers = layerTokens(chunk, nLayers);
      const onLayer = (l: number) => {
        weigh();
        onProgress?.((progress += layers[l]), begun.tokenLayers);
      };
      const finished: SweepCell[] = [];
      await walk(model, runs, chunk, { reads, signal, onLayer }, async (x, spans) => {
        const { reads, rows } = readsIn(spans, at);
        const picked = rows.length === x!.shape[0] ? x! : pickRows(x!, rows);
        const called = (cell: number) => `counterfactual ${cell} (${describeIntervention(list[cell])})`;
        const places = reads.map(({ row, pos }) => ({ row, pos }));
        whole?.add(picked, reads);
        const got = whole ? [] : await metricValues(prepared!, picked, places, (i) => called(reads[i].cell));
        got.forEach((value, i) => {
          const { cell, row, pos } = reads[i];
          const own = readsOfCell.get(cell) ?? [...baseReads];
          own[at.get(row * 2 ** 20 + pos)!] = value;
          readsOfCell.set(cell, own);
        });
        for (const { cell } of chunk) left.set(cell, left.get(cell)! - 1);
        const complete = [...new Set(chunk.map((f) => f.cell))].filter((cell) => !left.get(cell));
        for (const [cell, own] of (await whole?.values(complete, called)) ?? []) readsOfCell.set(cell, own);
        for (const cell of complete) {
          finished.push(
            give(cell, perPrompt(runs.reads, readsOfCell.get(cell) ?? baseReads, runs.rows.length)),
          );
          readsOfCell.delete(cell);
        }
      });
      await save(finished);
      yield* finished;
    }
    const there = all.filter((cell) => cell !== null).length;
    if (record?.shard && there < list.length) throw new PartDone(there, list.length, record.shard);
    const work = {
      tokenLayers: total + runs.tokenLayers,
      naiveTokenLayers:
        list.filter((_, i) => mine(i)).length * nLayers * runs.rows.reduce((n, r) => n + r.length, 0),
      dispatches: gpu.stats.dispatches - dispatches,
      bytes,
      chunks,
      ms: performance.now() - begun.at,
      ...(losses > 0 && { losses }),
    };
    return { cells: all, ...values, unchanged, tokens: runs.rows, work };
  } finally {
    whole?.dispose();
    prepared?.dispose?.();
    runs.dispose();
  }
}

/** Checks all counterfactuals, and turns them into forks. */
function plan(runs: Runs, list: readonly Counterfactual[], read: MetricReads, nLayers: number) {
  const reads: 'last' | 'all' = read === 'last' ? 'last' : 'all';
  const forks: Fork[] = [];
  const unchanged: { index: number; reason: string }[] = [];
  const { lengths } = runs.setting.base;
  const baseEdits = lengths.map((_, row) => runs.baseEdits(row));
  const bidirectional = runs.setting.points.config.attentionDir === 'bidirectional';
  const settings = lengths.map((length, row) => ({
    nLayers,
    // What follows the last read is never run, unless it is seen by what is before.
    length: read === 'all' && !bidirectional ? length - 1 : length,
    tokens: length,
    reads,
    baseEdits: baseEdits[row],
    bidirectional,
    idle: runs.idle,
    called: runs.called,
  }));
  list.forEach((counterfactual, cell) => {
    const what = list.length > 1 ? `counterfactual ${cell}` : 'counterfactual';
    const edits = editsOf(counterfactual, runs.setting, what);
    checkNorms([...baseEdits.flat(), ...edits], `${what} of a changed base run`);
    const before = forks.length;
    forks.push(...planCell(cell, edits, settings));
    if (forks.length > before) return;
    const idle = edits.every((e) => runs.idle(e));
    const reason = !edits.length
      ? 'it changes nothing'
      : idle
        ? 'the values are those that the base run has there anyway'
        : 'the positions it changes cannot reach the logits that the metric reads';
    unchanged.push({ index: cell, reason: `${describeIntervention(counterfactual)}: ${reason}` });
  });
  return { forks, unchanged };
}

/** What the record already has; writes its first line if it is new. @throws when it is of another sweep. */
async function openRecord(
  record: RecordStore | undefined,
  model: Model,
  base: Base,
  list: readonly Counterfactual[],
  metric: Metric,
  runs: Runs,
  more: Record<string, unknown> = {},
): Promise<Pick<RecordContent, 'cells' | 'runs'>> {
  if (!record) return { cells: new Map(), runs: null };
  const { config, hash } = model;
  const about = {
    model: config.name,
    metric: metric.name,
    tokens: runs.rows,
    labels: list.map((c) => describeIntervention(c)),
    ...(model.edits && { edits: model.edits.lines }),
  };
  const changed = typeof base === 'object' && 'input' in base ? { ...base, input: null } : null;
  const sources = Object.entries(changed?.sources ?? {}).map(([name, source]) =>
    source instanceof ActivationCache ? name : [name, source],
  );
  const given = await interventionsText([list, { ...changed, sources }]);
  const edits = (await model.edits?.text()) ?? '';
  const text = JSON.stringify([config, hash, metric.reads, about]) + given + edits + (metric.text ?? '');
  const fingerprint = await sha256(text);
  return resumeRecord(record, recordHeader(fingerprint, list.length, { ...about, ...more }));
}

/** Rows of a walk's result that the metric reads. */
function readsIn(spans: readonly Span[], at: ReadonlyMap<number, number>) {
  const reads: { cell: number; row: number; pos: number }[] = [];
  const rows: number[] = [];
  let start = 0;
  for (const { fork, lo, hi } of spans)
    for (let pos = lo; pos < hi; pos++, start++)
      if (at.has(fork.row * 2 ** 20 + pos)) {
        reads.push({ cell: fork.cell, row: fork.row, pos });
        rows.push(start);
      }
  return { reads, rows };
}

/** Token-layers of forks, by layer. */
const layerTokens = (forks: readonly Fork[], nLayers: number): number[] =>
  Array.from({ length: nLayers }, (_, l) => forks.reduce((n, f) => n + tokensIn(f, l), 0));
