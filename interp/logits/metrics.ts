/**
 * Metrics: a number made from the logits of a run, on the GPU. Each tells where it reads them and computes no
 * more of them than it needs: a difference of logits takes one direction of the unembedding, and what needs
 * the whole vocabulary goes through it a chunk at a time.
 */

import { is, optional, options, signatures } from '../../hooks/input/check.js';
import { needLanguageModel } from '../../hooks/input/input.js';
import type { Metric, MetricContext, PreparedMetric } from '../../hooks/run/metric.js';
import {
  firstChoices,
  type MetricFunction,
  readDifference,
  readDivergence,
  readLogits,
  readLoss,
  readProbability,
  readRank,
} from '../../hooks/run/readout.js';
import { shownJson } from '../../weights/checks/messages.js';
import { notFirst } from '../results/ends.js';
import { metricNames } from './metric-names.js';

export type { Metric } from '../../hooks/run/metric.js';
export type { MetricFunction } from '../../hooks/run/readout.js';

/** A token: its text (`' Mary'`) or its id. */
export type TokenLike = string | number;

/** One token for all prompts, or a list with an entry a prompt: a token, or a list of several. */
export type Answers = TokenLike | readonly (TokenLike | readonly TokenLike[])[];

/** Options of the metrics. */
export interface MetricOptions {
  /** The mean over the prompts (`'batch'`, the default), or a number for each. */
  readonly per?: 'batch' | 'prompt';
}

const METRIC = { per: is.oneOf('batch', 'prompt') };

const takes = signatures({
  logitDiff: { correct: is.answers, wrong: is.answers, options: options<MetricOptions>(METRIC) },
  logProb: { token: is.answers, options: options<MetricOptions>(METRIC) },
  prob: { token: is.answers, options: options<MetricOptions>(METRIC) },
  rank: { token: is.answers, options: options<MetricOptions>(METRIC) },
  kl: { reference: optional(is.text), options: options<MetricOptions>(METRIC) },
  loss: { options: options<MetricOptions>(METRIC) },
  custom: {
    name: is.text,
    fn: is.callback,
    options: options<CustomOptions>({ ...METRIC, reads: is.oneOf('last', 'all') }),
  },
});

/**
 * Logit of the correct token minus logit of the wrong one, at the last position: zero when the model prefers
 * neither. Of several correct (or wrong) tokens the mean logit counts.
 */
export const logitDiff = takes.logitDiff(function logitDiff(
  correct: Answers,
  wrong: Answers,
  options: MetricOptions = {},
): Metric {
  const name = metricNames.logitDiff(showAnswers(correct), showAnswers(wrong));
  const made = metric(name, 'last', options, async (context) => {
    const answers = tokensOf(name, correct, context);
    const read = readDifference(context.model, answers, tokensOf(name, wrong, context));
    return withRemarks(read, name, answers, context);
  });
  return { ...made, unit: 'logit' };
});

/** Log-probability of a token at the last position, in nats; of several, of any of them. */
export const logProb = takes.logProb(function logProb(token: Answers, options: MetricOptions = {}): Metric {
  const name = metricNames.logProb(showAnswers(token));
  const made = metric(name, 'last', options, async (context) => {
    const answers = tokensOf(name, token, context);
    return withRemarks(
      readProbability(context.model, answers, { log: true }),
      ...([name, answers, context] as const),
    );
  });
  return { ...made, unit: 'logit' };
});

/** Probability of a token at the last position; of several, their total. */
export const prob = takes.prob(function prob(token: Answers, options: MetricOptions = {}): Metric {
  const name = metricNames.prob(showAnswers(token));
  const made = metric(name, 'last', options, async (context) => {
    const answers = tokensOf(name, token, context);
    return withRemarks(
      readProbability(context.model, answers, { log: false }),
      ...([name, answers, context] as const),
    );
  });
  return { ...made, unit: 'probability' };
});

/**
 * How many tokens have a larger logit at the last position (of equal ones, those of lower id count): 0 is the
 * model's answer. Of several tokens the best rank counts.
 */
export const rank = takes.rank(function rank(token: Answers, options: MetricOptions = {}): Metric {
  const name = `rank(${showAnswers(token)})`;
  return metric(name, 'last', options, async (context) =>
    readRank(context.model, tokensOf(name, token, context)),
  );
});

/**
 * KL(reference ‖ run) of the predictions at the last position, in nats: how much the run has moved away from
 * another.
 * @param reference name of that run: `'base'`, or a source
 */
export const kl = takes.kl(function kl(reference = 'base', options: MetricOptions = {}): Metric {
  return metric(`KL(${reference} ‖ run)`, 'last', options, async (context) =>
    readDivergence(context.model, await context.final(reference), context.reads),
  );
});

/**
 * −log p of each next token, in nats, averaged over all positions of a prompt but the last, which has none.
 */
