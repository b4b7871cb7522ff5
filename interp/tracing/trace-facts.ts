/** Causal traces of many facts, with a record: hours on a large model, which may be stopped and go on. */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import type { RecordStore } from '../../hooks/sweep/record/record.js';
import { recordedItems } from '../../hooks/sweep/record/record-cells.js';
import { provenance } from '../results/provenance.js';
import { labelled } from '../results/result.js';
import {
  CAUSAL_TRACE,
  type CausalTrace,
  type CausalTraceOptions,
  causalTrace,
  type WrongAnswer,
} from './causal-trace.js';
import type { Fact } from './facts.js';
import { textOf, traceAxes } from './trace-grid.js';

const { prompt: _p, subject: _s, expect: _e, gaussian: _g, ...OF_EACH } = CAUSAL_TRACE;
const takes = signatures({
  traceFacts: {
    model: is.model,
    facts: is.listOf(
      is.having('a fact', 'prompt', 'subject', 'attribute'),
      'facts, [{ prompt, subject, attribute }]',
    ),
    options: options<TraceFactsOptions>({ ...OF_EACH, record: is.record }),
  },
});

/** Options of `traceFacts`: those of each trace, but for what the facts say. */
export interface TraceFactsOptions
  extends Omit<CausalTraceOptions, 'prompt' | 'subject' | 'expect' | 'gaussian'> {
  /** Keeps traces as they come: a run that was stopped goes on from there (`jsonLines` in Node). */
  readonly record?: RecordStore;
  /** Called after every fact with the number of facts done and in all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * `causalTrace` of each fact with its attribute as the right answer, for `averageTraces`.
 * @returns a trace a fact, or the wrong answer that the model gives
 * @throws what `causalTrace` throws, and when the record is of something else
 */
export const traceFacts = takes.traceFacts(async function traceFacts(
  model: Model,
  facts: readonly Fact[],
  { record, onProgress, signal, ...options }: TraceFactsOptions = {},
): Promise<(CausalTrace | WrongAnswer)[]> {
  const trace = ({ prompt, subject, attribute }: Fact) =>
    causalTrace(model, { ...options, prompt, subject, expect: attribute, signal });
  if (!record) {
    const traces: (CausalTrace | WrongAnswer)[] = [];
    for (const fact of facts) {
      traces.push(await trace(fact));
      onProgress?.(traces.length, facts.length);
    }
    return traces;
  }
  const asked = facts.map(({ prompt, subject, attribute }) => [prompt, subject, attribute]);
  const of = { method: 'causal traces of facts', model: model.hash, options, asked };
  const rows = await recordedItems({ of, count: facts.length, batch: 1, record, onProgress, signal }, ([i]) =>
    trace(facts[i]).then((found) => [numbersOf(found)]),
  );
  return rows.map((row, i) => traceOf(model, facts[i], options, row!));
});

/**
 * Correct, answer, p(answer); of a trace also the low score, noise, subject, window, positions, and the
 * scores.
 */
function numbersOf(found: CausalTrace | WrongAnswer): number[] {
  const head = [found.correct ? 1 : 0, found.answer.token, found.highScore];
  if (!found.correct) return head;
  const { lowScore, noise, subject, window, positions, scores } = found;
  return [
    ...head,
    lowScore,
    noise ?? Number.NaN,
    ...subject,
    window,
    positions.length,
    ...positions,
    ...scores.values,
  ];
}

function traceOf(
  model: Model,
  fact: Fact,
  options: TraceFactsOptions,
  [correct, token, highScore, lowScore, level, start, end, window, n, ...rest]: readonly number[],
): CausalTrace | WrongAnswer {
  const answer = { token, text: textOf(model, token) };
  if (!correct) return { correct: false, answer, highScore };
  const { kind = null, noise: rule = level, samples = 10, seed = 1, replace = false, ...more } = options;
  const prependBos = more.prependBos ?? model.tokenizer?.addsBos ?? false;
  const [tokens] = model.toTokens(fact.prompt, { prependBos });
  const subject = [start, end] as const;
  const [positions, values] = [rest.slice(0, n), Float32Array.from(rest.slice(n))];
  const { layer, pos } = traceAxes(model, { tokens, subject, positions });
  const noise = Number.isNaN(level) ? null : level;
  const meta = provenance(model, {
    ...{ method: 'causal tracing', kind, window, subject, answer, samples, seed, replace },
    ...{ noise: { rule, level: noise }, clean: highScore, corrupted: lowScore, tokens, recorded: true },
  });
  const scores = labelled(values, [pos, layer], meta);
  return {
    correct: true,
    scores,
    lowScore,
    highScore,
    answer,
    tokens,
    subject,
    positions,
    kind,
    window,
    noise,
  };
}
