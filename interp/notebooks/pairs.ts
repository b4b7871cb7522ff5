/**
 * Prompts that a researcher brings along: read from text, and fitted to a model's vocabulary. Names that are
 * one token of GPT-2's are two of many others: then the first token stands for an answer that is only
 * compared, and what cannot be used is left out by name.
 */

import { is, optional, options, signatures } from '../../hooks/input/check.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import { fileError, quoted } from '../../weights/checks/messages.js';
import { parseJson, textLines } from '../../weights/checks/text.js';
import { noColumn } from '../../weights/data/row.js';
import { DATA, DATA_SOURCE, type DataOptions, placedRows } from '../../weights/data/rows.js';
import type { DataSource } from '../../weights/data/source.js';
import { logitDiff, type Metric } from '../logits/metrics.js';

const FIT = options<FitOptions>({
  sameLength: is.boolean,
  none: is.oneOf('throw', 'empty'),
  patching: is.boolean,
  prependBos: is.boolean,
});

const pair = is.having('{ clean, corrupted, answer, wrong }', 'clean');
const takes = signatures({
  readPairs: { text: is.text, name: is.text, needs: optional(is.texts) },
  loadPairs: {
    source: DATA_SOURCE,
    options: options<PairDataOptions>({ ...DATA, needs: is.texts, columns: is.plainObject }),
  },
  readList: { text: is.text, name: is.text },
  firstToken: { model: is.model, text: is.text },
  fitPairs: {
    model: is.model,
    pairs: is.listOf(pair, 'a list of pairs, [{ clean, corrupted, answer, wrong }]'),
    options: FIT,
  },
  namedPositions: {
    model: is.model,
    prompt: is.prompt,
    words: { ...is.plainObject, what: 'words or positions by name, { name: 1, is: " is" }' },
    options: options<{ readonly prependBos?: boolean }>({ prependBos: is.boolean }),
  },
});

/** A prompt with its counterpart and both answers. */
export interface PromptPair {
  readonly clean: string;
  /** The same with a detail changed. */
  readonly corrupted?: string;
  /** The answer to the clean prompt, with its blank: `' Mary'`. */
  readonly answer?: string;
  /** The answer to the corrupted prompt. */
  readonly wrong?: string;
}

const FIELDS = ['corrupted', 'answer', 'wrong'] as const;
type Field = (typeof FIELDS)[number];

/**
 * Pairs of prompts from JSON lines: `{"clean": text, "corrupted": text, "answer": " Mary", "wrong": "
 * John"}`, one a line.
 * @param name of the file, for messages
 * @param needs fields besides `clean` that every line must have
 * @throws when a line is no JSON, lacks a text, or there is no line
 */
export const readPairs = takes.readPairs(function readPairs(
  text: string,
  name: string,
  needs: readonly Field[] = [],
): PromptPair[] {
  const pairs = textLines(text).flatMap((line, i) => {
    if (!line.trim()) return [];
    const where = `${name}, line ${i + 1}`;
    const row = parseJson(line, where) as PromptPair | null;
    return [checkedPair(row, where, needs)];
  });
  if (!pairs.length) throw fileError(name, 'it has no prompts; one JSON object a line is needed');
  return pairs;
});

/** @throws when a text is missing or is none */
function checkedPair(row: PromptPair | null, where: string, needs: readonly Field[]): PromptPair {
  const missing = (['clean', ...needs] as const).filter((field) => typeof row?.[field] !== 'string');
  const bad = FIELDS.filter((field) => row?.[field] !== undefined && typeof row[field] !== 'string');
  if (!missing.length && !bad.length && row?.clean) return row;
  const example = ['clean', ...needs].map((field) => `"${field}": text`).join(', ');
  throw fileError(where, `{${example}} is needed`);
}

/** Options of `loadPairs`: besides those of `readRows`, which column has what. */
export interface PairDataOptions extends Omit<DataOptions, 'columns'> {
  /** Fields besides `clean` that every row must have. Default: none. */
  readonly needs?: readonly Field[];
  /** The column of a field where it is called otherwise: `{ clean: 'prompt', answer: 'target' }`. */
  readonly columns?: Readonly<Partial<Record<'clean' | Field, string>>>;
}

