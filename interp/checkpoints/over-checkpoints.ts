/**
 * Training dynamics: one experiment on every checkpoint of a training, such as Pythia's revisions or folders of your own.
 *
 *     const steps = [0, 1000, 3000].map((step) => ({ source: 'EleutherAI/pythia-70m', revision: `step${step}` }));
 *     const result = await overCheckpoints(steps, (model) => induction(model), { name: 'induction', record });
 *     figure(result);                                        // a curve over steps
 */

import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { RecordStore } from '../../hooks/sweep/record/record.js';
import { recordedItems } from '../../hooks/sweep/record/record-cells.js';
import { LOADING, type LoadOptions } from '../../hooks/transformer/load.js';
import { HookedTransformer } from '../../hooks/transformer/model.js';
import { fileError, shownJson } from '../../weights/checks/messages.js';
import { type Axis, type Labelled, type LabelledData, labelled } from '../results/result.js';

/** A model of a training, as it was after some steps. */
export interface Checkpoint {
  /** A folder, a name on the Hub, or a URL: what `fromPretrained` takes. */
  readonly source: string;
  /** Of a repository on the Hub: a branch, tag or commit, such as `step3000`. */
  readonly revision?: string;
  /** After how many steps. Default: the last number in the revision, or else in the folder's name. */
  readonly step?: number;
}

/** What an experiment gives: a number, or as many of them as its axes have. */
export type ExperimentResult = number | readonly number[] | Float32Array | LabelledData;

