/** A metric's numbers at some places, on the host, where they are numbers. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { finite } from '../../weights/checks/finite.js';
import type { PreparedMetric, Read } from './metric.js';

/**
 * The metric at each read.
 * @param x what the unembedding reads there, [reads, dModel]
 * @param what names the run that read i belongs to
 * @throws when it gives another number of values, or one that is NaN or infinite: with run, prompt and
 * position
 */
export async function metricValues(
  metric: PreparedMetric,
  x: Tensor,
  reads: readonly Read[],
  what: (i: number) => string,
): Promise<Float32Array> {
  if (!reads.length) return new Float32Array(0); // a change at the last position, of a loss that reads those before
  const t = await metric.evaluate(x, reads);
  try {
    if (t.size !== reads.length)
      throw new Error(`the metric gave ${t.size} numbers for ${reads.length} reads`);
    const place = (i: number) => `${what(i)}, prompt ${reads[i].row}, position ${reads[i].pos}`;
    return finite(await t.data(), (i) => `${place(i)}: the metric`);
  } finally {
    t.dispose();
  }
}
