/**
 * What a model makes of texts, as tables: the loss of each token, what comes next, how probable a
 * continuation is.
 */

import type { TextInput } from '../../engine/tokens/text.js';
import { is, options, type Spec, signatures } from '../../hooks/input/check.js';
import type { InputOptions } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { logProbsOf, nextTokens } from '../../hooks/texts/score.js';
import type { WithText } from '../logits/test-prompt.js';
import { positionLabels, provenance } from '../results/provenance.js';
import { type Labelled, labelled, labelledWith } from '../results/result.js';

/** Options of the tools for texts. */
export interface TextToolOptions extends Pick<InputOptions, 'prependBos'> {
  readonly signal?: AbortSignal;
}

const TEXT_TOOL = { prependBos: is.boolean, signal: is.signal } satisfies Spec<TextToolOptions>;

const takes = signatures({
  lossPerToken: { model: is.model, text: is.prompt, options: options<TextToolOptions>(TEXT_TOOL) },
  nextTokenTable: {
    model: is.model,
    prompts: is.prompts,
    options: options<TextToolOptions & { readonly k?: number }>({ ...TEXT_TOOL, k: is.count }),
  },
  probabilityOf: {
    model: is.model,
    prompt: is.text,
    continuation: is.text,
    options: options<TextToolOptions>(TEXT_TOOL),
  },
});

/**
 * −log p of each token of a text given those before it, in nats. The first token (with `prependBos`, of the
 * beginning of text) is given, not predicted, and has no entry.
 * @returns axis pos, labelled with the predicted tokens; `meta.loss` is the mean.
 * @throws when the text has a single token.
 */
export const lossPerToken = takes.lossPerToken(async function lossPerToken(
  model: Model,
  text: string | readonly number[],
  { prependBos, signal }: TextToolOptions = {},
): Promise<Labelled> {
  const [tokens] = model.toTokens(text, { prependBos });
  if (tokens.length < 2) throw new Error('lossPerToken: a text of one token has nothing to predict');
  const [logProbs] = await logProbsOf(model, [tokens], { signal });
  const loss = -logProbs.reduce((sum, x) => sum + x, 0) / logProbs.length;
  const meta = provenance(model, { method: 'loss per token', metric: '−log p', loss, tokens });
  const axes = [{ name: 'pos', labels: positionLabels(model, tokens).slice(1) }];
  return labelled(
    logProbs.map((x) => -x),
    axes,
    meta,
  );
});

/** A token that may come next. */
export type NextTokenRow = WithText<{
  /** 0 is the most probable. */
  readonly rank: number;
  readonly token: number;
  readonly prob: number;
  readonly logProb: number;
}>;

/** Probabilities of the most probable next tokens by prompt and rank, and what the tokens are. */
export interface NextTokenTable extends Labelled {
  /** In the order of the prompts. */
  readonly entries: readonly (readonly NextTokenRow[])[];
}

/**
 * The k most probable next tokens of a prompt, or of each of many, whose common beginnings are run once.
 * @param options `k`: default 10, at most the size of the vocabulary
 * @returns axes prompt × rank
 */
export const nextTokenTable = takes.nextTokenTable(async function nextTokenTable(
  model: Model,
  prompts: TextInput,
  { k = 10, prependBos, signal }: TextToolOptions & { readonly k?: number } = {},
): Promise<NextTokenTable> {
  const rows = model.toTokens(prompts, { prependBos });
  const kept = Math.min(k, model.config.dVocabOut);
  const found = await nextTokens(model, rows, { k: kept, signal });
  const entries = found.map((list) =>
    list.map(({ token, logProb }, rank) => ({
      ...{ rank, token, logProb, prob: Math.exp(logProb) },
      text: model.tokenizer ? model.toString([token]) : `#${token}`,
    })),
  );
  const texts = rows.map((tokens) => (model.tokenizer ? model.toString(tokens) : tokens.join(' ')));
  const axes = [
    { name: 'prompt', labels: texts },
    { name: 'rank', labels: Array.from({ length: kept }, (_, i) => String(i)) },
  ];
  const values = Float32Array.from(entries.flat().map((e) => e.prob));
  const meta = provenance(model, { method: 'next tokens', metric: 'p', prompts: rows, tokens: rows[0] });
  return labelledWith(labelled(values, axes, meta), { entries });
});

/** How probable a continuation is. */
export interface ContinuationScore {
  /** log p of the whole continuation, in nats. */
  readonly logProb: number;
  readonly prob: number;
  /** log p by token of the continuation. */
  readonly perToken: Labelled;
  /**
   * Whether the tokenizer splits prompt and continuation, written as one text, at the same place. If not, the
   * model may find the text improbable only because it never sees it split like that.
   */
  readonly sameTokens: boolean;
}

/**
 * The probability that a string comes after a prompt. The continuation is split into tokens by itself;
 * nothing is put before it, so that ` Mary` and `Mary` differ.
 * @throws when the continuation is empty.
 */
export const probabilityOf = takes.probabilityOf(async function probabilityOf(
  model: Model,
  prompt: string,
  continuation: string,
  { prependBos, signal }: TextToolOptions = {},
): Promise<ContinuationScore> {
  const [start] = model.toTokens(prompt, { prependBos });
  if (continuation === '') throw new Error('probabilityOf: the continuation is empty');
  const [rest] = model.toTokens(continuation, { prependBos: false });
  const tokens = [...start, ...rest];
  const [whole] = model.toTokens(prompt + continuation, { prependBos });
  const sameTokens = whole.length === tokens.length && whole.every((t, i) => t === tokens[i]);
  const [all] = await logProbsOf(model, [tokens], { signal });
  const own = all.slice(start.length - 1);
  const logProb = own.reduce((sum, x) => sum + x, 0);
  const labels = positionLabels(model, tokens).slice(start.length);
  const meta = provenance(model, { method: 'probability of a continuation', metric: 'log p', tokens });
  const perToken = labelled(own, [{ name: 'pos', labels }], meta);
  return { logProb, prob: Math.exp(logProb), perToken, sameTokens };
});