/** Options of `overCheckpoints`. */
export interface OverCheckpointsOptions {
  /** What the experiment measures: caption of the figure, and what tells records apart. */
  readonly name: string;
  /** Of what the experiment gives. Default: those of its first result; none for a single number. A record needs them. */
  readonly axes?: readonly Axis[];
  /** How each model is loaded. Default as `fromPretrained`. */
  readonly load?: LoadOptions;
  /** Keeps what is done: a run that was stopped goes on from there, without loading those models again (`jsonLines` in Node). */
  readonly record?: RecordStore;
  /** Called after every checkpoint with how many are done and in all. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const CHECKPOINT = options<Checkpoint>({ source: needed(is.text), revision: is.text, step: is.notNegative });
const takes = signatures({
  overCheckpoints: {
    checkpoints: is.listOf(
      is.either(is.text, CHECKPOINT),
      'a list of checkpoints, folders or { source, revision, step }',
    ),
    experiment: is.callback,
    options: options<OverCheckpointsOptions>({
      name: needed(is.text),
      axes: is.listOf(is.having('an axis, { name, labels }', 'name', 'labels'), 'axes, [{ name, labels }]'),
      load: LOADING,
      record: is.record,
      onProgress: is.callback,
      signal: is.signal,
    }),
  },
});

/**
 * Loads one checkpoint after another, runs the experiment on it, and disposes of it: one model is in memory at a time.
 * @param checkpoints folders, or `{ source, revision, step }`; results are in the order of their steps, if all have one
 * @param experiment is given the model and its checkpoint, and must not keep the model
 * @returns axes of the experiment × step; `figure(result)` draws curves. `meta.hashes` are those of the models' weights
 * @throws what loading and the experiment throw, with the checkpoint's name; when results differ in shape, or two steps are equal
 */
export const overCheckpoints = takes.overCheckpoints(async function overCheckpoints(
  checkpoints: readonly (string | Checkpoint)[],
  experiment: (
    model: HookedTransformer,
    checkpoint: Checkpoint,
  ) => ExperimentResult | Promise<ExperimentResult>,
  { name, axes: told, load = {}, record, onProgress, signal }: OverCheckpointsOptions,
): Promise<Labelled> {
  const list = ordered(checkpoints.map((c) => (typeof c === 'string' ? { source: c } : c)));
  if (!list.length) throw new Error('overCheckpoints: the list of checkpoints is empty');
  let axes = told;
  const measured = async (checkpoint: Checkpoint): Promise<readonly number[]> => {
    signal?.throwIfAborted();
    const what = nameOf(checkpoint);
    const { revision } = checkpoint;
    let model: HookedTransformer | null = null;
    try {
      model = await HookedTransformer.fromPretrained(checkpoint.source, {
        ...load,
        ...(revision !== undefined && { revision }),
        ...(signal && { signal }),
      });
      const { hash } = model;
      const found = await experiment(model, checkpoint);
      if (told === undefined && record && typeof found !== 'number')
        throw new Error('with a record, axes must be given: [{ name, labels }] of the experiment’s numbers');
      axes ??= axesOf(found);
      return [...bitsOf(hash), ...numbersOf(found, axes)];
    } catch (error) {
      if (signal?.aborted) throw error;
      throw fileError(`checkpoint ${what}`, error instanceof Error ? error.message : String(error), error);
    } finally {
      model?.dispose();
    }
  };

  const rows: (readonly number[] | null)[] = [];
  if (record) {
    const { adapter: _, signal: __, onProgress: ___, ...how } = load;
    const of = { method: METHOD, name, axes: told ?? [], checkpoints: list, load: how };
    const each = { of, count: list.length, batch: 1, record, onProgress, signal };
    rows.push(...(await recordedItems(each, async ([i]) => [await measured(list[i])])));
    axes ??= [];
  } else
    for (const checkpoint of list) {
      rows.push(await measured(checkpoint));
      onProgress?.(rows.length, list.length);
    }

  const size = rows[0]!.length - BITS;
  const values = new Float32Array(size * list.length);
  rows.forEach((row, c) => {
    for (let i = 0; i < size; i++) values[i * list.length + c] = row![BITS + i];
  });
  const steps = list.map((checkpoint) =>
    list[0].step === undefined ? nameOf(checkpoint) : `${checkpoint.step}`,
  );
  return labelled(
    values,
    [...axes!, { name: list[0].step === undefined ? 'checkpoint' : 'step', labels: steps }],
    {
      method: METHOD,
      metric: name,
      checkpoints: list.map(nameOf),
      hashes: rows.map((row) => hashOf(row!)),
    },
  );
});

const METHOD = 'over checkpoints';

/** Each with its step, in their order; as they are, without steps, where one has none. */
function ordered(list: readonly Checkpoint[]): Checkpoint[] {
  const steps = list.map(({ source, revision, step }) => {
    if (step !== undefined) return step;
    const found = /(\d+)\D*$/.exec(
      revision ??
        source
          .replace(/[/\\]+$/, '')
          .split(/[/\\]/)
          .at(-1)!,
    );
    return found ? Number(found[1]) : null;
  });
  if (steps.includes(null)) return list.map(({ step: _, ...rest }) => rest);
  const all = list.map((checkpoint, i) => ({ ...checkpoint, step: steps[i]! }));
  all.sort((a, b) => a.step - b.step);
  const twice = all.find(({ step }, i) => step === all[i + 1]?.step);
  if (twice)
    throw new Error(
      `overCheckpoints: two checkpoints are of step ${twice.step}, ${shownJson(nameOf(twice))} is one: give each its step`,
    );
  return all;
}

const nameOf = ({ source, revision }: Checkpoint): string => (revision ? `${source}@${revision}` : source);

const axesOf = (found: ExperimentResult): readonly Axis[] => {
  if (typeof found === 'number') return [];
  if ('axes' in found) return found.axes;
  return [{ name: 'value', labels: Array.from(found, (_, i) => String(i)) }];
};

/** The numbers of a result. @throws when they do not fill the axes, or have others */
function numbersOf(found: ExperimentResult, axes: readonly Axis[]): number[] {
  const shape = axes.map(({ labels }) => labels.length);
  const size = shape.reduce((a, b) => a * b, 1);
  const values = typeof found === 'number' ? [found] : Array.from('axes' in found ? found.values : found);
  const said = (list: readonly Axis[]) =>
    list.map((axis) => `${axis.name}:${axis.labels.join()}`).join(' × ');
  const other = typeof found === 'object' && 'axes' in found && said(found.axes) !== said(axes);
  if (values.length === size && !other) return values;
  const wanted = `${size === 1 ? 'one number' : `${size} numbers`} (${axes.map((a) => a.name).join(' × ') || 'no axes'})`;
  throw new Error(
    other && values.length === size
      ? `the experiment’s result has other axes or labels than ${told(axes)}`
      : `the experiment gives ${values.length} numbers, ${wanted} ${size === 1 ? 'is' : 'are'} needed`,
  );
}

const told = (axes: readonly Axis[]): string =>
  axes.map(({ name, labels }) => `${name} (${labels.length})`).join(' × ') || 'none';

/** A model's hash stands before its numbers in a record, as two whole numbers of 32 bits. */
const BITS = 2;
const bitsOf = (hash: string): number[] =>
  [hash.slice(0, 8), hash.slice(8, 16)].map((half) => Number.parseInt(half, 16));
const hashOf = (row: readonly number[]): string =>
  row
    .slice(0, BITS)
    .map((half) => half.toString(16).padStart(8, '0'))
    .join('');
