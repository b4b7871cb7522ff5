/**
 * Causal traces of many facts, averaged by what each token is to the subject (ROME's
 * `average_causal_effects`).
 */

import { is, signatures } from '../../hooks/input/check.js';
import { mean } from '../../hooks/run/metric.js';
import { type Labelled, labelled } from '../results/result.js';
import type { CausalTrace, WrongAnswer } from './causal-trace.js';
import { tokenRoleNames, tokenRoles } from './subject.js';

/** Average indirect effects. */
export interface AverageTrace {
  /**
   * Mean probability of the answer with a state restored, minus the mean with nothing restored, by role ×
   * layer; NaN where no prompt has a token of the role. ROME's heat map shows it clipped at zero.
   */
  readonly effect: Labelled;
  /**
   * Half the width of a 95 % band: 1.96 · σ/√n, n the number of traces, σ over all rows of the role (÷ their
   * number).
   */
  readonly band: Labelled;
  /** Rows of each role. */
  readonly rows: readonly number[];
  /** Traces in the average: those of facts that the model knows. */
  readonly traces: number;
  readonly lowScore: number;
  readonly highScore: number;
  /** Average total effect: highScore − lowScore. */
  readonly totalEffect: number;
}

const takes = signatures({
  averageTraces: {
    traces: is.listOf(is.having('a trace', 'correct'), 'a list of traces, as causalTrace gives them'),
  },
});

/**
 * Averages traces by token role. Wrong answers are left out. A row counts once for each role of its token
 * (`tokenRoles`).
 * @throws when no trace is left, or they differ in kind, window or layers, or lack tokens.
 */
export const averageTraces = takes.averageTraces(function averageTraces(
  traces: readonly (CausalTrace | WrongAnswer)[],
): AverageTrace {
  const known = traces.filter((t): t is CausalTrace => t.correct);
  if (!known.length) throw new Error(`averageTraces: none of ${traces.length} traces has the right answer`);
  const [{ scores, kind, window }] = known;
  const nLayers = scores.shape[1];
  known.forEach((t, i) => {
    if (t.kind !== kind || t.window !== window || t.scores.shape[1] !== nLayers)
      throw new Error(`averageTraces: trace ${i} differs from the first in kind, window or layers`);
    if (t.positions.length !== t.tokens.length)
      throw new Error(`averageTraces: trace ${i} has not all tokens; trace with tokens: 'all'`);
  });

  const lowScore = mean(known.map((t) => t.lowScore));
  const highScore = mean(known.map((t) => t.highScore));
  const byRole = tokenRoleNames.map((_, role) =>
    known.flatMap((t) =>
      tokenRoles(t.subject, t.tokens.length)[role].map((p) =>
        t.scores.values.subarray(p * nLayers, (p + 1) * nLayers),
      ),
    ),
  );
  const effect = new Float32Array(byRole.length * nLayers);
  const band = new Float32Array(byRole.length * nLayers);
  byRole.forEach((rows, role) => {
    for (let l = 0; l < nLayers; l++) {
      const column = rows.map((row) => row[l]);
      const average = mean(column);
      const sigma = Math.sqrt(mean(column.map((x) => (x - average) ** 2)));
      effect[role * nLayers + l] = average - lowScore;
      band[role * nLayers + l] = (1.96 * sigma) / Math.sqrt(known.length);
    }
  });
  const axes = [{ name: 'role', labels: tokenRoleNames }, scores.axes[1]];
  const { tokens, subject, answer, clean, corrupted, unchanged, warnings, work, ...shared } = scores.meta;
  const metric = 'probability of the answer: restored − corrupted'; // each trace has an answer of its own
  const meta = {
    ...{ ...shared, method: 'average indirect effects', metric },
    ...{ traces: known.length, lowScore, highScore },
  };
  return {
    effect: labelled(effect, axes, meta, 'allowed'),
    band: labelled(band, axes, meta, 'allowed'),
    rows: byRole.map((rows) => rows.length),
    traces: known.length,
    lowScore,
    highScore,
    totalEffect: highScore - lowScore,
  };
});
