/**
 * Direct logit attribution (Elhage et al. 2021; Wang et al. 2022): what does each part of a model say to the
 * logits directly, not by way of later layers?
 *
 * The residual stream is a sum, the unembedding is linear, and the last layer norm is too once its scale is
 * taken from the run: a logit is then a sum over components. What is usually forgotten has rows of its own,
 * so that the sum is the logit, and `meta.error` says by how much it is not: `b_U`; `ln_final.b` (the norm's
 * bias, where it has not been folded into b_U); the biases b_O and b_out, within layers, in `bias`, or in
 * `remainder`. Gains that have not been folded are multiplied in.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { runToFinal } from '../../hooks/cache/cached-run.js';
import { is, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import type { PosSlice } from '../../hooks/run/positions.js';
import { difference } from '../../hooks/run/readout.js';
import { shownJson } from '../../weights/checks/messages.js';
import { positionLabels, provenance } from '../results/provenance.js';
import { type Axis, type Labelled, labelled, labelledWith } from '../results/result.js';
import { type DirectBy, type DirectTarget, directLogits, directNames, headSources } from './direct-logits.js';
import { type Answers, answerIds, showAnswers } from './metrics.js';

/** Options of `directLogitAttribution`: one of `token`, `tokens` and `direction`. */
export interface DlaOptions {
  /** Attribute its logit. A list has an entry for each prompt. */
  readonly token?: Answers;
  /** Attribute the difference of two logits, correct minus wrong. */
  readonly tokens?: readonly [correct: Answers, wrong: Answers];
  /**
   * Attribute the product of a vector [dModel] with what the unembedding reads; W_U's columns are such
   * vectors.
   */
  readonly direction?: Tensor | ArrayLike<number>;
  /**
   * `'layer'` (default): `embed`, `pos_embed`, `0_attn_out`, `0_mlp_out`, …; `'component'`: heads, MLPs,
   * embeddings, `bias`; `'head'`, `'neuron'`: each of them, and the rest in one row; `'source'`: heads × the
   * tokens they attend to.
   */
  readonly by?: DirectBy;
  /** Where the logit is read, in each prompt: one position (default: the last), [start, end), or `'all'`. */
  readonly pos?: PosSlice | 'all';
  /**
   * `'frozen'` (default): the last layer norm with its scale in the run; `'none'`: it is a row, `ln_final`,
   * and the others are as they are in the residual stream.
   */
  readonly layerNorm?: 'frozen' | 'none';
  /** Of several prompts the mean (`'batch'`, default), or an axis `prompt`. */
  readonly per?: 'batch' | 'prompt';
  readonly prependBos?: boolean;
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Attributions by component; of heads also as a map. */
export interface DlaResult extends Labelled {
  /**
   * `by: 'head'` and `'component'`: the heads among the rows, layer × head (and the axes after the first).
   */
  readonly heads?: Labelled;
}

const DLA = options<DlaOptions>({
  token: is.answers,
  tokens: is.listOf(is.answers, 'a pair of tokens, [correct, wrong]'),
  direction: is.either(is.tensor, is.numbers),
  by: is.oneOf('layer', 'component', 'head', 'neuron', 'source'),
  pos: is.either(is.pos, is.oneOf('all')),
  layerNorm: is.oneOf('frozen', 'none'),
  per: is.oneOf('batch', 'prompt'),
  prependBos: is.boolean,
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  directLogitAttribution: { model: is.model, input: is.prompts, options: DLA },
});

/**
 * Axes: component; prompt, where there are several and `per` is `'prompt'`; pos, unless it is one position.
 * `by: 'source'`, of one prompt and position: component × source, with a last column, `no source`, for what
 * no attention brings.
 *
 * `meta.logit` is what is attributed as the model computes it, `meta.sum` the sum of the rows (numbers, or
 * lists over the axes after the first), `meta.error` their largest difference.
 */
export const directLogitAttribution = takes.directLogitAttribution(async function directLogitAttribution(
  model: Model,
  input: string | readonly string[] | readonly number[] | readonly (readonly number[])[],
  options: DlaOptions,
): Promise<DlaResult> {
  const { by = 'layer', pos = -1, layerNorm = 'frozen', per = 'batch', onProgress, signal } = options;
  check('by', by, ['layer', 'component', 'head', 'neuron', 'source']);
  check('layerNorm', layerNorm, ['frozen', 'none']);
  check('per', per, ['batch', 'prompt']);
  const rows = readInput(model, input as string, { prependBos: options.prependBos });
  signal?.throwIfAborted();
  const { name, targets } = await readTargets(model, rows.tokens, options);
  if (by === 'source' && (rows.tokens.length > 1 || typeof pos !== 'number'))
    throw new Error(`${METHOD}: by source it takes one prompt and one position: they label the axis`);
  const at = { frozen: layerNorm === 'frozen', pos: pos === 'all' ? null : pos };
  const { cache, final } = await runToFinal(model, rows.inputs, directNames(model, by), signal);
  try {
    const prompts: Parts[] = [];
    for (const [i, target] of targets.entries()) {
      signal?.throwIfAborted();
      const one = cache.row(i);
      const { start, length } = cache.layout.rows[i];
      const read = final.slice([[start, start + length]]);
      try {
        const parts = await directLogits(one, read, target, { by, ...at });
        if (by === 'source') {
          const query = (pos as number) < 0 ? (pos as number) + length : (pos as number);
          const sources = await headSources(one, target, { frozen: at.frozen, pos: query });
          prompts.push(withSources(parts, sources, query + 1));
        } else prompts.push({ ...parts, width: parts.logits.length });
      } finally {
        read.dispose();
        one.dispose();
      }
      onProgress?.(i + 1, targets.length);
    }
    const about = { method: METHOD, metric: name, by, layerNorm, pos, tokens: rows.tokens };
    const result = gather(model, prompts, per, pos, by, about);
    return by === 'head' || by === 'component'
      ? labelledWith(result, { heads: headsOf(model, result) })
      : result;
  } finally {
    cache.dispose();
    final.dispose();
  }
});

const METHOD = 'direct logit attribution';

/** The parts of one prompt's logits. */
interface Parts {
  readonly labels: readonly string[];
  /** [labels, width] */
  readonly values: Float32Array;
  /** [positions] */
  readonly logits: Float32Array;
  /** Positions, or sources and one column more. */
  readonly width: number;
}

/** What is attributed, in words and one a prompt. */
async function readTargets(
  model: Model,
  rows: readonly (readonly number[])[],
  { token, tokens, direction }: DlaOptions,
): Promise<{ name: string; targets: DirectTarget[] }> {
  if ([token, tokens, direction].filter((x) => x !== undefined).length !== 1)
    throw new Error(
      `${METHOD}: say what is attributed, with one of token: ' Paris', tokens: [' Paris', ' London'] (their difference), direction: a vector`,
    );
  if (direction !== undefined) {
    const vector = Float32Array.from('data' in direction ? await (direction as Tensor).data() : direction);
    const { dModel } = model.config;
    if (vector.length !== dModel)
      throw new Error(`${METHOD}: a direction of ${vector.length} numbers: ${dModel} are needed (dModel)`);
    return { name: 'product with the direction', targets: rows.map(() => vector) };
  }
  if (tokens !== undefined && (!Array.isArray(tokens) || tokens.length !== 2))
    throw new Error(`${METHOD}: tokens is a pair, [correct, wrong]; for one token there is \`token\``);
  const ids = (answers: Answers) => answerIds(METHOD, answers, { model, rows });
  if (token !== undefined)
    return { name: `logit(${showAnswers(token)})`, targets: ids(token).map((t) => difference(t, [])) };
  const [right, wrong] = tokens!.map(ids);
  return {
    name: `logit(${showAnswers(tokens![0])}) − logit(${showAnswers(tokens![1])})`,
    targets: right.map((t, i) => difference(t, wrong[i])),
  };
}

/** Heads spread over their sources; everything else in a last column. */
function withSources(
  { labels, values, logits }: Parts | Omit<Parts, 'width'>,
  sources: Float32Array,
  n: number,
): Parts {
  const width = n + 1;
  const heads = sources.length / n;
  const spread = new Float32Array(labels.length * width);
  for (let i = 0; i < labels.length; i++)
    if (i < heads) spread.set(sources.subarray(i * n, (i + 1) * n), i * width);
    else spread[i * width + n] = values[i];
  return { labels, values: spread, logits, width };
}

/** Prompts side by side, or their mean, with the sums. */
function gather(
  model: Model,
  prompts: readonly Parts[],
  per: 'batch' | 'prompt',
  pos: PosSlice | 'all',
  by: DirectBy,
  about: { tokens: readonly (readonly number[])[] } & Record<string, unknown>,
): Labelled {
  const [{ labels, width, logits }] = prompts;
  if (prompts.some((p) => p.width !== width))
    throw new Error(`${METHOD}: pos ${shownJson(pos)} gives different numbers of positions in the prompts`);
  const groups = per === 'batch' ? [prompts] : prompts.map((p) => [p]);
  const values = new Float32Array(labels.length * groups.length * width);
  const n = logits.length; // positions; sources are parts of one
  const sums = new Float64Array(groups.length * n);
  const trueLogits = new Float64Array(groups.length * n);
  groups.forEach((group, g) => {
    for (const p of group) {
      for (let k = 0; k < n; k++) trueLogits[g * n + k] += p.logits[k] / group.length;
      for (let i = 0; i < labels.length; i++)
        for (let k = 0; k < width; k++) {
          const share = p.values[i * width + k] / group.length;
          values[(i * groups.length + g) * width + k] += share;
          sums[g * n + (by === 'source' ? 0 : k)] += share;
        }
    }
  });
  const axes: Axis[] = [{ name: 'component', labels }];
  if (per === 'prompt' && prompts.length > 1)
    axes.push({ name: 'prompt', labels: prompts.map((_, i) => String(i)) });
  const last = lastAxis(model, about.tokens, pos, by, width);
  if (last) axes.push(last);
  const numbers = (x: Float64Array) => (x.length === 1 ? x[0] : [...x]);
  const error = sums.reduce((most, s, i) => Math.max(most, Math.abs(s - trueLogits[i])), 0);
  const { tokens, ...rest } = about;
  return labelled(
    values,
    axes,
    provenance(model, {
      ...rest,
      ...(tokens.length === 1 ? { tokens: tokens[0] } : { prompts: tokens }),
      sum: numbers(sums),
      logit: numbers(trueLogits),
      error,
    }),
  );
}

/** The rows of heads as layer × head: they come first. */
function headsOf({ config }: Model, { values, axes, meta }: Labelled): Labelled {
  const { nLayers, nHeads } = config;
  const [first, ...rest] = axes;
  const width = values.length / first.labels.length;
  const names = (letter: string, n: number) => Array.from({ length: n }, (_, i) => `${letter}${i}`);
  const grid = [
    { name: 'layer', labels: names('L', nLayers) },
    { name: 'head', labels: names('H', nHeads) },
    ...rest,
  ];
  return labelled(values.slice(0, nLayers * nHeads * width), grid, meta);
}

/** Sources, or positions; null for a single one. */
function lastAxis(
  model: Model,
  rows: readonly (readonly number[])[],
  pos: PosSlice | 'all',
  by: DirectBy,
  width: number,
): Axis | null {
  const [tokens] = rows;
  if (by === 'source')
    return { name: 'source', labels: [...positionLabels(model, tokens.slice(0, width - 1)), 'no source'] };
  if (typeof pos === 'number') return null;
  const start = pos === 'all' ? 0 : pos[0];
  const first = start < 0 ? start + tokens.length : start;
  const named = rows.length === 1 ? positionLabels(model, tokens).slice(first, first + width) : null;
  return { name: 'pos', labels: named ?? Array.from({ length: width }, (_, i) => String(start + i)) };
}

function check(option: string, value: string, of: readonly string[]): void {
  if (!of.includes(value))
    throw new Error(`${METHOD}: ${option} ${shownJson(value)}: one of ${of.join(', ')} is needed`);
}
