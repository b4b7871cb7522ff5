/**
 * Steering: a direction added to the residual stream while the model writes. The direction is a difference of
 * activations between texts that have a property and texts that have not (activation addition, Turner et al.
 * 2023; over many texts, the difference of means, Rimsky et al. 2024).
 *
 *     const happy = await steeringVector(model, ['I love this', …], ['I hate this', …], { layer: 6 });
 *     await model.generate('The film was', {
 *       interventions: [{ at: 'resid_pre', layer: 6, add: happy, times: 4 }] });
 */

import type { TextInput } from '../../engine/tokens/text.js';
import { runWithCache } from '../../hooks/cache/cached-run.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { pointIn } from '../../hooks/input/names.js';
import { indexOf } from '../../hooks/input/selection.js';
import type { Numbers } from '../../hooks/interventions/interventions.js';
import { positionRange } from '../../hooks/run/positions.js';
import { stopping } from '../../hooks/run/stopping.js';
import { shownJson } from '../../weights/checks/messages.js';

/** Options of `steeringVector`. */
export interface SteeringOptions {
  readonly layer: number;
  /** A hook point of every block. Default `'resid_pre'`. */
  readonly at?: string;
  /**
   * Where texts are read: at one position (default −1, the last), averaged over `'all'` of them, or at
   * `'each'` by itself, which needs texts of one length (Turner et al.: one text against another, padded with
   * blanks).
   */
  readonly pos?: number | 'all' | 'each';
  /** Default true. */
  readonly prependBos?: boolean;
  /** Ends it within a layer, with the signal's reason. */
  readonly signal?: AbortSignal;
}

const STEERING = options<SteeringOptions>({
  layer: needed(is.integer),
  at: is.text,
  pos: is.either(is.integer, is.oneOf('all', 'each')),
  prependBos: is.boolean,
  signal: is.signal,
});

const takes = signatures({
  steeringVector: { model: is.model, positive: is.prompts, negative: is.prompts, options: STEERING },
});

/**
 * Mean activation of the positive texts less that of the negative ones.
 * @returns numbers that serve as `add` at the same hook point: [dModel] (of heads [head, dHead]), with `pos:
 * 'each'`
 *   [pos, …], which fit interventions at as many positions.
 * @throws when the hook point or a position does not exist, or texts differ in length where they must not.
 */
export const steeringVector = takes.steeringVector(async function steeringVector(
  model: Model,
  positive: TextInput,
  negative: TextInput,
  { layer, at = 'resid_pre', pos = -1, prependBos, signal }: SteeringOptions,
): Promise<Numbers> {
  const { config } = model;
  const l = indexOf(layer, config.nLayers, 'steeringVector: layer');
  const { name, pattern } = pointIn(at, l, model.points);
  if (pattern) throw new Error(`steeringVector: "${name}" has an entry for each key, and no directions`);
  if (typeof pos !== 'number' && pos !== 'all' && pos !== 'each')
    throw new Error(`steeringVector: pos ${shownJson(pos)}: a number, 'all' or 'each' is needed`);
  signal?.throwIfAborted();
  const mean = (input: TextInput) =>
    meanActivation(model, input, { name, layer: l, pos, prependBos, signal });
  const [plus, minus] = [await mean(positive), await mean(negative)];
  if (plus.shape[0] !== minus.shape[0])
    throw new Error(
      `steeringVector: the positive texts have ${plus.shape[0]} tokens, the negative ones ${minus.shape[0]}: \`pos: 'each'\` needs texts of one length`,
    );
  return { shape: plus.shape, data: plus.data.map((x, i) => x - minus.data[i]) };
});

/** Mean over texts (and positions), [...], or with `'each'` [pos, ...]. */
async function meanActivation(
  model: Model,
  input: TextInput,
  {
    name,
    layer,
    pos,
    prependBos,
    signal,
  }: Pick<SteeringOptions, 'prependBos' | 'signal'> & {
    name: string;
    layer: number;
    pos: number | 'all' | 'each';
  },
): Promise<{ shape: number[]; data: number[] }> {
  const hooks = stopping(model.gpu, signal);
  const options = { names: name, stopAtLayer: layer + 1, prependBos, hooks };
  const { logits: residual, cache } = await runWithCache(model, input, options);
  try {
    residual.dispose();
    let sum: number[] = [];
    let shape: number[] = [];
    let count = 0;
    for (let i = 0; i < cache.batch; i++) {
      signal?.throwIfAborted();
      const row = cache.row(i);
      const t = row.get(name); // [1, pos, ...]
      const [, length, ...dims] = t.shape;
      const data = await t.data().finally(() => row.dispose());
      if (pos === 'each' && i > 0 && length !== shape[0])
        throw new Error(
          `steeringVector: texts of ${shape[0]} and of ${length} tokens: \`pos: 'each'\` needs texts of one length`,
        );
      const [from, to] =
        typeof pos === 'number' ? positionRange(pos, length, `pos of text ${i}`) : [0, length];
      shape = pos === 'each' ? [length, ...dims] : dims;
      const each = data.length / length;
      const size = pos === 'each' ? data.length : each;
      if (!i) sum = new Array<number>(size).fill(0);
      for (let k = from * each; k < to * each; k++) sum[k % size] += data[k];
      count += pos === 'each' ? 1 : to - from;
    }
    return { shape, data: sum.map((x) => x / count) };
  } finally {
    cache.dispose();
  }
}
