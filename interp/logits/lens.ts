/**
 * The logit lens (nostalgebraist 2020): read the residual stream after every layer as if it were the last
 * one. What the model "would say now" shows in which layer an answer appears.
 *
 * There are two conventions for the last layer norm, which the literature mixes up. `recomputed`, the lens as
 * it was proposed: every state is divided by a scale of its own. `frozen`, TransformerLens before 2.18 and
 * the notebooks of that time: all states are divided by the scale that the last one had, which makes them
 * parts of one sum.
 */

import type { TextInput } from '../../engine/tokens/text.js';
import { runToFinal } from '../../hooks/cache/cached-run.js';
import { decompositionNames } from '../../hooks/cache/recipes.js';
import { INPUT } from '../../hooks/cache/run-options.js';
import type { LayerNormMode } from '../../hooks/cache/stack.js';
import { is, options, signatures } from '../../hooks/input/check.js';
import { type InputOptions, readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { shownJson } from '../../weights/checks/messages.js';
import { positionLabels, provenance } from '../results/provenance.js';
import { type Axis, type Labelled, labelled, labelledWith } from '../results/result.js';
import { type LensReading, readLens } from './lens-rows.js';
import { answerIds, showAnswers, type TokenLike } from './metrics.js';

/** A guess of the lens. */
export interface LensToken {
  readonly token: number;
  readonly text: string;
  readonly prob: number;
}

/** A guess, and its logit. */
export interface LensGuess extends LensToken {
  readonly logit: number;
}

/** Probability of the top token, by layer and position, and what the tokens are. */
export interface LensResult extends Labelled<'layer' | 'pos'> {
  /** Per layer and position the k most probable tokens, descending. */
  readonly top: readonly (readonly (readonly LensGuess[])[])[];
  /** Of the chosen `tokens`, token × layer × pos: logits, probabilities, and ranks (0: the top). */
  readonly chosen?: { readonly logit: Labelled; readonly prob: Labelled; readonly rank: Labelled };
  /** logit(correct) − logit(wrong) of the `pair`, layer × pos. */
  readonly logitDiff?: Labelled;
}

/** Options of `logitLens`. */
export interface LensOptions extends InputOptions {
  /** Tokens a cell. Default 5. */
  readonly k?: number;
  /**
   * Scale of the last layer norm: each state's own (`'recomputed'`, default), or that of the run
   * (`'frozen'`).
   */
  readonly layerNorm?: LayerNormMode;
  /** Also between attention and MLP: rows `0_pre`, `0_mid`, `1_pre`, … Default false. */
  readonly inclMid?: boolean;
  /** Tokens whose logit, probability and rank are wanted. */
  readonly tokens?: readonly TokenLike[];
  /** Two tokens whose difference of logits is wanted. */
  readonly pair?: readonly [correct: TokenLike, wrong: TokenLike];
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const LENS = options<LensOptions>({
  ...INPUT,
  k: is.count,
  layerNorm: is.oneOf('recomputed', 'frozen'),
  inclMid: is.boolean,
  tokens: is.listOf(is.token, 'a list of tokens, texts or ids'),
  pair: is.listOf(is.token, 'a pair of tokens, [correct, wrong]'),
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  logitLens: { model: is.model, input: is.prompts, options: LENS },
});

/**
 * Rows `0_pre` … `{L-1}_pre`, `final_post`; after the last layer norm, gain and bias included, W_U and b_U
 * are applied, so that the last row is the model.
 * @returns axes layer [nLayers + 1] × pos, of one prompt.
 */
export const logitLens = takes.logitLens(async function logitLens(
  model: Model,
  input: TextInput,
  options: LensOptions = {},
): Promise<LensResult> {
  const { k = 5, layerNorm = 'recomputed', inclMid = false, tokens = [], pair, onProgress, signal } = options;
  if (layerNorm !== 'recomputed' && layerNorm !== 'frozen')
    throw new Error(`logitLens: layerNorm ${shownJson(layerNorm)}: 'recomputed' or 'frozen' is needed`);
  if (!Number.isInteger(k) || k < 1) throw new Error(`logitLens: k is ${k}: a whole number from 1 is needed`);
  const rows = readInput(model, input, options);
  if (rows.tokens.length !== 1)
    throw new Error(`logitLens reads one prompt, ${rows.tokens.length} were given`);
  const [prompt] = rows.tokens;
  const asked = [...tokens, ...(pair ?? [])];
  const ids = asked.flatMap((t) => answerIds('logitLens', t, { model, rows: rows.tokens })[0]);
  const reads = { k: Math.min(k, model.config.dVocabOut), tokens: ids };
  const names = decompositionNames(model, 'accumulatedResid', -1, { inclMid });
  const { cache, final } = await runToFinal(model, rows.inputs, names, signal);
  final.dispose();
  try {
    const { stack, labels, dispose } = cache.accumulatedResid(-1, { inclMid });
    const readings: LensReading[] = [];
    const frozen = layerNorm === 'frozen' && cache.has('scale') ? cache.get('scale').reshape([-1, 1]) : null;
    try {
      for (const l of labels.keys()) {
        signal?.throwIfAborted();
        const state = stack.slice([l, 0]); //                                           [pos, dModel]
        try {
          readings.push(await readLens(model, state, frozen, reads, (p) => `${labels[l]}, position ${p}`));
        } finally {
          state.dispose();
        }
        onProgress?.(l + 1, labels.length);
      }
    } finally {
      dispose();
      frozen?.dispose();
    }
    const axes: Axis<'layer' | 'pos'>[] = [
      { name: 'layer', labels },
      { name: 'pos', labels: positionLabels(model, prompt) },
    ];
    const meta = provenance(model, { method: 'logit lens', layerNorm, tokens: prompt });
    const top = readings.map(({ top }) => tokensOf(model, top, reads.k));
    const values = Float32Array.from(top.flat(), ([best]) => best.prob);
    const map = labelled(values, axes, { ...meta, metric: 'probability of the top token' });
    return labelledWith(map, {
      top,
      ...(tokens.length && { chosen: chosenOf(readings, tokens, ids.length, axes, meta) }),
      ...(pair && { logitDiff: differenceOf(readings, pair, ids.length, axes, meta) }),
    });
  } finally {
    cache.dispose();
  }
});

/** Per position the top tokens of one state. */
function tokensOf(model: Model, { ids, logits, probs }: LensReading['top'], k: number): LensGuess[][] {
  const cell = (i: number): LensGuess => ({
    token: ids[i],
    text: model.tokenizer?.pieces([ids[i]])[0] ?? `#${ids[i]}`,
    prob: probs[i],
    logit: logits[i],
  });
  const positions = ids.length / k;
  return Array.from({ length: positions }, (_, p) => Array.from({ length: k }, (_, i) => cell(p * k + i)));
}

/** `n`: tokens that were read, of which the first were asked for by themselves. */
function chosenOf(
  readings: readonly LensReading[],
  tokens: readonly TokenLike[],
  n: number,
  axes: readonly Axis[],
  meta: Record<string, unknown>,
): NonNullable<LensResult['chosen']> {
  const of = (what: keyof LensReading['chosen'], metric: string) => {
    const values = tokens.flatMap((_, t) =>
      readings.flatMap((r) => [...r.chosen[what]].filter((_, i) => i % n === t)),
    );
    const all = [{ name: 'token', labels: tokens.map((t) => showAnswers(t)) }, ...axes];
    return labelled(Float32Array.from(values), all, { ...meta, metric });
  };
  return { logit: of('logits', 'logit'), prob: of('probs', 'probability'), rank: of('ranks', 'rank') };
}

/** The pair was read last. */
function differenceOf(
  readings: readonly LensReading[],
  [correct, wrong]: readonly [TokenLike, TokenLike],
  n: number,
  axes: readonly Axis[],
  meta: Record<string, unknown>,
): Labelled {
  const values = readings.flatMap(({ chosen: { logits } }) =>
    Array.from({ length: logits.length / n }, (_, p) => logits[(p + 1) * n - 2] - logits[(p + 1) * n - 1]),
  );
  const metric = `logit(${showAnswers(correct)}) − logit(${showAnswers(wrong)})`;
  return labelled(Float32Array.from(values), axes, { ...meta, metric });
}
