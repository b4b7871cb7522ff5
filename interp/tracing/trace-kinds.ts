/** The three traces that ROME draws of a prompt (`plot_all_flow`): states, MLPs and attention restored. */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { type Labelled, labelled } from '../results/result.js';
import {
  CAUSAL_TRACE,
  type CausalTrace,
  type CausalTraceOptions,
  causalTrace,
  type TraceKind,
} from './causal-trace.js';

/** In the order of ROME's notebooks. */
export const traceKinds: readonly TraceKind[] = [null, 'mlp', 'attn'];

const { kind: _kind, expect: _expect, ...EVERY_KIND } = CAUSAL_TRACE;

const takes = signatures({
  traceAll: {
    model: is.model,
    options: options<Omit<CausalTraceOptions, 'kind' | 'expect'>>(EVERY_KIND),
  },
  joinTraces: {
    traces: is.several(is.having('a trace', 'scores', 'window'), 'a list of traces, as traceAll gives them'),
  },
});

/**
 * `causalTrace` of each kind, with the same noise; of a model without MLPs, states and attention. `traceFigure` draws them side by side, `joinTraces` makes them one result.
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

/** Traces of one prompt as one result: kind × pos × layer. `meta.windows` has the window of each. */
export const joinTraces = takes.joinTraces(function joinTraces(traces: readonly CausalTrace[]): Labelled {
  const [{ scores }] = traces;
  const values = Float32Array.from(traces.flatMap((t) => [...t.scores.values]));
  const kinds = { name: 'kind', labels: traces.map((t) => t.kind ?? 'state') };
  const { kind, window, unchanged, work, ...meta } = scores.meta;
  return labelled(values, [kinds, ...scores.axes], { ...meta, windows: traces.map((t) => t.window) });
});
