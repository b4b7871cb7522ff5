/**
 * Causal tracing (Meng et al. 2022, ROME): where does a model keep a fact?
 *
 * Corrupt the subject of a factual prompt with noise on its embeddings, and the answer is lost. Then restore
 * the clean run's activation at one token and one layer (or a window of layers): where the answer comes back,
 * the fact passes through. Scores are probabilities of the answer, averaged over several draws of the noise.
 *
 * What follows are ROME's rules, traps included: every run sees the same noise,
 * `RandomState(1).randn(samples, tokens, dModel)`; probabilities are averaged after the softmax; a restored
 * MLP or attention is what it adds to the residual stream, bias included; a beginning-of-text token is
 * prepended only where the model's own tokenizer does so (GPT-2's does not).
 */

import { is, needed, options, type Spec, signature } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import {
  type EmbeddingGaussian,
  embeddingNoise,
  type NoiseRule,
  romeNoise,
} from '../../hooks/interventions/noise.js';
import type { LensToken } from '../logits/lens.js';
import { answerIds, prob } from '../logits/metrics.js';
import { counterfactuals } from '../patching/counterfactuals.js';
import { notFirst, warningsIn } from '../results/ends.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import {
  bosOfTokenizer,
  noiseWarning,
  positive,
  restoreGrid,
  subjectOf,
  textOf,
  topNext,
  traceAxes,
} from './trace-grid.js';

/** What is restored: the residual stream after a block, or what MLPs or attention layers add to it. */
export type TraceKind = null | 'mlp' | 'attn';

