/** A metric on prompts as they are. */

import type { TextInput } from '../../engine/tokens/text.js';
import { is, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { measuredRun } from '../../hooks/metrics/measured-run.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';

const takes = signatures({
  measure: {
    model: is.model,
    input: is.prompts,
    metric: is.metric,
    options: options<{ readonly prependBos?: boolean }>({ prependBos: is.boolean }),
  },
});

/** A metric's values. */
export interface Measured {
  /** The mean over the prompts. */
  readonly value: number;
  /** Of each prompt. */
  readonly prompts: readonly number[];
}

/**
 * Evaluates a metric, such as `logitDiff(' Mary', ' John')`, on a prompt or several.
 * @throws when a prompt cannot be read, or the metric compares with other runs (`kl`)
 */
export const measure = takes.measure(async function measure(
  model: Model,
  input: TextInput,
  metric: MetricLike,
  { prependBos }: { readonly prependBos?: boolean } = {},
): Promise<Measured> {
  const { tokens } = readInput(model, input, { prependBos });
  const { value, prompts } = await measuredRun(model, tokens, asMetric(metric), []);
  return { value, prompts: Array.from(prompts) };
});