/**
 * Pairs of prompts from a file of JSON lines, CSV or Parquet, on disk, at a URL or in a data set of the Hub.
 * @throws when there is no such file or column (the error says which columns there are), and for a row
 * without its texts
 * @example const pairs = await loadPairs('ioi.csv', { columns: { clean: 'prompt', corrupted: 'abc_prompt' },
 * needs: ['corrupted'] })
 */
export const loadPairs = takes.loadPairs(async function loadPairs(
  source: DataSource,
  { needs = [], columns = {}, ...given }: PairDataOptions = {},
): Promise<PromptPair[]> {
  const fields = ['clean', ...FIELDS] as const;
  const known = Object.keys(columns).find((field) => !(fields as readonly string[]).includes(field));
  if (known)
    throw new Error(`loadPairs: columns has ${quoted(known, 40)}; the fields are ${fields.join(', ')}`);
  const pairs: PromptPair[] = [];
  for await (const { row, where } of placedRows(source, given)) {
    const pair: Partial<Record<'clean' | Field, unknown>> = {};
    for (const field of fields) {
      const column = columns[field] ?? field;
      const must = field === 'clean' || columns[field] !== undefined || needs.includes(field);
      if (Object.hasOwn(row, column)) pair[field] = row[column] ?? undefined;
      else if (must) throw noColumn(where, column, Object.keys(row));
    }
    pairs.push(checkedPair(pair as unknown as PromptPair, where, needs));
  }
  return pairs;
});

/**
 * The lines of a text that are not empty. @param name of the file, for messages @throws when there is none
 */
export const readList = takes.readList(function readList(text: string, name: string): string[] {
  const lines = textLines(text).filter((line) => line.trim());
  if (!lines.length) throw fileError(name, 'it has no line; one text a line is needed');
  return lines;
});

/** A token that stands for a text. */
export interface FirstToken {
  readonly token: number;
  /** Its text. */
  readonly text: string;
  /** Whether the text is that token alone. */
  readonly whole: boolean;
}

/** The first token of a text, which may be more than one in a model's vocabulary. @throws when it has none */
export const firstToken = takes.firstToken(function firstToken(
  model: HookedTransformer,
  text: string,
): FirstToken {
  const [tokens] = model.toTokens(text, { prependBos: false });
  const [token] = tokens;
  return { token, text: model.toStrTokens([token])[0], whole: tokens.length === 1 };
});

/** A pair as a model can use it. */
export interface FittedPair extends Required<PromptPair> {
  readonly answerToken: number;
  readonly wrongToken: number;
}

/** Pairs that a model can use, and what was done to them. */
export interface FittedPairs {
  readonly pairs: readonly FittedPair[];
  /** The same as lists, for metrics and runs: prompts, and tokens of the answers. */
  readonly clean: readonly string[];
  readonly corrupted: readonly string[];
  readonly correct: readonly number[];
  readonly wrong: readonly number[];
  /** Mean logit difference of the answers, `logitDiff(correct, wrong)`. */
  readonly metric: Metric;
  /** Sentences: which answers are represented by their first token, which prompts are left out, and why. */
  readonly notes: readonly string[];
}

/** Options of `fitPairs`. */
export interface FitOptions {
  /** All prompts must have as many tokens: those of the most frequent length stay. Default false. */
  readonly sameLength?: boolean;
  /** What to do when nothing is left: throw, or give empty lists and the reasons. Default 'throw'. */
  readonly none?: 'throw' | 'empty';
  /** A prompt and its counterpart must have as many tokens. Default true. */
  readonly patching?: boolean;
  /** Default true. */
  readonly prependBos?: boolean;
}

/**
 * Fits pairs of prompts to a model. Answers of several tokens are represented by their first one. Left out
 * are pairs whose answers begin with the same token, whose prompts differ in length (or not at all), that are
 * too long for the model, or that its vocabulary cannot write.
 * @param pairs with both answers; a missing `corrupted` is taken to be the clean prompt, where nothing is
 * patched
 * @throws when nothing is left: the message says what was tried
 */
