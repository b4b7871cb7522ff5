/**
 * Input attribution (Simonyan et al. 2013; Denil et al. 2014): which tokens of the prompt does the metric hang on? Gradient at a
 * token's embedding times the embedding, or times its difference from a baseline: to first order, what the metric would
 * lose if the token were the baseline.
 */

import type { Constant } from '../../engine/tensor/tape.js';
import type { TextInput } from '../../engine/tokens/text.js';
import { runWithCache } from '../../hooks/cache/cached-run.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { asMetric, type MetricLike } from '../../hooks/run/function-metric.js';
import { stopping } from '../../hooks/run/stopping.js';
import { runWithGrads } from '../../hooks/transformer/gradients.js';
import { shownJson } from '../../weights/checks/messages.js';
import { readPair } from '../patching/pair.js';
import { positionLabels, provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { embeddingMean } from './embedding-mean.js';
import { sumOfProducts } from './products.js';

/** Options of `inputAttribution`. */
export interface InputAttributionOptions {
  readonly metric: MetricLike;
  /**
   * What a token is compared with: nothing (`'zero'`, the default: gradient × embedding), the mean of all tokens'
   * embeddings (`'mean'`), or the token at its place in another prompt.
   */
  readonly baseline?: 'zero' | 'mean' | { readonly prompt: TextInput };
  /** What gradients do not pass: patterns, scales of norms, gates of the MLP. Default: nothing. */
  readonly constant?: readonly Constant[];
  /** Default true. */
  readonly prependBos?: boolean;
  readonly signal?: AbortSignal;
}

const INPUT_ATTRIBUTION = options<InputAttributionOptions>({
  metric: needed(is.metric),
  baseline: is.either(
    is.oneOf('zero', 'mean'),
    options<{ prompt: TextInput }>({ prompt: needed(is.prompts) }),
  ),
  constant: is.constants,
  prependBos: is.boolean,
  signal: is.signal,
});

const takes = signatures({
  inputAttribution: { model: is.model, input: is.prompts, options: INPUT_ATTRIBUTION },
});

/**
 * Attributions of tokens, in units of the metric.
 * @returns axis pos; of several prompts prompt × pos. `tokenFigure` draws one prompt on its text
 * @throws when prompts differ in length among themselves, or the metric has no gradient.
 */
export const inputAttribution = takes.inputAttribution(async function inputAttribution(
  model: Model,
  input: TextInput,
  { metric: given, baseline = 'zero', constant, prependBos, signal }: InputAttributionOptions,
): Promise<Labelled> {
  const metric = asMetric(given);
  const { tokens } = readInput(model, input, { prependBos });
  if (tokens.some((row) => row.length !== tokens[0].length))
    throw new Error(
      'inputAttribution: prompts of different lengths have no common positions: take prompts of one length',
    );
  if (typeof baseline === 'string' ? !['zero', 'mean'].includes(baseline) : baseline?.prompt === undefined)
    throw new Error(
      `inputAttribution: baseline ${shownJson(baseline)}: 'zero', 'mean' or { prompt } is needed`,
    );
  const other =
    typeof baseline === 'string'
      ? null
      : readPair(model, {
          changed: { name: 'given', input: tokens as number[][] },
          from: { name: 'baseline', input: baseline.prompt },
          prependBos,
        }).from;
  signal?.throwIfAborted();
  const run = await runWithGrads(model, tokens as number[][], metric, {
    names: ['hook_embed'],
    constant,
    hooks: stopping(model.gpu, signal),
    gradHooks: stopping(model.gpu, signal),
  });
  let values: Float32Array;
  try {
    const from = other && (await embeddings(model, other));
    const base = baseline === 'mean' ? embeddingMean(model) : from?.get('hook_embed');
    const own = run.cache.get('hook_embed');
    const change = base ? own.sub(base) : own;
    const sums = sumOfProducts(run.grads.get('hook_embed'), change, [0, 1]); // [prompt, pos]
    values = await sums.data();
    sums.dispose();
    if (change !== own) change.dispose();
    if (baseline === 'mean') base!.dispose();
    from?.dispose();
  } finally {
    run.cache.dispose();
    run.grads.dispose();
  }
  const pos = { name: 'pos', labels: positionLabels(model, tokens[0]) };
  const prompts = { name: 'prompt', labels: tokens.map((_, i) => String(i)) };
  return labelled(
    values,
    tokens.length > 1 ? [prompts, pos] : [pos],
    provenance(model, {
      method: 'input attribution',
      metric: metric.name,
      value: run.value,
      baseline: typeof baseline === 'string' ? baseline : 'prompt',
      prompts: tokens,
      tokens: tokens[0],
      ...(other && { baselinePrompts: other }),
      ...(constant?.length && { constant }),
    }),
  );
});

async function embeddings(model: Model, tokens: readonly (readonly number[])[]) {
  const { logits, cache } = await runWithCache(model, tokens as number[][], {
    names: ['hook_embed'],
    stopAtLayer: 0,
  });
  logits.dispose();
  return cache;
}
