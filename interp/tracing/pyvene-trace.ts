/**
 * Causal tracing as pyvene's tutorial does it (Wu et al. 2024; the method is ROME's): one draw of the noise,
 * the same for every run, and three streams. `mlp_activation` restores the neurons after the GELU; all of
 * them together are what ROME restores, the output of the MLP, so the numbers are those of a ROME trace with
 * one sample.
 */

import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { embeddingNoise, type NoiseRule } from '../../hooks/interventions/noise.js';
import type { LensToken } from '../logits/lens.js';
import type { TokenLike } from '../logits/metrics.js';
import { warningsIn } from '../results/ends.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import {
  bosOfTokenizer,
  noiseWarning,
  positive,
  restoreGrid,
  subjectOf,
  type TokenRange,
  textOf,
  topNext,
  traceAxes,
} from './trace-grid.js';

/** pyvene's names of what is restored. */
export type PyveneStream = 'block_output' | 'mlp_activation' | 'attention_output';

const SITES = {
  block_output: 'resid_post',
  mlp_activation: 'mlp.hook_post',
  attention_output: 'attn_out',
} as const;

/** Three times the standard deviation of gpt2-xl's embeddings of subjects: the tutorial's noise. */
export const PYVENE_NOISE = 0.13462981581687927;

/** Options of `pyveneTrace`. */
export interface PyveneTraceOptions {
  readonly prompt: string | readonly number[];
  /** What is corrupted: text within the prompt, or tokens [start, end). Default: guessed. */
  readonly subject?: string | TokenRange;
  readonly stream: PyveneStream;
  /** Whose probability is measured. Default: what the clean run says next. */
  readonly answer?: TokenLike;
  /** Layers restored together. Default 1 for `block_output`, else 10. */
  readonly window?: number;
  /** Default `PYVENE_NOISE`. */
  readonly noise?: NoiseRule;
  /** Default 1. */
  readonly seed?: number;
  /** Length of the lists of next tokens. Default 10. */
  readonly k?: number;
  /**
   * Prepend the beginning-of-text token to a text. Default: as the model's tokenizer does in Python
   * (`tokenizer.addsBos`).
   */
  readonly prependBos?: boolean;
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A trace of one stream. */
export interface PyveneTrace {
  /** Probability of the answer by layer × pos. The subject's labels end in `*`. */
  readonly prob: Labelled;
  readonly answer: { readonly token: number; readonly text: string };
  /** What the clean and the corrupted run say next, most probable first. */
  readonly clean: readonly LensToken[];
  readonly corrupted: readonly LensToken[];
  /** Probability of the answer in the clean run, and in the corrupted one with nothing restored. */
  readonly highScore: number;
  readonly lowScore: number;
  readonly tokens: readonly number[];
  readonly subject: TokenRange;
  /** Layers restored together. */
  readonly window: number;
}

const PYVENE = options<PyveneTraceOptions>({
  prompt: needed(is.prompt),
  subject: is.either(is.text, is.range),
  stream: needed(is.oneOf('block_output', 'mlp_activation', 'attention_output')),
  answer: is.token,
  window: is.count,
  noise: is.noise,
  seed: is.seed,
  k: is.count,
  prependBos: is.boolean,
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  pyveneTrace: { model: is.model, options: PYVENE },
  pyveneTopVals: { list: is.listOf(is.having('a token', 'text', 'prob'), 'tokens, [{ text, prob }]') },
  pyveneCsv: { trace: is.having('a trace, as pyveneTrace gives it', 'prob') },
});

/**
 * Traces one stream. @throws when the subject does not occur in the prompt or the answer is not one token.
 */
export const pyveneTrace = takes.pyveneTrace(async function pyveneTrace(
  model: Model,
  options: PyveneTraceOptions,
): Promise<PyveneTrace> {
  const { stream, noise: rule = PYVENE_NOISE, seed = 1, onProgress, signal } = options;
  const { prependBos = bosOfTokenizer(model) } = options;
  const k = Math.min(options.k ?? 10, model.config.dVocabOut);
  const site = SITES[stream];
  if (!site) throw new Error(`stream "${stream}": there are ${Object.keys(SITES).join(', ')}`);
  const window = positive('window', options.window ?? (stream === 'block_output' ? 1 : 10));
  const [tokens] = model.toTokens(options.prompt, { prependBos });
  const { range: subject, words } = subjectOf(model, tokens, options);
  const { level, draw } = embeddingNoise(model, rule, { seed, subjects: [words] });
  const noise = draw(1, subject[1] - subject[0]);

  const clean = await topNext(model, tokens, { k, signal });
  const corrupted = await topNext(model, tokens, { k, added: { start: subject[0], noise }, signal });
  const wanted = options.answer ?? clean[0].token;
  const token = typeof wanted === 'number' ? wanted : model.toSingleToken(wanted);
  const positions = tokens.map((_, p) => p);
  const grid = await restoreGrid(model, {
    ...{ tokens, subject, positions, site, window, samples: 1, replace: false, severed: [] },
    ...{ noise: { level, draw: () => noise }, answer: token, onProgress, signal },
  });
  const { layer, pos } = traceAxes(model, { tokens, subject, positions });
  const n = positions.length;
  const values = grid.values.map((_, i) => grid.values[(i % n) * layer.labels.length + Math.floor(i / n)]);
  const answer = { token, text: textOf(model, token) };
  const { metric, highScore, lowScore, work, unchanged } = grid;
  const meta = provenance(model, {
    method: "causal tracing, pyvene's",
    ...{ stream, window, subject, answer, seed, metric, unit: 'probability' },
    noise: { rule, level },
    clean: highScore,
    corrupted: lowScore,
    ...{ unchanged, work, tokens },
    ...warningsIn(noiseWarning(rule, `p(${JSON.stringify(answer.text)})`, highScore, lowScore)),
  });
  return {
    prob: labelled(values, [layer, pos], meta),
    answer,
    clean,
    corrupted,
    highScore,
    lowScore,
    tokens,
    subject,
    window,
  };
});

/**
 * The trace as the tutorial writes it with pandas, `tutorial_data/pyvene_rome_{stream}.csv`: an index, then
 * layer, pos and prob, a line a run, numbers as Python writes them.
 */
export const pyveneCsv = takes.pyveneCsv(function pyveneCsv({ prob }: Pick<PyveneTrace, 'prob'>): string {
  const n = prob.shape[1];
  const lines = Array.from(prob.values, (p, i) => `${i},${Math.floor(i / n)},${i % n},${pythonFloat(p)}`);
  return `${[',layer,pos,prob', ...lines].join('\n')}\n`;
});

/**
 * The most probable tokens as pyvene's `top_vals` prints them: every blank as `_`, line feeds as `\n`, padded
 * to 20, p in full.
 */
export const pyveneTopVals = takes.pyveneTopVals(
  (list: readonly Pick<LensToken, 'text' | 'prob'>[]): string[] =>
    list.map(({ text, prob }) => {
      const token = text.replaceAll(' ', '_').replaceAll('\n', '\\n');
      return `${token.padEnd(20)} ${pythonFloat(Math.fround(prob))}`;
    }),
);

/** A number as Python's `repr` writes it. */
function pythonFloat(x: number): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? 'nan' : x > 0 ? 'inf' : '-inf';
  if (Number.isInteger(x) && Math.abs(x) < 1e16) return `${x}.0`;
  if (x !== 0 && Math.abs(x) < 1e-4) {
    const [digits, exponent] = x.toExponential().split('e');
    return `${digits}e-${exponent.slice(1).padStart(2, '0')}`;
  }
  return String(x);
}
