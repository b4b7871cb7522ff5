/** The three traces that ROME draws of a prompt (`plot_all_flow`): states, MLPs and attention restored. */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { CAUSAL_TRACE, type CausalTrace, type CausalTraceOptions, causalTrace } from './causal-trace.js';
import { traceKinds } from './joined-traces.js';

const { kind: _kind, expect: _expect, ...EVERY_KIND } = CAUSAL_TRACE;

const takes = signatures({
  traceAll: {
    model: is.model,
    options: options<Omit<CausalTraceOptions, 'kind' | 'expect'>>(EVERY_KIND),
  },
});

/**
 * `causalTrace` of each kind, with the same noise; of a model without MLPs, states and attention.
 * `traceFigure` draws them side by side, `joinTraces` makes them one result.
 * @throws what `causalTrace` throws
 */
export const traceAll = takes.traceAll(async function traceAll(
  model: Model,
  options: Omit<CausalTraceOptions, 'kind' | 'expect'>,
): Promise<CausalTrace[]> {
  const { onProgress } = options;
  const kinds = traceKinds.filter((kind) => kind !== 'mlp' || !model.config.attnOnly);
  const traces: CausalTrace[] = [];
  for (const [i, kind] of kinds.entries())
    traces.push(
      await causalTrace(model, {
        ...options,
        kind,
        onProgress: (done, total) => onProgress?.(i * total + done, kinds.length * total),
      }),
    );
  return traces;
});
