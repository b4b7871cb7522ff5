/** A metric of a recorded run: its numbers, and where gradients start. */

import type { Scope } from '../../engine/gpu/storage.js';
import { showShape } from '../../engine/shape/shape.js';
import { isTaped } from '../../engine/tensor/tape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { pickRows, unembed } from '../../engine/transformer/ops.js';
import { finite } from '../../weights/checks/finite.js';
import { type InputOptions, type ModelInput, readInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import type { LogitsFunction, MetricLike } from '../run/function-metric.js';
import { type Metric, mean, type PreparedMetric, type Read } from '../run/metric.js';
import { type Ended, run } from '../run/run.js';
import { asRows } from '../run/view.js';
import { readsOf } from '../sweep/base.js';

/** A metric, or a function of all logits that computes its one number with operations on tensors: see `LogitsFunction`. */
export type Differentiable = MetricLike;

/** What a metric made of a run. */
export interface Measured {
  /** What is differentiated: the mean over prompts, or with `per: 'prompt'` their sum. */
  readonly value: number;
  readonly prompts: Float32Array;
  readonly seeds: readonly (readonly [of: Tensor, gradient: Tensor])[];
}

/** What `measure` is told besides the run. */
export interface MeasureSetting {
  readonly tokens: readonly (readonly number[])[];
  /** Makes the logits of what the unembedding reads, where they are points of the tape; null: they are none. */
  readonly watchLogits: ((x: Tensor) => Tensor) | null;
  /** Other prompts that the metric compares with. */
  readonly sources: Readonly<Record<string, ModelInput>>;
  /** How prompts are read: those that it compares with as those of the run. */
  readonly inputOptions: InputOptions;
}

/** @throws when it is neither a metric nor a function. */
export function checkMetric(metric: Differentiable): void {
  if (typeof metric !== 'function' && typeof metric?.prepare !== 'function')
    throw new Error('metric: one like logitDiff(" Mary", " John"), or a function of the logits, is needed');
}

/** Evaluates a metric; what it makes belongs to `scope`. @throws when it has no gradient. */
export async function measure(
  model: Model,
  metric: Differentiable,
  ended: Ended,
  scope: Scope,
  setting: MeasureSetting,
): Promise<Measured> {
  return typeof metric === 'function'
    ? measureFunction(model, metric, ended, scope, setting)
    : measureMetric(model, metric, ended, scope, setting);
}

async function measureFunction(
  { gpu, gpuWeights: w }: Model,
  metric: LogitsFunction,
  { x, batch }: Ended,
  scope: Scope,
  { watchLogits }: MeasureSetting,
): Promise<Measured> {
  const seen = watchLogits?.(x) ?? unembed(x, w.W_U, w.b_U);
  const logits = asRows(seen, ['d_vocab'], batch);
  const value = await metric(logits);
  if (!(value instanceof Tensor) || value.size !== 1)
    throw new Error(
      `the metric gave ${value instanceof Tensor ? `a tensor ${showShape(value.shape)}` : typeof value}: a tensor with one number is needed`,
    );
  checkTaped(value, logits, 'the metric');
  const seed = Tensor.from(gpu, Float32Array.of(1), value.shape, { label: 'seed', scope });
  const number = await value.item();
  finite([number], () => 'the metric');
  return { value: number, prompts: Float32Array.of(number), seeds: [[value, seed]] };
}

async function measureMetric(
  model: Model,
  metric: Metric,
  { x, batch }: Ended,
  scope: Scope,
  { tokens, watchLogits, sources, inputOptions }: MeasureSetting,
): Promise<Measured> {
  const { gpu } = model;
  if (!tokens.every((row) => row.length))
    throw new Error(
      `metric ${metric.name}: a run from a residual stream has no tokens: give a function of the logits`,
    );
  const reads = readsOf(tokens, metric.reads);
  const rowOf = ({ row, pos }: Read) => batch.rows[row].start + pos;
  const final = (name: string) => finalOf(model, name, { tokens, sources, inputOptions, reads }, scope);
  const prepared = await metric.prepare({ model, rows: tokens, reads, final });
  try {
    let values: Tensor;
    if (watchLogits) {
      const logits = watchLogits(x);
      values = await ofLogits(prepared, metric, pickRows(logits, reads.map(rowOf)), reads);
    } else values = await prepared.evaluate(pickRows(x, reads.map(rowOf)), reads);
    if (values.size !== reads.length)
      throw new Error(`metric ${metric.name} gave ${values.size} numbers for ${reads.length} reads`);
    checkTaped(values, x, `metric ${metric.name}`);
    scope.add(values);
    const count = tokens.map((_, row) => reads.filter((r) => r.row === row).length);
    const share = metric.per === 'batch' ? 1 / tokens.length : 1;
    const weights = Float32Array.from(reads, ({ row }) => share / count[row]);
    const seed = Tensor.from(gpu, weights, values.shape, { label: 'seed', scope });
    const prompts = new Float64Array(tokens.length);
    finite(
      await values.data(),
      (i) => `metric ${metric.name}, prompt ${reads[i].row}, position ${reads[i].pos}: it`,
    ).forEach((v, i) => {
      prompts[reads[i].row] += v / count[reads[i].row];
    });
    const value = metric.per === 'batch' ? mean([...prompts]) : prompts.reduce((a, b) => a + b, 0);
    return { value, prompts: Float32Array.from(prompts), seeds: [[values, seed]] };
  } finally {
    prepared.dispose?.();
  }
}

function ofLogits(prepared: PreparedMetric, { name }: Metric, logits: Tensor, reads: readonly Read[]) {
  if (!prepared.ofLogits) throw new Error(`metric ${name} has no gradient at the logits`);
  return prepared.ofLogits(logits, reads);
}

function checkTaped(value: Tensor, from: Tensor, what: string): void {
  if (isTaped(from) && !isTaped(value))
    throw new Error(
      `${what} has no gradient: it does not change smoothly with the logits (like a rank), or was computed on the host; compute it with operations on tensors`,
    );
}

/** What the unembedding reads in another run, at the same places: [reads, dModel], in `scope`. */
async function finalOf(
  model: Model,
  name: string,
  o: {
    tokens: readonly (readonly number[])[];
    sources: Readonly<Record<string, ModelInput>>;
    inputOptions: InputOptions;
    reads: readonly Read[];
  },
  scope: Scope,
): Promise<Tensor> {
  const source = name === 'base' ? (o.tokens as number[][]) : o.sources[name];
  if (source === undefined)
    throw new Error(
      `there is no run "${name}" to compare with: name its prompts in \`sources: { ${name}: … }\`, or take 'base', this run without hooks`,
    );
  const { inputs, tokens } = readInput(model, source, o.inputOptions);
  if (tokens.length !== o.tokens.length || tokens.some((row, i) => row.length !== o.tokens[i].length))
    throw new Error(`source "${name}": its prompts must have the lengths of those of this run`);
  return run(model, { inputs }, ({ x, batch }) => {
    const picked = pickRows(
      x,
      o.reads.map(({ row, pos }) => batch.rows[row].start + pos),
    );
    picked.keep();
    scope.add(picked);
    return picked;
  });
}