export const loss = takes.loss(function loss(options: MetricOptions = {}): Metric {
  return metric('loss', 'all', options, async ({ model, rows }) => {
    needLanguageModel(model.config, 'metric loss');
    const short = rows.findIndex((tokens) => tokens.length < 2);
    if (short >= 0)
      throw new Error(
        `metric loss: prompt ${short} has ${rows[short].length} token: there is no next one to predict`,
      );
    return readLoss(model, rows);
  });
});

/** Options of `custom`. */
export interface CustomOptions extends MetricOptions {
  /** Read the last position of each prompt (the default), or all positions. */
  readonly reads?: 'last' | 'all';
}

/**
 * A metric of your own. Tensors that `fn` makes are freed when it returns.
 * @param name for titles
 * @param fn called with the logits [n, dVocab] of some reads at a time; it gives a tensor [n] or n numbers
 */
export const custom = takes.custom(
  (name: string, fn: MetricFunction, options: CustomOptions = {}): Metric =>
    metric(name, options.reads ?? 'last', options, async ({ model }) => readLogits(model, fn, name)),
);

// ---- inside
// ------------------------------------------------------------------------------------------------------

function metric(
  name: string,
  reads: Metric['reads'],
  { per = 'batch' }: MetricOptions,
  prepare: Metric['prepare'],
): Metric {
  if (per !== 'batch' && per !== 'prompt')
    throw new Error(`metric ${name}: per is ${shownJson(per)}: 'batch' or 'prompt' is needed`);
  return { name, reads, per, prepare };
}

/** Prompts whose answers are remarked on. */
const REMARKED = 8;

/** A metric of answers also tells where a run prefers other tokens, of the first prompts. */
function withRemarks(
  read: PreparedMetric,
  name: string,
  answers: readonly (readonly number[])[],
  { model }: MetricContext,
): PreparedMetric {
  return {
    ...read,
    async remarks(x, reads) {
      const some = reads.slice(0, REMARKED);
      const text = (id: number) => model.tokenizer?.pieces([id])[0] ?? `#${id}`;
      const own = readProbability(model, answers, { log: false });
      const first = x.window([[0, some.length]]);
      const all = await own.evaluate(first, some);
      try {
        const [choices, probs] = [await firstChoices(model, first), await all.data()];
        return some.flatMap(({ row }, i) => {
          const best = { ...choices[i], text: text(choices[i].token) };
          if (answers[row].includes(best.token)) return [];
          const answer = { token: answers[row][0], text: answers[row].map(text).join(' or ') };
          const said = notFirst(name, answer, probs[i], best);
          return said ? [reads.length > 1 ? `prompt ${row}: ${said}` : said] : [];
        });
      } finally {
        for (const t of [first, all]) t.dispose();
        own.dispose?.();
      }
    },
  };
}

/** The answers as ids, a list a prompt. @throws when they do not fit the prompts or the vocabulary. */
function tokensOf(name: string, answers: Answers, context: MetricContext): number[][] {
  return answerIds(`metric ${name}`, answers, context);
}

/**
 * Answers as ids, a list a prompt. `what`: for messages. @throws when they do not fit the prompts or the
 * vocabulary.
 */
export function answerIds(
  what: string,
  answers: Answers,
  { model, rows }: Pick<MetricContext, 'model' | 'rows'>,
): number[][] {
  const fail = (message: string): never => {
    throw new Error(`${what}: ${message}`);
  };
  const { dVocabOut } = model.config;
  const id = (t: TokenLike): number => {
    const token = typeof t === 'string' ? model.toSingleToken(t) : t;
    if (!Number.isInteger(token) || token < 0 || token >= dVocabOut)
      fail(`token id ${token}, but the vocabulary is 0–${dVocabOut - 1}`);
    return token;
  };
  if (typeof answers === 'string' || typeof answers === 'number') {
    const one = id(answers);
    return rows.map(() => [one]);
  }
  if (answers.length !== rows.length)
    fail(
      `a list of ${answers.length} for ${rows.length} prompts: one entry a prompt is needed; several answers of a prompt are a list in the list, [[…]]`,
    );
  return answers.map((entry, row) => {
    const several = typeof entry === 'string' || typeof entry === 'number' ? [entry] : entry;
    if (!several.length) fail(`no answer for prompt ${row}`);
    return several.map(id);
  });
}

/** Entries of a list that a name shows. */
const SHOWN = 3;

/** Answers as titles have them. */
export function showAnswers(answers: Answers): string {
  if (typeof answers === 'number') return `#${answers}`;
  if (typeof answers === 'string') return JSON.stringify(answers);
  const shown = answers.slice(0, SHOWN).map((a) => showAnswers(a as Answers));
  return `[${shown.join(', ')}${answers.length > SHOWN ? ', …' : ''}]`;
}
