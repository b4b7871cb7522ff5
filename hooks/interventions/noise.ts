/**
 * Noise for embeddings, by the rules of causal tracing (Meng et al. 2022, ROME's `--noise_level`). Numbers
 * come from NumPy's generator in float64, so that published traces can be made again.
 */

import { RandomState } from '../../engine/random/numpy-random.js';
import { shownJson } from '../../weights/checks/messages.js';
import { familyNamed } from '../../weights/families/index.js';
import { is, needed, options, signatures } from '../input/check.js';
import type { Model } from '../input/model.js';
import type { Numbers } from './interventions.js';

/**
 * What noise to add:
 * - a number: its standard deviation, normal;
 * - `'s3'`: normal, three times the standard deviation of the subjects' embeddings (`'s'` is `'s1'`);
 * - `'u0.2'`: uniform between −0.2 and 0.2;
 * - `'m'`: normal with the mean and the covariance of embeddings, which `gaussian` gives;
 * - `'t5'`: as `'m'`, but Student's t with five degrees of freedom, of the same covariance.
 */
export type NoiseRule = number | 's' | `s${number}` | `u${number}` | 'm' | `t${number}`;

/** The noise of ROME's notebooks for GPT-2 XL: a standard deviation of 0.1. */
export const ROME_NOISE = 0.1;

/**
 * The noise that a causal trace takes where none is given: what ROME states for the family (0.1 for GPT-2,
 * 0.025 for GPT-J, 0.03 for GPT-NeoX), and `'s3'` for all others.
 */
export const romeNoise = ({ config }: Pick<Model, 'config'>): NoiseRule =>
  familyNamed(config.family)?.noise ?? 's3';

/**
 * The distribution of embeddings, for the rules `'m'` and `'t…'`: noise = mean + factor · z with z normal.
 */
export interface EmbeddingGaussian {
  /** [dModel] */
  readonly mean: ArrayLike<number>;
  /**
   * [dModel, dModel], factor · factorᵀ = covariance. ROME takes eigenvectors times the roots of their
   * eigenvalues.
   */
  readonly factor: ArrayLike<number>;
}

/** What the rules need to know. */
export interface NoiseOptions {
  /** Of NumPy's `RandomState`. Default 1, as everywhere in ROME. */
  readonly seed?: number;
  /** For `'s…'`: texts or tokens; ROME takes the subjects of all its facts. Nothing is prepended to texts. */
  readonly subjects?: readonly (string | readonly number[])[];
  /** For `'m'` and `'t…'`. */
  readonly gaussian?: EmbeddingGaussian;
}

/** A stream of noise. */
export interface EmbeddingNoise {
  /** Its standard deviation; of uniform noise the bound; null where it differs by direction. */
  readonly level: number | null;
  /** The next noise of the stream: float64 [samples, tokens, dModel]. */
  draw(samples: number, tokens: number): Numbers;
}

const NOISE = options<NoiseOptions>({
  seed: is.seed,
  subjects: is.subjects,
  gaussian: options<EmbeddingGaussian>({ mean: needed(is.numbers), factor: needed(is.numbers) }),
});

const takes = signatures({
  embeddingNoise: { model: is.model, rule: is.noise, options: NOISE },
  embeddingStd: { model: is.model, subjects: is.subjects },
});

/**
 * The noise of a rule. It is added to embeddings of the model as it is loaded, whose standard deviation is a
 * little smaller when weights are centred (`centerWritingWeights`): for ROME's levels load the model without
 * processing.
 * @throws when there is no such rule, or what it needs is not given.
 */
