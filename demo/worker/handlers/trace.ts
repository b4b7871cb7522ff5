/**
 * Three causal traces, a few positions at a time: each takes its turn on the GPU, so that the maps fill while
 * one looks and what a reader has just asked for goes in between. The noise is the same every time, so are
 * the numbers.
 */

import type { SweepWork } from '../../../hooks/sweep/counterfactuals.js';
import { labelled } from '../../../interp/results/result.js';
import { type CausalTrace, causalTrace, type TraceKind } from '../../../interp/tracing/causal-trace.js';
import { traceKinds } from '../../../interp/tracing/joined-traces.js';
import type { Edits } from '../../app/changes.js';
import type { Handler } from '../handler.js';

/** What is traced. */
export interface TraceParams {
  /** Tokens, with the beginning-of-text token where the trace has one. */
  readonly prompt: readonly number[];
  /** Text in the prompt that is corrupted. */
  readonly subject: string;
  /** Layers of MLPs and attention that are restored together. */
  readonly window: number;
  readonly samples: number;
  /** The token whose probability is measured; null: what the clean run says next. */
  readonly answer: number | null;
  readonly edits: Edits;
}

/** Some rows of a map. */
export interface TraceRows {
  readonly kind: TraceKind;
  readonly trace: CausalTrace;
}

/** As long as a reader waits for something new. */
const BATCH_MS = 600;

/** `causalTrace` of each kind. */
export const trace: Handler<TraceParams, readonly CausalTrace[], TraceRows> = async (
  { prompt, subject, window, samples, answer, edits },
  { engine, signal, emit },
) => {
  const { model } = engine;
  const whole: CausalTrace[] = [];
  let batch = 1;
  for (const kind of traceKinds) {
    const parts: CausalTrace[] = [];
    for (let at = 0; at < prompt.length; ) {
      const tokens = Array.from({ length: Math.min(batch, prompt.length - at) }, (_, i) => at + i);
      const began = performance.now();
      const part = await engine.turn(
        () => {
          signal.throwIfAborted();
          if (engine.current !== model) throw new Error('the model was changed: the trace was given up');
          return causalTrace(engine.changed(edits), {
            ...{ prompt, subject, kind, window, samples, tokens, signal },
            ...(answer !== null && { answer }),
          });
        },
        { patient: true },
      );
      emit({ kind, trace: part });
      parts.push(part);
      at += tokens.length;
      const ms = performance.now() - began;
      batch = Math.round(Math.min(batch * 3, Math.max(1, (tokens.length * BATCH_MS) / ms)));
    }
    whole.push(joined(parts));
  }
  return whole;
};

/** Traces of neighbouring positions as one. */
function joined(parts: readonly CausalTrace[]): CausalTrace {
  const [first] = parts;
  const { axes, meta } = first.scores;
  const values = Float32Array.from(parts.flatMap((p) => [...p.scores.values]));
  const pos = { name: axes[0].name, labels: parts.flatMap((p) => p.scores.axes[0].labels) };
  const scores = labelled(values, [pos, axes[1]], {
    ...meta,
    unchanged: parts.flatMap((p) => p.scores.meta.unchanged as readonly unknown[]),
    work: parts.map((p) => p.scores.meta.work as SweepWork).reduce(addedWork),
  });
  return { ...first, scores, positions: parts.flatMap((p) => p.positions) };
}

const addedWork = (a: SweepWork, b: SweepWork): SweepWork => ({
  tokenLayers: a.tokenLayers + b.tokenLayers,
  naiveTokenLayers: a.naiveTokenLayers + b.naiveTokenLayers,
  dispatches: a.dispatches + b.dispatches,
  bytes: Math.max(a.bytes, b.bytes),
  chunks: a.chunks + b.chunks,
  ms: a.ms + b.ms,
});
