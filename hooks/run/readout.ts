/**
 * What metrics read of the final state, what the unembedding reads: [n, dModel]. Tokens are ids here, checked already,
 * and in lists a prompt; interp/logits/metrics.ts makes the metrics of them.
 */

import { LOGITS_BYTES } from '../../engine/budgets.js';
import { inScope } from '../../engine/gpu/storage.js';
import { showShape } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { logitsOfTokens, pickRows, unembed } from '../../engine/transformer/ops.js';
import { softCapped } from '../../engine/transformer/parts/soft-cap.js';
import { logSumExps, topLogits } from '../../engine/transformer/vocabulary/score.js';
import {
  alongDirections,
  divergence,
  logitDirections,
  NO_TARGET,
  rankOf,
  targetProbabilities,
} from '../../engine/transformer/vocabulary/vocabulary.js';
import type { Runnable } from '../input/model.js';
import { divergenceOfLogits, probabilityOfLogits, sumsOfLogits } from './logit-readout.js';
import type { PreparedMetric, Read } from './metric.js';

/** Token ids of each prompt. */
type Lists = readonly (readonly number[])[];

/** Mean logit of the first lists minus mean logit of the second, as one direction of the unembedding. */
export function readDifference({ gpuWeights: w }: Runnable, right: Lists, other: Lists): PreparedMetric {
  const places = new Map<string, number>(); // prompts with the same answers share a direction
  const sums: Map<number, number>[] = [];
  const which = right.map((list, row) => {
    const key = `${list} ${other[row]}`;
    if (!places.has(key)) places.set(key, sums.push(difference(list, other[row])) - 1);
    return places.get(key)!;
  });
  const { softCap } = w.W_U;
  if (softCap)
    return scoped(
      (x, reads) => {
        const own = reads.map((r) => sums[which[r.row]]);
        const tokens = [...new Set(own.flatMap((s) => [...s.keys()]))];
        const logits = softCapped(logitsOfTokens(x, tokens, w.W_U, w.b_U), softCap); // [reads, tokens]
        const weights = Float32Array.from(own.flatMap((s) => tokens.map((t) => s.get(t) ?? 0)));
        const { gpu, scope } = x;
        return logits
          .mul(Tensor.from(gpu, weights, [reads.length, tokens.length], { label: 'weights', scope }))
          .sum(1);
      },
      (logits, reads) =>
        sumsOfLogits(
          logits,
          reads.map((r) => sums[which[r.row]]),
        ),
    );
  const directions = logitDirections(sums, w.W_U, w.b_U);
  const prepared = scoped(
    (x, reads) => {
      const own = reads.map((r) => which[r.row]);
      return alongDirections(x, own, directions);
    },
    (logits, reads) =>
      sumsOfLogits(
        logits,
        reads.map((r) => sums[which[r.row]]),
      ),
  );
  const dispose = () => {
    directions.D.dispose();
    directions.b.dispose();
  };
  return { ...prepared, dispose };
}

/** Weights of logits by token: mean of the first list minus mean of the second, which may be empty. */
export function difference(right: readonly number[], other: readonly number[]): Map<number, number> {
  const weights = new Map<number, number>();
  const add = (t: number, w: number) => weights.set(t, (weights.get(t) ?? 0) + w);
  for (const t of right) add(t, 1 / right.length);
  for (const t of other) add(t, -1 / other.length);
  return weights;
}

/** Probability of a prompt's tokens together, or its logarithm. */
export function readProbability(
  { gpuWeights: w }: Runnable,
  tokens: Lists,
  o: { log: boolean },
): PreparedMetric {
  const distinct = tokens.map((list) => [...new Set(list)]);
  return scoped(
    (x, reads) => {
      const targets = upload(x, targetsOf(reads, distinct), reads.length);
      return targetProbabilities(x, targets, w.W_U, w.b_U, o);
    },
    (logits, reads) =>
      probabilityOfLogits(
        logits,
        reads.map((r) => distinct[r.row]),
        o,
      ),
  );
}

/** Rank of the best of a prompt's tokens; 0 is the top. */
export const readRank = ({ gpuWeights: w }: Runnable, tokens: Lists): PreparedMetric =>
  scoped((x, reads) => {
    const ranks = rankOf(x, targetsOf(reads, tokens), w.W_U, w.b_U).mul(-1).max(1).mul(-1);
    return ranks.add(x.detach(x.scope).mul(0).sum(-1)); // comparisons pass over NaN: 0 · x does not
  });

/**
 * KL divergence of the predictions from those of another run.
 * @param final the final state of that run at `places`, [places, dModel]
 */
export function readDivergence(
  { gpuWeights: w }: Runnable,
  final: Tensor,
  places: readonly Read[],
): PreparedMetric {
  const key = ({ row, pos }: Read) => `${row},${pos}`;
  const index = new Map(places.map((r, i) => [key(r), i]));
  const placesOf = (reads: readonly Read[]) => reads.map((r) => index.get(key(r))!);
  return scoped(
    (x, reads) => divergence(x, final, placesOf(reads), w.W_U, w.b_U),
    (logits, reads) =>
      divergenceOfLogits(logits, unembed(pickRows(final, placesOf(reads), logits.scope), w.W_U, w.b_U)),
  );
}

