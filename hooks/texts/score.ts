/** How probable a model finds texts, and what it says next: log-probabilities without logits in memory. */

import { LOGITS_BYTES } from '../../engine/budgets.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { TextInput } from '../../engine/tokens/text.js';
import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { logSumExps, pairLogits, topLogits } from '../../engine/transformer/vocabulary/score.js';
import { finite, notFinite } from '../../weights/checks/finite.js';
import { is, options, signatures } from '../input/check.js';
import { type InputOptions, needLanguageModel, readInput } from '../input/input.js';
import type { Model, Runnable } from '../input/model.js';
import { MANY_TEXTS, type ManyTextsOptions, runTrie, treeOf } from './run-trie.js';
import { readsOf } from './trie.js';

/** Options of scoring texts. */
export type ScoreOptions = ManyTextsOptions;

/**
 * Per row, log p(token[i + 1] | tokens[0..i]): one number less than the row has tokens. Beginnings that rows
 * share are run once (not with hooks, which may tell rows apart), last tokens not at all, and what comes
 * after a beginning is normalised once for all of its continuations. The logits of targets and the sums of
 * exponentials come from the GPU; the logarithm is taken in float64 on the host.
 */
export async function logProbs(
  model: Runnable,
  rows: readonly (readonly number[])[],
  options: ScoreOptions = {},
): Promise<Float32Array[]> {
  const { gpu, gpuWeights: w } = model;
  needLanguageModel(model.config, 'log-probabilities of next tokens');
  await model.edits?.ready();
  const trie = treeOf(model, rows, options.hooks, false);
  const { start, common } = trie;
  const target = new Uint32Array(trie.nodeOf.length);
  rows.forEach((row, i) => {
    for (let p = 1; p < row.length; p++) target[start[i] + p - 1] = row[p];
  });
  const value = new Float32Array(target.length);
  const placeOf = (i: number) => {
    const row = start.findLastIndex((s) => s <= i);
    return `row ${row}, position ${i - start[row] + 1}: the log-probability of its token`;
  };
  // What a row has in common with the one before it has been predicted there.
  const known = (row: number) => Math.max(0, common[row] - 1);
  const reads = readsOf(trie, (row) => [known(row), rows[row].length - 1]);
  await runTrie(model, trie, reads, options, async ({ x, at, rowOf, scope }) => {
    const ids = new Uint32Array(2 * at.length);
    ids.set(rowOf);
    ids.set(
      at.map((i) => target[i]),
      at.length,
    );
    const pairs = Tensor.from<'u32'>(gpu, ids, [2, at.length], { label: 'nodes and next tokens', scope });
    const { picked, state } = pairLogits(x, pairs, w.W_U, w.b_U);
    const [logit, lse] = [await picked.data(), logSumExps(await state.data())];
    at.forEach((i, n) => {
      const logProb = logit[n] - lse[rowOf[n]];
      if (!Number.isFinite(logProb)) throw notFinite(placeOf(i), logProb);
      value[i] = logProb;
    });
  });
  trie.order.forEach((row, rank) => {
    const before = start[trie.order[rank - 1]];
    for (let p = 0; p < known(row); p++) value[start[row] + p] = value[before + p];
  });
  return rows.map((row, i) => value.slice(start[i], start[i] + row.length - 1));
}

/** See `HookedTransformer.logProbs`. */
export async function logProbsOf(
  model: Model,
  input: TextInput,
  options: InputOptions & ScoreOptions = {},
): Promise<Float32Array[]> {
  if (options.prefix) throw new Error('logProbs takes whole texts: put the prefix in front of each');
  return logProbs(model, readInput(model, input, options).tokens, options);
}

/** A token that may come next. */
export interface NextToken {
  readonly token: number;
  readonly logProb: number;
}

/** Options of `nextTokens`. */
export interface NextTokensOptions extends ManyTextsOptions, Pick<InputOptions, 'prependBos'> {
  /** Tokens a prompt. Default 1. */
  readonly k?: number;
}

const NEXT_TOKENS = options<NextTokensOptions>({ ...MANY_TEXTS, k: is.count, prependBos: is.boolean });

const takes = signatures({
  nextTokens: { model: is.model, input: is.prompts, options: NEXT_TOKENS },
});

/**
 * The k most probable next tokens of each prompt, most probable first, ties by lower id. Beginnings that
 * prompts share are run once (not with hooks), so are equal prompts, and logits of a few hundred prompts
 * exist at a time.
 * @throws unless k is between 1 and the size of the vocabulary.
 */
export const nextTokens = takes.nextTokens(async function nextTokens(
  model: Runnable & { readonly tokenizer: Tokenizer | null },
  input: TextInput,
  { k = 1, prependBos, ...options }: NextTokensOptions = {},
): Promise<(readonly NextToken[])[]> {
  const { config, gpuWeights: w } = model;
  if (!Number.isInteger(k) || k < 1 || k > config.dVocabOut)
    throw new Error(`nextTokens: k = ${k}, but it is between 1 and the ${config.dVocabOut} tokens there are`);
  const rows = readInput(model, input, { prependBos }).tokens;
  await model.edits?.ready();
  const trie = treeOf(model, rows, options.hooks, true);
  const { nodeOf, start } = trie;
  const byNode = new Map<number, NextToken[]>();
  const reads = readsOf(trie, (row) => [rows[row].length - 1, rows[row].length]);
  const step = Math.max(64, Math.floor(LOGITS_BYTES / 4 / config.dVocabOut / 64) * 64);
  await runTrie(model, trie, reads, options, async ({ x, at, rowOf }) => {
    const [n] = x.shape;
    const nodes = new Uint32Array(n);
    at.forEach((i, r) => {
      nodes[rowOf[r]] = nodeOf[i];
    });
    for (let from = 0; from < n; from += step) {
      const some = x.window([[from, Math.min(n, from + step)]]);
      const { values, indices, state } = topLogits(some, k, w.W_U, w.b_U);
      const [logit, token] = [await values.data(), await indices.data()];
      const lses = finite(logSumExps(await state.data()), (r) => {
        const node = nodes[from + r];
        const row = rows.findIndex((_, row) => nodeOf[start[row + 1] - 1] === node);
        return `prompt ${row}: the log-sum-exp of the logits at its end`;
      });
      lses.forEach((lse, r) => {
        const next = Array.from({ length: k }, (_, j) => ({
          token: token[r * k + j],
          logProb: logit[r * k + j] - lse,
        }));
        byNode.set(nodes[from + r], next);
      });
    }
  });
  return rows.map((_, row) => byNode.get(nodeOf[start[row + 1] - 1])!);
});
