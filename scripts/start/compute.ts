/** The numbers behind the four pictures of `npm start`. */

import type { HookedTransformer } from '../../index.js';
import { type LensResult, logitLens } from '../../interp/logits/lens.js';
import { logitDiff } from '../../interp/logits/metrics.js';
import { patch } from '../../interp/patching/patching.js';
import { positionLabels, provenance } from '../../interp/results/provenance.js';
import { type Labelled, labelled } from '../../interp/results/result.js';
import { modelName, visible } from '../../interp/results/text.js';
import { shownJson } from '../../weights/checks/messages.js';
import type { StartOptions } from './options.js';

/** A guess for the next token. */
export interface Guess {
  /** 1 = the most probable. */
  readonly rank: number;
  readonly token: number;
  readonly text: string;
  readonly prob: number;
  readonly logit: number;
  /** `answer`, `wrong`, or neither. */
  readonly role: 'answer' | 'wrong' | '';
}

/** Attention patterns of a prompt. */
export interface Attention {
  readonly layer: number;
  readonly head: number;
  /** How the head was chosen, as a sentence. */
  readonly why: string;
  /** Token positions, as labels. */
  readonly labels: readonly string[];
  /** [layer, head, query, key] of all heads; null when they would be too many numbers to show. */
  readonly all: Float32Array | null;
  /** [query, key] of the chosen head. */
  readonly pattern: Labelled;
  /** Positions of the answer in the prompt. */
  readonly answerAt: readonly number[];
}

/** All that `npm start` shows. */
export interface Report {
  readonly options: StartOptions;
  readonly model: { name: string; layers: number; heads: number; dModel: number; processing: string[] };
  readonly adapter: string;
  /** Tokens of each prompt, blanks made visible. */
  readonly tokens: { prompt: string[]; clean: string[]; corrupted: string[] };
  readonly guesses: readonly Guess[];
  readonly lens: LensResult;
  readonly attention: Attention;
  readonly patching: Labelled;
}

/** Called with the name of a step and how far it is; `done === total` ends it. */
export type OnStep = (step: string, done: number, total: number) => void;

/** Numbers of patterns that are still kept for all heads: 1200 heads (GPT-2 XL) at 40 tokens. */
const MAX_PATTERN_NUMBERS = 2_000_000;

/**
 * Runs the model.
 * @throws when the prompts do not match each other, or an answer is not one token.
 */
export async function compute(
  model: HookedTransformer,
  options: StartOptions,
  onStep: OnStep,
  signal?: AbortSignal,
): Promise<Report> {
  const { prompt, clean, corrupted, bos: prependBos } = options;
  const { config } = model;
  const [answer, wrong] = [options.answer, options.wrong].map((text) => model.toSingleToken(text));
  const show = (text: string) => model.toStrTokens(text, { prependBos }).map(visible);
  const tokens = { prompt: show(prompt), clean: show(clean), corrupted: show(corrupted) };
  checkPair(tokens.clean, tokens.corrupted);
  if (answer === wrong)
    throw new Error(`--answer and --wrong are the same token, ${shownJson(options.answer)}`);
  if (options.head) checkHead(options.head, config);

  const patching = await patch(model, {
    clean,
    corrupted,
    metric: logitDiff(options.answer, options.wrong),
    prependBos,
    onProgress: (done, total) => onStep('patching', done, total),
    signal,
  });
  const guesses = await predict(model, prompt, { answer, wrong, prependBos });
  const lens = await logitLens(model, prompt, {
    prependBos,
    onProgress: (done, total) => onStep('logit lens', done, total),
    signal,
  });
  signal?.throwIfAborted();
  const attention = await attend(model, options, answer);
  return {
    options,
    model: {
      name: modelName(config.name),
      layers: config.nLayers,
      heads: config.nHeads,
      dModel: config.dModel,
      processing: provenance(model, {}).processing as string[],
    },
    adapter: model.gpu.adapter.text,
    tokens,
    guesses,
    lens,
    attention,
    patching,
  };
}

/** A sentence if the model does not solve the pair, so that a map of it says little; else ''. */
export function doubt({ patching, options }: Pick<Report, 'patching' | 'options'>): string {
  const { clean, corrupted } = patching.meta as { clean: number; corrupted: number };
  if (clean > 0 && corrupted < 0) return '';
  const prefers = (value: number) => visible(value > 0 ? options.answer : options.wrong);
  return `Mind that this model prefers ${prefers(clean)} after the clean prompt and ${prefers(corrupted)} after the corrupted one: it does not tell them apart as expected.`;
}

/**
 * @throws an Error that shows both tokenisations when patching has nothing to compare position by position.
 */
export function checkPair(clean: readonly string[], corrupted: readonly string[]): void {
  if (clean.length === corrupted.length) return;
  const line = (name: string, tokens: readonly string[]) =>
    `\n  ${name.padEnd(9)} ${String(tokens.length).padStart(3)} tokens  ${tokens.join('|')}`;
  throw new Error(
    `the prompts must have the same number of tokens, so that each position has a counterpart:${line('clean', clean)}${line('corrupted', corrupted)}`,
  );
}

