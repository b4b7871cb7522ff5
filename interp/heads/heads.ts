/**
 * What kind of head is it? Previous-token heads, duplicate-token heads and induction heads are told by where they attend (Elhage
 * et al. 2021; Olsson et al. 2022): on random tokens said twice, where nothing but the repetition can be known, or on text.
 */

import { PATTERN_BYTES } from '../../engine/budgets.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { TextInput } from '../../engine/tokens/text.js';
import { is, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { draws } from '../../hooks/interventions/draw.js';
import { provenance } from '../results/provenance.js';
import { type Axis, type Labelled, labelled } from '../results/result.js';
import {
  countQueries,
  type HeadKind,
  headKinds,
  hitsOf,
  repetitionHits,
  type Targets,
  targetRows,
} from './attention-targets.js';
import { type Look, lookAtPatterns } from './patterns.js';

/** Options of `headScores`. */
export interface HeadScoreOptions {
  /** One kind; all three by default. */
  readonly kind?: HeadKind;
  /** Random tokens said twice (`'random'`, default), or texts or tokens of yours (the text "random" as a list of it). */
  readonly on?: 'random' | TextInput;
  /** Random rows. Default 4. */
  readonly batch?: number;
  /** Random tokens before they are repeated. Default 50, less where the context is short. */
  readonly length?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Default true. */
  readonly prependBos?: boolean;
  /** Bytes of a layer's patterns that exist on the GPU at once: longer texts are run in blocks of queries. Default 64 MiB. */
  readonly blockBytes?: number;
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Random tokens are drawn from so many, those of lowest id: in byte-pair vocabularies the most frequent ones. */
const COMMON_TOKENS = 20_000;

const HEAD_SCORES = options<HeadScoreOptions>({
  kind: is.oneOf(...headKinds),
  on: is.prompts,
  batch: is.count,
  length: is.count,
  seed: is.seed,
  prependBos: is.boolean,
  blockBytes: is.positive,
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  headScores: { model: is.model, options: HEAD_SCORES },
});

/**
 * How much each head attends where a head of a kind does: the attention that goes there, averaged over all queries that have such
 * a place. On random tokens those of the second time (of previous-token heads all but the first); TransformerLens' demo averages
 * whole diagonals, where one of `length + 1` entries belongs to no repetition.
 * @returns axes layer × head, or kind × layer × head
 * @throws when no token of a text occurs twice, and duplicates or induction are asked for.
 */
export const headScores = takes.headScores(async function headScores(
  model: Model,
  options: HeadScoreOptions = {},
): Promise<Labelled> {
  const { kind, on = 'random', seed = 0, blockBytes = PATTERN_BYTES, onProgress, signal } = options;
  const { nLayers, nHeads } = model.config;
  if (kind !== undefined && !headKinds.includes(kind))
    throw new Error(`headScores: kind "${kind}"; ${headKinds.join(', ')} are possible`);
  const kinds = kind ? [kind] : headKinds;
  const { rows, targets, about } =
    on === 'random' ? randomRows(model, kinds, options) : textRows(model, kinds, on, options);
  const queries = kinds.map((_, k) => targets.reduce((n, of) => n + countQueries(of[k]), 0));
  kinds.forEach((name, k) => {
    if (!queries[k])
      throw new Error(
        `headScores: no query has a place for ${name}-token attention: the text repeats nothing; ask for kind "previous", or take on: 'random'`,
      );
  });
  const size = nLayers * nHeads;
  const values = new Float32Array(kinds.length * size);
  let done = 0;
  for (const some of batches(rows, nHeads, blockBytes)) {
    signal?.throwIfAborted();
    // Weights of the block of queries that runs: the same in every layer.
    let weights: { readonly from: number; readonly tensors: readonly Tensor[] } | null = null;
    const weightsOf = (from: number, until: number) => {
      if (weights?.from === from) return weights.tensors;
      for (const t of weights?.tensors ?? []) t.dispose();
      const tensors = kinds.map((_, k) => {
        const size = (until - from) * until;
        const data = new Float32Array(some.length * size);
        for (const [i, row] of some.entries())
          data.set(targetRows(targets[row][k], from, until, 1 / queries[k]), i * size);
        return model.tensor(data, [some.length, 1, until - from, until]);
      });
      weights = { from, tensors };
      return tensors;
    };
    const look: Look = (pattern, from, until) =>
      weightsOf(from, until).map((weight) => pattern.mul(weight).sum(3).sum(2).sum(0));
    const own = some.map((r) => rows[r]);
    try {
      const sums = await lookAtPatterns(model, own, look, { signal, blockBytes });
      sums.forEach((byKind, layer) => {
        byKind.forEach((byHead, k) => {
          byHead.forEach((x, head) => {
            values[k * size + layer * nHeads + head] += x;
          });
        });
      });
    } finally {
      for (const t of (weights as { readonly tensors: readonly Tensor[] } | null)?.tensors ?? []) t.dispose();
    }
    done += some.length;
    onProgress?.(done, rows.length);
  }
  const axes = headAxes(model);
  const metric = kind ? `attention of a ${kind}-token head` : 'attention';
  const meta = provenance(model, {
    method: 'head scores',
    metric,
    ...about,
    ...(on === 'random' && { seed }),
  });
  return labelled(values, kind ? axes : [{ name: 'kind', labels: [...kinds] }, ...axes], meta);
});

/** Rows, where the heads of each kind should attend in them ([row][kind]), and what is to be told of them. */
interface Rows {
  readonly rows: readonly (readonly number[])[];
  readonly targets: readonly (readonly Targets[])[];
  readonly about: Record<string, unknown>;
}

function randomRows(
  { config: { dVocab, nCtx, bosTokenId, eosTokenId, defaultPrependBos }, tokenizer }: Model,
  kinds: readonly HeadKind[],
  { batch = 4, length, seed = 0, prependBos = defaultPrependBos }: HeadScoreOptions,
): Rows {
  const bos = prependBos ? (tokenizer?.bosTokenId ?? bosTokenId) : null;
  const before = bos === null ? 0 : 1;
  const special = [bos, bosTokenId, eosTokenId, tokenizer?.bosTokenId, tokenizer?.eosTokenId];
  const pool = Array.from({ length: Math.min(dVocab, COMMON_TOKENS) }, (_, t) => t).filter(
    (t) => !special.includes(t),
  );
  const longest = Math.min(Math.floor((nCtx - before) / 2), pool.length);
  const n = length ?? Math.min(50, longest);
  if (!Number.isInteger(n) || n < 2 || n > longest)
    throw new Error(`headScores: length ${n}; this model takes 2 to ${longest} random tokens, said twice`);
  if (!Number.isInteger(batch) || batch < 1)
    throw new Error(`headScores: batch ${batch}; a whole number from 1 is needed`);
  const draw = draws(seed);
  const rows = Array.from({ length: batch }, () => {
    const part = draw(n, pool.length).map((i) => pool[i]);
    return [...(bos === null ? [] : [bos]), ...part, ...part];
  });
  const targets = kinds.map((kind) => repetitionHits(kind, n, before));
  return {
    rows,
    targets: rows.map(() => targets),
    about: { on: 'random', batch, length: n, bos: bos !== null },
  };
}

function textRows(
  model: Model,
  kinds: readonly HeadKind[],
  on: TextInput,
  { prependBos }: HeadScoreOptions,
): Rows {
  const { tokens } = readInput(model, on, { prependBos });
  const targets = tokens.map((row) => kinds.map((kind) => hitsOf(kind, row)));
  return { rows: tokens, targets, about: { tokens: tokens.length === 1 ? tokens[0] : tokens } };
}

/** Numbers of rows that are run together: of one length, and so few that a layer's patterns take no more bytes than that. */
function batches(rows: readonly (readonly number[])[], nHeads: number, bytes: number): number[][] {
  const out: number[][] = [];
  rows.forEach((row, i) => {
    const most = Math.floor(bytes / (4 * nHeads * row.length ** 2));
    const last = out.at(-1);
    if (last && last.length < most && rows[last[0]].length === row.length) last.push(i);
    else out.push([i]);
  });
  return out;
}

/** The axes layer × head of all heads. */
export function headAxes({ config: { nLayers, nHeads } }: Model): Axis[] {
  return [
    { name: 'layer', labels: Array.from({ length: nLayers }, (_, l) => `L${l}`) },
    { name: 'head', labels: Array.from({ length: nHeads }, (_, h) => `H${h}`) },
  ];
}
