/**
 * The independent reference: what float64 PyTorch computes at every hook point, for small models with awkward
 * sizes. test/fixtures/gpt2/make.py makes the files, from the same random weights, and says what is in them.
 *
 *     const fixture = loadFixture('dhead-13');
 *     const { config, tensors } = referenceModel(fixture);
 *     ... run fixture.rows[row] ...
 *     compare(fixture, row, 'blocks.1.attn.hook_z', z.shape, await z.data());
 */
import { readFileSync } from 'node:fs';
import { noise } from '../../kernels/core/kernel.js';
import type { Config } from '../../weights/config.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { allClose, fail, randomGpt2 } from '../helpers.js';

/** All files of test/fixtures/gpt2. `vocab-50257` has few hook points, no edits and no gradients. */
export const fixtureNames = [
  'dhead-12', // processed weights too
  'dhead-13', // dModel 39, exact gelu, untied unembedding; processed weights too
  'dhead-64',
  'ln-pre', // relu, norms without gain and bias, 3 layers
  'attn-only', // no norms
  'wide-heads', // dHead is not dModel / nHeads; scores scaled by 1 / (layer + 1); processed weights too
  'vocab-3', // three layers, a separate unembedding; processed weights too
  'vocab-50257',
] as const;
export type FixtureName = (typeof fixtureNames)[number];

/** Stands for an array of n values: a sample and three sums. */
export interface Reference {
  readonly shape: readonly number[];
  /** At most 32 values, found at `sampleIndices`; null stands for -Infinity. */
  readonly at: readonly (number | null)[];
  readonly sum: number;
  /** Sum of magnitudes. */
  readonly abs: number;
  /** Sum of value i times noise(n, 1)[i]: differs when values are permuted. */
  readonly dot: number;
  /** How many values are -Infinity; they count as 0 in the sums. */
  readonly masked?: number;
}

/** One row, run alone: shapes have batch 1. */
export interface RowReference {
  /** By TransformerLens name, and `logits`. */
  readonly hooks: Readonly<Record<string, Reference>>;
  /** Natural logarithm of the probability of each next token: one less than the row has tokens. */
  readonly logProbs: readonly number[];
  /** Mean of -logProbs; null for a row of one token. */
  readonly loss: number | null;
  /** `vocab-50257` only: per position, and the largest logits of the last position. */
  readonly logSumExp?: readonly number[];
  readonly top5?: { readonly ids: readonly number[]; readonly logits: readonly number[] };
}

/** An edit of the activation `at`, on the heads and positions named (all, where none is). */
export interface Edit {
  readonly at: string;
  /**
   * `uniform`: each row of a pattern spreads evenly over the keys it may see; `noise`: everything becomes
   * noise(n, value); the others act on each selected number.
   */
  readonly op: 'zero' | 'add' | 'scale' | 'uniform' | 'noise';
  readonly value?: number;
  readonly head?: number;
  readonly pos?: number;
}

export interface Fixture {
  readonly config: Config;
  readonly seed: number;
  readonly untied: boolean;
  /** SHA-256 of the weights: float32, little-endian, in the order of `randomGpt2`. */
  readonly weights: string;
  readonly rows: readonly number[][];
  /** `raw`: weights as they are; `processed`: after fold_ln, centering and folding of value biases. */
  readonly runs: { readonly raw: readonly RowReference[]; readonly processed?: readonly RowReference[] };
  /** Mean of -log p over all predicted tokens of all rows. */
  readonly loss: number;
  /** Logits of one row under an edit, weights unprocessed. */
  readonly edits?: readonly (Edit & { readonly row: number; readonly logits: Reference })[];
  /** Gradients of logit[correct] - logit[wrong] at the last position of `row`, at every hook point. */
  readonly grads?: {
    readonly row: number;
    readonly correct: number;
    readonly wrong: number;
    readonly hooks: Readonly<Record<string, Reference>>;
  };
}

const loaded = new Map<string, Fixture>();

/** Reads a fixture; the second time it is the same object. */
export function loadFixture(name: FixtureName): Fixture {
  let fixture = loaded.get(name);
  if (!fixture) {
    const path = new URL(`../fixtures/gpt2/${name}.json`, import.meta.url);
    loaded.set(name, (fixture = JSON.parse(readFileSync(path, 'utf8')) as Fixture));
  }
  return fixture;
}

