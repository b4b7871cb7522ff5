/**
 * Who does the model know? (Meng et al. 2022, the notebook "Who does GPT-2 know?" beside ROME.)
 *
 * Two probes of many names. How probable is the name after a common beginning, as "About LeBron James"? And
 * does the model say the same of it however it is asked: what is the next word of ". LeBron James is a
 * professional", of ". LeBron James, the well-known"? Thousands of such texts share their beginnings, which
 * are run once.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import type { RecordStore } from '../../hooks/sweep/record/record.js';
import { recordedItems } from '../../hooks/sweep/record/record-cells.js';
import { MANY_TEXTS, type ManyTextsOptions, type TextsWork } from '../../hooks/texts/run-trie.js';
import { logProbsOf, type NextToken, nextTokens } from '../../hooks/texts/score.js';
import { shownJson } from '../../weights/checks/messages.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled, labelledWith } from '../results/result.js';
import { bosOfTokenizer } from '../tracing/trace-grid.js';

/** Texts that are run, and recorded, at once. */
const RECORDED = 512;

/** Options of `scoreTexts`. */
export interface ScoreTextsOptions extends ManyTextsOptions {
  /** Keeps what is scored as it comes: a run that was stopped goes on from there (`jsonLines` in Node). */
  readonly record?: RecordStore;
  /** Goes before every text, as `'About '`. Default none. */
  readonly prefix?: string;
  /**
   * Prepend the beginning-of-text token. Default: as the model's tokenizer does in Python
   * (`tokenizer.addsBos`).
   */
  readonly prependBos?: boolean;
}

/** A text and its score. */
export interface TextScore {
  /** As it was given, without the prefix. */
  readonly text: string;
  /** −Σ log p of all tokens after the first, in nats: the lower, the more probable. */
  readonly score: number;
  /** log p of each token after the first, given those before it. */
  readonly perToken: Float32Array;
  /** All tokens: beginning of text, prefix and text. */
  readonly tokens: readonly number[];
}

/** Scores by text, ascending. */
export interface TextScores extends Labelled {
  /** In the order of the axis. */
  readonly entries: readonly TextScore[];
}

const SCORE_TEXTS = options<ScoreTextsOptions>({
  ...MANY_TEXTS,
  prefix: is.text,
  prependBos: is.boolean,
  record: is.record,
});
const CONSISTENCY = options<ConsistencyOptions>({ ...MANY_TEXTS, prependBos: is.boolean, record: is.record });

const takes = signatures({
  scoreTexts: { model: is.model, texts: is.texts, options: SCORE_TEXTS },
  consistency: { model: is.model, names: is.texts, templates: is.texts, options: CONSISTENCY },
});

/**
 * Scores texts and sorts them, the most probable first, equal scores by text. The very first token (of the
 * beginning of text, or of the prefix) is given, not predicted; a prefix of more tokens adds the same to
 * every score.
 * @returns axis text; `meta.work` tells how many tokens were run.
 */