/** −log p of the token after each read. */
export const readLoss = ({ gpuWeights: w }: Runnable, rows: Lists): PreparedMetric =>
  scoped(
    (x, reads) => {
      const next = Uint32Array.from(reads, ({ row, pos }) => rows[row][pos + 1]);
      const targets = upload(x, next, reads.length);
      return targetProbabilities(x, targets, w.W_U, w.b_U, { log: true }).mul(-1);
    },
    (logits, reads) => {
      const next = reads.map(({ row, pos }) => [rows[row][pos + 1]]);
      return probabilityOfLogits(logits, next, { log: true }).mul(-1);
    },
  );

/** A function of logits: one number a read, from that read's logits alone. */
export type MetricFunction = (
  logits: Tensor,
  reads: readonly Read[],
) => Tensor | ArrayLike<number> | Promise<Tensor | ArrayLike<number>>;

/** What a function makes of the logits [n, dVocab] of some reads at a time. `name`: for messages. */
export function readLogits({ gpuWeights: w }: Runnable, fn: MetricFunction, name: string): PreparedMetric {
  const step = Math.max(1, Math.floor(LOGITS_BYTES / 4 / w.W_U.rows));
  const ofLogits = async (logits: Tensor, reads: readonly Read[]) =>
    numbers(await fn(logits.withAxes(['read', 'd_vocab']), reads), reads.length, name, logits);
  return scoped(async (x, reads) => {
    const parts: Tensor[] = [];
    for (let from = 0; from < reads.length; from += step) {
      const some = reads.slice(from, from + step);
      const part = x.window([[from, from + some.length]]);
      const value = (x: Tensor) => ofLogits(unembed(x, w.W_U, w.b_U), some);
      parts.push(await madeOf(part, value));
    }
    return Tensor.concat(parts);
  }, ofLogits);
}

function numbers(value: Tensor | ArrayLike<number>, n: number, name: string, x: Tensor): Tensor {
  const shape = value instanceof Tensor ? value.shape : [value?.length];
  if (shape.length !== 1 || shape[0] !== n)
    throw new Error(
      `metric ${name}: it gave ${showShape(shape)} for the logits of ${n} reads: one number each, [${n}], is needed`,
    );
  if (value instanceof Tensor) return value;
  return Tensor.from(x.gpu, Float32Array.from(value), [n], { label: name, scope: x.scope });
}

// ---- inside ------------------------------------------------------------------------------------------------------

const scoped = (
  evaluate: PreparedMetric['evaluate'],
  ofLogits?: PreparedMetric['ofLogits'],
): PreparedMetric => ({
  evaluate: (x, reads) => madeOf(x, (x) => evaluate(x, reads)),
  ofLogits: ofLogits && ((logits, reads) => madeOf(logits, (logits) => ofLogits(logits, reads))),
});

/** What f makes of x, in the scope of x; what else it makes is freed. */
export function madeOf(x: Tensor, f: (x: Tensor) => Tensor | Promise<Tensor>): Promise<Tensor> {
  return inScope(async (scope) => {
    const made = await f(x.alias(scope));
    const out = made.scope === scope ? made.keep() : made.alias(); // it may be a tensor of the user's
    if (x.scope?.open) x.scope.add(out);
    return out;
  });
}

/** The tokens of each read's prompt, [reads, k]; shorter lists are filled up. */
function targetsOf(reads: readonly Read[], tokens: Lists): Uint32Array<ArrayBuffer> {
  const k = Math.max(...tokens.map((list) => list.length));
  const targets = new Uint32Array(reads.length * k).fill(NO_TARGET);
  reads.forEach(({ row }, i) => {
    targets.set(tokens[row], i * k);
  });
  return targets;
}

function upload(x: Tensor, targets: Uint32Array<ArrayBuffer>, rows: number): Tensor<'u32'> {
  const shape = [rows, targets.length / rows];
  return Tensor.from<'u32'>(x.gpu, targets, shape, { label: 'targets', scope: x.scope });
}

/** What a run says at a read: its first choice, and how probable that is. */
export interface FirstChoice {
  readonly token: number;
  readonly prob: number;
}

/** The first choice of each row of x [n, dModel], what the unembedding reads. */
export async function firstChoices({ gpuWeights: w }: Runnable, x: Tensor): Promise<FirstChoice[]> {
  const { values, indices, state } = topLogits(x, 1, w.W_U, w.b_U);
  try {
    const [logit, token, sums] = await Promise.all([values.data(), indices.data(), state.data()]);
    return Array.from(logSumExps(sums as Float32Array), (lse, i) => ({
      token: token[i],
      prob: Math.exp(logit[i] - lse),
    }));
  } finally {
    for (const t of [values, indices, state]) t.dispose();
  }
}

/** What a metric has to say of the answers in a run, as part of `RunValues`. */
export async function remarksOn(
  prepared: PreparedMetric,
  runs: { comparable(run: string): boolean; final(run: string): Promise<Tensor>; reads: readonly Read[] },
  run: string | null | undefined,
): Promise<{ readonly remarks?: readonly string[] }> {
  if (!run || !prepared.remarks || !runs.comparable(run)) return {};
  const remarks = await prepared.remarks(await runs.final(run), runs.reads);
  return remarks.length ? { remarks } : {};
}
