/**
 * What a tiny model can do: the numbers of its model card. Nothing that is asked here was told in training.
 */

import type { HookedTransformer } from '../../index.js';
import {
  heldOut,
  OPEN_PROMPTS,
  type Probe,
  seedPrompts,
  trainingSequences,
  type Vocabulary,
} from './corpus.js';
import { Random } from './random.js';

const VALIDATION_SEED = 2;
const ROWS_A_RUN = 50;

/** Rows of 128 tokens of documents of another seed, cut anywhere. */
export function validationRows(vocabulary: Vocabulary, count: number, length = 128): number[][] {
  const tokens: number[] = [];
  for (const sequence of trainingSequences(VALIDATION_SEED, vocabulary)) {
    tokens.push(...sequence);
    if (tokens.length >= length * count) break;
  }
  return Array.from({ length: count }, (_, i) => tokens.slice(length * i, length * (i + 1)));
}

/** Of a list of prompts. */
export interface Score {
  readonly right: number;
  readonly of: number;
  /** Mean logit of the right answer minus that of the wrong one, where one is given. */
  readonly logitDifference: number | null;
  /** The prompts that were answered wrongly, with what the model said. */
  readonly mistakes: readonly { readonly prompt: string; readonly answer: string; readonly said: string }[];
}

/** A prompt counts as right when the right token is the likeliest of the whole vocabulary. */
export async function score(model: HookedTransformer, probes: readonly Probe[]): Promise<Score> {
  let [sum, pairs] = [0, 0];
  const mistakes: { prompt: string; answer: string; said: string }[] = [];
  for (let i = 0; i < probes.length; i += ROWS_A_RUN) {
    const some = probes.slice(i, i + ROWS_A_RUN);
    const logits = await lastLogits(
      model,
      some.map((p) => p.prompt),
    );
    for (const [k, { prompt, answer, wrong }] of some.entries()) {
      const row = logits.subarray(k * model.config.dVocab, (k + 1) * model.config.dVocab);
      const id = model.toSingleToken(answer);
      const best = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
      if (best !== id) mistakes.push({ prompt, answer, said: model.toString([best]) });
      if (wrong === undefined) continue;
      sum += row[id] - row[model.toSingleToken(wrong)];
      pairs++;
    }
  }
  return {
    right: probes.length - mistakes.length,
    of: probes.length,
    logitDifference: pairs ? sum / pairs : null,
    mistakes,
  };
}

/** Logits after the last token of each prompt: [prompts, dVocab]. */
async function lastLogits(model: HookedTransformer, prompts: readonly string[]): Promise<Float32Array> {
  const rows = model.toTokens([...prompts]);
  const logits = await model.forward(rows);
  const last = logits.slice({ pos: -1 });
  const data = await last.data();
  for (const t of [logits, last]) t.dispose();
  return data;
}

/** On random tokens said twice. */
export interface Induction {
  /** Share of right guesses in the second half. */
  readonly right: number;
  /** Mean loss in either half, in nats. The first token of each is left out: nothing announces it. */
  readonly first: number;
  readonly second: number;
}

/** A hundred lists of 24 random tokens, each said twice. */
export async function induction(model: HookedTransformer, bos: number): Promise<Induction> {
  const n = 24;
  const rng = new Random(VALIDATION_SEED);
  const lists = Array.from({ length: 100 }, () => Array.from({ length: n }, () => rng.int(bos)));
  const rows = lists.map((list) => [bos, ...list, ...list]);
  const logProbs = await model.logProbs(rows);
  const logits = await model.forward(rows);
  const best = logits.argmax();
  const ids = await best.data();
  for (const t of [logits, best]) t.dispose();
  const mean = (from: number, to: number) =>
    -logProbs.reduce((s, row) => row.subarray(from, to).reduce((a, b) => a + b, s), 0) / (100 * (to - from));
  let right = 0;
  rows.forEach((row, i) => {
    for (let pos = n + 1; pos < 2 * n; pos++) if (ids[i * row.length + pos] === row[pos + 1]) right++;
  });
  return { right: right / (100 * (n - 1)), first: mean(1, n), second: mean(n + 1, 2 * n) };
}

/** All that the card tells. */
export async function measure(model: HookedTransformer, vocabulary: Vocabulary) {
  const groups: Record<string, Score> = {};
  for (const [title, sets] of Object.entries({ 'held out': heldOut(), published: seedPrompts() }))
    for (const [kind, probes] of Object.entries(sets))
      groups[`${title}, ${kind}`] = await score(model, probes);
  const rows = validationRows(vocabulary, 256);
  let loss = 0;
  for (let i = 0; i < rows.length; i += 32)
    loss += (await model.loss(rows.slice(i, i + 32))) / (rows.length / 32);
  return { groups, induction: await induction(model, vocabulary.bos), validation: loss };
}

/** The likeliest next tokens of well-known prompts, and of those without one right answer. */
export async function likeliest(
  model: HookedTransformer,
  count = 5,
): Promise<{ prompt: string; next: { token: string; p: number }[] }[]> {
  const { ioi, fact } = seedPrompts();
  const prompts = [...ioi.map((p) => p.prompt), ...fact.map((p) => p.prompt), ...OPEN_PROMPTS];
  const logits = model.tensor(await lastLogits(model, prompts), [prompts.length, model.config.dVocab]);
  const probs = logits.softmax();
  const { values, indices } = probs.topk(count);
  const [p, ids] = [await values.data(), await indices.data()];
  for (const t of [logits, probs, values, indices]) t.dispose();
  return prompts.map((prompt, i) => ({
    prompt,
    next: Array.from({ length: count }, (_, k) => ({
      token: model.toString([ids[i * count + k]]),
      p: p[i * count + k],
    })),
  }));
}
