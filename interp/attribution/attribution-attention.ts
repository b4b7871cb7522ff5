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
import { runWithGrads } from '../../hooks/transformer/gradients.js';
import { positionLabels, provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { headNames } from './attribution-maps.js';
import { type AttributionPair, attributionPair } from './attribution-runs.js';
import { stacked, sumOfProducts } from './products.js';

/** Options of `attentionAttribution`. */
export interface AttentionAttributionOptions
  extends Pick<AttributionPair, 'clean' | 'metric' | 'prependBos' | 'constant' | 'signal'> {
  /** Only for the scale: with it attributions are parts of the difference between the two runs, as in the demo. */
  readonly corrupted?: AttributionPair['corrupted'];
}

const ATTENTION_ATTRIBUTION = options<AttentionAttributionOptions>({
  clean: needed(is.prompts),
  corrupted: is.prompts,
  metric: needed(is.metric),
  prependBos: is.boolean,
  constant: is.constants,
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
 * @throws when the prompts differ in length among themselves, or the metric has no gradient.
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
  signal?.throwIfAborted();
  const other = pair && (await measuredRun(model, pair.changed, metric, [])).prompts;
  signal?.throwIfAborted();
  const { nLayers, nHeads } = model.config;
  const names = Array.from({ length: nLayers }, (_, l) => pointName('attn.hook_pattern', l));
  const { cache, grads, prompts } = await runWithGrads(model, tokens as number[][], metric, {
    names,
    constant,
  });
  let data: Float32Array;
  try {
    const all = stacked(names.map((name) => sumOfProducts(grads.get(name), cache.get(name), [0, 1, 2, 3])));
    data = await all.data(); // [layer, prompt, head, query, key]
    all.dispose();
  } finally {
    cache.dispose();
    grads.dispose();
  }
  const gap = (i: number) => {
    if (!other) return 1;
    return metric.per === 'prompt' ? prompts[i] - other[i] : mean([...prompts]) - mean([...other]);
  };
  const size = nHeads * first.length ** 2;
  const values = data.map((_, at) => {
    const [prompt, layer] = [Math.floor(at / size / nLayers), Math.floor(at / size) % nLayers];
    return data[(layer * tokens.length + prompt) * size + (at % size)] / gap(prompt);
  });
  const labels = positionLabels(model, first);
  const list = (n: number, name: (i: number) => string) => Array.from({ length: n }, (_, i) => name(i));
  return labelled(
    values,
    [
      { name: 'prompt', labels: list(tokens.length, String) },
      { name: 'layer', labels: list(nLayers, (l) => `L${l}`) },
      { name: 'head', labels: list(nHeads, (h) => `H${h}`) },
      { name: 'query', labels },
      { name: 'key', labels },
    ],
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

/** [head, query, key] with labels `L0H0`, … as [prompt, layer, head, query, key]. */
function onePrompt({ values, axes: [head, ...rest], meta }: Labelled): Labelled {
  const heads = head.labels.filter((label) => label.startsWith('L0H')).length;
  const numbered = (name: string, n: number) => ({
    name,
    labels: Array.from({ length: n }, (_, i) => String(i)),
  });
  const lead = [
    numbered('prompt', 1),
    numbered('layer', head.labels.length / heads),
    numbered('head', heads),
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
  const parts = headNames({ nLayers: layers, nHeads: heads }).flatMap((name, h) =>
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