export const fitPairs = takes.fitPairs(function fitPairs(
  model: HookedTransformer,
  pairs: readonly PromptPair[],
  { sameLength = false, patching = true, none = 'throw', prependBos }: FitOptions = {},
): FittedPairs {
  const split = new Map<string, string>();
  const left: { readonly clean: string; readonly why: string }[] = [];
  let kept: (FittedPair & { readonly length: number })[] = [];
  for (const pair of pairs) {
    const { clean, answer, wrong, corrupted = clean } = pair;
    try {
      if (answer === undefined || wrong === undefined) throw new Error('"answer" and "wrong" are needed');
      const [good, bad] = [answer, wrong].map((text) => {
        const first = firstToken(model, text);
        if (!first.whole) split.set(text, first.text);
        return first;
      });
      if (good.token === bad.token)
        throw new Error(
          `${quoted(answer)} and ${quoted(wrong)} begin with the same token ${quoted(good.text)}`,
        );
      const [own, other] = [clean, corrupted].map((text) => model.toTokens(text, { prependBos })[0]);
      const { nCtx } = model.config;
      if (own.length > nCtx) throw new Error(`${own.length} tokens; this model reads at most ${nCtx}`);
      if (patching && own.length !== other.length)
        throw new Error(`${own.length} tokens, and its counterpart ${other.length}`);
      if (patching && own.every((t, p) => t === other[p])) throw new Error('the same as its counterpart');
      kept.push({
        ...{ clean, corrupted, answer, wrong },
        ...{ answerToken: good.token, wrongToken: bad.token, length: own.length },
      });
    } catch (e) {
      left.push({ clean, why: (e as Error).message.split('\n')[0] });
    }
  }
  if (sameLength && kept.length) {
    const counts = new Map<number, number>();
    for (const { length } of kept) counts.set(length, (counts.get(length) ?? 0) + 1);
    const [usual] = [...counts].sort((a, b) => b[1] - a[1])[0];
    for (const { clean, length } of kept)
      if (length !== usual) left.push({ clean, why: `${length} tokens, the others ${usual}` });
    kept = kept.filter(({ length }) => length === usual);
  }
  if (!kept.length && none === 'throw')
    throw new Error(
      `none of ${pairs.length} prompts can be used with this model. ${listOf(left, 2).join('; ')}`.slice(
        0,
        295,
      ),
    );
  const notes = [
    ...[...split].map(
      ([text, first]) =>
        `${quoted(text)} is several tokens here; its first one, ${quoted(first)}, stands for it.`,
    ),
    ...listOf(left, 12).map((line) => `Left out: ${line}.`),
  ];
  const [correct, wrong] = [kept.map((p) => p.answerToken), kept.map((p) => p.wrongToken)];
  return {
    pairs: kept.map(({ length, ...pair }) => pair),
    clean: kept.map((p) => p.clean),
    corrupted: kept.map((p) => p.corrupted),
    correct,
    wrong,
    get metric() {
      return logitDiff(correct, wrong);
    },
    notes,
  };
});

/** What was left out, and of many how many more. */
function listOf(left: readonly { readonly clean: string; readonly why: string }[], most: number): string[] {
  const lines = left.slice(0, most).map(({ clean, why }) => `${quoted(clean, 60)} (${why})`);
  return left.length > most ? [...lines, `${left.length - most} more`] : lines;
}

/**
 * The positions of words of a prompt by names of one's choice, as notebooks keep them: `{ name: 1, is: 2,
 * person: 6 }`. A word of several tokens is at its last one; a negative or whole number is a position by
 * itself.
 * @param prompt text (with the beginning-of-text token unless `prependBos` is false) or tokens
 * @param words by name, a text in the prompt or a position, negative ones from the end
 * @throws when a text does not occur, or a position is not in the prompt
 */
export const namedPositions = takes.namedPositions(function namedPositions<Name extends string>(
  model: HookedTransformer,
  prompt: string | readonly number[],
  words: Readonly<Record<Name, string | number>>,
  { prependBos }: { readonly prependBos?: boolean } = {},
): Record<Name, number> {
  const [tokens] = model.toTokens(prompt, { prependBos });
  const at = (name: string, word: string | number): number => {
    if (typeof word === 'string') return model.tokenRange(word, tokens)[1] - 1;
    const pos = word < 0 ? word + tokens.length : word;
    if (Number.isInteger(pos) && pos >= 0 && pos < tokens.length) return pos;
    throw new Error(
      `namedPositions: "${name}" is position ${word}, but the prompt has ${tokens.length} tokens`,
    );
  };
  const entries = Object.entries<string | number>(words).map(([name, word]) => [name, at(name, word)]);
  return Object.fromEntries(entries) as Record<Name, number>;
});