export const embeddingNoise = takes.embeddingNoise(function embeddingNoise(
  model: Model,
  rule: NoiseRule,
  { seed = 1, subjects, gaussian }: NoiseOptions = {},
): EmbeddingNoise {
  const { dModel } = model.config;
  const random = new RandomState(seed);
  const { kind, x } = parse(rule);
  const normal = (level: number) => stream(level, dModel, (n) => random.randn(n).map((z) => level * z));
  if (kind === 'plain') return normal(x);
  if (kind === 's') {
    if (!subjects?.length) throw new Error(`noise '${rule}': give the subjects whose embeddings it measures`);
    return normal(x * embeddingStd(model, subjects));
  }
  if (kind === 'u') return stream(x, dModel, (n) => random.uniform(-1, 1, n).map((z) => x * z));
  if (!gaussian) throw new Error(`noise '${rule}' needs \`gaussian\`: the distribution of embeddings`);
  const gauss = (n: number) => spread(random.randn(n), gaussian, dModel);
  if (kind === 'm') return stream(null, dModel, gauss);
  return stream(null, dModel, (n) => {
    const noise = gauss(n);
    // One factor a vector, always from the beginning of seed 2; its variance makes the covariance that of
    // `gaussian`.
    const factors = new RandomState(2).chisquare(x, n / dModel).map((u) => Math.sqrt((x - 2) / u));
    return noise.map((v, i) => v * factors[Math.floor(i / dModel)]);
  });
});

/**
 * Standard deviation (unbiased) of all numbers in the embeddings of all tokens of the given texts: ROME's
 * `collect_embedding_std`. Three times it is 0.1346 for gpt2-xl and the subjects of known_1000.json.
 */
export const embeddingStd = takes.embeddingStd(function embeddingStd(
  model: Model,
  subjects: readonly (string | readonly number[])[],
): number {
  const { dModel, dVocab } = model.config;
  const { data } = model.weights.W_E;
  const tokens = subjects.flatMap((s) => model.toTokens(s, { prependBos: false })[0]);
  const bad = tokens.find((t) => t >= dVocab);
  if (bad !== undefined) throw new Error(`token ${bad}: the vocabulary has ${dVocab} tokens`);
  const n = tokens.length * dModel;
  const total = (f: (x: number) => number): number => {
    let sum = 0;
    for (const t of tokens) for (let d = t * dModel; d < (t + 1) * dModel; d++) sum += f(data[d]);
    return sum;
  };
  const mean = total((x) => x) / n;
  return Math.sqrt(total((x) => (x - mean) ** 2) / (n - 1));
});

function parse(rule: NoiseRule): { kind: 'plain' | 's' | 'u' | 'm' | 't'; x: number } {
  if (typeof rule === 'number' && Number.isFinite(rule)) return { kind: 'plain', x: rule };
  if (rule === 'm') return { kind: 'm', x: 1 };
  const found = /^(?:(s)|([sut])(\d+\.?\d*|\.\d+))$/.exec(String(rule));
  if (!found || typeof rule === 'number')
    throw new Error(`noise ${shownJson(rule)}: a number is needed, or 's3', 'u0.2', 'm', 't5'`);
  const kind = (found[1] ?? found[2]) as 's' | 'u' | 't';
  const x = Number(found[3] ?? 1);
  if (kind === 't' && x <= 2)
    throw new Error(
      `noise '${rule}': with ${x} degrees of freedom there is no variance; more than 2 are needed`,
    );
  return { kind, x };
}

const stream = (level: number | null, dModel: number, next: (n: number) => Float64Array): EmbeddingNoise => ({
  level,
  draw: (samples, tokens) => ({
    shape: [samples, tokens, dModel],
    data: Array.from(next(samples * tokens * dModel)),
  }),
});

/** mean + factor · z for each vector z. */
function spread(z: Float64Array, { mean, factor }: EmbeddingGaussian, dModel: number): Float64Array {
  if (mean.length !== dModel || factor.length !== dModel * dModel)
    throw new Error(
      `gaussian: mean of ${mean.length} and factor of ${factor.length} numbers; [${dModel}] and [${dModel}, ${dModel}] are needed`,
    );
  return z.map((_, i) => {
    const row = i % dModel;
    let sum = mean[row];
    for (let d = 0; d < dModel; d++) sum += factor[row * dModel + d] * z[i - row + d];
    return sum;
  });
}
