/** Prompts as the model reads them, and what is wrong with a pair. */

import type { HookedTransformer } from '../../../hooks/transformer/model.js';
import type { Handler } from '../handler.js';

/** Prompts as they were typed. */
export interface PromptTexts {
  readonly clean: string;
  readonly corrupted: string;
  readonly answer: string;
  readonly wrong: string;
  /** Beginning-of-text in front. */
  readonly bos: boolean;
}

/** A prompt as tokens. */
export interface ReadPrompt {
  readonly ids: readonly number[];
  /** Text of each token, blanks and all. */
  readonly pieces: readonly string[];
  /** Why it cannot be read; then there are no tokens. */
  readonly problem: string | null;
}

/** An answer: one token, or why not. */
export interface ReadAnswer {
  readonly id: number | null;
  readonly problem: string | null;
  /** What would be one token instead. */
  readonly instead: string | null;
}

/** What the worker makes of prompts. */
export interface ReadPrompts {
  /** The texts that were read. */
  readonly of: PromptTexts;
  /** Of the model that read them. */
  readonly hash: string;
  readonly clean: ReadPrompt;
  readonly corrupted: ReadPrompt;
  readonly answer: ReadAnswer;
  readonly wrong: ReadAnswer;
  /** Why patching cannot compare the two prompts. */
  readonly pairProblem: string | null;
  /** Positions at which the tokens differ. */
  readonly differ: readonly number[];
}

/** Reads prompts; nothing runs on the GPU. */
export const readPrompts: Handler<PromptTexts, ReadPrompts> = async (of, { engine: { model } }) => {
  const { clean, corrupted, answer, wrong, bos } = of;
  const [one, other] = [clean, corrupted].map((text) => readPrompt(model, text, bos));
  const n = Math.min(one.ids.length, other.ids.length);
  const differ = Array.from({ length: n }, (_, i) => i).filter((i) => one.ids[i] !== other.ids[i]);
  return {
    ...{ of, hash: model.hash },
    clean: one,
    corrupted: other,
    answer: readAnswer(model, answer),
    wrong: readAnswer(model, wrong),
    pairProblem: pairProblem(one, other, differ.length),
    differ,
  };
};

function readPrompt(model: HookedTransformer, text: string, prependBos: boolean): ReadPrompt {
  try {
    const [ids] = model.toTokens(text, { prependBos });
    const { nCtx } = model.config;
    const problem =
      text === ''
        ? 'The prompt is empty.'
        : ids.length > nCtx
          ? `The prompt has ${ids.length} tokens; this model reads at most ${nCtx}. Shorten it by ${ids.length - nCtx}.`
          : null;
    return { ids, pieces: model.toStrTokens(ids), problem };
  } catch (e) {
    return { ids: [], pieces: [], problem: sentence((e as Error).message) };
  }
}

function pairProblem(clean: ReadPrompt, corrupted: ReadPrompt, differing: number): string | null {
  const [a, b] = [clean.ids.length, corrupted.ids.length];
  if (!a || !b) return null; // said of the prompt itself
  if (a !== b)
    return `The clean prompt has ${a} tokens, the corrupted one ${b}. Patching puts one in place of the other, position by position, so both need the same number.`;
  if (!differing) return 'The two prompts are the same, so there is nothing to patch. Change a word in one.';
  return null;
}

function readAnswer(model: HookedTransformer, text: string): ReadAnswer {
  if (text === '') return { id: null, problem: 'Give a token.', instead: null };
  try {
    return { id: model.toSingleToken(text), problem: null, instead: null };
  } catch {
    const pieces = model.toStrTokens(text, { prependBos: false });
    const spaced = text.startsWith(' ') ? text.trimStart() : ` ${text}`;
    const other = spaced && model.toStrTokens(spaced, { prependBos: false }).length === 1 ? spaced : null;
    const shown = pieces.map((p) => p.replaceAll(' ', '␣')).join(' · ');
    const problem = `This is ${pieces.length} tokens (${shown}); an answer is one.`;
    return { id: null, problem, instead: other };
  }
}

/** With a capital and a full stop. */
const sentence = (text: string): string =>
  `${text[0]?.toUpperCase() ?? ''}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