/** Options of `causalTrace`. */
export interface CausalTraceOptions {
  /** Text or tokens, up to where the answer begins. */
  readonly prompt: string | readonly number[];
  /**
   * What is corrupted: text within the prompt, or tokens [start, end), the beginning-of-text token counted.
   * Default: guessed.
   */
  readonly subject?: string | readonly [start: number, end: number];
  /** Default null: single states. */
  readonly kind?: TraceKind;
  /** Layers of MLP or attention that are restored together, around each layer. Default 10. */
  readonly window?: number;
  /** Default: what ROME states for the family: 0.1 for GPT-2, as in its notebooks; its paper has `'s3'`. */
  readonly noise?: NoiseRule;
  /** For `noise: 's…'`. ROME measures the subjects of all its facts. Default: this subject. */
  readonly subjects?: readonly (string | readonly number[])[];
  /** For `noise: 'm'` and `'t…'`. */
  readonly gaussian?: EmbeddingGaussian;
  /** Noise takes the place of the embedding instead of being added. Default false. */
  readonly replace?: boolean;
  /** Draws of the noise. Default 10. */
  readonly samples?: number;
  /** Of NumPy's `RandomState`. Default 1. */
  readonly seed?: number;
  /**
   * Sever the MLPs of the restored token, in all layers: they stay what they are in a corrupted run. Default
   * false.
   */
  readonly disableMlp?: boolean;
  /** The same for attention. */
  readonly disableAttn?: boolean;
  /** Restore at all tokens, at the last one of the subject, or at these positions. Default 'all'. */
  readonly tokens?: 'all' | 'subject_last' | readonly number[];
  /**
   * The token whose probability is measured, as text (`' Mary'`) or id. Default: what the clean run says
   * next.
   */
  readonly answer?: string | number;
  /** The right answer, without a blank: if the model gives another, nothing is traced. */
  readonly expect?: string;
  /**
   * Prepend the beginning-of-text token to a text. Default: as the model's tokenizer does in Python
   * (`tokenizer.addsBos`).
   */
  readonly prependBos?: boolean;
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A token and its text, blank included. */
export interface Answer {
  readonly token: number;
  readonly text: string;
}

/** A causal trace. */
export interface CausalTrace {
  readonly correct: true;
  /**
   * Probability of the answer with a clean state restored, by pos × layer. The subject's labels end in `*`.
   */
  readonly scores: Labelled;
  /** With nothing restored. */
  readonly lowScore: number;
  /** Of the clean run. */
  readonly highScore: number;
  /** The token whose probability is measured: the given one, or what the clean run says next. */
  readonly answer: Answer;
  readonly tokens: readonly number[];
  /** The subject's tokens [start, end). */
  readonly subject: readonly [start: number, end: number];
  /** Positions of the rows of `scores`. */
  readonly positions: readonly number[];
  readonly kind: TraceKind;
  /** 1 for single states. */
  readonly window: number;
  /** Standard deviation of the noise, as `EmbeddingNoise` says it. */
  readonly noise: number | null;
}

/** The model does not know the fact. */
export interface WrongAnswer {
  readonly correct: false;
  readonly answer: Answer;
  readonly highScore: number;
}

/** What `causalTrace` may be told. */
export const CAUSAL_TRACE = {
  prompt: needed(is.prompt),
  subject: is.either(is.text, is.range),
  kind: is.oneOf(null, 'mlp', 'attn'),
  window: is.count,
  noise: is.noise,
  subjects: is.subjects,
  gaussian: is.plainObject,
  replace: is.boolean,
  samples: is.count,
  seed: is.seed,
  disableMlp: is.boolean,
  disableAttn: is.boolean,
  tokens: is.either(is.oneOf('all', 'subject_last'), is.tokens),
  expect: is.text,
  answer: is.token,
  prependBos: is.boolean,
  onProgress: is.callback,
  signal: is.signal,
} satisfies Spec<CausalTraceOptions>;
const takes = signature('causalTrace', {
  model: is.model,
  options: options<CausalTraceOptions>(CAUSAL_TRACE),
});

const SITES = { state: 'resid_post', mlp: 'mlp_out', attn: 'attn_out' } as const;

/**
 * Traces a fact.
 * @returns scores by position and layer; with `expect`, a `WrongAnswer` when the model gives another.
 * @throws when the subject does not occur in the prompt, the noise is no rule, or a size is not positive.
 */
export async function causalTrace(
  model: Model,
  options: CausalTraceOptions & { readonly expect?: undefined },
): Promise<CausalTrace>;
export async function causalTrace(
  model: Model,
  options: CausalTraceOptions,
): Promise<CausalTrace | WrongAnswer>;
export async function causalTrace(
  model: Model,
  options: CausalTraceOptions,
  ...more: []
): Promise<CausalTrace | WrongAnswer> {
  takes(model, options, ...more);
  const { kind = null, noise: rule = romeNoise(model), samples = 10, seed = 1, replace = false } = options;
  const { prependBos = bosOfTokenizer(model) } = options;
  const { disableMlp = false, disableAttn = false, expect, gaussian, onProgress, signal } = options;
  if (kind !== null && kind !== 'mlp' && kind !== 'attn')
    throw new Error(`kind "${kind}": there are null, 'mlp', 'attn'`);
  const where = options.tokens ?? 'all';
  if (typeof where === 'string' && where !== 'all' && where !== 'subject_last')
    throw new Error(`tokens "${where}": there are 'all', 'subject_last', and lists of positions`);
  const window = kind ? positive('window', options.window ?? 10) : 1;
  positive('samples', samples);
  if ((kind === 'mlp' && disableMlp) || (kind === 'attn' && disableAttn))
    throw new Error(
      `kind '${kind}' with disable${kind === 'mlp' ? 'Mlp' : 'Attn'}: what is severed cannot be restored`,
    );
  const [tokens] = model.toTokens(options.prompt, { prependBos });
  const { range: subject, words } = subjectOf(model, tokens, options);
  const { subjects = [words] } = options;
  const noise = embeddingNoise(model, rule, { seed, subjects, gaussian });

  const [best] = await topNext(model, tokens, { signal });
  if (expect !== undefined && best.text.trim() !== expect.trim())
    return {
      ...{ correct: false, answer: { token: best.token, text: best.text }, highScore: best.prob },
    };
  const measured = options.answer === undefined ? best : await measuredAnswer(model, tokens, options.answer);
  const { token, text, prob: highScore } = measured;
  const answer = { token, text };

  const positions = positionsOf(where, tokens, subject);
  const severed = [...(disableMlp ? [SITES.mlp] : []), ...(disableAttn ? [SITES.attn] : [])];
  const site = SITES[kind ?? 'state'];
  const plan = { tokens, subject, positions, site, window, noise, samples, replace, severed };
  const grid = await restoreGrid(model, { ...plan, answer: token, onProgress, signal });
  const { layer, pos } = traceAxes(model, plan);
  const meta = provenance(model, {
    method: 'causal tracing',
    ...{ kind, window, severed, subject, answer, samples, seed, replace },
    noise: { rule, level: noise.level },
    metric: grid.metric,
    clean: highScore,
    corrupted: grid.lowScore,
    unit: 'probability',
    unchanged: grid.unchanged,
    work: grid.work,
    tokens,
    ...warningsIn(
      noiseWarning(rule, `p(${JSON.stringify(text)})`, highScore, grid.lowScore),
      notFirst(`p(${JSON.stringify(text)})`, answer, highScore, best),
    ),
  });
  const scores = labelled(grid.values, [pos, layer], meta);
  const { lowScore } = grid;
  const result = { scores, lowScore, highScore, answer, tokens, subject, positions, kind, window };
  return { correct: true, ...result, noise: noise.level };
}

/** An answer that was given, with its probability in the clean run. */
async function measuredAnswer(
  model: Model,
  tokens: readonly number[],
  given: string | number,
): Promise<LensToken> {
  const [[token]] = answerIds('causalTrace: answer', given, { model, rows: [tokens] });
  // A counterfactual that changes nothing: the clean run, read by the metric that reads all others.
  const { meta } = await counterfactuals(model, { input: [tokens] }, [[]], prob(token));
  return { token, text: textOf(model, token), prob: meta.base as number };
}

/** Where clean activations are restored. */
function positionsOf(
  where: NonNullable<CausalTraceOptions['tokens']>,
  tokens: readonly number[],
  [, end]: CausalTrace['subject'],
): readonly number[] {
  if (where === 'subject_last') return [end - 1];
  if (where === 'all') return tokens.map((_, p) => p);
  const wrong = where.find((p) => !Number.isInteger(p) || p < 0 || p >= tokens.length);
  if (wrong !== undefined || !where.length)
    throw new Error(
      `tokens [${where}]: positions among the ${tokens.length} tokens of the prompt are needed`,
    );
  return where;
}
