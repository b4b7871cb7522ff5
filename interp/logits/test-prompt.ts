/**
 * TransformerLens' `test_prompt`: does the model give the right answer to a prompt? Ranks, logits and
 * probabilities of the answer's tokens beside the most probable ones, printed as TransformerLens prints them.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import {
  type Prediction,
  predictions,
  type RankedToken,
  type ScoredToken,
} from '../../hooks/texts/answers.js';
import { provenance } from '../results/provenance.js';

/** Options of `testPrompt`. */
export interface TestPromptOptions {
  /** Put a blank before answers that do not begin with one. Default true. */
  readonly prependSpaceToAnswer?: boolean;
  /** Default true. */
  readonly prependBos?: boolean;
  /** The most probable tokens that are shown. Default 10. */
  readonly topK?: number;
  /** Ends it within a layer, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A token with its text. */
export type WithText<T> = T & { readonly text: string };

/** How the model does on one token of the answer, or on the first tokens of several answers. */
export interface AnswerStep {
  /** One, or one an answer. */
  readonly answers: readonly WithText<RankedToken>[];
  readonly top: readonly WithText<ScoredToken>[];
}

/** What `testPrompt` found out. */
export interface PromptTest {
  /** Tokens of the prompt as text, the beginning-of-text token included. */
  readonly prompt: readonly string[];
  /** Tokens of each answer as text. */
  readonly answers: readonly (readonly string[])[];
  /** Of one answer a step a token, each given the right ones before it; of several answers a single step. */
  readonly steps: readonly AnswerStep[];
  readonly meta: Readonly<Record<string, unknown>>;
  /** TransformerLens' printout. A token with a line feed in it stands as it is. */
  lines(): string[];
  /** `lines()` as one text. */
  toString(): string;
}

const TEST_PROMPT = options<TestPromptOptions>({
  prependSpaceToAnswer: is.boolean,
  prependBos: is.boolean,
  topK: is.whole,
  signal: is.signal,
});

const takes = signatures({
  testPrompt: {
    model: is.model,
    prompt: is.prompt,
    answer: is.either(is.text, is.texts),
    options: TEST_PROMPT,
  },
});

/**
 * Tests a prompt. A single answer may be several tokens: each is predicted from the prompt and the right
 * tokens before it. Of several answers only the first tokens are compared.
 * @throws when there is no answer, or it has no token.
 */
export const testPrompt = takes.testPrompt(async function testPrompt(
  model: Model,
  prompt: string | readonly number[],
  answer: string | readonly string[],
  { prependSpaceToAnswer = true, prependBos, topK = 10, signal }: TestPromptOptions = {},
): Promise<PromptTest> {
  if (!Number.isInteger(topK) || topK < 0)
    throw new Error(`testPrompt: topK ${topK}: a whole number from 0 is needed`);
  const texts = (typeof answer === 'string' ? [answer] : answer).map((text) =>
    prependSpaceToAnswer && !text.startsWith(' ') ? ` ${text}` : text,
  );
  if (!texts.length) throw new Error('testPrompt: there is no answer; nextTokenTable needs none');
  if (texts.includes('')) throw new Error('testPrompt: an empty answer has no token');
  const several = texts.length > 1;
  const [start] = model.toTokens(prompt, { prependBos });
  const ids = texts.map((text) => model.toTokens(text, { prependBos: false })[0]);
  const tokens = several ? start : [...start, ...ids[0].slice(0, -1)];
  readInput(model, tokens); // the checks
  const last = start.length - 1;
  const reads = several
    ? [{ pos: last, tokens: ids.map(([first]) => first) }]
    : ids[0].map((token, i) => ({ pos: last + i, tokens: [token] }));
  const k = Math.min(Math.max(1, topK), model.config.dVocabOut);
  const found = await predictions(model, tokens, reads, k, signal);

  const named = <T extends ScoredToken>(t: T): WithText<T> => ({ ...t, text: model.toString([t.token]) });
  const steps = found.map(({ top, chosen }: Prediction) => ({
    answers: chosen.map(named),
    top: top.slice(0, topK).map(named),
  }));
  const shown = {
    prompt: start.map((t) => model.toString([t])),
    answers: ids.map((list) => list.map((t) => model.toString([t]))),
    steps,
  };
  const lines = () => printout(shown);
  const meta = provenance(model, { method: 'test prompt', tokens: start });
  return { ...shown, meta, lines, toString: () => lines().join('\n') };
});

function printout({ prompt, answers, steps }: Pick<PromptTest, 'prompt' | 'answers' | 'steps'>): string[] {
  const several = answers.length > 1;
  const numbers = ({ logit, prob, text }: WithText<ScoredToken>) =>
    `Logit: ${logit.toFixed(2).padStart(5)} Prob: ${`${(100 * prob).toFixed(2)}%`.padStart(6)} Token: |${text}|`;
  const pairs = steps.map((s) => s.answers.map((a) => `(${pythonString(a.text)}, ${a.rank})`));
  const ranks = pairs.map((list) => (several ? pythonList(list) : list[0]));
  return [
    `Tokenized prompt: ${pythonList(prompt.map(pythonString))}`,
    several
      ? `Tokenized answers: ${pythonList(answers.map((a) => pythonList(a.map(pythonString))))}`
      : `Tokenized answer: ${pythonList(answers[0].map(pythonString))}`,
    ...steps.flatMap((step) => [
      `Performance on answer token${several ? 's' : ''}:`,
      ...step.answers.map((a) => `Rank: ${String(a.rank).padEnd(8)} ${numbers(a)}`),
      ...step.top.map((t, i) => `Top ${i}th token. ${numbers(t)}`),
    ]),
    `Ranks of the answer tokens: ${pythonList(ranks)}`,
  ];
}

const pythonList = (items: readonly string[]): string => `[${items.join(', ')}]`;

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A text as Python's `repr` writes it. */
function pythonString(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = '';
  for (const c of text) {
    const code = c.codePointAt(0)!;
    const hex = (width: number) => code.toString(16).padStart(width, '0');
    if (c in ESCAPES) out += ESCAPES[c];
    else if (c === quote) out += `\\${c}`;
    else if (c === ' ' || !/[\p{C}\p{Z}]/u.test(c)) out += c;
    else out += code < 256 ? `\\x${hex(2)}` : code < 65536 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
  }
  return quote + out + quote;
}