export const scoreTexts = takes.scoreTexts(async function scoreTexts(
  model: Model,
  texts: readonly string[],
  { prefix = '', prependBos = bosOfTokenizer(model), onWork, record, ...options }: ScoreTextsOptions = {},
): Promise<TextScores> {
  const rows = texts.map((text) => model.toTokens(prefix + text, { prependBos })[0]);
  const { work, see } = watch(onWork);
  const { onProgress, signal } = options;
  const of = { method: 'scoring texts', model: model.hash, rows };
  const logProbs = !rows.length
    ? []
    : record
      ? (
          (await recordedItems(
            { of, count: rows.length, batch: RECORDED, record, onProgress, signal },
            async (items) =>
              (
                await logProbsOf(
                  model,
                  items.map((i) => rows[i]),
                  { ...options, onProgress: undefined, onWork: see },
                )
              ).map((lp) => [...lp]),
          )) as number[][]
        ).map((lp) => Float32Array.from(lp))
      : await logProbsOf(model, rows, { ...options, onWork: see });
  const entries = texts.map((text, i) => {
    const score = logProbs[i].reduce((sum, x) => sum - x, 0);
    return { text, score, perToken: logProbs[i], tokens: rows[i] };
  });
  entries.sort((a, b) => a.score - b.score || (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  const values = Float32Array.from(entries, (e) => e.score);
  const axes = [{ name: 'text', labels: entries.map((e) => e.text) }];
  const meta = provenance(model, { method: 'scoring texts', prefix, bos: prependBos, work });
  return labelledWith(labelled(values, axes, meta), { entries });
});

/** Options of `consistency`. */
export interface ConsistencyOptions extends ManyTextsOptions {
  /** Keeps answers as they come: a run that was stopped goes on from there (`jsonLines` in Node). */
  readonly record?: RecordStore;
  /**
   * Prepend the beginning-of-text token. Default: as the model's tokenizer does in Python
   * (`tokenizer.addsBos`).
   */
  readonly prependBos?: boolean;
}

/** What the model says next of one name. */
export interface NameAnswers {
  readonly name: string;
  /** Per template the text of the most probable next token. */
  readonly words: readonly string[];
  /** The words with a blank between them, as the notebook prints them. */
  readonly text: string;
}

/** Probability of the most probable next token, by name and template, and what the tokens are. */
export interface Consistency extends Labelled {
  /** In the order of the names. */
  readonly entries: readonly NameAnswers[];
}

/**
 * The most probable next token of every template with every name in it.
 * @param templates texts with `{}` where the name goes: `'. {} is a professional'`
 * @returns axes name × template; `meta.work` tells how many tokens were run.
 * @throws when a template has no `{}`.
 */
export const consistency = takes.consistency(async function consistency(
  model: Model,
  names: readonly string[],
  templates: readonly string[],
  { prependBos = bosOfTokenizer(model), onWork, record, ...options }: ConsistencyOptions = {},
): Promise<Consistency> {
  for (const t of templates)
    if (!t.includes('{}')) throw new Error(`template ${shownJson(t)}: write {} where the name goes`);
  const prompts = names.flatMap((name) => templates.map((t) => t.split('{}').join(name)));
  const { work, see } = watch(onWork);
  const { onProgress, signal } = options;
  const of = { method: 'consistency over templates', model: model.hash, prompts, prependBos };
  const ask = (texts: readonly string[], more = {}) =>
    nextTokens(model, texts, { ...options, ...more, prependBos, onWork: see });
  const next: (readonly NextToken[])[] = !prompts.length
    ? []
    : record
      ? (
          await recordedItems(
            { of, count: prompts.length, batch: RECORDED, record, onProgress, signal },
            async (items) =>
              (
                await ask(
                  items.map((i) => prompts[i]),
                  { onProgress: undefined },
                )
              ).map(([best]) => [best.token, best.logProb]),
          )
        ).map((v) => [{ token: v![0], logProb: v![1] }])
      : await ask(prompts);
  const entries = names.map((name, n) => {
    const words = templates.map((_, t) => model.toString([next[n * templates.length + t][0].token]));
    return { name, words, text: words.join(' ') };
  });
  const values = Float32Array.from(next, ([best]) => Math.exp(best.logProb));
  const axes = [
    { name: 'name', labels: names },
    { name: 'template', labels: templates },
  ];
  const meta = provenance(model, { method: 'consistency over templates', bos: prependBos, work });
  return labelledWith(labelled(values, axes, meta), { entries });
});

/** The work, as far as it was reported, and whom to report it to. */
function watch(onWork: ManyTextsOptions['onWork']) {
  const work: { -readonly [K in keyof TextsWork]: TextsWork[K] } = { tokens: 0, naiveTokens: 0, batches: 0 };
  const see = (reported: TextsWork) => {
    Object.assign(work, reported);
    onWork?.(reported);
  };
  return { work, see };
}