/** The model of a fixture, as `HookedTransformer.fromWeights` takes it. */
export function referenceModel(fixture: Fixture): { config: Config; tensors: Record<string, HostTensor> } {
  const { config, seed, untied } = fixture;
  return { config, tensors: randomGpt2(config, seed, { untied }) };
}

export interface CompareOptions {
  /** Default 'raw'. */
  run?: 'raw' | 'processed';
  /** Per value. Default 1e-4. */
  atol?: number;
  /** Per value, relative to it. Default 1e-4. */
  rtol?: number;
}

/**
 * Asserts that an activation of one row agrees with the reference.
 * @param name a hook point by its TransformerLens name, or `logits`
 * @param shape `[1, pos, ...]`, or the same without the batch axis
 */
export function compare(
  fixture: Fixture,
  row: number,
  name: string,
  shape: readonly number[],
  data: Float32Array,
  { run = 'raw', ...tolerance }: CompareOptions = {},
): void {
  const reference = fixture.runs[run]?.[row]?.hooks[name];
  const what = `${fixture.config.name}, ${run} row ${row}, ${name}`;
  if (!reference) fail(`${what}: not in the fixture`);
  compareReference(reference, shape, data, what, tolerance);
}

/** Asserts that an array agrees with its reference: shape, sampled values, masked values and sums. */
export function compareReference(
  reference: Reference,
  shape: readonly number[],
  data: Float32Array,
  what: string,
  { atol = 1e-4, rtol = 1e-4 }: Omit<CompareOptions, 'run'> = {},
): void {
  const wanted = reference.shape.join();
  if (shape.join() !== wanted && `1,${shape.join()}` !== wanted)
    fail(`${what}: shape [${shape}], expected [${wanted}]`);
  const n = reference.shape.reduce((a, b) => a * b, 1);
  if (data.length !== n) fail(`${what}: ${data.length} values, but shape [${shape}]`);

  const indices = sampleIndices(n, reference.at.length);
  const sample = indices.map((i) => data[i]);
  const expected = reference.at.map((x) => x ?? -Infinity);
  allClose(sample, expected, { atol, rtol, what: `${what}, sample` });

  let [sum, abs, dot, masked] = [0, 0, 0, 0];
  const weights = noise(n, 1);
  for (let i = 0; i < n; i++) {
    if (data[i] === -Infinity) masked++;
    else {
      sum += data[i];
      abs += Math.abs(data[i]);
      dot += data[i] * weights[i];
    }
  }
  if (masked !== (reference.masked ?? 0))
    fail(`${what}: ${masked} values are -Infinity, expected ${reference.masked ?? 0}`);
  // Errors of single values are independent: their sum grows with the square root of how many there are.
  const allowed = 4 * Math.sqrt(n) * (atol + (rtol * reference.abs) / n);
  allClose([sum, abs, dot], [reference.sum, reference.abs, reference.dot], {
    atol: allowed,
    rtol: 0,
    what: `${what}, [sum, sum of magnitudes, weighted sum]`,
  });
}

/** Where the sample of an array of n values was taken: k · stride mod n, stride coprime to n. */
export function sampleIndices(n: number, count: number): number[] {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  let stride = Math.max(1, Math.floor((n * 618) / 1000));
  while (gcd(stride, n) !== 1) stride++;
  return Array.from({ length: count }, (_, k) => (k * stride) % n);
}

/**
 * The activation after an edit, as new data of the same shape.
 * @param shape `[1, pos, ...]` or, of scores and patterns, `[1, head, query, key]`; `pos` is then the query
 */
export function applyEdit(edit: Edit, shape: readonly number[], data: Float32Array): Float32Array {
  if (edit.op === 'noise') return noise(data.length, edit.value ?? 0);
  const attention = /hook_(pattern|attn_scores)$/.test(edit.at);
  const [headAxis, posAxis] = attention ? [1, 2] : [2, 1];
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const along = (i: number, axis: number) => Math.floor(i / strides[axis]) % shape[axis];
  return data.map((x, i) => {
    if (edit.op === 'uniform') {
      const query = along(i, 2);
      return along(i, 3) <= query ? 1 / (query + 1) : 0;
    }
    if (edit.head !== undefined && along(i, headAxis) !== edit.head) return x;
    if (edit.pos !== undefined && along(i, posAxis) !== edit.pos) return x;
    if (edit.op === 'zero') return 0;
    return edit.op === 'add' ? x + (edit.value ?? 0) : x * (edit.value ?? 1);
  });
}
