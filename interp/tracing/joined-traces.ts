/** Traces of several kinds as one result. */

import { is, signatures } from '../../hooks/input/check.js';
import { type Labelled, labelled } from '../results/result.js';
import type { CausalTrace, TraceKind } from './causal-trace.js';

/** In the order of ROME's notebooks. */
export const traceKinds: readonly TraceKind[] = [null, 'mlp', 'attn'];

const takes = signatures({
  joinTraces: {
    traces: is.several(is.having('a trace', 'scores', 'window'), 'a list of traces, as traceAll gives them'),
  },
});

/** Traces of one prompt as one result: kind × pos × layer. `meta.windows` has the window of each. */
export const joinTraces = takes.joinTraces(function joinTraces(traces: readonly CausalTrace[]): Labelled {
  const [{ scores }] = traces;
  const values = Float32Array.from(traces.flatMap((t) => [...t.scores.values]));
  const kinds = { name: 'kind', labels: traces.map((t) => t.kind ?? 'state') };
  const { kind, window, unchanged, work, ...meta } = scores.meta;
  return labelled(values, [kinds, ...scores.axes], { ...meta, windows: traces.map((t) => t.window) });
});
