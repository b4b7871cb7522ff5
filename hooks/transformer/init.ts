/** Models with random weights, to be trained. */

import { RandomState } from '../../engine/random/numpy-random.js';
import type { Config } from '../../weights/config.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { parseConfig } from '../../weights/load/config.js';
import { expectedShapes } from '../../weights/load/expected-shapes.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { rotaryTable } from '../../weights/rotary.js';
import { is, options, type Spec, signatures } from '../input/check.js';
import { LOAD_SPEC, type LoadOptions } from './load.js';
import { HookedTransformer } from './model.js';

/** How weights are drawn: normal numbers of mean 0. */
export interface InitOptions {
  /** Default 1. */
  seed?: number;
  /** Standard deviation of matrices. Default 0.02, GPT-2's at a width of 768; narrower models want more. */
  std?: number;
  /** Of the tokens' embedding. Default `std`. */
  embeddingStd?: number;
  /**
   * Positions: `'normal'` as everything else (the default), or Vaswani et al.'s `'sinusoidal'` code, of root
   * mean square `std`: from random positions a head finds the previous token only late, for it must learn
   * every position by itself.
   */
  positions?: 'normal' | 'sinusoidal';
  /**
   * Biases of queries and keys: 0 (the default), or `'look-back'`, for rotary positions: the heads of the
   * first layer begin by looking at the token before, the one before that, and so on. From 0 they find the
   * previous token only late.
   */
  attentionBiases?: 'zero' | 'look-back';
  /** Whether the unembedding is the tokens' embedding, as in GPT-2. Default true. */
  tied?: boolean;
}

/** The score at the distance that a head of `'look-back'` begins with. */
const LOOK_BACK = 12;

const INIT = {
  seed: is.seed,
  std: is.positive,
  embeddingStd: is.positive,
  positions: is.oneOf('normal', 'sinusoidal'),
  attentionBiases: is.oneOf('zero', 'look-back'),
  tied: is.boolean,
} satisfies Spec<InitOptions>;

const takes = signatures({
  randomWeights: { config: is.plainObject, options: options<InitOptions>(INIT) },
  randomModel: {
    config: is.plainObject,
    options: options<InitOptions & LoadOptions>({ ...INIT, ...LOAD_SPEC }),
  },
});

/**
 * Random weights of any family, as GPT-2 starts with, in Hugging Face's names of GPT-2: what writes into the
 * residual stream is smaller by √(2 · nLayers) (by √nLayers without MLPs), biases are 0 by default, and gains
 * act as 1. The same seed gives the same weights.
 */
export const randomWeights = takes.randomWeights(function randomWeights(
  config: Partial<Config> | Record<string, unknown>,
  options: InitOptions = {},
): Record<string, HostTensor> {
  const { seed = 1, std = 0.02, embeddingStd = std, positions = 'normal', tied = true } = options;
  const whole = parseConfig(config);
  const { nLayers, dModel, nCtx, dVocab, dVocabOut, attnOnly } = whole;
  const random = new RandomState(seed);
  const tensors: Record<string, HostTensor> = {};
  const normal = (name: string, shape: readonly number[], std: number) => {
    const data = Float32Array.from(random.randn(shape[0] * shape[1]), (x) => x * std);
    tensors[name] = { shape, data };
  };
  const writing = std / Math.sqrt(Math.max(1, (attnOnly ? 1 : 2) * nLayers));
  for (const [name, shape] of expectedShapes(whole)) {
    if (shape.length === 1) {
      const gain = name.endsWith('.weight') && whole.normGain !== '1+w';
      tensors[name] = { shape, data: new Float32Array(shape[0]).fill(gain ? 1 : 0) };
    } else if (name === 'wte.weight') normal(name, shape, embeddingStd);
    else if (name === 'wpe.weight' && positions === 'sinusoidal')
      tensors[name] = sinusoids(nCtx, dModel, std);
    else normal(name, shape, name.endsWith('.c_proj.weight') ? writing : std);
  }
  if (options.attentionBiases === 'look-back') lookBack(whole, tensors);
  if (!tied || dVocabOut !== dVocab) normal('lm_head.weight', [dVocabOut, dModel], std);
  return tensors;
});

/**
 * Sets the biases of the first layer so that head h begins by looking h + 1 tokens back. A rotary score of
 * constant parts q and k is qᵀ R(−distance) k, greatest where q = R(−distance) k; only the fast quarter of
 * the frequencies tells neighbours apart.
 */
function lookBack(
  { rotary, qkvBias, nHeads, nKeyValueHeads, dHead }: Config,
  tensors: Record<string, HostTensor>,
) {
  if (!rotary || !qkvBias)
    throw new Error("attentionBiases 'look-back' needs rotary positions and biases of queries and keys");
  const bias = tensors['h.0.attn.c_attn.bias'].data as Float32Array;
  const { frequencies } = rotaryTable(rotary, false);
  const pairs = Math.ceil(frequencies.length / 4);
  const size = Math.sqrt((LOOK_BACK * Math.sqrt(dHead)) / pairs);
  for (let head = 0; head < nHeads; head++) {
    const key = nHeads * dHead + Math.floor((head * nKeyValueHeads) / nHeads) * dHead;
    for (let pair = 0; pair < pairs; pair++) {
      const [x, y] = rotary.pairs === 'halves' ? [pair, pair + rotary.dims / 2] : [2 * pair, 2 * pair + 1];
      const angle = (head + 1) * frequencies[pair];
      bias[key + x] = size;
      bias[head * dHead + x] = size * Math.cos(angle);
      bias[head * dHead + y] = -size * Math.sin(angle);
    }
  }
}

/** The position code of Vaswani et al. 2017, sines and cosines in turn, of root mean square `rms`. */
function sinusoids(nCtx: number, dModel: number, rms: number): HostTensor {
  const data = new Float32Array(nCtx * dModel);
  for (let pos = 0; pos < nCtx; pos++)
    for (let i = 0; i < dModel; i++) {
      const angle = pos * Math.exp((-Math.log(10000) * (i & ~1)) / dModel);
      data[pos * dModel + i] = Math.SQRT2 * rms * (i & 1 ? Math.cos(angle) : Math.sin(angle));
    }
  return { shape: [nCtx, dModel], data };
}

/**
 * A model with random weights, unprocessed, ready to be trained (`Trainer`).
 * @param config our names (`nLayers`, `nHeads`, ...), or a `config.json`
 */
export const randomModel = takes.randomModel(async function randomModel(
  config: Partial<Config> | Record<string, unknown>,
  { seed, std, embeddingStd, positions, attentionBiases, tied, ...options }: InitOptions & LoadOptions = {},
): Promise<HookedTransformer> {
  const whole = parseConfig(config, { name: (config as { name?: string }).name ?? 'random' });
  const weights = randomWeights(whole, { seed, std, embeddingStd, positions, attentionBiases, tied });
  return HookedTransformer.fromWeights({ ...whole }, weights, { ...options, ...noProcessing });
});
