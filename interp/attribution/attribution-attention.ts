/**
 * Attention attribution (Nanda 2023): pattern times its gradient, in the clean run. To first order that is what setting a number
 * of a pattern to zero would take away from the metric: who looks where, and does it matter? There is no counterfactual in
 * it, so it also shows what serves the task in general.
 */

import { pointName } from '../../engine/transformer/points.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { measuredRun } from '../../hooks/metrics/measured-run.js';
import { asMetric } from '../../hooks/run/function-metric.js';
import { mean } from '../../hooks/run/metric.js';
import { queriesAtOnce } from '../../hooks/texts/blocks.js';
import { runWithGrads } from '../../hooks/transformer/gradients.js';
import type { Metric } from '../logits/metrics.js';
import { PATTERN_PART, type Part, type PatternPart, partAxes, partOf } from '../results/pattern-part.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { attributionInBlocks } from './attention-blocks.js';
import { type AttributionPair, attributionPair } from './attribution-runs.js';
import { stacked, sumOfProducts } from './products.js';

/** Options of `attentionAttribution`. */
export interface AttentionAttributionOptions
  extends Pick<AttributionPair, 'clean' | 'metric' | 'prependBos' | 'constant' | 'signal'>,
    PatternPart {
  /** Only for the scale: with it attributions are parts of the difference between the two runs, as in the demo. */
  readonly corrupted?: AttributionPair['corrupted'];
}

const ATTENTION_ATTRIBUTION = options<AttentionAttributionOptions>({
  clean: needed(is.prompts),
  corrupted: is.prompts,
  metric: needed(is.metric),
  prependBos: is.boolean,
  constant: is.constants,
  ...PATTERN_PART,
  signal: is.signal,
});

const takes = signatures({
  attentionAttribution: { model: is.model, options: ATTENTION_ATTRIBUTION },
  signedHeads: {
    attribution: is.labelled,
    options: options<SignedHeadsOptions>({ top: is.count, prompt: is.either(is.oneOf('mean'), is.whole) }),
  },
});

/**
 * Pattern · gradient: [prompt, layer, head, query, key]. Of a metric that is the mean over the prompts each has its share:
 * their sum is the attribution. Without `corrupted` in units of the metric.
 * Of long texts, and where a part is asked for, patterns are made in blocks of queries.
 * @throws when the prompts differ in length among themselves, the metric has no gradient, or the result is larger than `maxBytes`.
 */
export const attentionAttribution = takes.attentionAttribution(async function attentionAttribution(
  model: Model,
  options: AttentionAttributionOptions,
): Promise<Labelled> {
  const { clean, corrupted, prependBos, constant, signal } = options;
  const metric = asMetric(options.metric);
  const pair = corrupted === undefined ? null : attributionPair(model, { clean, corrupted, prependBos });
  const tokens = pair?.from ?? readInput(model, clean, { prependBos }).tokens;
  const [first] = tokens;
  if (tokens.some((row) => row.length !== first.length))
    throw new Error(
      `attentionAttribution: prompts of different lengths have no common positions: take prompts of one length`,
    );
  const part = partOf(model, first.length, options, 'attentionAttribution', tokens.length);
  signal?.throwIfAborted();
  const other = pair && (await measuredRun(model, pair.changed, metric, [])).prompts;
  signal?.throwIfAborted();
  const { data, prompts } = await productsOf(model, tokens, metric, part, options);
  const gap = (i: number) => {
    if (!other) return 1;
    return metric.per === 'prompt' ? prompts[i] - other[i] : mean([...prompts]) - mean([...other]);
  };
  const each = data.length / tokens.length;
  const values = data.map((x, at) => x / gap(Math.floor(at / each)));
  const list = (n: number, name: (i: number) => string) => Array.from({ length: n }, (_, i) => name(i));
  return labelled(
    values,
    [{ name: 'prompt', labels: list(tokens.length, String) }, ...partAxes(model, first, part)],
    provenance(model, {
      method: 'attention attribution',
      metric: metric.name,
      prompts: tokens,
      tokens: first,
      ...(constant?.length && { constant }),
      ...(other && {
        gap: metric.per === 'prompt' ? list(tokens.length, String).map((_, i) => gap(i)) : gap(0),
      }),
    }),
  );
});

