/** A plain function of the logits as a metric. */

import { LOGITS_BYTES } from '../../engine/budgets.js';
import { showShape } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { unembed } from '../../engine/transformer/ops.js';
import type { Model } from '../input/model.js';
import type { Metric, MetricContext, PreparedMetric } from './metric.js';
import { madeOf } from './readout.js';
import { asRows } from './view.js';

/**
 * A function of all logits of a run, [batch, pos, dVocab] ([tokens, dVocab] with the same axes where rows differ in length:
 * `logits.slice({ pos: -1 })` is [batch, dVocab] in both). It gives one number: a tensor with one element, or, where no gradient
 * is taken, a number. Tensors that it makes are freed when it returns.
 */
export type LogitsFunction = (logits: Tensor) => Tensor | number | Promise<Tensor | number>;

/** What methods take as a metric: `logitDiff(…)` and the like, or a function of the logits. */
export type MetricLike = Metric | LogitsFunction;

/** A metric as methods use it. A function reads all positions of all prompts of a run, and gives the one number for each of them. */
export const asMetric = (metric: MetricLike): Metric =>
  typeof metric !== 'function'
    ? metric
    : {
        name: metric.name || 'function of the logits',
        reads: 'whole',
        per: 'batch',
        text: String(metric),
        prepare: (context) => prepared(metric, context),
      };

function prepared(fn: LogitsFunction, { model, rows, reads }: MetricContext): PreparedMetric {
  const n = reads.length;
  const starts = rows.map((_, i) => rows.slice(0, i).reduce((sum, row) => sum + row.length, 0));
  const layout = {
    rows: rows.map(({ length }, i) => ({ start: starts[i], length, position: 0, block: 0 })),
    equal: rows.every((row) => row.length === rows[0].length),
  };
  const step = n * Math.max(1, Math.floor(LOGITS_BYTES / 4 / n / (model as Model).gpuWeights.W_U.rows));
  const runsOf = async (x: Tensor, logitsOf: (x: Tensor) => Tensor) => {
    const values: Tensor[] = [];
    for (let from = 0; from < x.shape[0]; from += step) {
      const all = logitsOf(x.window([[from, Math.min(from + step, x.shape[0])]]));
      for (let at = 0; at < all.shape[0]; at += n) {
        const logits = asRows(all.window([[at, at + n]]), ['d_vocab'], layout);
        values.push(oneNumber(await fn(logits), x));
      }
    }
    const { gpu, scope } = x;
    const each = Tensor.from(gpu, new Float32Array(n).fill(1), [1, n], { label: 'reads', scope });
    return Tensor.concat(values).reshape([-1, 1]).mul(each).reshape([-1]);
  };
  const { W_U, b_U } = (model as Model).gpuWeights;
  return {
    evaluate: (x) => madeOf(x, (x) => runsOf(x, (one) => unembed(one, W_U, b_U))),
    ofLogits: (logits) => madeOf(logits, (logits) => runsOf(logits, (one) => one)),
  };
}

function oneNumber(value: Tensor | number, { gpu, scope }: Tensor): Tensor {
  if (value instanceof Tensor && value.size === 1) return value.reshape([1]);
  if (typeof value === 'number')
    return Tensor.from(gpu, Float32Array.of(value), [1], { label: 'metric', scope });
  throw new Error(
    `the metric gave ${value instanceof Tensor ? `a tensor ${showShape(value.shape)}` : typeof value}: one number is needed, like logits.slice({ pos: -1 }).mean()`,
  );
}