function checkHead(
  { layer, head }: { layer: number; head: number },
  { nLayers, nHeads }: { nLayers: number; nHeads: number },
) {
  if (layer >= nLayers || head >= nHeads)
    throw new Error(
      `--head ${layer}.${head}: this model has layers 0–${nLayers - 1} with heads 0–${nHeads - 1}`,
    );
}

/** The ten most probable next tokens, then the answer and the wrong one if they are not among them. */
async function predict(
  model: HookedTransformer,
  prompt: string,
  { answer, wrong, prependBos }: { answer: number; wrong: number; prependBos: boolean },
): Promise<Guess[]> {
  const all = await model.forward(prompt, { prependBos });
  const last = all.slice({ batch: 0, pos: -1 });
  const logits = await last.data(); // [dVocab]
  all.dispose();
  last.dispose();
  const max = logits.reduce((m, x) => Math.max(m, x), -Infinity);
  const sum = logits.reduce((s, x) => s + Math.exp(x - max), 0);
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  const chosen = [...new Set([...order.slice(0, 10), answer, wrong])];
  return chosen
    .map((token) => ({
      rank: order.indexOf(token) + 1,
      token,
      text: visible(model.toStrTokens([token])[0]),
      prob: Math.exp(logits[token] - max) / sum,
      logit: logits[token],
      role: token === answer ? ('answer' as const) : token === wrong ? ('wrong' as const) : ('' as const),
    }))
    .sort((a, b) => a.rank - b.rank);
}

async function attend(model: HookedTransformer, options: StartOptions, answer: number): Promise<Attention> {
  const { nLayers, nHeads } = model.config;
  const [tokens] = model.toTokens(options.clean, { prependBos: options.bos });
  const n = tokens.length;
  const keepAll = nLayers * nHeads * n * n <= MAX_PATTERN_NUMBERS;
  const names = 'attn.hook_pattern';
  const { cache, logits } = await model.runWithCache(tokens, { names, ...(keepAll ? {} : { pos: -1 }) });
  logits.dispose();
  const patterns: Float32Array[] = []; // per layer [head, query, key], or [head, 1, key]
  for (let l = 0; l < nLayers; l++) patterns.push(await cache.get('pattern', l).data());
  cache.dispose();

  const answerAt = tokens.flatMap((t, i) => (t === answer ? [i] : []));
  const rows = patterns.map((p) => lastRows(p, nHeads, n));
  const { layer, head, why } = options.head
    ? { ...options.head, why: 'The head that --head names.' }
    : chooseHead(rows, answerAt, { from: n - 1, answer: visible(options.answer) });
  const labels = positionLabels(model, tokens);
  const values = keepAll
    ? patterns[layer].slice(head * n * n, (head + 1) * n * n)
    : await onePattern(model, tokens, layer, head);
  const axes = [
    { name: 'query', labels },
    { name: 'key', labels },
  ];
  const all = keepAll ? new Float32Array(nLayers * nHeads * n * n) : null;
  for (const [l, p] of patterns.entries()) all?.set(p, l * p.length);
  const meta = provenance(model, { method: 'attention pattern', layer, head, tokens });
  return { layer, head, why, labels, all, answerAt, pattern: labelled(values, axes, meta) };
}

/** What the last position attends to, per head: [head][key], from [head, query, key] or [head, 1, key]. */
function lastRows(pattern: Float32Array, nHeads: number, n: number): Float32Array[] {
  const queries = pattern.length / (nHeads * n);
  return Array.from({ length: nHeads }, (_, h) => {
    const start = ((h + 1) * queries - 1) * n;
    return pattern.subarray(start, start + n);
  });
}

/**
 * The head that attends most from the last position to the answer; to any token but the first if it does not
 * occur.
 */
export function chooseHead(
  rows: readonly (readonly ArrayLike<number>[])[],
  answerAt: readonly number[],
  { from, answer }: { from: number; answer: string },
): { layer: number; head: number; why: string } {
  const score = (row: ArrayLike<number>): number =>
    answerAt.length
      ? answerAt.reduce((sum, k) => sum + row[k], 0)
      : Math.max(0, ...Array.from(row).slice(1, from));
  let best = { layer: 0, head: 0, score: -1 };
  rows.forEach((heads, layer) => {
    heads.forEach((row, head) => {
      if (score(row) > best.score) best = { layer, head, score: score(row) };
    });
  });
  const share = `${Math.round(100 * best.score)}%`;
  const name = `${best.layer}.${best.head}`;
  const why = answerAt.length
    ? `Of all heads, ${name} looks from the last token to ${answer} the most: ${share} of its attention.`
    : `${answer} does not occur in the prompt; of all heads, ${name} looks from the last token at a single earlier one the most: ${share} of its attention.`;
  return { layer: best.layer, head: best.head, why };
}

async function onePattern(
  model: HookedTransformer,
  tokens: number[],
  layer: number,
  head: number,
): Promise<Float32Array> {
  const name = `blocks.${layer}.attn.hook_pattern`;
  const { cache, logits } = await model.runWithCache(tokens, { names: name });
  const one = cache.get(name).slice([0, head]);
  const values = await one.data();
  for (const t of [one, logits]) t.dispose();
  cache.dispose();
  return values;
}
