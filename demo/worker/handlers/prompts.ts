/** Prompts as the model reads them, and what is wrong with a pair. */

import type { HookedTransformer } from '../../../hooks/transformer/model.js';
import { joinedBytes } from '../../../interp/results/text.js';
import { equalLengths, type LengthHelp } from '../equal-lengths.js';
import type { Handler } from '../handler.js';

/** Prompts as they were typed. */
export interface PromptTexts {
  readonly clean: string;
  readonly corrupted: string;
  readonly answer: string;
  readonly wrong: string;
  /** Beginning-of-text in front. */
  readonly bos: boolean;
  /** Tokens after both prompts. */
  readonly written: readonly number[];
  /** The token after which views read; null: the last one of the prompt. */
  readonly cursor: number | null;
}

/** A prompt as tokens, up to the cursor. */
export interface ReadPrompt {
  readonly ids: readonly number[];
  /** Text of each token, blanks and all. */
  readonly pieces: readonly string[];
  /** Tokens behind the cursor. */
  readonly rest: readonly string[];
  /** All of them, those behind the cursor too. */
  readonly whole: readonly number[];
  /** How many tokens were typed; those after them were generated. */
  readonly typed: number;
  /** The text up to the cursor, as programs take it. */
  readonly text: string;
  /** Whether that text has these tokens: one that is cut within a word may have others. */
  readonly exact: boolean;
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
  /** What would make them equally long. */
  readonly help: readonly LengthHelp[];
  /** Positions at which the tokens differ. */
  readonly differ: readonly number[];
}

/** Reads prompts; nothing runs on the GPU. */
export const readPrompts: Handler<PromptTexts, ReadPrompts> = async (of, { engine: { model } }) => {
  const { clean, corrupted, answer, wrong } = of;
  const [one, other] = [clean, corrupted].map((text) => readPrompt(model, text, of));
  const n = Math.min(one.ids.length, other.ids.length);
  const differ = Array.from({ length: n }, (_, i) => i).filter((i) => one.ids[i] !== other.ids[i]);
  const unequal = one.problem === null && other.problem === null && one.typed !== other.typed;
  return {
    ...{ of, hash: model.hash },
    clean: one,
    corrupted: other,
    answer: readAnswer(model, answer),
    wrong: readAnswer(model, wrong),
    pairProblem: pairProblem(one, other, differ.length),
    help: unequal ? equalLengths(model, of) : [],
    differ,
  };
};

function readPrompt(model: HookedTransformer, text: string, of: PromptTexts): ReadPrompt {
  const { bos: prependBos, written, cursor } = of;
  const none = { ids: [], pieces: [], rest: [], whole: [], typed: 0, text, exact: true };
  try {
    const [typed] = model.toTokens(text, { prependBos });
    if (text === '') return { ...none, problem: 'The prompt is empty.' };
    const all = [...typed, ...written];
    const last = Math.min(cursor ?? typed.length - 1, all.length - 1);
    const ids = all.slice(0, last + 1);
    const { nCtx } = model.config;
    const problem =
      ids.length > nCtx
        ? `The prompt has ${ids.length} tokens; this model reads at most ${nCtx}. Shorten it by ${ids.length - nCtx}.`
        : null;
    if (problem) return { ...none, ids, pieces: model.toStrTokens(ids.slice(0, nCtx)), problem };
    const pieces = joinedBytes(model.toStrTokens(all));
    const whole = last === typed.length - 1;
    const own = whole
      ? text
      : model.toString(ids.slice(typed.length - model.toTokens(text, { prependBos: false })[0].length));
    const exact = whole || model.toTokens(own, { prependBos })[0].join() === ids.join();
    return {
      ...{ ids, whole: all, typed: typed.length, text: own, exact, problem },
      pieces: pieces.slice(0, last + 1),
      rest: pieces.slice(last + 1),
    };
  } catch (e) {
    return { ...none, problem: sentence((e as Error).message) };
  }
}

function pairProblem(clean: ReadPrompt, corrupted: ReadPrompt, differing: number): string | null {
  const [a, b] = [clean.ids.length, corrupted.ids.length];
  if (!a || !b) return null; // said of the prompt itself
  if (clean.typed !== corrupted.typed)
    return `The clean prompt has ${clean.typed} tokens, the corrupted one ${corrupted.typed}. Patching puts one in place of the other, position by position, so both need the same number.`;
  if (!differing && clean.rest.length)
    return 'Up to the cursor the two prompts are the same, so there is nothing to patch. Move the cursor on.';
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