/** Pattern · gradient, [prompt, layer, head, query, key], and the metric of each prompt. */
async function productsOf(
  model: Model,
  tokens: readonly (readonly number[])[],
  metric: Metric,
  part: Part,
  { layers, heads, queries, keys, blockBytes, constant, signal }: AttentionAttributionOptions,
): Promise<{ readonly data: Float32Array; readonly prompts: Float32Array }> {
  const n = tokens[0].length;
  const { nLayers, nHeads } = model.config;
  const size = queriesAtOnce(model, n, blockBytes);
  if (size < n || layers || heads || queries || keys) {
    const found = await attributionInBlocks(model, tokens, metric, { part, size, constant, signal });
    return { data: found.values, prompts: found.prompts };
  }
  const names = Array.from({ length: nLayers }, (_, l) => pointName('attn.hook_pattern', l));
  const { cache, grads, prompts } = await runWithGrads(model, tokens as number[][], metric, {
    names,
    constant,
  });
  try {
    const all = stacked(names.map((name) => sumOfProducts(grads.get(name), cache.get(name), [0, 1, 2, 3])));
    const data = await all.data(); // [layer, prompt, head, query, key]
    all.dispose();
    const block = nHeads * n ** 2;
    const turned = new Float32Array(data.length);
    for (let l = 0; l < nLayers; l++)
      for (let p = 0; p < tokens.length; p++)
        turned.set(
          data.subarray((l * tokens.length + p) * block, (l * tokens.length + p + 1) * block),
          (p * nLayers + l) * block,
        );
    return { data: turned, prompts };
  } finally {
    cache.dispose();
    grads.dispose();
  }
}

/** [head, query, key] with labels `L0H0`, … as [prompt, layer, head, query, key]. */
function onePrompt({ values, axes: [head, ...rest], meta }: Labelled): Labelled {
  const heads = head.labels.filter((label) => label.startsWith('L0H')).length;
  const numbered = (name: string, n: number, letter = '') => ({
    name,
    labels: Array.from({ length: n }, (_, i) => `${letter}${i}`),
  });
  const lead = [
    numbered('prompt', 1),
    numbered('layer', head.labels.length / heads, 'L'),
    numbered('head', heads, 'H'),
  ];
  return labelled(values, [...lead, ...rest], { ...meta });
}

/** Options of `signedHeads`. */
export interface SignedHeadsOptions {
  /** How many. Default 20. */
  readonly top?: number;
  /** One prompt, or (the default) the mean over all. */
  readonly prompt?: number | 'mean';
}

/**
 * The heads that say the most for and against the answer, as the demo shows them: each head is split into its positive part
 * (`L9H9+`) and its negative one (`L9H9-`), divided by the largest number of all, and sorted by the largest number in it.
 * @param attribution of `attentionAttribution`, or `headPatterns` of `attributionMaps`, [head, query, key]
 * @returns [head, query, key], from 0 to 1 (`meta.range`, which a figure draws on one hue)
 */
export const signedHeads = takes.signedHeads(function signedHeads(
  attribution: Labelled,
  { top = 20, prompt = 'mean' }: SignedHeadsOptions = {},
): Labelled {
  const { values, shape, axes, meta } = attribution.shape.length === 3 ? onePrompt(attribution) : attribution;
  const [prompts, layers, heads, queries, keys] = shape;
  if (shape.length !== 5) throw new Error('signedHeads: a result of attentionAttribution is needed');
  if (prompt !== 'mean' && !(Number.isInteger(prompt) && prompt >= 0 && prompt < prompts))
    throw new Error(`signedHeads: prompt ${prompt}: there are ${prompts} (0–${prompts - 1}), or 'mean'`);
  const [size, all] = [queries * keys, layers * heads * queries * keys];
  const map = new Float64Array(all);
  for (let p = 0; p < prompts; p++)
    if (prompt === 'mean' || prompt === p)
      for (let i = 0; i < all; i++) map[i] += values[p * all + i] / (prompt === 'mean' ? prompts : 1);
  const names = axes[1].labels.flatMap((layer) => axes[2].labels.map((head) => `${layer}${head}`));
  const parts = names.flatMap((name, h) =>
    (['+', '-'] as const).map((sign) => {
      const part = map.slice(h * size, (h + 1) * size).map((v) => Math.max(0, sign === '+' ? v : -v));
      return { name: `${name}${sign}`, part, most: part.reduce((m, v) => Math.max(m, v), 0) };
    }),
  );
  const chosen = parts.sort((a, b) => b.most - a.most).slice(0, top);
  const largest = chosen[0].most || 1;
  return labelled(
    Float32Array.from(
      chosen.flatMap(({ part }) => [...part]),
      (v) => v / largest,
    ),
    [{ name: 'head', labels: chosen.map((c) => c.name) }, axes[3], axes[4]],
    { ...meta, prompt, largest, range: [0, 1] },
  );
});
