/**
 * Generation. Each step is a batch whose rows own one new token after a stored prefix; with `kvCache: false`
 * the whole text is run again for every token, which gives the same tokens, slower.
 */

import { uniform } from '../../engine/random/random.js';
import { checkSampling, type SamplingOptions, sample } from '../../engine/tokens/sample.js';
import { extendPrefix, KvStore, type Prefix } from '../../engine/transformer/kv.js';
import { finite } from '../../weights/checks/finite.js';
import { is, type Spec } from '../input/check.js';
import type { HookEntry } from '../input/hook.js';
import { needLanguageModel, readInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import { matchNames } from '../input/names.js';
import { runToLastLogits } from '../run/run.js';
import { GrowingText } from '../texts/growing-text.js';
import { type Steering, type SteerOptions, steer } from './steer.js';

/** Options of `generate` and `stream`. */
export interface GenerateOptions extends SamplingOptions, SteerOptions {
  /** Default 20. */
  readonly maxNewTokens?: number;
  /** For sampling (temperature > 0): same seed, same text. Default 0. */
  readonly seed?: number;
  /** Stop when the model ends the text. Default true. */
  readonly stopAtEos?: boolean;
  /** Run only the new token of each step. Default true. */
  readonly kvCache?: boolean;
  /**
   * Called at every step, after interventions; activations are those of the new tokens only (with `kvCache`).
   */
  readonly hooks?: readonly HookEntry[];
  readonly prependBos?: boolean;
  /** Called after every token. */
  readonly onToken?: (step: GenerateStep) => void;
  readonly signal?: AbortSignal;
}

/** Of `stream`. */
export const STREAM = {
  temperature: is.notNegative,
  topK: is.count,
  topP: is.between(0, 1),
  interventions: is.interventions,
  sources: is.sources,
  maxNewTokens: is.whole,
  seed: is.seed,
  stopAtEos: is.boolean,
  kvCache: is.boolean,
  hooks: is.hooks,
  prependBos: is.boolean,
  onToken: is.callback,
  signal: is.signal,
} satisfies Spec<GenerateOptions>;

/** A new token, as `stream` gives it. */
export interface GenerateStep {
  readonly token: number;
  /**
   * What it adds to the text: joined, the pieces are what `generate` adds to the prompt. Empty while it is
   * only part of a character, for the token that ends the text, and without a tokenizer.
   */
  readonly text: string;
  /** It ended the text. */
  readonly ended: boolean;
  /** Log-probability under the model, before temperature, top-k and top-p. */
  readonly logProb: number;
  /** Everything so far, prompt included. */
  readonly tokens: readonly number[];
}

/**
 * Yields token after token. @throws when the prompt and the new tokens do not fit the context, or
 * interventions the model.
 */
export async function* generateSteps(
  model: Model,
  given: string | readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<GenerateStep> {
  const [prompt] = readInput(model, given, options).tokens;
  const {
    maxNewTokens = 20,
    seed = 0,
    stopAtEos = true,
    kvCache = true,
    hooks = [],
    onToken,
    signal,
  } = options;
  const { config, gpu, tokenizer } = model;
  needLanguageModel(config, 'generate');
  checkSampling(options);
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 0)
    throw new Error(`maxNewTokens ${maxNewTokens}: an integer ≥ 0 is needed`);
  // The last new token is predicted and need not be read.
  const most = config.nCtx - prompt.length + 1;
  if (maxNewTokens > most)
    throw new Error(
      `a prompt of ${prompt.length} tokens and ${maxNewTokens} new ones: this model reads at most ${config.nCtx}, so maxNewTokens can be ${most}`,
    );
  const random = uniform(seed);
  const tokens = [...prompt];
  let store: KvStore | null = null;
  let steering: Steering | null = null;
  let prefix: Prefix | null = null;
  const grown = tokenizer && new GrowingText(tokenizer, prompt.slice(prepended(model, given, options)));
  const total = Math.min(prompt.length + maxNewTokens, config.nCtx);
  const prompts = [{ length: prompt.length, total }];
  try {
    if (options.interventions) steering = await steer(model, prompt, total, options);
    if (kvCache && maxNewTokens > 1) {
      const growing = !mayWeighKeys(model, steering, hooks);
      store = new KvStore(gpu, config, prompt.length + maxNewTokens - 1, { growing });
    }
    for (let n = 0; n < maxNewTokens; n++) {
      signal?.throwIfAborted();
      const from = prefix?.length ?? 0;
      const own = tokens.slice(from);
      const slots = store?.take(own.length);
      const inputs = [{ tokens: own, prefix, slots }];
      const all = [...(steering?.hooks(from, tokens.length) ?? []), ...hooks];
      const plan = { inputs, hooks: all, keepIn: store ?? undefined, prompts };
      const logits = await runToLastLogits(model, plan);
      const read = await logits.data().finally(() => logits.dispose());
      finite(read, (i) => `the logit of token ${i} after position ${tokens.length - 1}`);
      const { token, logProb } = sample(read, options, random);
      if (store) prefix = extendPrefix(prefix, store, own, slots!);
      tokens.push(token);
      const ended = stopAtEos && (token === tokenizer?.eosTokenId || config.eosTokenIds.includes(token));
      const text = grown?.add(token, { last: n === maxNewTokens - 1, ends: ended }) ?? '';
      const step: GenerateStep = { token, text, ended, logProb, tokens: [...tokens] };
      onToken?.(step);
      yield step;
      if (ended) return;
    }
  } finally {
    store?.dispose();
    steering?.dispose();
  }
}

/** Whether somebody may put weight on keys that a window hides: the store must then keep them. */
function mayWeighKeys({ points, edits }: Model, steering: Steering | null, hooks: readonly HookEntry[]) {
  const called = hooks.flatMap(([filter]) => matchNames(filter, points));
  const names = [...(edits?.names ?? []), ...(steering?.names ?? []), ...called];
  return names.some((name) => points.get(name)?.row.weighsKeys);
}

/** How many tokens in front of a prompt nobody typed: the beginning-of-text token. */
const prepended = (
  { tokenizer }: Model,
  given: string | readonly number[],
  { prependBos = tokenizer?.defaultPrependBos }: GenerateOptions,
): number => (typeof given === 'string' && prependBos ? 1 : 0);

/**
 * All steps of a generation.
 * @returns all token ids, and those of the prompt as it was typed with the rest, without the token that ended
 * it
 */
export async function generateAll(
  model: Model,
  prompt: string | readonly number[],
  options: GenerateOptions,
): Promise<{ tokens: readonly number[]; continued: readonly number[] }> {
  let tokens: readonly number[] = readInput(model, prompt, options).tokens[0];
  let ended = false;
  for await (const step of generateSteps(model, prompt, options)) ({ tokens, ended } = step);
  return { tokens, continued: tokens.slice(prepended(model, prompt, options), ended ? -1 : undefined) };
}
