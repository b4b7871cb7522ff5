/** What the methods of `HookedTransformer` take. */

import type { ChatOptions } from '../../engine/tokens/chat.js';
import {
  CACHE_OPTIONS,
  type CacheOptions,
  INPUT,
  RUN,
  RUN_OPTIONS,
  type RunOptions,
} from '../cache/run-options.js';
import { is, type Methods, needed, optional, options } from '../input/check.js';
import type { HookEntry } from '../input/hook.js';
import type { InputOptions } from '../input/input.js';
import { TAPED_RUN } from '../metrics/taped-run.js';
import type { PrefixOptions } from '../texts/prefix.js';
import { MANY_TEXTS } from '../texts/run-trie.js';
import type { ScoreOptions } from '../texts/score.js';
import { type GenerateOptions, STREAM } from './generate.js';
import type { GradientOptions } from './gradients.js';
import { INTERVENED } from './intervene.js';
import { LOADING } from './load.js';
import type { HookedTransformer } from './model.js';
import { EDITS } from './with.js';

/** The static methods. */
export const LOADERS = {
  fromPretrained: { source: is.source, options: LOADING },
  fromPretrainedNoProcessing: { source: is.source, options: LOADING },
  fromWeights: { config: is.plainObject, tensors: is.plainObject, options: LOADING },
} satisfies Methods<typeof HookedTransformer>;

const SCORING = options<InputOptions & ScoreOptions>({ ...INPUT, ...MANY_TEXTS });
const BOS = options<{ prependBos?: boolean }>({ prependBos: is.boolean });

/** The methods. */
export const MODEL: Methods<HookedTransformer> = {
  with: { edits: EDITS },
  withWeights: { changes: is.plainObject },
  weightShapes: {},
  toJSON: { key: optional(is.text) },
  loadWeights: {},
  checkpoint: {},
  dispose: {},
  toTokens: {
    input: is.prompts,
    options: options<{ prependBos?: boolean; truncate?: boolean }>({
      prependBos: is.boolean,
      truncate: is.boolean,
    }),
  },
  toStrTokens: { input: is.prompts, options: BOS },
  toString: { tokens: optional(is.either(is.whole, is.tokens, is.rows)) },
  toSingleToken: { text: is.text },
  tokenPosition: {
    needle: is.token,
    input: is.prompt,
    options: options<{ prependBos?: boolean; mode?: 'first' | 'last' }>({
      prependBos: is.boolean,
      mode: is.oneOf('first', 'last'),
    }),
  },
  chat: {
    messages: is.listOf(is.plainObject, 'a list of messages, { role, content }'),
    options: options<ChatOptions>({
      addGenerationPrompt: is.boolean,
      template: is.text,
      variables: is.plainObject,
    }),
  },
  tokenRange: { text: is.text, tokens: is.tokens, typed: optional(is.text) },
  forward: { input: is.input, options: RUN_OPTIONS },
  runWithHooks: {
    input: is.input,
    options: options<RunOptions & { hooks: readonly HookEntry[] }>({ ...RUN, hooks: needed(is.hooks) }),
  },
  runWithCache: { input: is.input, options: CACHE_OPTIONS },
  runWithInterventions: {
    input: is.prompts,
    interventions: is.interventions,
    options: INTERVENED,
  },
  runWithResidual: {
    input: is.input,
    options: options<Omit<CacheOptions, 'stopAtLayer'>>({
      ...INPUT,
      startAtLayer: is.integer,
      hooks: is.hooks,
      names: is.names,
      pos: is.pos,
      maxBytes: is.positive,
    }),
  },
  runWithGrads: {
    input: is.input,
    metric: is.metric,
    options: options<GradientOptions>(TAPED_RUN),
  },
  logProbs: { input: is.prompts, options: SCORING },
  loss: { input: is.prompts, options: SCORING },
  prefix: { input: is.prompt, options: options<PrefixOptions>({ ...INPUT, room: is.whole }) },
  generate: {
    prompt: is.prompt,
    options: options<GenerateOptions & { returnType?: 'text' | 'tokens' }>({
      ...STREAM,
      returnType: is.oneOf('text', 'tokens'),
    }),
  },
  stream: { prompt: is.prompt, options: options<GenerateOptions>(STREAM) },
  logitsOfResidual: { residual: is.tensor },
  tensor: { data: is.nested, shape: optional(is.shape) },
  tokensToResidualDirections: {
    tokens: is.either(
      is.token,
      is.listOf(is.either(is.token, is.tokens, is.texts, is.rows), 'a list of tokens, or of such lists'),
    ),
  },
};
